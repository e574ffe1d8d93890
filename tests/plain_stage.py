"""The simplest stage: its items are empty files."""

from collections.abc import Iterator
from typing import Any, ClassVar

from benchmark.engine.cells import Cell
from benchmark.engine.stage import Finished, Stage, why_outdated


class PlainStage(Stage):
    """Writes an empty file NAME.png for each item."""

    name: ClassVar[str] = "fuse"
    done: ClassVar[str] = "fused"

    def __init__(self, recipe: dict[str, Any], items: dict[str, str], layers: dict[str, str] | None = None) -> None:
        self._recipe, self._items, self._layers = recipe, items, layers or {}
        self.discarded: list[str] = []

    def recipe(self) -> dict[str, Any]:
        return self._recipe

    def items(self) -> dict[str, str]:
        return self._items

    def layers(self) -> dict[str, str]:
        return self._layers

    def missing(self, cell: Cell) -> list[str]:
        return [name for name in self._items if not (cell.folder / f"{name}.png").is_file()]

    def discard(self, cell: Cell, items: list[str], layers: list[str]) -> None:
        self.discarded += items + layers
        for name in items:
            (cell.folder / f"{name}.png").unlink(missing_ok=True)

    def make(self, missing: list[str], cell: Cell) -> Iterator[str]:
        for name in missing:
            (cell.folder / f"{name}.png").touch()
            yield name

    def finish(self, cell: Cell) -> Finished:
        return Finished([], [])


def holds(cell: Cell, recipe: dict[str, Any], items: dict[str, str], layers: dict[str, str] | None = None) -> bool:
    """Return whether a cell is done, by this recipe, for at least these items, whatever files it has."""
    stage = PlainStage(recipe, items, layers)
    stage.missing = lambda cell: []  # type: ignore[method-assign]
    return why_outdated(stage, cell) is None
