"""Against the paper: what compares, by how much; and who is highest in the paper's own tables."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import metrics
from benchmark.engine.experiment import ScoreSettings
from benchmark.tables import metric_table as tables
from benchmark.tables import paper, published
from benchmark.tables.metric_table import DatasetScores, MethodScores
from benchmark.tables.published import read_published
from metrics.errors import InputError

IDS = list(metrics.PAPER)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder with Tables 1 and 2, every measured value 7."""
    sevens = pd.DataFrame(7.0, index=["0", "1"], columns=IDS)
    partly = sevens.assign(SCD=np.nan)
    one = [
        DatasetScores(
            "M3FD",
            2,
            "",
            rows=[
                MethodScores("DenseFuse", sevens),
                MethodScores("mine|_<b>", sevens),
                MethodScores("IFCNN", None, "no weights"),
            ],
        ),
        DatasetScores("MSRS", 2, "", rows=[MethodScores("DenseFuse", sevens)]),
    ]
    two = [DatasetScores("FLIR", 2, "", rows=[MethodScores("w/o MoLE", partly)])]
    score = ScoreSettings(size="640x480")
    tables.write(tmp_path, tables.table(one, score), "One")
    tables.write(tmp_path, tables.table(two, score, 2), "Two", number=2)
    return tmp_path


def test_every_cell_that_both_have(folder: Path) -> None:
    found = paper.against(folder)
    assert found[["table", "dataset", "method"]].drop_duplicates().to_numpy().tolist() == [
        [1, "M3FD", "DenseFuse"],
        [2, "FLIR", "w/o MoLE"],
    ]
    assert len(found) == 8 + 7  # SCD is undefined in ours of Table 2
    cell = found.set_index(["table", "metric"]).loc[(1, "EN")]
    assert cell["paper"] == 6.4134  # ICCV 2023, Table 1, M3FD, DenseFuse
    assert cell["difference"] == pytest.approx(7 - 6.4134)
    assert cell["relative_difference"] == pytest.approx(7 / 6.4134 - 1)
    assert cell[["images", "size"]].tolist() == [2, "640x480"]


def test_table_3_compares_where_its_differences_do(tmp_path: Path) -> None:
    # ICCV 2023, Table 3, IFCNN; the mean here is over other classes, so that its difference is empty.
    columns = ["dataset", "method", "origin", "car", "bicycle", "mAP", "images", "status"]
    rows = [
        ["FLIR", "IFCNN", "measured", 60.0, np.nan, 60.0, 9, "done"],
        ["FLIR", "IFCNN", "paper", 67.8, 34.7, 49.4, np.nan, ""],
        ["FLIR", "IFCNN", "difference", -7.8, np.nan, np.nan, 9, ""],
    ]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "table3.csv", index=False)
    found = paper.against(tmp_path)
    assert found[["metric", "ours", "paper"]].to_numpy().tolist() == [["car", 60.0, 67.8]]
    assert "60.00 / 67.80 (-11.5%)" in paper.to_markdown(found)


def test_the_page_and_the_csv(folder: Path) -> None:
    csv, page = paper.write(folder)
    assert len(pd.read_csv(csv)) == 15
    text = page.read_text()
    assert "never published" in text
    assert "2 images, scored at 640x480" in text
    assert "7.0000 / 6.4134 (+9.1%)" in text
    rows = [line for line in text.splitlines() if line.startswith("| ") and "w/o" in line]
    assert len(rows) == 1


def test_nothing_in_common_is_said(tmp_path: Path) -> None:
    block = DatasetScores("MSRS", 1, "", rows=[MethodScores("mine", pd.DataFrame(7.0, index=["0"], columns=IDS))])
    tables.write(tmp_path, tables.table([block], ScoreSettings()), "Title")
    assert "no cell in common" in paper.write(tmp_path)[1].read_text()


def test_folders_that_are_no_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected the folder of a finished run"):
        paper.against(tmp_path)
    (tmp_path / "table1.csv").write_text("method,EN\na,1\n")
    with pytest.raises(InputError, match="no column dataset, origin, images, status"):
        paper.against(tmp_path)
    (tmp_path / "table1.csv").write_text("")
    with pytest.raises(InputError, match="cannot be read"):
        paper.against(tmp_path)


def test_claims_by_the_printed_numbers() -> None:
    found = paper.claims().set_index(["table", "dataset", "metric"]).sort_index()
    assert found.groupby("table").size().tolist() == [24, 24, 4]
    # Read off ICCV 2023, Table 1.
    cell = found.loc[(1, "M3FD", "SCD")]
    assert cell[["best", "second", "third"]].tolist() == ["DIDFuse", "IFCNN", "MoE-Fusion"]
    assert cell[["best_value", "second_value", "third_value"]].tolist() == [1.5875, 1.5448, 1.5433]
    assert cell[["place", "shared", "lead"]].tolist() == [3, 0, -0.0442]
    assert found.loc[(1, "FLIR", "AG"), "best"] == "IFCNN"
    assert found.loc[(1, "LLVIP", "MI"), ["best", "place"]].tolist() == ["TarDAL", 3]
    assert found.loc[(3, "FLIR", "mAP"), ["second", "lead"]].tolist() == ["IFCNN", 6.4]
    ours = read_published(1).groupby("dataset")[IDS].rank(ascending=False)[read_published(1)["method"] == "MoE-Fusion"]
    assert (found.loc[1, "place"] == 1).sum() == (ours == 1).to_numpy().sum()


def test_a_tie_is_no_best_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2, 3):
        rows = [["M3FD", "a", 2.0, 1.0], ["M3FD", "MoE-Fusion", 2.0, 3.0], ["M3FD", "b", 1.0, 1.0]]
        frame = pd.DataFrame(rows, columns=["dataset", "method", "EN", "SF"])
        frame.to_csv(tmp_path / f"table{number}.csv", index=False)
    monkeypatch.setattr(published, "FOLDER", tmp_path)
    tied, alone = (row for _, row in paper.claims()[:2].iterrows())
    assert tied[["best", "second", "third"]].tolist() == ["a = MoE-Fusion", "", "b"]
    assert tied[["place", "shared", "lead"]].tolist() == [1, 1, 0.0]
    assert alone[["best", "second", "third", "shared"]].tolist() == ["MoE-Fusion", "a = b", "", 0]
    paper.write_claims(tmp_path / "claims.md")
    text = (tmp_path / "claims.md").read_text()
    assert "highest value in 2 of 2 cells, 1 of them shared" in text
    assert "1, shared with 1" in text


def test_the_committed_page_is_what_the_command_writes(tmp_path: Path) -> None:
    paper.write_claims(tmp_path / "claims.md")
    assert (tmp_path / "claims.md").read_text() == (ROOT / paper.CLAIMS).read_text()
    assert re.search(r"highest value in \d+ of 24 cells", (tmp_path / "claims.md").read_text())
