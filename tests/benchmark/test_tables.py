"""Tables 1 and 2: what is compared with what, which marks, and LaTeX that a TeX engine takes."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pylatexenc.latexwalker import LatexWalker

import metrics
from benchmark.engine.experiment import ScoreSettings
from benchmark.tables import metric_table as tables
from benchmark.tables import origins
from benchmark.tables.metric_table import DatasetScores, MethodScores
from benchmark.tables.ranking import marks, part_slug, split_columns

IDS = list(metrics.PAPER)


def scores(*values: float) -> pd.DataFrame:
    """Per-image rows whose eight metrics are all equal."""
    return pd.DataFrame([[value] * len(IDS) for value in values], columns=IDS)


def table(*rows: MethodScores, dataset: str = "Synthetic", convention: str = "tang2022") -> pd.DataFrame:
    block = DatasetScores(dataset, 2, "0123456789abcdef", rows=list(rows))
    return tables.table([block], ScoreSettings(convention=convention))


def test_means_over_images() -> None:
    found = table(MethodScores("a", scores(1.0, 2.0)))
    assert found.loc[0, "EN"] == 1.5
    assert found.loc[0, ["origin", "images", "size"]].tolist() == ["measured", 2, "native"]


def test_an_undefined_image_is_left_out_of_the_mean_and_said() -> None:
    frame = scores(1.0, 3.0)
    frame.loc[0, "SCD"] = np.nan
    found = table(MethodScores("a", frame, notes=["SCD: undefined on 1 of 2 images"]))
    assert found.loc[0, "SCD"] == 3.0
    assert found.loc[0, "notes"] == "SCD: undefined on 1 of 2 images"


def test_the_papers_rows_stand_beside_ours_with_the_difference() -> None:
    found = table(MethodScores("DenseFuse", scores(7.0)), MethodScores("mine", scores(1.0)), dataset="M3FD")
    paper = found[found["origin"] == "paper"].set_index("method")
    assert len(paper) == 10
    assert paper.loc["MoE-Fusion", "MI"] == 4.1949  # ICCV 2023, Table 1, M3FD
    difference = found[found["origin"] == "difference"].set_index("method")
    assert difference.index.tolist() == ["DenseFuse"]
    assert difference.loc["DenseFuse", "EN"] == pytest.approx(7.0 - 6.4134)


def test_table_2_stands_beside_the_papers_ablations() -> None:
    block = DatasetScores("LLVIP", 2, "", rows=[MethodScores("w/o MoLE", scores(7.0))])
    found = tables.table([block], ScoreSettings(), number=2)
    paper = found[found["origin"] == "paper"].set_index("method")
    assert paper.index.tolist() == ["w/o MoLE", "w/o MoGE", "Att-Local", "MoE-Fusion"]
    assert paper.loc["w/o MoLE", "SCD"] == 1.1739  # ICCV 2023, Table 2, LLVIP
    difference = found[found["origin"] == "difference"].set_index("method")
    assert difference.loc["w/o MoLE", "SCD"] == pytest.approx(7.0 - 1.1739)


def test_other_conventions_do_not_compare_with_the_paper() -> None:
    found = table(MethodScores("DenseFuse", scores(7.0)), dataset="M3FD", convention="cddfuse")
    assert set(found["origin"]) == {"measured"}


def test_marks_skip_sources_share_ties_and_stop_at_three() -> None:
    found = table(
        MethodScores("infrared", scores(9.0), ranked=False),
        MethodScores("a", scores(5.0)),
        MethodScores("b", scores(5.0)),
        MethodScores("c", scores(4.0)),
        MethodScores("d", scores(3.0)),
        MethodScores("e", None, status="no weights"),
    )
    assert marks(found, IDS, 4)["EN"].tolist() == [0, 1, 1, 3, 0, 0]


def test_values_that_print_alike_share_their_mark() -> None:
    found = table(
        MethodScores("a", scores(0.50001)), MethodScores("b", scores(0.50004)), MethodScores("c", scores(0.4999))
    )
    assert marks(found, IDS, 4)["SF"].tolist() == [1, 1, 3]


AWKWARD = r"50%_of $R&D #1 {~^\} é <b>"


@pytest.fixture
def latex() -> str:
    rows = [
        MethodScores("infrared", scores(9.0, 9.0), ranked=False),
        MethodScores(AWKWARD, scores(5.0, 5.0)),
        MethodScores("DenseFuse", scores(4.5, 4.5)),
        MethodScores("broken", None, status="no weights"),
        MethodScores("Retrained", scores(4.0, 4.0), notes=[origins.OTHER_WEIGHTS]),
        MethodScores("SHIP", scores(3.0, 3.0), notes=["its weights were probably trained on M3FD"]),
    ]
    blocks = [DatasetScores("M3FD", 2, "0123456789abcdef", rows=rows)]
    blocks.append(
        DatasetScores("Two_folders & more", 1, "0123456789abcdef", rows=[MethodScores("DenseFuse", scores(0.1))])
    )
    found = tables.table(blocks, ScoreSettings())
    return tables.to_latex(found, f"Title with {AWKWARD}", tables.significance(blocks))


def test_latex_has_the_papers_marks(latex: str) -> None:
    assert r"\bfseries \color{red} 5.0000\rlap{$^\dagger$} &" in latex
    assert r"\bfseries \color{blue} 4.5000" in latex
    assert r"\textit{MoE-Fusion (paper)}" in latex
    assert r"\textit{DenseFuse (difference)}" in latex
    assert "Retrained $^*$" in latex
    assert "* weights are not the authors' own" in latex
    assert r"SHIP $^\ddagger$" in latex
    assert r"{\textdaggerdbl} SHIP: its weights were probably trained on M3FD." in latex
    assert latex.count(r"$^\ddagger$") == 1
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


def block(*shifts: float, images: int = 30) -> DatasetScores:
    """Methods a, b, ... that are ahead of each other by shifts, in units of the spread over images."""
    noise = np.random.default_rng(0).normal(size=(images, len(shifts), len(IDS))) + np.array(shifts)[None, :, None]
    rows = [MethodScores(chr(97 + m), pd.DataFrame(noise[:, m], columns=IDS)) for m in range(len(shifts))]
    return DatasetScores("Synthetic", images, "0123456789abcdef", rows=rows)


def cells(latex: str, method: str) -> list[str]:
    (line,) = [line for line in latex.splitlines() if f"& {method} &" in line]
    return line.split(" & ")[2:]


def test_a_dagger_marks_what_is_not_worse_than_the_best() -> None:
    blocks = [block(0.0, 3.0, 3.05)]
    found = tables.to_latex(tables.table(blocks, ScoreSettings()), "Title", tables.significance(blocks))
    assert not any("dagger" in cell for cell in cells(found, "a"))
    assert all("dagger" in cell for cell in cells(found, "b"))
    assert all("dagger" in cell for cell in cells(found, "c"))
    assert "Nemenyi" in found
    assert "none of them is best" in found


def test_without_a_test_there_is_no_dagger_and_the_caption_says_so() -> None:
    blocks = [block(0.0)]
    found = tables.to_latex(tables.table(blocks, ScoreSettings()), "Title", tables.significance(blocks))
    assert "dagger" not in found
    assert "not tested" in found
    assert "not tested" in tables.to_latex(tables.table([block(0.0, 1.0)], ScoreSettings()), "Title")


def test_a_highest_mean_is_not_called_best() -> None:
    blocks = [block(0.0, 0.1, 0.2)]
    found = tables.to_latex(tables.table(blocks, ScoreSettings()), "Title", tables.significance(blocks))
    caption = next(line for line in found.splitlines() if line.startswith(r"\caption"))
    assert "Leading, second and third mean" in caption
    assert "Best, second" not in caption


def test_significance_leaves_out_failed_rows_and_does_not_rank_sources() -> None:
    one = block(0.0, 1.0, 2.0, 9.0)
    one.rows[3].ranked = False
    one.rows.append(MethodScores("broken", None, status="no weights"))
    found = tables.significance([one, DatasetScores("Other", 1, "", rows=[MethodScores("broken", None)])])
    assert set(found["method"]) == set("abcd")
    assert set(found["dataset"]) == {"Synthetic"}
    assert found[found["rank"].notna()]["method"].unique().tolist() == ["a", "b", "c"]
    assert tables.significance([]).empty


@pytest.mark.parametrize("number", [1, 2])
def test_writing_gives_all_files(number: tables.Number, tmp_path: Path) -> None:
    blocks = [block(0.0, 1.0)]
    found = tables.table(blocks, ScoreSettings(), number)
    tables.write(tmp_path, found, "Title", tables.significance(blocks), number=number)
    assert pd.read_csv(tmp_path / f"table{number}.csv").loc[0, "method"] == "a"
    latex = (tmp_path / f"table{number}.tex").read_text()
    assert rf"\label{{tab:table{number}}}" in latex
    written = pd.read_csv(tmp_path / f"table{number}_statistics.csv")
    assert len(written) == 2 * (len(IDS) + 1)
    assert written["wilcoxon_p"].notna().all()


@pytest.fixture
def everything() -> tuple[list[DatasetScores], ScoreSettings]:
    """Three methods by all metrics; the first has the lowest value of each."""
    score = ScoreSettings(metrics="all")
    noise = np.random.default_rng(0).normal(size=(30, 3, len(score.ids))) + np.array([0.0, 3.0, 6.0])[None, :, None]
    rows = [MethodScores(name, pd.DataFrame(noise[:, m], columns=list(score.ids))) for m, name in enumerate("abc")]
    return [DatasetScores("M3FD", 30, "0123456789abcdef", rows=rows)], score


def test_any_selection_is_tabulated_in_its_directions(everything: tuple[list[DatasetScores], ScoreSettings]) -> None:
    blocks, score = everything
    found = tables.table(blocks, score)
    assert tables.metric_ids(found) == list(score.ids)
    assert {"MSE", "N_abf"} <= set(score.ids)
    places = marks(found[found["origin"] == "measured"], score.ids, 4)
    significance = tables.significance(blocks).set_index(["method", "metric"])
    for name in score.ids:
        higher = metrics.METRICS[name].higher_is_better
        assert places[name].tolist() == ([3, 2, 1] if higher else [1, 2, 3])
        assert significance.loc[("c", name), "not_worse"] == higher
    assert found.loc[found["origin"] == "paper", [name for name in score.ids if name not in IDS]].isna().all(axis=None)


def test_more_metrics_than_a_page_holds_become_a_table_a_group(
    everything: tuple[list[DatasetScores], ScoreSettings],
) -> None:
    blocks, score = everything
    found = tables.to_latex(tables.table(blocks, score), "Title", tables.significance(blocks))
    nodes, _, _ = LatexWalker(found, tolerant_parsing=False).get_latex_nodes()
    parts = split_columns(score.ids)
    assert sum(getattr(node, "environmentname", None) == "table" for node in nodes) == len(parts) > 1
    for part, columns in parts.items():
        label = rf"\label{{tab:table1-{part_slug(part)}}}"
        assert label in found
        text = next(text for text in found.split(r"\end{table}") if label in text)
        assert ("MoE-Fusion (paper)" in text) == bool(set(columns) & set(IDS))
        for name in columns:
            arrow = "uparrow" if metrics.METRICS[name].higher_is_better else "downarrow"
            assert rf"{name.replace('_', chr(92) + '_')} $\{arrow}$" in text
    assert found.count("Metric convention") == 1
    assert r"all else as in Table~\ref{tab:table1-information}" in found


def test_one_metric_alone(tmp_path: Path) -> None:
    score = ScoreSettings(metrics="MSE")
    block = DatasetScores("M3FD", 2, "", rows=[MethodScores("DenseFuse", scores(1.0, 2.0).assign(MSE=0.5))])
    found = tables.table([block], score)
    assert found["origin"].tolist() == ["measured"]  # the paper has no MSE
    tables.write(tmp_path, found, "Title", tables.significance([block]))
    assert r"MSE $\downarrow$" in (tmp_path / "table1.tex").read_text()
