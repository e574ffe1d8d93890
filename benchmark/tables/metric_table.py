"""Tables 1 and 2: means over images per data set and method, as CSV and as LaTeX in the paper's form."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pylatexenc.latexencode import unicode_to_latex

import metrics
from benchmark.engine.experiment import ScoreSettings
from benchmark.tables import latex
from benchmark.tables.latex import DIFFERENCE, MEASURED, OTHER_WEIGHTS, PUBLISHED, other_weights
from benchmark.tables.statistics import COLUMNS, summary
from metrics.errors import InputError
from metrics.images import write_bytes

PAPER = Path(__file__).parents[2] / "results" / "paper"
PAPER_CONVENTION = "tang2022"
logging.getLogger("pylatexenc").setLevel(logging.ERROR)  # characters without a command are kept: XeLaTeX has them
IDS = list(metrics.PAPER)
_DAGGER = r"\rlap{$^\dagger$}"  # without width, so that the digits stay below each other

Number = Literal[1, 2]  # of the paper's table: the comparison of methods, or the ablations of MoE-Fusion


@dataclass
class Row:
    """One method on one data set.

    Attributes:
        method: Its label.
        scores: Per-image metrics; None when the cell has none.
        status: "done", or the reason why there are no scores.
        ranked: Whether it competes; the two sources stand in the table but do not.
        notes: Which metrics are undefined on how many images; `OTHER_WEIGHTS` where it applies.
    """

    method: str
    scores: pd.DataFrame | None
    status: str = "done"
    ranked: bool = True
    notes: list[str] = field(default_factory=list)


@dataclass
class Block:
    """One data set of the table: its title, the number of images, their fingerprint and split, its rows."""

    dataset: str
    images: int
    fingerprint: str
    split: str = ""
    rows: list[Row] = field(default_factory=list)


def table(blocks: Sequence[Block], score: ScoreSettings, number: Number = 1) -> pd.DataFrame:
    """Return Table 1 or 2 in long form, one row a data set, method and origin.

    Columns: dataset, method, origin ("measured", "paper", "difference" = measured - paper), the eight metrics
    (means over images), ranked, images, convention, size, fingerprint, split, notes, status. The paper's rows appear
    with a data set that the paper has, and only under the paper's convention: other numbers do not compare.

    Raises:
        InputError: The file of published numbers is not where the checkout has it.
    """
    paper = (
        published(number) if score.convention == PAPER_CONVENTION else pd.DataFrame(columns=["dataset", "method", *IDS])
    )
    rows: list[dict[str, Any]] = []
    for block in blocks:
        theirs = paper[paper["dataset"] == block.dataset].set_index("method")[IDS]
        about = {"images": block.images, "convention": score.convention, "size": score.size}
        about |= {"fingerprint": block.fingerprint, "split": block.split}
        ours: dict[str, pd.Series[float]] = {}
        for row in block.rows:
            means = pd.Series(np.nan, IDS) if row.scores is None else row.scores[IDS].mean()
            ours[row.method] = means
            rows.append(
                {"dataset": block.dataset, "method": row.method, "origin": MEASURED, **means}
                | {"ranked": row.ranked, **about, "notes": "; ".join(row.notes), "status": row.status}
            )
        for name, values in theirs.iterrows():
            rows.append({"dataset": block.dataset, "method": name, "origin": PUBLISHED, **values})
        for name, means in ours.items():
            if name in theirs.index:
                difference = means - theirs.loc[name]
                rows.append({"dataset": block.dataset, "method": name, "origin": DIFFERENCE, **difference, **about})
    columns = ["dataset", "method", "origin", *IDS, "ranked", "images", "convention", "size"]
    return pd.DataFrame(rows, columns=[*columns, "fingerprint", "split", "notes", "status"]).astype({"images": "Int64"})


def significance(blocks: Sequence[Block]) -> pd.DataFrame:
    """Return what the means of a table are worth, as `statistics.summary` has it, for all data sets."""
    found = [
        summary(
            block.dataset,
            {row.method: row.scores for row in block.rows if row.scores is not None},
            {row.method for row in block.rows if row.ranked},
        )
        for block in blocks
    ]
    return pd.concat([frame for frame in found if len(frame)] or [pd.DataFrame(columns=COLUMNS)], ignore_index=True)


def published(number: int = 1) -> pd.DataFrame:
    """Return a table of the paper: dataset, method and its columns of numbers.

    Args:
        number: 1, 2 or 3.

    Reference: Cao et al., "Multi-modal Gated Mixture of Local-to-Global Experts for Dynamic Image Fusion",
        ICCV 2023, Tables 1-3.
    """
    path = PAPER / f"table{number}.csv"
    if not path.is_file():
        raise InputError(f"{path} is not there; run from a checkout, which has the published numbers in results/paper")
    return pd.read_csv(path)


def marks(table: pd.DataFrame) -> pd.DataFrame:
    """Return 1, 2 or 3 where a measured value is the best, second or third of its data set's ranked methods, else 0."""
    return latex.marks(table, IDS, 4)


