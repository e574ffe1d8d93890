"""Tables 1 and 2: means over images of each data set and method, as CSV and as LaTeX in the paper's form."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pylatexenc.latexencode import unicode_to_latex

from benchmark.engine.experiment import ScoreSettings
from benchmark.tables import latex
from benchmark.tables.origins import (
    MEASURED,
    PUBLISHED,
    SEPARATOR,
    add_paper_rows,
    explain_marks,
)
from benchmark.tables.published import read_published
from benchmark.tables.ranking import higher_is_better, marks, part_slug, split_columns
from benchmark.tables.statistics import COLUMNS, summary
from metrics.files import write_bytes

PAPER_CONVENTION = "tang2022"
DIGITS = 4
logging.getLogger("pylatexenc").setLevel(logging.ERROR)  # characters without a command are kept: XeLaTeX has them
_DAGGER = r"\rlap{$^\dagger$}"  # without width, so that the digits stay below each other
_BEFORE, _AFTER = "origin", "ranked"  # the columns between which the metrics stand

Number = Literal[1, 2]  # of the paper's table: the comparison of methods, or the ablations of MoE-Fusion


@dataclass
class MethodScores:
    """One method on one data set.

    Attributes:
        method: Its label.
        scores: Per-image metrics; None when the cell has none.
        status: "done", or the reason why there are no scores.
        ranked: Whether it competes; the two sources stand in the table but do not.
        notes: Which metrics are undefined on how many images; and what `origins.explain_marks` explains.
    """

    method: str
    scores: pd.DataFrame | None
    status: str = "done"
    ranked: bool = True
    notes: list[str] = field(default_factory=list)


@dataclass
class DatasetScores:
    """One data set of the table: its title, the number of images, their fingerprint and split, its methods."""

    dataset: str
    images: int
    fingerprint: str
    split: str = ""
    rows: list[MethodScores] = field(default_factory=list)


def table(blocks: Sequence[DatasetScores], score: ScoreSettings, number: Number = 1) -> pd.DataFrame:
    """Return Table 1 or 2 in long form, one row a data set, method and origin.

    Columns: dataset, method, origin ("measured", "paper", "difference" = measured - paper), the metrics of the
    settings (means over images), ranked, images, convention, size, fingerprint, split, notes, status. The paper's
    rows appear with a data set and metrics that the paper has, and only under the paper's convention: other numbers
    do not compare.
    """
    ids = list(score.ids)
    paper = read_published(number)
    shared = [name for name in ids if name in paper] if score.convention == PAPER_CONVENTION else []
    rows: list[dict[str, Any]] = []
    for block in blocks:
        facts = {"images": block.images, "convention": score.convention, "size": score.size}
        facts |= {"fingerprint": block.fingerprint, "split": block.split}
        measured = [
            {"dataset": block.dataset, "method": row.method, **_means(row, ids), "ranked": row.ranked, **facts}
            | {"notes": SEPARATOR.join(row.notes), "status": row.status}
            for row in block.rows
        ]
        theirs = paper[(paper["dataset"] == block.dataset) & bool(shared)].set_index("method")[shared]
        rows += add_paper_rows(measured, theirs, facts)
    columns = ["dataset", "method", _BEFORE, *ids, _AFTER, "images", "convention", "size"]
    return pd.DataFrame(rows, columns=[*columns, "fingerprint", "split", "notes", "status"]).astype({"images": "Int64"})


def metric_ids(table: pd.DataFrame) -> list[str]:
    """Return the metrics of a table in long form."""
    columns = list(table.columns)
    return columns[columns.index(_BEFORE) + 1 : columns.index(_AFTER)]


def significance(blocks: Sequence[DatasetScores]) -> pd.DataFrame:
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


def not_worse(statistics: pd.DataFrame) -> set[tuple[str, str, str]]:
    """Return (data set, method, metric) of each mean that a test found to be the best or not worse than it."""
    tested = statistics[statistics["friedman_p"].notna() | statistics["wilcoxon_p"].notna()]
    found = tested.loc[tested["not_worse"], ["dataset", "method", "metric"]]
    return set(found.itertuples(index=False, name=None))


def to_latex(table: pd.DataFrame, title: str, statistics: pd.DataFrame | None = None, *, number: Number = 1) -> str:
    r"""Return Table 1 or 2 as LaTeX; it needs the packages booktabs, multirow and xcolor.

    The leading, second and third means are bold red, blue and cyan as in the paper. With statistics, a dagger marks
    what is not significantly worse than the best. The paper's own rows and the differences to them are grey, in
    italics and named so. More metrics than a page holds become several tables, one for each group of metrics.

    Args:
        table: As `table` gives it.
        title: The caption begins with it.
        statistics: As `significance` gives it; None leaves the daggers out.
        number: Of the table, for its label.
    """
    shown = table.reset_index(drop=True)
    daggers = set() if statistics is None else not_worse(statistics)
    parts = split_columns(metric_ids(shown))
    first = _label(number, next(iter(parts)))
    texts = []
    for part, columns in parts.items():
        rows = shown
        if part:  # the paper has no number of some groups
            rows = shown[(shown["origin"] == MEASURED) | shown[columns].notna().any(axis="columns")]
            rows = rows.reset_index(drop=True)
        body = pd.DataFrame({metric: _cells(rows, metric, daggers) for metric in columns})
        body.columns = pd.Index([_heading(metric) for metric in columns])
        label = _label(number, part)
        if label == first:
            caption = _caption(shown, title, part, compared=bool(daggers))
        else:
            caption = rf"{unicode_to_latex(title)}. Metrics: {part}; all else as in Table~\ref{{tab:{first}}}."
        texts.append(latex.to_latex(rows, body, marks(rows, columns, DIGITS), caption=caption, label=label))
    return "\n".join(texts)


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


def _means(row: MethodScores, ids: list[str]) -> "pd.Series[float]":
    return pd.Series(np.nan, ids) if row.scores is None else row.scores[ids].mean()


def _cells(table: pd.DataFrame, metric: str, daggers: set[tuple[str, str, str]]) -> list[str]:
    cells = []
    for row in table.to_dict("records"):
        cell = latex.format_number(row[metric], row["origin"], DIGITS)
        marked = row["origin"] == MEASURED and (row["dataset"], row["method"], metric) in daggers
        cells.append(cell + _DAGGER if marked else cell)
    return cells


def _label(number: int, part: str) -> str:
    return f"table{number}-{part_slug(part)}" if part else f"table{number}"


def _heading(metric: str) -> str:
    return rf"{unicode_to_latex(metric)} $\{'up' if higher_is_better(metric) else 'down'}arrow$"


def _caption(table: pd.DataFrame, title: str, part: str, *, compared: bool) -> str:
    measured = table[table["origin"] == MEASURED].drop_duplicates("dataset")
    parts = [f"{title}. Metric convention {measured['convention'].iloc[0]}, size {measured['size'].iloc[0]}."]
    if part:
        parts.append(f"Metrics: {part}.")
    for row in measured.to_dict("records"):
        parts.append(f"{row['dataset']}: {row['images']} images, data {str(row['fingerprint'])[:12]}.")
    parts.append("Arrows point in the better direction. Leading, second and third mean of a fusion method in bold red,")
    parts.append("blue and cyan; the sources infrared and visible are not ranked; -- is undefined or failed.")
    if compared:
        parts.append("† has the best average rank over images or is not significantly worse (Friedman's test with")
        parts.append("Nemenyi's, of two methods Wilcoxon's signed-rank test, α = 0.05 for each metric by itself);")
        parts.append("where several methods have it, none of them is best, whatever the means.")
    else:
        parts.append("Whether a leading mean is significantly better is not tested.")
    parts += explain_marks(table)
    if (table["origin"] == PUBLISHED).any():
        parts.append("Grey rows are the paper's own numbers, on its own unpublished test split, not ours.")
    return str(unicode_to_latex(" ".join(parts)))
