"""Files that the benchmark reads back or takes from a person: experiments, manifests, scores."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import metrics
from benchmark.datasets.base import Pair
from benchmark.engine import experiment
from benchmark.engine.cells import MANIFEST, Cell
from benchmark.engine.stages.score import SCORES, read_scores
from metrics.errors import InputError
from tests.faults.cases import answer, damaged, fuzz
from tests.plain_stage import holds

TOML = b"""title = "T\xc3\xa9st"
methods = ["average", "densefuse:tf-l1", {name = "folder", weights = "x", label = "Theirs"}]
[[datasets]]
name = "m3fd"
options = {test_list = "mine.txt"}
[score]
convention = "tang2022"
size = "640x480"
[train]
preset = "paper"
[train.fusion]
experts = 4
"""
VALUES = ('"x"', "3", "-1", "1e999", "nan", "true", "[]", "{}", "[[1]]", "1979-05-27", '""', '"../x"', "'''\nx'''")
KEYS = ("title", "methods", "datasets", "score", "score.size", "train.preset", "train.fusion.experts", "name", "odd")


@fuzz()
@given(content=damaged(TOML, head=len(TOML)))
def test_damaged_experiments(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    read_experiment(content, tmp_path_factory.getbasetemp())


@fuzz(0.5)
@given(lines=st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES)), max_size=6))
def test_experiments_of_odd_values(lines: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> None:
    content = "".join(f"{key} = {value}\n" for key, value in lines).encode()
    read_experiment(content, tmp_path_factory.getbasetemp())
    read_experiment(content + TOML, tmp_path_factory.getbasetemp())


def read_experiment(content: bytes, folder: Path) -> None:
    path = folder / "mine.toml"
    path.write_bytes(content)
    found = answer(lambda: experiment.read(str(path)))
    if found is not None:
        answer(lambda: found.score.pixels)
        assert found.name == "mine"


@pytest.mark.parametrize(
    "content",
    [b"a = " + b"[" * 100_000, b"a = " + b"{a=" * 100_000, b"a." * 100_000 + b"b = 1", b"title = " + b"9" * 100_000],
)
def test_experiments_that_would_exhaust_a_parser(content: bytes, tmp_path: Path) -> None:
    read_experiment(content, tmp_path)


def test_experiments_are_utf_8_in_every_locale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda self, encoding=None, **rest: whole(self, encoding or "latin-1", **rest)
    )
    (tmp_path / "mine.toml").write_bytes(TOML)
    assert experiment.read(str(tmp_path / "mine.toml")).title == "T\u00e9st"


@pytest.mark.parametrize("size", ["9" * 5000 + "x4", "4x" + "9" * 5000, "100000x100000", "\u0666x4", "1e3x4"])
def test_sizes_that_cost_all_memory_or_are_none(size: str, tmp_path: Path) -> None:
    score = experiment.ScoreSettings(size=size)

    def scored() -> Any:
        return list(metrics.evaluate_triples([(tmp_path / "a.png",) * 3], size=score.pixels, workers=1))

    assert answer(scored) is None


ITEMS = {"00001": "f1", "caf\u00e9 'x' %s": "f2"}
RECIPE = {"method": "average", "settings": {"variant": None}, "code": "c"}


def finished(folder: Path) -> Cell:
    cell = Cell(folder, "M3FD", 'A "b" <i> \\ $x$', "score")
    cell.open(RECIPE, ITEMS, discard=lambda names, layers: None)
    cell.close(notes=["n\u00f6te, 'quoted'"])
    return cell


@fuzz()
@given(data=st.data())
def test_damaged_manifests(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A manifest is read as it was written, or it is none: a changed fingerprint is another one, never a crash."""
    shutil.rmtree(tmp_path_factory.getbasetemp() / "cells", ignore_errors=True)
    cell = finished(tmp_path_factory.getbasetemp())
    stored = cell.manifest()
    assert stored is not None
    timeless = {"seconds": 1.5, "started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-01T00:00:01+00:00"}
    whole = stored.model_copy(update=timeless).model_dump_json(indent=1).encode()  # the cases are the same in every run
    (cell.folder / MANIFEST).write_bytes(data.draw(damaged(whole, head=len(whole))))
    answer(cell.manifest)
    answer(lambda: holds(cell, RECIPE, ITEMS))
    started: list[str] = []
    cell.open(RECIPE, ITEMS, discard=started.extend)
    assert set(started) <= set(ITEMS), "only names of the run's own pairs may become paths"
    cell.close()
    assert holds(cell, RECIPE, ITEMS)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\xff",
        b"1e999",
        b'{"dataset": "' + b"x" * 10**6,
    ],
)
def test_manifests_that_are_none(content: bytes, tmp_path: Path) -> None:
    cell = finished(tmp_path)
    (cell.folder / MANIFEST).write_bytes(content)
    assert answer(cell.manifest) is None
    assert not holds(cell, RECIPE, ITEMS)