def to_latex(table: pd.DataFrame, title: str, statistics: pd.DataFrame | None = None, *, number: Number = 1) -> str:
    r"""Return Table 1 or 2 as a LaTeX table; it needs the packages booktabs, multirow and xcolor.

    The highest, second and third means are bold red, blue and cyan as in the paper. With statistics, a dagger marks
    what is not significantly worse than the best. The paper's own rows and the differences to them are grey, in
    italics and named so.

    Args:
        table: As `table` gives it.
        title: The caption begins with it.
        statistics: As `significance` gives it; None leaves the daggers out.
        number: Of the table, for its label.
    """
    shown = table.reset_index(drop=True)
    daggers = _not_worse(shown, statistics)
    body = pd.DataFrame({metric: _cells(shown, metric, daggers) for metric in IDS})
    body.columns = pd.Index([f"{unicode_to_latex(metric)} $\\uparrow$" for metric in IDS])
    caption = _caption(shown, title, compared=bool(daggers))
    return latex.to_latex(shown, body, marks(shown), caption=caption, number=number)


def write(
    folder: Path, table: pd.DataFrame, title: str, statistics: pd.DataFrame | None = None, *, number: Number = 1
) -> None:
    """Write table1.csv, table1.tex and, when there are statistics, table1_statistics.csv into a folder.

    Args:
        folder: Where to.
        table: As `table` gives it.
        title: The caption begins with it.
        statistics: As `significance` gives it.
        number: 2 writes table2 in place of table1.
    """
    write_bytes(folder / f"table{number}.csv", table.to_csv(index=False).encode())
    write_bytes(folder / f"table{number}.tex", to_latex(table, title, statistics, number=number).encode())
    if statistics is not None:
        write_bytes(folder / f"table{number}_statistics.csv", statistics.to_csv(index=False).encode())


def _not_worse(table: pd.DataFrame, statistics: pd.DataFrame | None) -> set[tuple[str, str, str]]:
    """Return (data set, method, metric) of every measured cell that a test found not to be worse than the best."""
    if statistics is None:
        return set()
    tested = statistics[statistics["friedman_p"].notna() | statistics["wilcoxon_p"].notna()]
    found = tested.loc[tested["not_worse"], ["dataset", "method", "metric"]]
    return set(found.itertuples(index=False, name=None))


def _cells(table: pd.DataFrame, metric: str, daggers: set[tuple[str, str, str]]) -> list[str]:
    cells = []
    for row in table.to_dict("records"):
        value, origin = row[metric], row["origin"]
        cell = "--" if pd.isna(value) else format(value, "+.4f" if origin == DIFFERENCE else ".4f")
        marked = origin == MEASURED and (row["dataset"], row["method"], metric) in daggers
        cells.append(cell + _DAGGER if marked else cell)
    return cells


def markdown_table(rows: Sequence[Sequence[object]]) -> str:
    """Return rows of cells as a Markdown table, the first row its head, the first column to the left."""
    lines = ["| " + " | ".join(in_markdown(cell) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "| --- |" + " --: |" * (len(rows[0]) - 1), *lines[1:]])


def in_markdown(text: object) -> str:
    """Return a text for Markdown, in a table or not: its own marks and tags show as they are."""
    return re.sub(r"([\\`*_|\[\]~])", r"\\\1", str(text).replace("&", "&amp;").replace("<", "&lt;"))


def _caption(table: pd.DataFrame, title: str, *, compared: bool) -> str:
    measured = table[table["origin"] == MEASURED].drop_duplicates("dataset")
    parts = [f"{title}. Metric convention {measured['convention'].iloc[0]}, size {measured['size'].iloc[0]}."]
    for row in measured.to_dict("records"):
        parts.append(f"{row['dataset']}: {row['images']} images, data {str(row['fingerprint'])[:12]}.")
    parts.append("Arrows: higher is better. Highest, second and third mean of a fusion method in bold red, blue and")
    parts.append("cyan; the sources infrared and visible are not ranked; -- is undefined or failed.")
    if compared:
        parts.append("† has the best average rank over images or is not significantly worse (Friedman's test with")
        parts.append("Nemenyi's, of two methods Wilcoxon's signed-rank test, α = 0.05 for each metric by itself);")
        parts.append("where several methods have it, none of them is best, whatever the means.")
    else:
        parts.append("A highest mean is not tested for being significantly higher.")
    if other_weights(table).any():
        parts.append(f"* {OTHER_WEIGHTS}.")
    if (table["origin"] == PUBLISHED).any():
        parts.append("Grey rows are the paper's own numbers, on its own unpublished test split, not ours.")
    return str(unicode_to_latex(" ".join(parts)))
