"""The rows of the tables by their origin: measured, the paper's, and measured - paper."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

MEASURED, PUBLISHED, DIFFERENCE = "measured", "paper", "difference"
OTHER_WEIGHTS = "weights are not the authors' own"
LEAKAGE = re.compile(r"weights were (probably )?trained on ")  # as `methods.record.Record.leakage` words it
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


def has_known_weights(settings: Mapping[str, Any]) -> bool:
    """Return whether a method's settings name weights whose training data are known: official or packaged ones."""
    return settings.get("official weights") is True or settings.get("packaged weights") is True


def has_other_weights(table: pd.DataFrame) -> "pd.Series[bool]":
    """Return which rows are of a method whose weights are not its authors' own."""
    return table["notes"].fillna("").str.contains(OTHER_WEIGHTS, regex=False)


def leakage_notes(table: pd.DataFrame) -> "pd.Series[str]":
    """Return of each row what it says of weights that were trained on its data set; empty for most."""
    return table["notes"].fillna("").map(lambda text: SEPARATOR.join(filter(LEAKAGE.search, text.split(SEPARATOR))))


def explain_marks(table: pd.DataFrame) -> list[str]:
    """Return the sentences of a caption that explain the marks behind methods, for the marks that a table has."""
    sentences = [f"* {OTHER_WEIGHTS}."] if has_other_weights(table).any() else []
    notes = leakage_notes(table)
    texts = [f"{method}: {note}" for method, note in zip(table["method"], notes, strict=True) if note]
    return [*sentences, *([f"‡ {SEPARATOR.join(dict.fromkeys(texts))}."] if texts else [])]
