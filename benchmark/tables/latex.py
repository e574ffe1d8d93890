"""LaTeX of a long table, in the paper's form."""

from typing import TYPE_CHECKING

import pandas as pd
from pylatexenc.latexencode import unicode_to_latex

from benchmark.tables.origins import DIFFERENCE, MEASURED, has_other_weights, leakage_notes

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

# The paper's marks for the best, second and third, as CSS that pandas turns into \textbf and \color.
_MARKS = ("font-weight: bold; color: red", "font-weight: bold; color: blue", "font-weight: bold; color: cyan")
UNDEFINED = "--"


def format_number(value: float | None, origin: str, digits: int, undefined: str = UNDEFINED) -> str:
    """Return a number as a table prints it: a difference with its sign, and a mark for what is undefined or failed."""
    if value is None or pd.isna(value):
        return undefined
    return format(value, f"{'+' if origin == DIFFERENCE else ''}.{digits}f")


def to_latex(table: pd.DataFrame, body: pd.DataFrame, best: pd.DataFrame, *, caption: str, label: str) -> str:
    r"""Return a LaTeX table in the paper's form; it needs the packages booktabs, multirow and xcolor.

    Best, second and third are bold red, blue and cyan. The paper's own rows and the differences to them are grey, in
    italics and named so.

    Args:
        table: Long form, with dataset, method, origin and notes; a row of it is a row of the LaTeX.
        body: The cells as LaTeX, under their headings as LaTeX.
        best: As `ranking.marks` gives it, for the body's first columns.
        caption: As LaTeX.
        label: What a text refers to it by, behind "tab:".
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
    names = [f"{name} $^*$" if mark else name for name, mark in zip(names, has_other_weights(table), strict=True)]
    names = [rf"{name} $^\ddagger$" if note else name for name, note in zip(names, leakage_notes(table), strict=True)]
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
        label=f"tab:{label}",
    )
    # The line under the last block would double the rule that ends the table.
    before, _, after = latex.rpartition(f"\\cline{{1-{body.shape[1] + 2}}}\n")
    return "% needs \\usepackage{booktabs, multirow, xcolor}\n" + before + after
