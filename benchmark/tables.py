"""Table 1: means over images per data set and method, as CSV and as LaTeX in the paper's form."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pylatexenc.latexencode import unicode_to_latex

import metrics
from benchmark.experiment import ScoreSettings
from metrics.errors import InputError
from metrics.pictures import write_bytes

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

PAPER = Path(__file__).parents[1] / "results" / "paper" / "table1.csv"
PAPER_CONVENTION = "tang2022"
IDS = list(metrics.IDS)
OTHER_WEIGHTS = "weights are not the authors' own"
MEASURED, PUBLISHED, DIFFERENCE = "measured", "paper", "difference"
# The paper's marks for the best, second and third, as CSS that pandas turns into \textbf and \color.
_MARKS = ("font-weight: bold; color: red", "font-weight: bold; color: blue", "font-weight: bold; color: cyan")


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


def table1(blocks: Sequence[Block], score: ScoreSettings) -> pd.DataFrame:
    """Return Table 1 in long form, one row a data set, method and origin.

    Columns: dataset, method, origin ("measured", "paper", "difference" = measured - paper), the eight metrics
    (means over images), ranked, images, convention, size, fingerprint, split, notes, status. The paper's rows appear
    with a data set that the paper has, and only under the paper's convention: other numbers do not compare.

    Raises:
        InputError: The file of published numbers is not where the checkout has it.
    """
    paper = published() if score.convention == PAPER_CONVENTION else pd.DataFrame(columns=["dataset", "method", *IDS])
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


def published() -> pd.DataFrame:
    """Return the paper's Table 1: dataset, method and the eight metrics.

    Reference: Cao et al., "Multi-modal Gated Mixture of Local-to-Global Experts for Dynamic Image Fusion",
        ICCV 2023, Table 1.
    """
    if not PAPER.is_file():
        raise InputError(f"{PAPER} is not there; run from a checkout, which has the published numbers in results/paper")
    return pd.read_csv(PAPER)


def marks(table: pd.DataFrame) -> pd.DataFrame:
    """Return 1, 2 or 3 where a measured value is the best, second or third of its data set's ranked methods, else 0.

    Higher is better for all eight. Equal values share their mark.
    """
    found = pd.DataFrame(0, index=table.index, columns=IDS)
    competing = table[(table["origin"] == MEASURED) & (table["ranked"] == True)]  # noqa: E712  (an object column)
    for _, group in competing.groupby("dataset"):
        ranks = group[IDS].rank(ascending=False, method="min")
        found.loc[group.index] = ranks.where(ranks <= 3, 0).fillna(0).astype(int)
    return found


def to_latex(table: pd.DataFrame, title: str) -> str:
    r"""Return Table 1 as a LaTeX table; it needs the packages booktabs, multirow and xcolor.

    Best, second and third are bold red, blue and cyan as in the paper. The paper's own rows and the differences
    to them are grey, in italics and named so.
    """
    shown = table.reset_index(drop=True)
    best = marks(shown)
    style = pd.DataFrame("", index=shown.index, columns=IDS)
    for rank, css in enumerate(_MARKS, start=1):
        style = style.mask(best == rank, css)
    foreign = shown["origin"] != MEASURED
    style[foreign] = "color: gray; font-style: italic"

    names = [
        unicode_to_latex(method) if origin == MEASURED else rf"\textit{{{unicode_to_latex(method)} ({origin})}}"
        for method, origin in zip(shown["method"], shown["origin"], strict=True)
    ]
    names = [f"{name} $^*$" if mark else name for name, mark in zip(names, _other_weights(shown), strict=True)]
    sets = [unicode_to_latex(name) for name in shown["dataset"]]
    body = shown[IDS].copy()
    body.index = pd.MultiIndex.from_arrays([sets, names])  # unique, as Styler needs it: the origin is in the name
    style.index = body.index
    body.columns = [f"{unicode_to_latex(metric)} $\\uparrow$" for metric in IDS]
    style.columns = body.columns
    styler: Styler = body.style.apply(lambda _: style, axis=None)
    styler = styler.format(_measured)
    differences = pd.IndexSlice[body.index[shown["origin"] == DIFFERENCE], :]
    styler = styler.format(_signed, subset=differences)
    latex: str = styler.to_latex(
        convert_css=True,
        hrules=True,
        clines="skip-last;data",
        column_format="ll" + "r" * len(IDS),
        multirow_align="t",
        position="t",
        position_float="centering",
        caption=_caption(shown, title),
        label="tab:table1",
    )
    # The line under the last block would double the rule that ends the table.
    before, _, after = latex.rpartition(f"\\cline{{1-{len(IDS) + 2}}}\n")
    return "% needs \\usepackage{booktabs, multirow, xcolor}\n" + before + after


def write(folder: Path, table: pd.DataFrame, title: str) -> None:
    """Write table1.csv and table1.tex into a folder."""
    write_bytes(folder / "table1.csv", table.to_csv(index=False).encode())
    write_bytes(folder / "table1.tex", to_latex(table, title).encode())


def _other_weights(table: pd.DataFrame) -> "pd.Series[bool]":
    return table["notes"].fillna("").str.contains(OTHER_WEIGHTS, regex=False)


def _measured(value: object) -> str:
    return "--" if pd.isna(value) else f"{value:.4f}"  # type: ignore[call-overload]


def _signed(value: object) -> str:
    return "--" if pd.isna(value) else f"{value:+.4f}"  # type: ignore[call-overload]


def _caption(table: pd.DataFrame, title: str) -> str:
    measured = table[table["origin"] == MEASURED].drop_duplicates("dataset")
    parts = [f"{title}. Metric convention {measured['convention'].iloc[0]}, size {measured['size'].iloc[0]}."]
    for row in measured.to_dict("records"):
        parts.append(f"{row['dataset']}: {row['images']} images, data {str(row['fingerprint'])[:12]}.")
    parts.append("Arrows: higher is better. Best, second and third fusion method in bold red, blue and cyan;")
    parts.append("the sources infrared and visible are not ranked; -- is undefined or failed.")
    if _other_weights(table).any():
        parts.append(f"* {OTHER_WEIGHTS}.")
    if (table["origin"] == PUBLISHED).any():
        parts.append("Grey rows are the paper's own numbers, on its own unpublished test split, not ours.")
    return str(unicode_to_latex(" ".join(parts)))
