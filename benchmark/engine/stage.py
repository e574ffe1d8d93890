"""Stages of a run: their common interface, how a cell is brought up to date, and why a cell is outdated.

A stage reads files and writes files into a cell. It names what decides them (`recipe`, `items`, `layers`), and makes
only what is missing; `bring_up_to_date` does the rest alike for all stages.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from benchmark.engine.cells import MODEL, Cell, Manifest, first_difference, is_first_process
from metrics.errors import InputError

Progress = Callable[[int, int], None]


class Finished(NamedTuple):
    """What a finished cell's manifest gets.

    Attributes:
        notes: What a reader of the numbers should know and no number says.
        files: Those of the cell's files that readers take unread; their hashes are compared from now on.
    """

    notes: list[str]
    files: list[Path]


class Stage(ABC):
    """One stage on one data set and method.

    Attributes:
        name: The cell's folder, and the command that runs the stage.
        done: Its participle, for messages.
        inputs: What its items are made from, for messages.
        precious: Whether a cell of another recipe is refused rather than made again: training takes hours.
        shows_progress: Whether it has a progress bar of its own.
    """

    name: ClassVar[str]
    done: ClassVar[str]
    inputs: ClassVar[str] = "images"
    precious: ClassVar[bool] = False
    shows_progress: ClassVar[bool] = False

    @abstractmethod
    def recipe(self) -> dict[str, Any]:
        """Return what decides every item, as JSON gives it back."""

    def items(self) -> dict[str, str]:
        """Return the items, one a pair, each with a fingerprint of what it is made from."""
        return {}

    def layers(self) -> dict[str, str]:
        """Return the layers that every item has, each with a hash of what decides it: for scores, the metrics."""
        return {}

    def prepare(self, cell: Cell) -> None:
        """Do what may fail before the cell is touched."""
        return

    @abstractmethod
    def missing(self, cell: Cell) -> list[str]:
        """Return the items that the cell lacks, in the order in which they are to be made."""

    def flaw(self, cell: Cell) -> str | None:
        """Return what is wrong with a finished cell's files, in one line; None when they are complete."""
        missing = len(self.missing(cell))
        return f"{missing} images are not {self.done}; run {self.name} again" if missing else None

    @abstractmethod
    def discard(self, cell: Cell, items: list[str], layers: list[str]) -> None:
        """Remove finished items and layers, for their inputs or code have changed."""

    @abstractmethod
    def make(self, missing: list[str], cell: Cell) -> Iterator[str]:
        """Make what is missing; yield each item once it is in the cell."""

    @abstractmethod
    def finish(self, cell: Cell) -> Finished:
        """Write what is written of all items together; return what the manifest gets."""


class TrainingStage(Stage):
    """A stage that trains one model: its cell holds the model, which has no items.

    The code is no part of what decides the cell: hours of training are not thrown away for a changed line.
    """

    done: ClassVar[str] = "trained"
    precious: ClassVar[bool] = True

    def missing(self, cell: Cell) -> list[str]:
        """Return the model: training itself knows how far it came."""
        return [MODEL]

    def flaw(self, cell: Cell) -> str | None:
        """Return that there is no model, if so."""
        return None if (cell.folder / MODEL).is_file() else "not trained"

    def discard(self, cell: Cell, items: list[str], layers: list[str]) -> None:
        """Remove nothing: a model has no items."""


def bring_up_to_date(
    stage: Stage, cell: Cell, *, redo: bool = False, progress: Progress = lambda done, of: None
) -> bool:
    """Make what a cell lacks, and nothing else; return whether anything was.

    A run that is stopped at any moment loses at most the item at work. Under torchrun every process makes, and the
    first one keeps the cell.

    Args:
        stage: What makes it.
        cell: Where to.
        redo: Make everything again.
        progress: Called with (finished, all) after each item.

    Raises:
        InputError: An input cannot be used, or a trained model of another recipe is in the way.
    """
    if redo and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(
            f"--redo under torchrun: its processes would remove it under each other; remove {cell.folder} by hand"
        )
    recipe, items, layers = stage.recipe(), stage.items(), stage.layers()
    if not redo:
        if stage.precious:
            cell.refuse_other(recipe)
        if _why_outdated(stage, cell, recipe, items, layers) is None:
            return False
    stage.prepare(cell)
    if is_first_process():
        cell.open(recipe, items, layers, discard=partial(stage.discard, cell), redo=redo)
    missing = stage.missing(cell)
    for done, _ in enumerate(stage.make(missing, cell), start=len(items) - len(missing) + 1):
        progress(done, len(items))
    if is_first_process():
        notes, files = stage.finish(cell)
        cell.close(notes=notes, files=files)
    return bool(missing)


def why_outdated(stage: Stage, cell: Cell) -> str | None:
    """Return why a cell does not hold what a stage would make now, in one line; None when it does."""
    if cell.manifest() is None:
        return f"not {stage.done}"
    try:
        return _why_outdated(stage, cell, stage.recipe(), stage.items(), stage.layers())
    except InputError as error:
        return str(error)


def _why_outdated(
    stage: Stage, cell: Cell, recipe: dict[str, Any], items: dict[str, str], layers: dict[str, str]
) -> str | None:
    stored = cell.manifest()
    if stored is None:
        return f"not {stage.done}"
    if stored.status != "done":
        return stored.reason or "not finished"
    reason = _difference(stage, stored, recipe, items, layers)
    if reason is not None:
        return f"{reason}; run {stage.name} again"
    try:
        cell.require_unchanged()
        return stage.flaw(cell)
    except InputError as error:
        return str(error)


def _difference(
    stage: Stage, stored: Manifest, recipe: dict[str, Any], items: dict[str, str], layers: dict[str, str]
) -> str | None:
    """Return in what a finished cell differs from what a stage would make now."""
    if stored.recipe != recipe:
        name, before, after = first_difference(stored.recipe, recipe)
        if name == "code":
            return f"{stage.done} by another version of the code"
        return f"{stage.done} with {name} {before!r:.80}, but this run has {after!r:.80}"
    if not items.keys() <= stored.items.keys():
        return f"{stage.done} on fewer images"
    if not items.items() <= stored.items.items():
        return f"{stage.done} on other {stage.inputs} than are here now"
    if lacking := [name for name in layers if name not in stored.layers]:
        return f"not {stage.done} by {', '.join(lacking)}"
    if other := [name for name, digest in layers.items() if stored.layers[name] != digest]:
        return f"{', '.join(other)}: {stage.done} by another version of the code"
    return None
