"""Odd names of files, methods and data sets: on their way through manifests, CSV, LaTeX and the screen."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import metrics
from benchmark.datasets.base import Pair
from benchmark.engine.cells import Cell
from benchmark.engine.experiment import ScoreSettings
from benchmark.engine.stage import bring_up_to_date
from benchmark.engine.stages.score import Score, read_scores
from benchmark.tables import metric_table as tables
from metrics import images
from metrics.errors import InputError, plain
from metrics.workers import Workers
from tests.faults.runs import command, one_error, results

FILES = (
    "caf\u00e9",
    "a b",
    'it\'s "q"',
    "-rf",
    "%s%d",
    "$HOME",
    "<script>alert(1)<",
    "NA",
    "a,b;c",
    "=1+1",
    "\u6f22\u5b57 \U0001f600",
)
LABELS = (
    "<script>alert(1)</script>",
    r"\input{/etc/passwd}",
    "50 % & $x_1$ #2 ~ ^ {",
    "\"quoted\", 'so'",
    "caf\u00e9 \u6f22\u5b57 \U0001f600",
    "../../escape",
    "-rf",
    "NA",
    "[bold]markup[/bold]",
)


@pytest.fixture
def odd(scenes: Path, tmp_path: Path) -> Path:
    """A data root whose M3FD has test pairs of odd names."""
    root = shutil.copytree(scenes, tmp_path / "data")
    folder = root / "M3FD"
    first = (folder / "test.txt").read_text().split()[0]
    for name in FILES:
        for file in (f"Ir/{first}.png", f"Vis/{first}.png", f"Annotation/{first}.xml"):
            path = folder / file
            shutil.copy(path, path.with_name(f"{name}{path.suffix}"))
    (folder / "test.txt").write_text("".join(f"{name}\n" for name in FILES), encoding="utf-8")
    return root


def test_a_run_with_odd_names(odd: Path, tmp_path: Path, call: Callable) -> None:
    out = tmp_path / "out" / "deep"
    line = command(odd, out)
    line[line.index("m3fd")] = str(tmp_path / "odd.toml")
    del line[line.index("--methods") :]
    listed = ", ".join(f'{{name = "average", label = {json.dumps(label, ensure_ascii=False)}}}' for label in LABELS)
    (tmp_path / "odd.toml").write_text(
        f'title = "50 % & <b>"\nmethods = [{listed}]\n[[datasets]]\nname = "m3fd"\n', encoding="utf-8"
    )
    assert call(line) == (0, [])
    assert {path.name for path in tmp_path.rglob("*.png") if path.is_relative_to(tmp_path / "out")} == {
        f"{name}.png" for name in FILES
    }
    assert {path.name for path in tmp_path.iterdir()} == {"data", "odd.toml", "out"}
    assert [path.name for path in out.parent.iterdir()] == ["deep"]
    assert len(list((out / "cells").glob("*/*/*/manifest.json"))) == 2 * len(LABELS)
    with (out / "table1.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["origin"] == "measured"]
    assert [row["method"] for row in rows] == list(LABELS)
    assert len({tuple(row[name] for name in metrics.PAPER) for row in rows}) == 1
    for label in LABELS:
        manifest = Cell(out, "M3FD", label, "score").manifest()
        assert manifest is not None
        assert (manifest.method, set(manifest.items)) == (label, set(FILES))
    before = results(out)
    assert call(line) == (0, [])
    assert results(out) == before


def test_latex_of_odd_labels(caplog: pytest.LogCaptureFixture) -> None:
    scores = pd.DataFrame(0.5, index=pd.Index(FILES, name="image"), columns=list(metrics.PAPER))
    block = tables.DatasetScores(
        "M3FD & <b> 100 %", len(FILES), "f" * 64, rows=[tables.MethodScores(label, scores) for label in LABELS]
    )
    latex = tables.to_latex(tables.table([block], ScoreSettings()), "T_1 & 50 %")
    for forbidden in (r"\input", "/etc/passwd}", "<script>"):
        assert forbidden not in latex
    assert not caplog.records, "a log record is a line on somebody's screen"
    body = latex.partition(r"\midrule")[2].partition(r"\bottomrule")[0]
    lines = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert len(lines) >= len(LABELS)
    for line in lines:  # a bare & would be a column more, a bare % would swallow the line's end
        assert len(re.findall(r"(?<!\\)&", line)) == 1 + len(metrics.PAPER), line
        assert not re.search(r"(?<!\\)%", line), line


@pytest.mark.parametrize("label", ["two\nlines", "\x1b[31mred", "tab\t", "nul\0", "\u202egpj"])
def test_labels_that_no_line_can_hold_are_refused(label: str, scenes: Path, tmp_path: Path, call: Callable) -> None:
    status, complaints = call(command(scenes, tmp_path / "out", methods=(f"{label}=average",)))
    assert status == 2
    assert "expected printable characters" in one_error(complaints)
    assert not (tmp_path / "out" / "cells").exists()


def test_two_unicode_forms_of_one_label_are_one_label(scenes: Path, tmp_path: Path, call: Callable) -> None:
    twice = ("caf\u00e9=average", "cafe\u0301=maximum")
    status, complaints = call(command(scenes, tmp_path / "out", methods=twice))
    assert status == 2
    assert "two methods are called" in one_error(complaints)


def test_an_error_is_one_line_that_a_terminal_only_prints() -> None:
    error = InputError("a\nb\r\x1b[2J\udcff\u202e \u00e9 \u6f22")
    assert str(error) == r"a\nb\r\x1b[2J\udcff\u202e " + "\u00e9 \u6f22"
    assert plain(str(error)) == str(error)


def test_scores_of_odd_names_come_back(tmp_path: Path) -> None:
    fused = tmp_path / "fused"
    fused.mkdir()
    cell, pairs = Cell(tmp_path, "M3FD", "x", "score"), []
    noise = np.random.default_rng(0).integers(0, 256, (48, 56), dtype=np.uint8)
    for name in FILES:
        images.write(fused / f"{name}.png", noise)
        pairs.append(Pair(name, fused / f"{name}.png", fused / f"{name}.png"))
    bring_up_to_date(Score(pairs, fused, ScoreSettings(), workers=Workers(1)), cell)
    assert read_scores(cell, pairs).index.tolist() == sorted(FILES)
