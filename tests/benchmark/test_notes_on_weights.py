"""Notes on weights in the tables: trained on the table's data set, or not the authors' own."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from benchmark.engine.cells import Cell
from benchmark.engine.experiment import method
from benchmark.engine.run_record import Part
from benchmark.tables.metric_rows import notes
from metrics.files import digest
from tests.methods.stand_ins import write_files

PROGRAM = Path(__file__).parents[2] / "run_benchmark.py"


@pytest.mark.parametrize(
    ("text", "dataset", "official", "expected"),
    [
        ("seafusion", "msrs", True, ["its weights were trained on MSRS"]),
        ("auif", "roadscene", True, ["its weights were probably trained on RoadScene"]),
        ("tardal:ct", "m3fd", True, ["its weights were probably trained on M3FD"]),
        ("tardal", "m3fd", True, []),
        ("seafusion", "m3fd", True, []),
        ("seafusion", "msrs", False, ["weights are not the authors' own"]),
    ],
)
def test_a_row_says_what_its_weights_were_trained_on(
    tmp_path: Path, text: str, dataset: str, official: bool, expected: list[str]
) -> None:
    part = Part(dataset, "Streets", (), (), "test", "0")
    cell = Cell(tmp_path, part.title, "Row", "fuse")
    cell.open({"settings": {"official weights": official}}, {}, discard=lambda items, layers: None)
    cell.close()
    assert notes(part, "Row", method(text), tmp_path) == expected


def test_weights_from_a_path_are_hashed_and_marked(tmp_path: Path) -> None:
    weights = (write_files("ifcnn", tmp_path) / "IFCNN-MAX.pth").rename(tmp_path / "retrained.pth")
    command = [
        sys.executable,
        str(PROGRAM),
        "run",
        "demo",
        "--tables",
        "1",
        "--limit",
        "1",
        "--out",
        "out",
        "--methods",
    ]
    run = subprocess.run(
        [*command, "average", f"Retrained=ifcnn:{weights.name}"], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    (row,) = pd.read_csv(tmp_path / "out" / "table1.csv").query("method == 'Retrained'").to_dict("records")
    assert "weights are not the authors' own" in row["notes"]
    (manifest,) = (tmp_path / "out" / "cells").glob("*/Retrained/fuse/manifest.json")
    assert digest(weights) in manifest.read_text()
