"""Ranking: the direction of a metric, places, marks, and the columns that fit a page."""

import re
from collections.abc import Sequence
from typing import TypeVar

import pandas as pd

from benchmark.tables.origins import MEASURED
from metrics.metric import GROUPS
from metrics.registry import METRICS

MOST = 9  # columns of numbers that a page holds
OTHERS = "others"

_Values = TypeVar("_Values", "pd.Series[float]", pd.DataFrame)


def higher_is_better(column: str) -> bool:
    """Return the direction of a column: its metric's, and higher for what is no metric, such as average precision."""
    return column not in METRICS or METRICS[column].higher_is_better


def arrow(column: str) -> str:
    """Return the arrow of a metric's direction; nothing for what is no metric."""
    return METRICS[column].arrow if column in METRICS else ""


def heading(column: str) -> str:
    """Return a column's name as a heading prints it, with the arrow of its direction."""
    return f"{column} {arrow(column)}".rstrip()


def losses(values: _Values, column: str) -> _Values:
    """Return values of a column with their sign turned where higher is better: the lowest is the best."""
    return -values if higher_is_better(column) else values


def places(values: "pd.Series[float]", column: str) -> "pd.Series[float]":
    """Return the place of each value of a column, 1 the best; equal values share one, and NaN has none."""
    return losses(values, column).rank(method="min")


def marks(table: pd.DataFrame, columns: Sequence[str], digits: int) -> pd.DataFrame:
    """Return 1, 2 or 3 where a measured value is the best, second or third of its data set's ranked methods, else 0.

    Args:
        table: Long form, with dataset, origin and ranked.
        columns: Those compared.
        digits: As printed: values that print alike share their mark.
    """
    columns = list(columns)
    found = pd.DataFrame(0, index=table.index, columns=columns)
    competing = table[(table["origin"] == MEASURED) & (table["ranked"] == True)]  # noqa: E712  (an object column)
    for _, group in competing.groupby("dataset"):
        for column in columns:
            ranks = places(group[column].astype(float).round(digits), column)
            found.loc[group.index, column] = ranks.where(ranks <= 3, 0).fillna(0).astype(int)
    return found


def split_columns(columns: Sequence[str], most: int = MOST) -> dict[str, list[str]]:
    """Return columns in titled parts that a page holds: one part without a title, or the metrics by their groups.

    Args:
        columns: Metrics; what is none comes last, as "others".
        most: How many a part has at most; a group of more is continued in another part.

    Examples:
        >>> split_columns(["EN", "SF", "MI"], most=2)
        {'information': ['EN', 'MI'], 'gradient': ['SF']}
    """
    if len(columns) <= most:
        return {"": list(columns)}
    group_of = {name: METRICS[name].group if name in METRICS else OTHERS for name in columns}
    parts: dict[str, list[str]] = {}
    for group in (*GROUPS, OTHERS):
        members = [name for name in columns if group_of[name] == group]
        title = "" if len(members) == len(columns) else group  # one group needs no name
        for start in range(0, len(members), most):
            part = f"part {start // most + 1}" if start else ""
            parts[", ".join(filter(None, (title, part)))] = members[start : start + most]
    return parts


def part_slug(part: str) -> str:
    """Return the title of a part as file names and LaTeX labels have it."""
    return re.sub("[^a-z0-9]+", "-", part)
