"""The stages of Table 1: fuse pairs into images, score images into rows.

Each reads files and writes files, makes only what is missing, and can be fed from outside.
"""

import csv
import hashlib
import io
import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
from joblib import cpu_count, delayed

import methods
import metrics
from benchmark.datasets.base import Pair
from benchmark.engine.cells import Cell
from benchmark.engine.experiment import MethodSettings, ScoreSettings
from metrics import images
from metrics.errors import InputError, plain
from metrics.files import Stamps, digest_all, require_there, require_unchanged, stamp_files
from metrics.images import ImageArray
from metrics.lookahead import lookahead
from metrics.opencv import cv2
from metrics.workers import are_elsewhere, in_workers

Progress = Callable[[int, int], None]
SCORES = "scores.csv"
_FLUSH = 64  # pairs scored between two writes of the rows: what a killed run loses at most


def fuse(
    dataset: str,
    pairs: Iterable[Pair],
    settings: MethodSettings,
    cell: Cell,
    *,
    notes: Iterable[str] = (),
    device: str = "auto",
    workers: int | None = None,
    redo: bool = False,
    progress: Progress = lambda done, of: None,
) -> int:
    """Write the fused image of every pair into the cell's folder, as NAME.png; return how many were made.

    Args:
        dataset: The data set's name, which the method `folder` may need.
        pairs: What to fuse.
        settings: The method.
        cell: Where to; images that are there and still hold are kept.
        notes: On the pairs, for the cell's manifest.
        device: Where a network runs.
        workers: Processes that fuse, or threads that read and write beside a network; None for one a core.
        redo: Make every image again.
        progress: Called with (finished, all) after each pair.

    Raises:
        InputError: An image or the method cannot be used.
        MethodError: The method raised something else.
    """
    pairs = list(pairs)
    method = methods.create(settings.name, variant=settings.variant, weights=settings.weights, device=device)
    recipe: dict[str, Any] = {
        "method": settings.name,
        "settings": _plain(method),
        "code": methods.code_digest(type(method)),
    }
    stamps = {pair.name: _stamped(*method.inputs(dataset, pair.name)) for pair in pairs}
    items = {pair.name: _combined(pair.fingerprint, *stamps[pair.name]) for pair in pairs}
    path = {pair.name: cell.folder / f"{pair.name}.png" for pair in pairs}
    if not redo and cell.holds(recipe, items) and all(file.is_file() for file in path.values()):
        return 0

    def discard(names: list[str]) -> None:
        for name in names:
            path[name].unlink(missing_ok=True)

    cell.open(recipe, items, discard=discard, redo=redo)
    missing = [pair for pair in pairs if not path[pair.name].is_file()]
    done = len(pairs) - len(missing)
    for each in _fused(method, dataset, missing, path, settings, device, workers, recipe=recipe):
        if each is not None:
            raise each
        done += 1
        progress(done, len(pairs))
    for pair in missing:
        try:
            require_unchanged(stamps[pair.name])
        except InputError:
            discard([pair.name])
            raise
    cell.close(notes=notes)
    return len(missing)


