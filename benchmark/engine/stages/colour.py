"""Colour images for people to look at: the fused luma with the visible image's chroma; the cell holds NAME.png."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmark.datasets.base import Pair
from benchmark.engine.cells import Cell
from benchmark.engine.stage import Finished, Stage
from benchmark.engine.stages.fuse import combined_digest
from metrics import images
from metrics.code import code_digest
from metrics.errors import InputError
from metrics.files import require_there
from metrics.workers import Workers


class Colour(Stage):
    """Writes a colour image beside every fused one; scores are of the grey images, whether or not there are colours.

    Reference: Cao et al., "Multi-modal Gated Mixture of Local-to-Global Experts for Dynamic Image Fusion", ICCV 2023,
        section 4.2: the luma of YCbCr is fused.
    """

    name: ClassVar[str] = "colour"
    done: ClassVar[str] = "coloured"

    def __init__(self, pairs: Sequence[Pair], fused: Path, *, workers: Workers | None = None) -> None:
        """Prepare to colour.

        Args:
            pairs: Whose fused images.
            fused: The folder of their fused images, NAME.png.
            workers: Processes.
        """
        self.pairs, self.fused, self.workers = list(pairs), fused, workers or Workers()

    def recipe(self) -> dict[str, Any]:
        """Return the code that decides a colour image."""
        return {"code": code_digest(images.with_luma)}

    def items(self) -> dict[str, str]:
        """Return each pair with a hash of its images and of its fused image."""
        for pair in self.pairs:
            require_there(_path(self.fused, pair.name))
        return {pair.name: combined_digest(pair.fingerprint, _path(self.fused, pair.name)) for pair in self.pairs}

    def missing(self, cell: Cell) -> list[str]:
        """Return the pairs without a colour image."""
        return [pair.name for pair in self.pairs if not _path(cell.folder, pair.name).is_file()]

    def discard(self, cell: Cell, items: list[str], layers: list[str]) -> None:
        """Remove colour images."""
        for name in items:
            _path(cell.folder, name).unlink(missing_ok=True)

    def make(self, missing: list[str], cell: Cell) -> Iterator[str]:
        """Colour fused images.

        Raises:
            InputError: An image cannot be used.
        """
        lacking = set(missing)
        jobs = [
            (pair, _path(self.fused, pair.name), _path(cell.folder, pair.name))
            for pair in self.pairs
            if pair.name in lacking
        ]
        for name, error in self.workers.starmap(_colour, jobs, ordered=False):
            if error is not None:
                raise error
            yield name

    def finish(self, cell: Cell) -> Finished:
        """Return no notes: no number depends on these images."""
        return Finished([], [])


def find_image(out: Path, dataset: str, method: str, pair: Pair) -> Path | None:
    """Return the colour image of a pair; None when there is none, or it was made from other images.

    Args:
        out: The run's folder.
        dataset: The data set's title.
        method: The method's label.
        pair: One of the data set's.
    """
    cell = Cell(out, dataset, method, Colour.name)
    path, fused = _path(cell.folder, pair.name), _path(Cell(out, dataset, method, "fuse").folder, pair.name)
    if not path.is_file() or not path.resolve().is_relative_to(cell.folder.resolve()):
        return None
    manifest = cell.manifest()
    try:
        current = combined_digest(pair.fingerprint, fused)
    except (InputError, OSError):
        return None
    return path if manifest and manifest.items.get(pair.name) == current else None


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.png"


def _colour(pair: Pair, fused: Path, target: Path) -> tuple[str, InputError | None]:
    try:
        visible = images.read(pair.visible)
        images.write(target, images.with_luma(visible, images.grey(images.read(fused))))
        pair.require_unchanged()
    except InputError as error:
        return pair.name, error
    return pair.name, None
