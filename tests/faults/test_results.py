"""Finished cells that were changed behind the run's back, and methods that do what no method should."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.engine.cells import MANIFEST, Cell
from benchmark.engine.stage import bring_up_to_date
from metrics.errors import InputError
from metrics.files import digest_all
from tests.faults.runs import command, one_error, results
from tests.plain_stage import PlainStage, holds


@pytest.mark.parametrize("manifest", [None, b"", b'{"dataset": "M3FD"'])
def test_a_model_without_its_manifest_is_not_thrown_away(manifest: bytes | None, tmp_path: Path) -> None:
    cell = Cell(tmp_path, "M3FD", "MoE-Fusion", "train")
    cell.folder.mkdir(parents=True)
    (cell.folder / "checkpoint.safetensors").write_bytes(b"hours of work")
    if manifest is not None:
        (cell.folder / MANIFEST).write_bytes(manifest)
    for _ in range(2):  # the second time a failure has been written into it
        with pytest.raises(InputError, match=r"manifest.json does not say how .* --redo to train it again"):
            cell.refuse_other({"epochs": 24})
        cell.fail("its manifest is damaged")
    assert (cell.folder / "checkpoint.safetensors").read_bytes() == b"hours of work"


def test_a_cell_whose_results_changed_is_not_done(tmp_path: Path) -> None:
    cell, recipe = Cell(tmp_path, "M3FD", "MoE-Fusion", "train"), {"epochs": 24}
    cell.open(recipe, {}, discard=lambda names, layers: None)
    model = cell.folder / "model.safetensors"
    model.write_bytes(b"weights")
    cell.close(files=[model])
    assert holds(cell, recipe, {})
    for change in (lambda: model.write_bytes(b"weighTs"), model.unlink):
        change()
        assert not holds(cell, recipe, {})
        with pytest.raises(InputError, match=r"model.safetensors is not what train wrote; run train again"):
            cell.require_unchanged()


def of_version_1(cell: Cell, recipe: dict[str, object], files: tuple[str, ...], items: tuple[str, ...] = ()) -> None:
    """Write a finished cell's manifest as the version before layers of metrics did."""
    hashes = {name: digest_all([cell.folder / name]) for name in files}
    environment = {"python": "3.11.7", "packages": {}, "machine": "Linux x86_64", "cores": 2, "commit": None}
    manifest = {"dataset": cell.dataset, "method": cell.method, "stage": cell.stage, "status": "done"}
    manifest |= {"recipe": recipe, "items": dict.fromkeys(items, "1"), "notes": [], "reason": None, "files": hashes}
    (cell.folder / MANIFEST).write_text(json.dumps(manifest | {"seconds": 1.0, "environment": environment}))


def test_a_model_of_the_version_before_is_kept_or_refused(tmp_path: Path) -> None:
    class Training(PlainStage):
        precious = True

    cell = Cell(tmp_path, "M3FD", "MoE-Fusion", "train")
    cell.folder.mkdir(parents=True)
    (cell.folder / "model.safetensors").write_bytes(b"hours of work")
    of_version_1(cell, {"epochs": 24}, ("model.safetensors",))
    assert not bring_up_to_date(Training({"epochs": 24}, {}), cell)
    with pytest.raises(InputError, match="was trained with epochs 24, but this run has 25"):
        bring_up_to_date(Training({"epochs": 25}, {}), cell)
    assert (cell.folder / "model.safetensors").read_bytes() == b"hours of work"


def test_scores_of_the_version_before_are_made_again(
    scenes: Path, undisturbed: dict[str, bytes], tmp_path: Path, call: Callable
) -> None:
    """Undefined values were empty there, and are not scored yet here."""
    out = tmp_path / "out"
    assert call(command(scenes, out)) == (0, [])
    cell = Cell(out, "M3FD", "Infrared", "score")
    scores = cell.folder / "scores.csv"
    scores.write_bytes(scores.read_bytes().replace(b",nan,", b",,"))
    names = tuple(path.stem for path in Cell(out, "M3FD", "Infrared", "fuse").folder.glob("*.png"))
    of_version_1(cell, {"convention": "tang2022", "size": "native", "code": "old"}, ("scores.csv",), names)
    status, complaints = call(command(scenes, out, "table"))
    assert status == 2
    assert "scored by another version of the code; run score again" in one_error(complaints)
    assert call(command(scenes, out)) == (0, [])
    assert results(out) == undisturbed


def test_a_changed_score_is_refused_and_made_again(
    scenes: Path, undisturbed: dict[str, bytes], tmp_path: Path, call: Callable
) -> None:
    out = tmp_path / "out"
    assert call(command(scenes, out)) == (0, [])
    scores = out / "cells/M3FD/Average/score/scores.csv"
    scores.write_bytes(scores.read_bytes().replace(b".1", b".2", 1))
    status, complaints = call(command(scenes, out, "table"))
    assert status == 2
    assert "scores.csv is not what score wrote; run score again" in one_error(complaints)
    assert call(command(scenes, out)) == (0, [])
    assert results(out) == undisturbed


