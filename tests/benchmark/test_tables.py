"""Table 1: what is compared with what, which marks, and LaTeX that a TeX engine takes."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pylatexenc.latexwalker import LatexWalker

import metrics
from benchmark import tables
from benchmark.experiment import ScoreSettings
from benchmark.tables import Block, Row

IDS = list(metrics.IDS)


def scores(*values: float) -> pd.DataFrame:
    """Per-image rows whose eight metrics are all equal."""
    return pd.DataFrame([[value] * len(IDS) for value in values], columns=IDS)


def table(*rows: Row, dataset: str = "Synthetic", convention: str = "tang2022") -> pd.DataFrame:
    block = Block(dataset, 2, "0123456789abcdef", rows=list(rows))
    return tables.table1([block], ScoreSettings(convention=convention))


def test_means_over_images() -> None:
    found = table(Row("a", scores(1.0, 2.0)))
    assert found.loc[0, "EN"] == 1.5
    assert found.loc[0, ["origin", "images", "size"]].tolist() == ["measured", 2, "native"]


def test_an_undefined_image_is_left_out_of_the_mean_and_said() -> None:
    frame = scores(1.0, 3.0)
    frame.loc[0, "SCD"] = np.nan
    found = table(Row("a", frame, notes=["SCD: undefined on 1 of 2 images"]))
    assert found.loc[0, "SCD"] == 3.0
    assert found.loc[0, "notes"] == "SCD: undefined on 1 of 2 images"


def test_the_papers_rows_stand_beside_ours_with_the_difference() -> None:
    found = table(Row("DenseFuse", scores(7.0)), Row("mine", scores(1.0)), dataset="M3FD")
    paper = found[found["origin"] == "paper"].set_index("method")
    assert len(paper) == 10
    assert paper.loc["MoE-Fusion", "MI"] == 4.1949  # ICCV 2023, Table 1, M3FD
    difference = found[found["origin"] == "difference"].set_index("method")
    assert difference.index.tolist() == ["DenseFuse"]
    assert difference.loc["DenseFuse", "EN"] == pytest.approx(7.0 - 6.4134)


def test_other_conventions_do_not_compare_with_the_paper() -> None:
    found = table(Row("DenseFuse", scores(7.0)), dataset="M3FD", convention="cddfuse")
    assert set(found["origin"]) == {"measured"}


def test_marks_skip_sources_share_ties_and_stop_at_three() -> None:
    found = table(
        Row("infrared", scores(9.0), ranked=False),
        Row("a", scores(5.0)),
        Row("b", scores(5.0)),
        Row("c", scores(4.0)),
        Row("d", scores(3.0)),
        Row("e", None, status="no weights"),
    )
    assert tables.marks(found)["EN"].tolist() == [0, 1, 1, 3, 0, 0]


AWKWARD = r"50%_of $R&D #1 {~^\} é <b>"


@pytest.fixture
def latex() -> str:
    found = table(
        Row("infrared", scores(9.0), ranked=False),
        Row(AWKWARD, scores(5.0)),
        Row("DenseFuse", scores(4.5)),
        Row("broken", None, status="no weights"),
        Row("Retrained", scores(4.0), notes=[tables.OTHER_WEIGHTS]),
        dataset="M3FD",
    )
    other = table(Row("DenseFuse", scores(0.1)), dataset="Two_folders & more")
    return tables.to_latex(pd.concat([found, other], ignore_index=True), f"Title with {AWKWARD}")


def test_latex_has_the_papers_marks(latex: str) -> None:
    assert r"\bfseries \color{red} 5.0000" in latex
    assert r"\bfseries \color{blue} 4.5000" in latex
    assert r"\textit{MoE-Fusion (paper)}" in latex
    assert r"\textit{DenseFuse (difference)}" in latex
    assert "Retrained $^*$" in latex
    assert "* weights are not the authors' own" in latex
    assert "-1.9134" in latex  # 4.5 - 6.4134
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert rule in latex


def test_latex_parses(latex: str) -> None:
    nodes, _, _ = LatexWalker(latex, tolerant_parsing=False).get_latex_nodes()
    assert any(getattr(node, "environmentname", None) == "table" for node in nodes)
    rows = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert {line.count(" & ") for line in rows} == {len(IDS) + 1}


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
    tables.write(tmp_path, table(Row("a", scores(1.0))), "Title")
    assert pd.read_csv(tmp_path / "table1.csv").loc[0, "method"] == "a"
    assert "\\begin{table}" in (tmp_path / "table1.tex").read_text()
