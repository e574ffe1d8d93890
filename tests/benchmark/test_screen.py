"""Tables on the screen: whole numbers in lines that the screen holds, whatever metrics there are."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import metrics
from benchmark.engine.experiment import ScoreSettings
from benchmark.tables import metric_table
from benchmark.tables.metric_table import DatasetScores, MethodScores
from benchmark.tables.screen import render_table

ROOT = Path(__file__).parents[2]


def printed(path: Path, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(render_table(path, width))
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("selection", ["paper", "all", "MSE"])
def test_every_number_is_whole(tmp_path: Path, selection: str, width: int) -> None:
    score = ScoreSettings(metrics=selection)
    values = np.random.default_rng(0).uniform(0, 1000, (2, len(score.ids)))
    rows = [MethodScores("DenseFuse", pd.DataFrame(values, columns=list(score.ids))), MethodScores("[b]", None, "no")]
    table = metric_table.table([DatasetScores("M3FD", 2, "f", rows=rows)], score)
    metric_table.write(tmp_path, table, "Title")
    text = printed(tmp_path / "table1.csv", width)
    for name, mean in zip(score.ids, values.mean(axis=0), strict=True):
        assert f"{name} {metrics.METRICS[name].arrow}" in text
        assert f"{mean:.4f}" in text
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert "[b]" in text
    assert "paper" not in text  # only what was measured


def test_marks_of_weights_are_explained(tmp_path: Path) -> None:
    frame = pd.DataFrame(np.ones((2, len(metrics.PAPER))), columns=list(metrics.PAPER))
    leaks, other = "its weights were trained on [M3FD]", "weights are not the authors' own"
    rows = [MethodScores("SeAFusion", frame, notes=[leaks]), MethodScores("Mine", frame, notes=[other])]
    rows.append(MethodScores("Average", frame))
    table = metric_table.table([DatasetScores("[M3FD]", 2, "f", rows=rows)], ScoreSettings())
    metric_table.write(tmp_path, table, "Title")
    text = printed(tmp_path / "table1.csv", 80)
    assert "SeAFusion ‡ " in text  # on one line with its numbers
    assert "Mine * " in text
    assert text.count("‡") == text.count("*") == 2
    assert f"* {other}." in text
    assert f"‡ SeAFusion: {leaks}." in text


@pytest.mark.parametrize("name", ["table1", "table2", "table3", "sweep_alpha"])
def test_the_committed_tables_are_shown(name: str) -> None:
    path = ROOT / f"results/reference/demo/{name}.csv"
    frame = pd.read_csv(path)
    text = printed(path, 100)
    for label in frame["setting" if "setting" in frame else "method"]:
        assert f" {label} " in text