def test_only_the_run_s_own_leftovers_are_removed(scenes: Path, tmp_path: Path, call: Callable) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / ".notes.tmp").write_text("mine")
    (out / ".run.json.k3_x9abc.tmp").write_text("half")
    assert call(command(scenes, out, methods=("average",))) == (0, [])
    assert [path.name for path in out.glob(".*.tmp")] == [".notes.tmp"]


def test_a_cell_that_is_a_link_is_not_followed(scenes: Path, tmp_path: Path, call: Callable) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.png").write_bytes(b"mine")
    cell = out / "cells/M3FD/Average/fuse"
    cell.parent.mkdir(parents=True)
    cell.symlink_to(elsewhere)
    status, complaints = call(command(scenes, out, methods=("average",)))
    assert status == 2
    assert f"{cell} is a link" in complaints[0]
    assert [path.name for path in elsewhere.iterdir()] == ["mine.png"]


OWN = """
import sys
from methods import Method

class Average(Method):
    def forward(self, infrared, visible):
        return (infrared.astype(float) + visible) / 2

class Tuples(Average):
    def settings(self):
        return {"size": (3, 4), 1: 2}

class Nothing(Average):
    def settings(self):
        return None

class Odd(Average):
    def settings(self):
        return {"size": float("nan")}

class Exit(Method):
    def forward(self, infrared, visible):
        sys.exit(0)

class ExitEarly(Average):
    def __init__(self, **options):
        sys.exit("bye")

class Complex(Method):
    def forward(self, infrared, visible):
        return infrared + 1j * visible

class Text(Method):
    def forward(self, infrared, visible):
        return infrared.astype(str)

class Shouting(Method):
    def forward(self, infrared, visible):
        raise ValueError("\\x1b[31mred\\n \\udcff")

class Titled(Average):
    title = 5
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return str(path)


def test_settings_come_back_from_the_manifest(own: str, scenes: Path, tmp_path: Path, call: Callable) -> None:
    line = command(scenes, tmp_path / "out", methods=(f"{own}:Tuples",))
    assert call(line) == (0, [])
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.png")}
    assert call(line) == (0, [])
    assert {path: path.stat().st_mtime_ns for path in made} == made


@pytest.mark.parametrize(
    ("name", "workers", "status", "said"),
    [
        ("Nothing", 1, 1, "settings of Nothing: expected a dictionary, got None"),
        ("Odd", 1, 1, "settings of Odd: expected what JSON can hold"),
        ("Exit", 1, 1, "SystemExit: 0"),
        ("Exit", 2, 1, "SystemExit: 0"),
        ("ExitEarly", 2, 1, "SystemExit: bye"),
        ("Complex", 2, 2, "Complex gave an array of complex128; expected real numbers"),
        ("Text", 1, 2, "Text gave an array of <U3; expected real numbers"),
        ("Shouting", 2, 1, r"ValueError: \x1b[31mred \udcff"),
    ],
)
def test_a_method_that_goes_wrong_stops_no_other(
    name: str, workers: int, status: int, said: str, own: str, scenes: Path, tmp_path: Path, call: Callable
) -> None:
    out = tmp_path / "out"
    ended, complaints = call(command(scenes, out, methods=(f"{own}:{name}", f"{own}:Average"), workers=workers))
    assert ended == status
    assert said in one_error(complaints)
    assert complaints[0].isprintable()
    table = (out / "table1.csv").read_text()
    assert "\nM3FD,Average,measured,6." in table
    assert f"\nM3FD,{name},measured,,,,,,,,," in table


@pytest.mark.parametrize(
    ("more", "methods", "said"),
    [
        (("--workers", "0"), ("average",), "--workers 0: expected at least 1"),
        (("--workers", "-1"), ("average",), "--workers -1: expected at least 1"),
        ((), ("OWN:Titled",), "has the title 5; expected a text"),
    ],
)
def test_options_that_cannot_be(
    more: tuple[str, ...], methods: tuple[str, ...], said: str, own: str, scenes: Path, tmp_path: Path, call: Callable
) -> None:
    line = command(scenes, tmp_path / "out", methods=tuple(each.replace("OWN", own) for each in methods))
    status, complaints = call([*line, *more])
    assert status == 2
    assert said in one_error(complaints)


@pytest.mark.parametrize("device", ["meta", "tpu9", "cuda:99"])
def test_devices_that_hold_no_numbers(device: str) -> None:
    from methods.network import usable_device

    with pytest.raises(InputError, match=rf"^device '{device}' cannot be used .*; try 'cpu'"):
        usable_device(device)
