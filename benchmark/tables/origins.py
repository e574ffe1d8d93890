"""The rows of the tables by their origin: measured, the paper's, and measured - paper."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

MEASURED, PUBLISHED, DIFFERENCE = "measured", "paper", "difference"
OTHER_WEIGHTS = "weights are not the authors' own"
SEPARATOR = "; "  # between notes, and between classes


def add_paper_rows(
    measured: Sequence[Mapping[str, Any]],
    paper: pd.DataFrame,
    facts: Mapping[str, Any],
    *,
    paper_facts: Mapping[str, Any] | None = None,
    incomparable: Collection[tuple[str, str]] = (),
) -> list[dict[str, Any]]:
    """Return a data set's measured rows, then the paper's, then the difference of each method that both have.

    Args:
        measured: Rows with dataset, method and numbers.
        paper: The paper's numbers by method, a column a metric or class.
        facts: What rows of differences say besides.
        paper_facts: What the paper's rows say besides.
        incomparable: (method, column) of numbers whose difference would mean nothing.
    """
    rows: list[dict[str, Any]] = [{"origin": MEASURED, **row} for row in measured]
    dataset = measured[0]["dataset"] if measured else ""
    for method, values in paper.iterrows() if measured else ():
        rows.append({"dataset": dataset, "method": method, "origin": PUBLISHED, **values, **(paper_facts or {})})
    for row in measured:
        method = row["method"]
        if method in paper.index:
            difference = {
                column: np.nan if (method, column) in incomparable else row.get(column, np.nan) - value
                for column, value in paper.loc[method].items()
            }
            rows.append({"dataset": dataset, "method": method, "origin": DIFFERENCE, **difference, **facts})
    return rows


def has_other_weights(table: pd.DataFrame) -> "pd.Series[bool]":
    """Return which rows are of a method whose weights are not its authors' own."""
    return table["notes"].fillna("").str.contains(OTHER_WEIGHTS, regex=False)
