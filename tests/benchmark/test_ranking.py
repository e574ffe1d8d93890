"""Directions, places, marks, and columns split into parts that a page holds: for whatever metrics are registered."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import metrics
from benchmark.tables import ranking
from metrics import METRICS

LOSS = "LOSS"


@pytest.fixture
def loss(monkeypatch: pytest.MonkeyPatch) -> str:
    """A registered metric whose lower values are better."""
    metric = replace(METRICS["EN"], id=LOSS, higher_is_better=False, paper=False)
    monkeypatch.setitem(METRICS, LOSS, metric)
    return LOSS


def table(**columns: list[float]) -> pd.DataFrame:
    count = len(next(iter(columns.values())))
    return pd.DataFrame(
        {"dataset": ["M3FD"] * count, "origin": ["measured"] * count, "ranked": [True] * count} | columns
    )


def test_marks_follow_the_direction(loss: str) -> None:
    values = [3.0, 1.0, 1.00001, np.nan, 2.0, 9.0]
    found = ranking.marks(table(EN=values, LOSS=values, car=values), ["EN", loss, "car"], 4)
    assert found["EN"].tolist() == found["car"].tolist() == [2, 0, 0, 0, 3, 1]
    assert found[loss].tolist() == [0, 1, 1, 0, 3, 0]


@pytest.mark.parametrize("name", METRICS)
def test_headings_have_the_arrow_of_the_direction(name: str) -> None:
    assert ranking.heading(name) == f"{name} {'↑' if METRICS[name].higher_is_better else '↓'}"
    best = ranking.places(pd.Series([1.0, 2.0]), name).idxmin()
    assert best == (1 if METRICS[name].higher_is_better else 0)


def test_what_is_no_metric_has_no_arrow_and_higher_is_better() -> None:
    assert ranking.heading("mAP") == "mAP"
    assert ranking.higher_is_better("mAP")


@pytest.mark.parametrize("convention", metrics.CONVENTIONS)
def test_every_column_stands_in_one_part_that_a_page_holds(convention: str) -> None:
    ids = metrics.select("all", convention)
    parts = ranking.split_columns([*ids, "all"])
    assert sorted(name for columns in parts.values() for name in columns) == sorted([*ids, "all"])
    assert max(map(len, parts.values())) <= ranking.MOST
    slugs = [ranking.part_slug(part) for part in parts]
    assert len(set(slugs)) == len(slugs)


def test_a_group_of_more_than_a_page_holds_is_continued() -> None:
    assert ranking.split_columns(["a", "b", "c"], most=2) == {"": ["a", "b"], "part 2": ["c"]}
    assert ranking.split_columns(list(metrics.PAPER)) == {"": list(metrics.PAPER)}
