"""Fuse pairs of images: the cell holds NAME.png for every pair."""

import hashlib
import json
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import methods
from benchmark.datasets.base import Pair
from benchmark.engine.cells import Cell
from benchmark.engine.experiment import MethodSettings
from benchmark.engine.stage import Finished, Stage
from metrics import images
from metrics.errors import InputError, plain
from metrics.files import digest_all, require_there, require_unchanged, stamp_files
from metrics.images import ImageArray
from metrics.lookahead import lookahead
from metrics.opencv import cv2
from metrics.workers import Workers


class MethodError(Exception):
    """A method raised something else than an InputError: what, in one line, and where."""

    def __init__(self, reason: str, trace: str) -> None:
        super().__init__(reason, trace)
        self.reason, self.trace = reason, trace


class Fuse(Stage):
    """Writes the fused image of every pair."""

    name: ClassVar[str] = "fuse"
    done: ClassVar[str] = "fused"

    def __init__(
        self,
        dataset: str,
        pairs: Sequence[Pair],
        settings: MethodSettings,
        *,
        notes: Sequence[str] = (),
        device: str = "auto",
        workers: Workers | None = None,
    ) -> None:
        """Prepare to fuse.

        Args:
            dataset: The data set's name, which the method `folder` may need.
            pairs: What to fuse.
            settings: The method.
            notes: On the pairs, for the cell's manifest.
            device: Where a network runs.
            workers: Processes that fuse; their number is also that of the threads that read and write beside a network.

        Raises:
            InputError: The method cannot be used.
        """
        self.dataset, self.pairs, self.settings, self.notes = dataset, list(pairs), settings, list(notes)
        self.device, self.workers = device, workers or Workers()
        self.method = methods.create(settings.name, variant=settings.variant, weights=settings.weights, device=device)

    def recipe(self) -> dict[str, Any]:
        """Return the method, its settings and its code."""
        return {
            "method": self.settings.name,
            "settings": _plain(self.method),
            "code": methods.code_digest(type(self.method)),
        }

    def items(self) -> dict[str, str]:
        """Return each pair with a hash of its images and of what else the method reads for it."""
        self._stamps = {}
        items = {}
        for pair in self.pairs:
            files = self.method.inputs(self.dataset, pair.name)
            for path in files:
                require_there(path)
            self._stamps[pair.name] = stamp_files(files)
            items[pair.name] = combined_digest(pair.fingerprint, *files)
        return items

    def missing(self, cell: Cell) -> list[str]:
        """Return the pairs without an image."""
        return [pair.name for pair in self.pairs if not _path(cell, pair.name).is_file()]

    def discard(self, cell: Cell, items: list[str], layers: list[str]) -> None:
        """Remove images."""
        for name in items:
            _path(cell, name).unlink(missing_ok=True)

    def make(self, missing: list[str], cell: Cell) -> Iterator[str]:
        """Fuse pairs.

        Raises:
            InputError: An image cannot be used, or changed meanwhile.
            MethodError: The method raised something else.
        """
        wanted = set(missing)
        pairs = [pair for pair in self.pairs if pair.name in wanted]
        processes, threads = divide_work(self.method, self.workers)
        if threads is None:
            yield from self._fuse_here(pairs, cell)
        elif min(processes, len(pairs)) <= 1 and not self.workers.remote:
            with limit_threads(threads):
                for pair in pairs:
                    _raise(_fuse_pair(self.method, self.dataset, pair, _path(cell, pair.name)))
                    yield pair.name
        else:
            recipe, settings = self.recipe(), _with_absolute_paths(self.settings)
            jobs = [(settings, self.device, recipe, self.dataset, pair, _path(cell, pair.name)) for pair in pairs]
            for name, error in self.workers.starmap(_fuse_in_worker, jobs, ordered=False):
                _raise(error)
                yield name
        for name in missing:
            try:
                require_unchanged(self._stamps[name])
            except InputError:
                self.discard(cell, [name], [])
                raise

    def _fuse_here(self, pairs: Sequence[Pair], cell: Cell) -> Iterator[str]:
        """Fuse in this thread, while others read the next pairs and write the last images, or a GPU would wait."""

        def read(pair: Pair) -> tuple[Pair, ImageArray, ImageArray]:
            return pair, *_read(pair)

        def write(fused: tuple[str, ImageArray]) -> str:
            images.write(_path(cell, fused[0]), fused[1])
            return fused[0]

        def fuse() -> Iterator[tuple[str, ImageArray]]:
            for pair, infrared, visible in lookahead(read, pairs, self.workers.number):
                with _naming(pair):
                    yield pair.name, self.method.fuse_named(self.dataset, pair.name, infrared, visible)

        yield from lookahead(write, fuse(), self.workers.number)

    def finish(self, cell: Cell) -> Finished:
        """Return the notes; an image's hash is part of what is made from it."""
        return Finished(self.notes, [])


