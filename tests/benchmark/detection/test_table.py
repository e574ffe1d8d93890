"""Table 3: percent, absent classes, the paper's rows, marks, and LaTeX that a TeX engine takes."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pylatexenc.latexwalker import LatexWalker

from benchmark.detection.average_precision import SUMMARY, Precision
from benchmark.tables import detection_table as table
from benchmark.tables import origins
from benchmark.tables.detection_table import About, DatasetPrecision, MethodPrecision
from benchmark.tables.ranking import marks
from metrics.errors import InputError

FLIR = ("car", "person", "bicycle")
ABOUT = About("paper", "fasterrcnn_resnet50_fpn", "COCO", 12, 136, "luma")


def precision(*values: float | None, classes: tuple[str, ...] = FLIR) -> Precision:
    by_class = dict(zip(classes, values, strict=True))
    present = [value for value in values if value is not None]
    curves = {label: None if value is None else np.full(101, value) for label, value in by_class.items()}
    mean = sum(present) / len(present) if present else None
    return Precision(by_class, mean, dict.fromkeys(SUMMARY[:-1], 0.25) | {"AR_large": None}, curves)


def block(
    *rows: MethodPrecision, dataset: str = "Synthetic", classes: tuple[str, ...] = FLIR, about: About = ABOUT
) -> DatasetPrecision:
    return DatasetPrecision(dataset, 19, "0123456789abcdef", classes, about, "a split", list(rows))


def test_numbers_are_in_percent_with_their_interval_and_how_they_came_to_be() -> None:
    found = table.table3([block(MethodPrecision("a", precision(0.5, 0.25, 0.75), (0.4, 0.6)))])
    row = found.iloc[0]
    assert row[["car", "person", "bicycle", "mAP", "mAP_low", "mAP_high"]].tolist() == [50, 25, 75, 50, 40, 60]
    assert row[["AP", "AP50", "AR_small"]].tolist() == [25, 25, 25]
    assert np.isnan(row["AR_large"])
    assert row[list(About.__dataclass_fields__)].tolist() == [
        "paper",
        "fasterrcnn_resnet50_fpn",
        "COCO",
        12,
        136,
        "luma",
    ]
    assert row[["images", "split", "ranked", "status"]].tolist() == [19, "a split", True, "done"]


def test_an_absent_class_is_called_absent_and_is_no_zero() -> None:
    found = table.table3([block(MethodPrecision("a", precision(0.5, 0.0, None), notes=["a note"]))]).iloc[0]
    assert np.isnan(found["bicycle"])
    assert (found["person"], found["mAP"]) == (0, 25)
    assert found["notes"] == "a note; bicycle: absent from the test part"


def test_a_row_without_numbers_gives_its_reason() -> None:
    found = table.table3([block(MethodPrecision("a", None, status="no weights"))]).iloc[0]
    assert (found["status"], found[["car", "mAP", "mAP_low", "AP"]].isna().all()) == ("no weights", True)


def test_data_sets_share_a_table_with_all_their_classes() -> None:
    other = block(
        MethodPrecision("a", precision(0.1, 0.3, classes=("Bus", "car"))), dataset="M3FD", classes=("Bus", "car")
    )
    found = table.table3([block(MethodPrecision("a", precision(0.5, 0.5, 0.5))), other])
    assert found.columns[:7].tolist() == ["dataset", "method", "origin", "car", "person", "bicycle", "Bus"]
    assert found.loc[1, ["car", "Bus"]].tolist() == [30, 10]
    assert found.loc[1, ["person", "bicycle"]].isna().all()
    assert r"M3FD & a & \bfseries \color{red} 30.00 &  &  & \bfseries \color{red} 10.00" in table.to_latex(found, "T")


def test_the_papers_rows_stand_beside_ours_with_the_difference() -> None:
    rows = (MethodPrecision("DenseFuse", precision(0.7, 0.5, 0.25)), MethodPrecision("mine", precision(0.5, 0.5, 0.5)))
    found = table.table3([block(*rows, dataset="FLIR")])
    paper = found[found["origin"] == "paper"].set_index("method")
    assert len(paper) == 12
    assert paper.loc["MoE-Fusion", ["car", "person", "bicycle", "mAP"]].tolist() == [72.9, 55, 39.5, 55.8]  # Table 3
    difference = found[found["origin"] == "difference"].set_index("method")
    assert difference.index.tolist() == ["DenseFuse"]
    assert difference.loc["DenseFuse", "car"] == pytest.approx(70 - 65.8)  # Table 3: 65.80
    assert difference.loc["DenseFuse", "mAP"] == pytest.approx(145 / 3 - 47.3)  # Table 3: 47.30


def test_means_over_other_classes_have_no_difference() -> None:
    found = table.table3([block(MethodPrecision("DenseFuse", precision(0.7, 0.5, None)), dataset="FLIR")])
    difference = found[found["origin"] == "difference"].iloc[0]
    assert difference["person"] == pytest.approx(50 - 44.7)  # Table 3: 44.70
    assert difference[["bicycle", "mAP"]].isna().all()


@pytest.mark.parametrize(("dataset", "protocol"), [("M3FD", "paper"), ("FLIR", "retrain")])
def test_another_data_set_or_protocol_does_not_compare_with_the_paper(dataset: str, protocol: str) -> None:
    about = replace(ABOUT, protocol=protocol)
    found = table.table3([block(MethodPrecision("DenseFuse", precision(0.7, 0.5, 0.5)), dataset=dataset, about=about)])
    assert set(found["origin"]) == {"measured"}


@pytest.mark.parametrize("label", ["mAP", "AP50", "status", "method"])
def test_a_class_called_like_a_column_is_refused(label: str) -> None:
    with pytest.raises(InputError, match=f"class '{label}' bears the name of a column"):
        table.table3([block(MethodPrecision("a", precision(0.5, classes=(label,))), classes=(label,))])


def test_marks_skip_sources_share_ties_and_stop_at_three() -> None:
    values = [("Infrared", 0.9), ("a", 0.5), ("b", 0.500001), ("c", 0.4), ("d", 0.3)]
    rows = [MethodPrecision(name, precision(value, None, 0.1), ranked=name != "Infrared") for name, value in values]
    made = table.table3([block(*rows, MethodPrecision("e", None, status="no weights"))])
    assert table.compared_columns(made) == ["car", "person", "bicycle", "mAP"]
    found = marks(made, table.compared_columns(made), 2)
    assert found["car"].tolist() == [0, 1, 1, 3, 0, 0]
    assert found["person"].tolist() == [0] * 6
    assert found.columns.tolist() == ["car", "person", "bicycle", "mAP"]


AWKWARD = r"50%_of $R&D #1 {~^\} é <b>"


@pytest.fixture
def latex() -> str:
    flir = block(
        MethodPrecision("Infrared", precision(0.9, 0.8, None), ranked=False),
        MethodPrecision(AWKWARD, precision(0.6, 0.5, None), (0.41, 0.62)),
        MethodPrecision("DenseFuse", precision(0.5, 0.4, None)),
        MethodPrecision("broken", None, status="no weights"),
        MethodPrecision("Retrained", precision(0.4, 0.3, None), notes=[origins.OTHER_WEIGHTS]),
        MethodPrecision("AUIF", precision(0.3, 0.2, None), notes=["its weights were trained on FLIR"]),
        dataset="FLIR",
    )
    classes = ("A_class & more", "car")
    about = replace(ABOUT, weights=AWKWARD, protocol="retrain")
    other = block(
        MethodPrecision("DenseFuse", precision(0.1, 0.2, classes=classes)),
        dataset="Two_f & m",
        classes=classes,
        about=about,
    )
    return table.to_latex(table.table3([flir, other]), f"Title with {AWKWARD}")


def test_latex_has_the_papers_form(latex: str) -> None:
    assert r"\bfseries \color{red} 60.00" in latex
    assert r"\bfseries \color{blue} 50.00" in latex
    assert r"\bfseries \color{cyan} 40.00" in latex
    assert r"Infrared & 90.00 & 80.00 & -- &  & 85.00 &" in latex
    assert "41.00--62.00" in latex
    assert r"AUIF $^\ddagger$" in latex
    assert r"{\textdaggerdbl} AUIF: its weights were trained on FLIR." in latex
    assert r"\textit{MoE-Fusion (paper)}" in latex
    assert r"\textit{DenseFuse (difference)} & \color{gray} \itshape -15.80" in latex  # 50 - 65.80
    assert "Retrained $^*$" in latex
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert rule in latex


def test_the_caption_says_how_the_numbers_came_to_be(latex: str) -> None:
    caption = next(line for line in latex.splitlines() if line.startswith(r"\caption"))
    for said in (
        r"FLIR: protocol paper, fasterrcnn\_resnet50\_fpn, initial weights COCO, 12 epochs on 136 images, seeing luma",
        "19 test images, data 0123456789ab",
        r"Two\_f \& m: protocol retrain",
        "absent from the test part",
        "infrared and visible are not ranked",
        "the paper's own numbers",
        "weights are not the authors' own",
    ):
        assert said in caption


def test_latex_parses(latex: str) -> None:
    nodes, _, _ = LatexWalker(latex, tolerant_parsing=False).get_latex_nodes()
    assert any(getattr(node, "environmentname", None) == "table" for node in nodes)
    rows = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert {line.count(" & ") for line in rows} == {
        len(FLIR) + 4
    }  # set, method, three classes, another's, mAP, interval


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no TeX engine here; test_latex_parses stands in")
def test_latex_compiles(latex: str, tmp_path: Path) -> None:
    (tmp_path / "t.tex").write_text(
        "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs,multirow,xcolor}"
        "\\begin{document}\n" + latex + "\\end{document}\n"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]


def test_writing_gives_both_files(tmp_path: Path) -> None:
    made = table.table3([block(MethodPrecision("a", precision(0.5, None, 0.25), (0.1, 0.9)), dataset="FLIR")])
    table.write(tmp_path, made, "Title")
    assert pd.read_csv(tmp_path / "table3.csv").loc[0, ["method", "car", "mAP_high"]].tolist() == ["a", 50, 90]
    assert (tmp_path / "table3.tex").read_text() == table.to_latex(made, "Title")