def test_a_manifest_s_names_are_never_paths(tmp_path: Path) -> None:
    victim = tmp_path / "victim.png"
    victim.touch()
    cell = finished(tmp_path / "out")
    stored = json.loads((cell.folder / MANIFEST).read_text())
    stored["items"] = {"../../../../../victim": "old", str(victim.with_suffix("")): "old"}
    (cell.folder / MANIFEST).write_text(json.dumps(stored))
    cell.open(RECIPE, ITEMS, discard=lambda names, layers: [(cell.folder / f"{name}.png").unlink() for name in names])
    assert victim.exists()


def test_a_manifest_comes_back_as_it_was(tmp_path: Path) -> None:
    cell = finished(tmp_path)
    found = cell.manifest()
    assert found is not None
    assert (found.items, found.recipe, found.method) == (ITEMS, RECIPE, cell.method)
    assert found.notes == ["n\u00f6te, 'quoted'"]


PAIRS = [Pair(name, Path("i"), Path("v")) for name in ("00001", "NA", 'caf\u00e9, "x"', "=1+1", "-rf", "%s $x$ <b>")]
ROWS = {pair.name: dict.fromkeys(metrics.PAPER, 1 / (3 + number)) for number, pair in enumerate(PAIRS)}


def scored(folder: Path) -> Cell:
    cell = Cell(folder, "M3FD", "Average", "score")
    cell.folder.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame([ROWS[name] for name in sorted(ROWS)], index=sorted(ROWS), columns=list(metrics.PAPER))
    (cell.folder / SCORES).write_bytes(frame.to_csv(index_label="image").encode())
    return cell


def test_scores_come_back_with_their_names(tmp_path: Path) -> None:
    found = read_scores(scored(tmp_path), PAIRS)
    assert found.to_dict("index") == ROWS


@fuzz()
@given(data=st.data())
def test_damaged_scores(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A row that is cut short must not come back as numbers that are undefined."""
    cell = scored(tmp_path_factory.getbasetemp())
    path = cell.folder / SCORES
    path.write_bytes(data.draw(damaged(path.read_bytes(), head=400)))
    found = answer(lambda: read_scores(cell, PAIRS))
    if found is not None:
        assert list(found.columns) == [name for name in metrics.PAPER if name in found]
        assert not set(found.columns) - set(metrics.PAPER)
        assert not found.isin([float("inf"), -float("inf")]).any(axis=None)


@pytest.mark.parametrize("spoil", ["cut", "short row", "no header", "word", "not text", "twice"])
def test_spoiled_scores_are_refused(spoil: str, tmp_path: Path) -> None:
    cell = scored(tmp_path)
    path = cell.folder / SCORES
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(
        {
            "cut": b"".join(lines)[:-30],
            "short row": b"".join([*lines[:-1], lines[-1].rpartition(b",")[0] + b"\n"]),
            "no header": b"".join(lines[1:]),
            "word": b"".join(lines).replace(b"0.25", b"many"),
            "not text": b"\xff\xfe" + b"".join(lines),
            "twice": b"".join([*lines, lines[-1]]),
        }[spoil]
    )
    with pytest.raises(InputError, match=r"scores\.csv"):
        read_scores(cell, PAIRS)