def divide_work(method: methods.Method, workers: Workers) -> tuple[int, int | None]:
    """Return how many processes fuse by a method, and the threads that each may use; None for as many as it likes.

    A network stays in this process, whose threads it uses as it likes: in each of several it would take torch's
    seconds to load and its memory again, and joblib replaces workers that grow so. A cluster's workers take it.
    """
    network = hasattr(method, "device") or "torch" in vars(sys.modules[type(method).__module__])
    return (1, None) if network and not workers.remote else (workers.number, 1)


@contextmanager
def limit_threads(count: int | None) -> Iterator[None]:
    """Limit the threads of OpenCV, and of torch where it is loaded: the processes already keep all cores busy."""
    torch = sys.modules.get("torch")
    before = cv2.getNumThreads(), torch.get_num_threads() if torch else 0
    if count is not None:
        cv2.setNumThreads(count)
        if torch:
            torch.set_num_threads(count)
    try:
        yield
    finally:
        cv2.setNumThreads(before[0])
        if torch:
            torch.set_num_threads(before[1])


def one_line(error: BaseException) -> str:
    """Return what an exception says, in one line of limited length."""
    return plain(" ".join(f"{type(error).__name__}: {error}".split())[:300])


def combined_digest(fingerprint: str, *files: Path) -> str:
    """Return a hash of a pair's fingerprint and of files."""
    return hashlib.sha256(f"{fingerprint}{digest_all(files)}".encode()).hexdigest()


def _path(cell: Cell, name: str) -> Path:
    return cell.folder / f"{name}.png"


def _plain(method: methods.Method) -> dict[str, Any]:
    """Return a method's settings as a manifest gives them back: tuples as lists, for instance."""
    try:
        settings = json.loads(json.dumps(method.settings(), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise TypeError(f"settings of {type(method).__name__}: expected what JSON can hold ({error})") from error
    if not isinstance(settings, dict):
        raise TypeError(f"settings of {type(method).__name__}: expected a dictionary, got {settings!r}")
    return settings


def _raise(error: InputError | MethodError | None) -> None:
    if error is not None:
        raise error


def _fuse_pair(method: methods.Method, dataset: str, pair: Pair, path: Path) -> InputError | MethodError | None:
    """Write a pair's fused image; return what was wrong, for not every exception comes through between processes."""
    try:
        infrared, visible = _read(pair)
        with _naming(pair):
            fused = method.fuse_named(dataset, pair.name, infrared, visible)
        images.write(path, fused)
    except InputError as error:
        return error
    except (Exception, SystemExit) as error:  # a user's own method may raise anything
        return MethodError(one_line(error), traceback.format_exc())
    return None


def _read(pair: Pair) -> tuple[ImageArray, ImageArray]:
    infrared, visible = images.read(pair.infrared), images.read(pair.visible)
    pair.require_unchanged()
    return infrared, visible


@contextmanager
def _naming(pair: Pair) -> Iterator[None]:
    """Name the pair in what a method refuses."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{pair.infrared}: {error}") from error


def _fuse_in_worker(
    settings: MethodSettings, device: str, recipe: dict[str, Any], dataset: str, pair: Pair, path: Path
) -> tuple[str, InputError | MethodError | None]:
    try:
        method = _worker_method(settings.name, settings.variant, settings.weights, device, str(recipe))
        if methods.code_digest(type(method)) != recipe["code"]:
            raise InputError(f"the code of {settings.name} changed while the run was at work, or is another one here")
    except InputError as error:
        return pair.name, error
    except (Exception, SystemExit) as error:  # a user's own method may raise anything
        return pair.name, MethodError(one_line(error), traceback.format_exc())
    with limit_threads(1):
        return pair.name, _fuse_pair(method, dataset, pair, path)


def _with_absolute_paths(settings: MethodSettings) -> MethodSettings:
    """Return a method whose files are named from the root: a cluster's worker has a working folder of its own."""
    name, weights = settings.name, settings.weights
    path, colon, attribute = name.rpartition(":")
    if path.endswith(".py"):
        name = f"{Path(path).resolve()}{colon}{attribute}"
    if weights is not None:
        weights = str(Path(weights).resolve())
    return replace(settings, name=name, weights=weights)


@lru_cache(maxsize=1)
def _worker_method(name: str, variant: str | None, weights: str | None, device: str, recipe: str) -> methods.Method:
    """Return a worker's own copy of the method; `recipe` tells a changed method from the one it had."""
    return methods.create(name, variant=variant, weights=weights, device=device)