def _plain(method: methods.Method) -> dict[str, Any]:
    """Return a method's settings as a manifest gives them back: tuples as lists, for instance."""
    try:
        settings = json.loads(json.dumps(method.settings(), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise TypeError(f"settings of {type(method).__name__}: expected what JSON can hold ({error})") from error
    if not isinstance(settings, dict):
        raise TypeError(f"settings of {type(method).__name__}: expected a dictionary, got {settings!r}")
    return settings


class MethodError(Exception):
    """A method raised something: what, in one line, and where."""

    def __init__(self, reason: str, trace: str) -> None:
        super().__init__(reason, trace)
        self.reason, self.trace = reason, trace


def _fused(
    method: methods.Method,
    dataset: str,
    pairs: Sequence[Pair],
    path: Mapping[str, Path],
    settings: MethodSettings,
    device: str,
    workers: int | None,
    *,
    recipe: dict[str, Any],
) -> Iterator[InputError | MethodError | None]:
    """Fuse pairs as they come, in this process or in several."""
    processes, threads = division(method, workers)
    processes = min(processes, len(pairs))
    if threads is None:
        yield from _fused_here(method, dataset, pairs, path, workers)
        return
    if processes <= 1:
        with limited(threads):
            for pair in pairs:
                yield _fuse_pair(method, dataset, pair, path[pair.name])
        return
    settings = _absolute(settings)
    jobs = (delayed(_fuse_in_worker)(settings, device, recipe, dataset, pair, path[pair.name]) for pair in pairs)
    yield from in_workers(jobs, processes, ordered=False)


def division(method: methods.Method, workers: int | None) -> tuple[int, int | None]:
    """Return how many processes fuse by a method, of `workers` or of one a core, and the threads that each may use.

    A network stays in this process, whose threads it uses as it likes (None): in each of several it would take torch's
    seconds to load and its memory again, and joblib replaces workers that grow so. A cluster's workers take it.
    """
    return (1, None) if _is_network(method) and not are_elsewhere() else (workers or cpu_count(), 1)


def _is_network(method: methods.Method) -> bool:
    return hasattr(method, "device") or "torch" in vars(sys.modules[type(method).__module__])


def _fused_here(
    method: methods.Method, dataset: str, pairs: Sequence[Pair], path: Mapping[str, Path], workers: int | None
) -> Iterator[None]:
    """Fuse in this thread; beside it the next pairs are read and the last images written, or a GPU would wait."""

    def read(pair: Pair) -> tuple[Pair, ImageArray, ImageArray]:
        return pair, *_read(pair)

    def write(made: tuple[Path, ImageArray]) -> None:
        images.write(*made)

    fused = (
        (path[pair.name], _fuse(method, dataset, pair, infrared, visible))
        for pair, infrared, visible in lookahead(read, pairs, workers)
    )
    yield from lookahead(write, fused, workers)


def _fuse_pair(method: methods.Method, dataset: str, pair: Pair, path: Path) -> InputError | MethodError | None:
    """Write a pair's fused image; return what was wrong, for not every exception comes through between processes."""
    try:
        images.write(path, _fuse(method, dataset, pair, *_read(pair)))
    except InputError as error:
        return error
    except (Exception, SystemExit) as error:  # a method of somebody's own may raise anything
        return MethodError(one_line(error), traceback.format_exc())
    return None


def _read(pair: Pair) -> tuple[ImageArray, ImageArray]:
    infrared, visible = images.read(pair.infrared), images.read(pair.visible)
    pair.require_unchanged()
    return infrared, visible


def _fuse(method: methods.Method, dataset: str, pair: Pair, infrared: ImageArray, visible: ImageArray) -> ImageArray:
    try:
        return method.fuse_named(dataset, pair.name, infrared, visible)
    except InputError as error:
        raise InputError(f"{pair.infrared}: {error}") from error


def one_line(error: BaseException) -> str:
    """Return what an exception says, in one line of limited length."""
    return plain(" ".join(f"{type(error).__name__}: {error}".split())[:300])


def _fuse_in_worker(
    settings: MethodSettings, device: str, recipe: dict[str, Any], dataset: str, pair: Pair, path: Path
) -> InputError | MethodError | None:
    try:
        method = _worker_method(settings.name, settings.variant, settings.weights, device, str(recipe))
        if methods.code_digest(type(method)) != recipe["code"]:
            raise InputError(f"the code of {settings.name} changed while the run was at work, or is another one here")
    except InputError as error:
        return error
    except (Exception, SystemExit) as error:  # a method of somebody's own may raise anything
        return MethodError(one_line(error), traceback.format_exc())
    with limited(1):
        return _fuse_pair(method, dataset, pair, path)


def _absolute(settings: MethodSettings) -> MethodSettings:
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


@contextmanager
def limited(count: int | None) -> Iterator[None]:
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


def score(
    pairs: Iterable[Pair],
    fused: Path,
    settings: ScoreSettings,
    cell: Cell,
    *,
    workers: int | None = None,
    redo: bool = False,
    progress: Progress = lambda done, of: None,
) -> int:
    """Write one row of metrics for every pair into the cell's `scores.csv`; return how many were scored.

    Args:
        pairs: The sources.
        fused: The folder with a fused image NAME.png for each pair.
        settings: Convention and size.
        cell: Where to; rows that are there and still hold are kept.
        workers: Processes; None for one a core.
        redo: Score every image again.
        progress: Called with (finished, all).

    Raises:
        InputError: An image is missing, damaged, or of another size than its sources.
    """
    pairs = sorted(pairs, key=lambda pair: pair.name)
    recipe = score_recipe(settings)
    stamps = {pair.name: _stamped(fused / f"{pair.name}.png") for pair in pairs}
    items = score_items(pairs, fused)
    table = cell.folder / SCORES
    try:
        cell.require_unchanged()
        rows = _stored_rows(table)
    except InputError:
        rows = {}  # damaged: scored again
    if not redo and cell.holds(recipe, items) and items.keys() <= rows.keys():
        return 0

    def discard(names: list[str]) -> None:
        for name in names:
            rows.pop(name, None)
        _write_rows(table, rows, settings.ids)

    cell.open(recipe, items, discard=discard, redo=redo)
    if not table.is_file():  # opening emptied the cell
        rows.clear()
    missing = [pair for pair in pairs if pair.name not in rows]
    triples = [(pair.infrared, pair.visible, fused / f"{pair.name}.png") for pair in missing]
    results = metrics.evaluate_triples(
        triples, convention=settings.convention, size=settings.pixels, metrics=settings.metrics, workers=workers
    )
    try:
        for made, (pair, values) in enumerate(zip(missing, results, strict=True), start=1):
            pair.require_unchanged()
            require_unchanged(stamps[pair.name])
            rows[pair.name] = values
            if made % _FLUSH == 0:
                _write_rows(table, rows, settings.ids)
            progress(len(pairs) - len(missing) + made, len(pairs))
    except InputError as error:
        if str(error).startswith(f"{fused}{os.sep}"):
            raise InputError(f"{error} If a run fused it, delete it: the next run fuses it anew.") from error
        raise
    finally:
        _write_rows(table, rows, settings.ids)
    cell.close(notes=_undefined(rows[pair.name] for pair in pairs), files=[table])
    return len(missing)


def score_recipe(settings: ScoreSettings) -> dict[str, Any]:
    """Return what decides a row of metrics besides the images."""
    return {
        "convention": settings.convention,
        "size": settings.size,
        "metrics": list(settings.ids),
        "code": _scoring_code(),
    }


@cache
def _scoring_code() -> str:
    """Return the hash of what this process scores with, even if the files change while it runs."""
    return digest_all(sorted(Path(metrics.__file__).parent.glob("*.py")))


def score_items(pairs: Iterable[Pair], fused: Path) -> dict[str, str]:
    """Return the fingerprint of what each row of metrics is made from: the pair and its fused image."""
    return {pair.name: _combined(pair.fingerprint, fused / f"{pair.name}.png") for pair in pairs}


def read_scores(cell: Cell, pairs: Iterable[Pair], ids: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the rows of a scored cell for these pairs: index `image`, one column a metric.

    Args:
        cell: The cell.
        pairs: The pairs.
        ids: Which metrics; None for all that the cell has.

    Raises:
        InputError: The cell's file is damaged, or lacks a pair or a metric.
    """
    cell.require_unchanged()
    rows = _stored_rows(cell.folder / SCORES)
    names = sorted(pair.name for pair in pairs)
    if missing := [name for name in names if name not in rows]:
        raise InputError(f"{cell.folder / SCORES} lacks {len(missing)} of {len(names)} images; run score again")
    frame = pd.DataFrame([rows[name] for name in names], index=pd.Index(names, name="image"))
    if lacking := [metric for metric in ids or () if metric not in frame]:
        raise InputError(f"{cell.folder / SCORES} lacks {', '.join(lacking)}; run score again")
    return frame if ids is None else frame[list(ids)]


def _stored_rows(table: Path) -> dict[str, dict[str, float]]:
    """Return the rows of a table that is there whole; none of one that is not there."""
    # Read by hand: every version of pandas must give back the very numbers, and the image "NA" its name.
    if not table.is_file():
        return {}
    rows: dict[str, dict[str, float]] = {}
    try:
        text = table.read_bytes().decode()
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        first, *ids = next(reader, None) or [""]
        if first != "image" or not set(ids) <= metrics.METRICS.keys() or not text.endswith("\n"):
            raise ValueError("its first or last line is not whole")
        for name, *values in reader:
            rows[name] = dict(zip(ids, (float(value or "nan") for value in values), strict=True))
            if any(map(math.isinf, rows[name].values())):
                raise ValueError(f"the row of {name}")
        if len(rows) != reader.line_num - 1:
            raise ValueError("an image has two rows")
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{table} is damaged ({error}); run score again") from error
    return rows


def _write_rows(table: Path, rows: dict[str, dict[str, float]], ids: Sequence[str]) -> None:
    frame = pd.DataFrame([rows[name] for name in sorted(rows)], index=sorted(rows), columns=list(ids))
    images.write_bytes(table, frame.to_csv(index_label="image").encode())


def _undefined(rows: Iterable[dict[str, float]]) -> list[str]:
    frame = pd.DataFrame(list(rows))
    counts = frame.isna().sum()
    return [f"{metric}: undefined on {count} of {len(frame)} images" for metric, count in counts.items() if count]


def _stamped(*files: Path) -> Stamps:
    for path in files:
        require_there(path)
    return stamp_files(files)


def _combined(fingerprint: str, *files: Path) -> str:
    return hashlib.sha256(f"{fingerprint}{digest_all(files)}".encode()).hexdigest()
