"""What the tables have in common: who is marked, and how the LaTeX of a long table is written."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
from pylatexenc.latexencode import unicode_to_latex

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

OTHER_WEIGHTS = "weights are not the authors' own"
MEASURED, PUBLISHED, DIFFERENCE = "measured", "paper", "difference"
# The paper's marks for the best, second and third, as CSS that pandas turns into \textbf and \color.
_MARKS = ("font-weight: bold; color: red", "font-weight: bold; color: blue", "font-weight: bold; color: cyan")


def marks(table: pd.DataFrame, columns: Sequence[str], digits: int) -> pd.DataFrame:
    """Return 1, 2 or 3 where a measured value is the best, second or third of its data set's ranked methods, else 0.

    Args:
        table: Long form, with dataset, origin and ranked.
        columns: Those compared; higher is better.
        digits: As printed: values that print alike share their mark.
    """
    columns = list(columns)
    found = pd.DataFrame(0, index=table.index, columns=columns)
    competing = table[(table["origin"] == MEASURED) & (table["ranked"] == True)]  # noqa: E712  (an object column)
    for _, group in competing.groupby("dataset"):
        ranks = group[columns].round(digits).rank(ascending=False, method="min")
        found.loc[group.index] = ranks.where(ranks <= 3, 0).fillna(0).astype(int)
    return found


def other_weights(table: pd.DataFrame) -> "pd.Series[bool]":
    """Return which rows are of a method whose weights are not its authors' own."""
    return table["notes"].fillna("").str.contains(OTHER_WEIGHTS, regex=False)


def to_latex(table: pd.DataFrame, body: pd.DataFrame, best: pd.DataFrame, *, caption: str, number: int) -> str:
    r"""Return a LaTeX table in the paper's form; it needs the packages booktabs, multirow and xcolor.

    Best, second and third are bold red, blue and cyan. The paper's own rows and the differences to them are grey, in
    italics and named so.

    Args:
        table: Long form, with dataset, method, origin and notes; a row of it is a row of the LaTeX.
        body: The cells as LaTeX, under their headings as LaTeX.
        best: As `marks` gives it, for the body's first columns.
        caption: As LaTeX.
        number: Of the table, for its label.
    """
    style = pd.DataFrame("", index=body.index, columns=body.columns)
    compared = body.columns[: best.shape[1]]
    for rank, css in enumerate(_MARKS, start=1):
        style[compared] = style[compared].mask((best == rank).to_numpy(), css)
    style[(table["origin"] != MEASURED).to_numpy()] = "color: gray; font-style: italic"
    names = [
        unicode_to_latex(method) if origin == MEASURED else rf"\textit{{{unicode_to_latex(method)} ({origin})}}"
        for method, origin in zip(table["method"], table["origin"], strict=True)
    ]
    names = [f"{name} $^*$" if mark else name for name, mark in zip(names, other_weights(table), strict=True)]
    sets = [unicode_to_latex(name) for name in table["dataset"]]
    shown = body.set_axis(pd.MultiIndex.from_arrays([sets, names]))  # unique: the origin is in the name
    style.index = shown.index
    styler: Styler = shown.style.apply(lambda _: style, axis=None)
    latex: str = styler.to_latex(
        convert_css=True,
        hrules=True,
        clines="skip-last;data",
        column_format="ll" + "r" * body.shape[1],
        multirow_align="t",
        position="t",
        position_float="centering",
        caption=caption,
        label=f"tab:table{number}",
    )
    # The line under the last block would double the rule that ends the table.
    before, _, after = latex.rpartition(f"\\cline{{1-{body.shape[1] + 2}}}\n")
    return "% needs \\usepackage{booktabs, multirow, xcolor}\n" + before + after
