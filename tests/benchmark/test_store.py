"""Cells: what is kept, what is dropped, what survives a kill."""

import json
from pathlib import Path

import pytest

from benchmark.engine.cells import MANIFEST, Cell, slug
from benchmark.engine.stage import bring_up_to_date, why_outdated
from tests.plain_stage import PlainStage, holds

RECIPE = {"method": "average", "code": "1"}


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    return Cell(tmp_path, "M3FD", "average", "fuse")


def started(cell: Cell, items: dict[str, str], recipe: dict[str, str] = RECIPE, *, redo: bool = False) -> list[str]:
    """Open a cell; return what it discarded."""
    gone: list[str] = []

    def discard(names: list[str], layers: list[str]) -> None:
        gone.extend(names + layers)
        assert items.items() - cell.manifest().items.items(), "discarding comes before the new manifest"  # type: ignore[union-attr]

    cell.open(recipe, items, discard=discard, redo=redo)
    return gone


def test_a_done_cell_holds_for_its_items_and_fewer(cell: Cell) -> None:
    assert not holds(cell, RECIPE, {})
    started(cell, {"a": "1", "b": "2"})
    assert not holds(cell, RECIPE, {"a": "1"}), "a running cell is not done"
    cell.close()
    assert holds(cell, RECIPE, {"a": "1"})
    assert not holds(cell, RECIPE, {"a": "1", "c": "3"})
    assert not holds(cell, RECIPE, {"a": "other"})
    assert not holds(cell, RECIPE | {"code": "2"}, {"a": "1"})


def test_a_changed_input_drops_that_item_alone(cell: Cell) -> None:
    started(cell, {"a": "1", "b": "2"})
    cell.close()
    (cell.folder / "a.png").touch()
    assert started(cell, {"a": "1", "b": "new"}) == ["b"]
    assert (cell.folder / "a.png").exists()


def test_items_of_a_larger_run_are_kept(cell: Cell) -> None:
    started(cell, {"a": "1", "b": "2"})
    cell.close()
    started(cell, {"a": "1"})
    cell.close()
    assert holds(cell, RECIPE, {"a": "1", "b": "2"})


def test_one_more_layer_costs_no_item_and_a_changed_one_is_discarded(cell: Cell) -> None:
    items = {"a": "1"}
    assert bring_up_to_date(PlainStage(RECIPE, items, {"EN": "1"}), cell)
    assert holds(cell, RECIPE, items, {"EN": "1"})
    more = PlainStage(RECIPE, items, {"EN": "1", "SSIM": "1"})
    assert why_outdated(more, cell) == "not fused by SSIM; run fuse again"
    assert not bring_up_to_date(more, cell), "no item is missing"
    assert more.discarded == []
    assert holds(cell, RECIPE, items, {"EN": "1"}), "what it had it keeps"
    changed = PlainStage(RECIPE, items, {"EN": "2"})
    assert why_outdated(changed, cell) == "EN: fused by another version of the code; run fuse again"
    bring_up_to_date(changed, cell)
    assert changed.discarded == ["EN"]


@pytest.mark.parametrize(
    ("recipe", "items", "said"),
    [
        (RECIPE | {"method": "maximum"}, {"a": "1"}, "fused with method 'average', but this run has 'maximum'"),
        (RECIPE | {"code": "2"}, {"a": "1"}, "fused by another version of the code"),
        (RECIPE, {"a": "1", "b": "2"}, "fused on fewer images"),
        (RECIPE, {"a": "2"}, "fused on other images than are here now"),
    ],
)
def test_why_a_cell_does_not_hold(cell: Cell, recipe: dict[str, str], items: dict[str, str], said: str) -> None:
    assert why_outdated(PlainStage(RECIPE, {"a": "1"}), cell) == "not fused"
    bring_up_to_date(PlainStage(RECIPE, {"a": "1"}), cell)
    assert why_outdated(PlainStage(recipe, items), cell) == f"{said}; run fuse again"
    bring_up_to_date(PlainStage(recipe, items), cell)
    assert why_outdated(PlainStage(recipe, items), cell) is None


@pytest.mark.parametrize("why", ["recipe", "redo", "damaged manifest"])
def test_what_empties_a_cell(cell: Cell, why: str) -> None:
    started(cell, {"a": "1"})
    cell.close()
    (cell.folder / "a.png").touch()
    if why == "damaged manifest":
        (cell.folder / MANIFEST).write_text("{")
    recipe = RECIPE | ({"code": "2"} if why == "recipe" else {})
    started(cell, {"a": "1"}, recipe, redo=why == "redo")
    assert not (cell.folder / "a.png").exists()


def test_failing_keeps_what_is_there(cell: Cell) -> None:
    started(cell, {"a": "1"})
    (cell.folder / "a.png").touch()
    cell.fail("no weights")
    manifest = cell.manifest()
    assert manifest is not None
    assert (manifest.status, manifest.reason) == ("failed", "no weights")
    started(cell, {"a": "1"})
    assert (cell.folder / "a.png").exists()


def test_failing_before_opening_leaves_a_manifest(cell: Cell) -> None:
    cell.fail("unknown variant")
    manifest = cell.manifest()
    assert manifest is not None
    assert manifest.reason == "unknown variant"


def test_the_manifest_says_what_made_the_cell(cell: Cell) -> None:
    started(cell, {"a": "1"})
    cell.close(notes=["SCD: undefined on 1 of 1 images"])
    stored = json.loads((cell.folder / MANIFEST).read_text())
    assert stored["status"] == "done"
    assert stored["recipe"] == RECIPE
    assert stored["notes"] == ["SCD: undefined on 1 of 1 images"]
    assert "numpy" in stored["environment"]["packages"]
    assert stored["seconds"] >= 0


@pytest.mark.parametrize("name", ["../../etc", "a/b", "", ".", "..", "A b", "ü", "CON" * 60, "<b>", r"\textbf"])
def test_a_label_never_leaves_its_folder(name: str, tmp_path: Path) -> None:
    folder = Cell(tmp_path, name, name, "fuse").folder
    assert folder.resolve().is_relative_to(tmp_path.resolve() / "cells")
    assert len(folder.relative_to(tmp_path).parts) == 4


def test_labels_that_look_alike_stay_apart() -> None:
    names = ["a b", "a/b", "a-b", "A?b", "a?b"]
    assert len({slug(name) for name in names}) == len(names)
    assert slug("RFN-Nest") == "RFN-Nest"
