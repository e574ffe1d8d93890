"""Spread, intervals, ranks and tests: against published examples, SciPy, scikit-posthocs, and at the edges."""

import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
from scipy import stats

import metrics
from benchmark.tables import statistics
from benchmark.tables.statistics import ALL, critical_difference, summary
from metrics.errors import InputError

IDS = list(metrics.PAPER)

# Ranks of four decision trees by AUC on 14 data sets: Demšar, JMLR 7, 2006, Table 6.
DEMSAR = [
    [4, 3, 2, 1],
    [1, 2, 3, 4],
    [4, 1, 2, 3],
    [4, 1, 3, 2],
    [4, 2, 3, 1],
    [1, 2.5, 4, 2.5],
    [3, 2, 4, 1],
    [2.5, 2.5, 4, 1],
    [4, 3, 2, 1],
    [2.5, 2.5, 2.5, 2.5],
    [4, 2.5, 1, 2.5],
    [3, 2, 4, 1],
    [4, 1, 2, 3],
    [3, 1, 4, 2],
]


def frames(values: np.ndarray) -> dict[str, pd.DataFrame]:
    """Scores a, b, ... from values (images, methods) or (images, methods, 8); two axes are for all eight metrics."""
    values = np.asarray(values, float)
    if values.ndim == 2:
        values = np.repeat(values[:, :, None], len(IDS), axis=2)
    index = pd.Index([f"{number:05d}" for number in range(len(values))], name="image")
    return {chr(97 + m): pd.DataFrame(values[:, m], index=index, columns=IDS) for m in range(values.shape[1])}


def normal(images: int, shifts: list[float], *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(images, len(shifts), 8)) + np.array(shifts)[None, :, None]


def rows(found: pd.DataFrame, metric: str) -> pd.DataFrame:
    return found[found["metric"] == metric].set_index("method")


def test_demsars_example() -> None:
    found = rows(summary("D", frames(-np.array(DEMSAR)), "abcd"), "EN")
    assert found["rank"].round(3).tolist() == [3.143, 2.0, 2.893, 1.964]  # his Table 6
    # His chi² is 9.28, without the correction for ties 1 - Σ(t³ - t) / N(k³ - k); one group of four, three of two.
    assert found["friedman_p"].iloc[0] == pytest.approx(stats.chi2.sf(9.28 / (1 - 78 / 840), 3), rel=5e-3)
    assert found["critical_difference"].iloc[0] == pytest.approx(1.25, abs=5e-3)  # his section 3.2.4
    assert found["not_worse"].all()  # his remark there: the post-hoc test is not powerful enough to tell any two apart


@pytest.mark.parametrize(
    ("methods", "q"),
    # Demšar, JMLR 7, 2006, Table 5a, at 0.05, for two to ten classifiers.
    list(enumerate([1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164], start=2)),
)
def test_nemenyis_critical_values(methods: int, q: float) -> None:
    found = critical_difference(methods, images=10)
    assert found / np.sqrt(methods * (methods + 1) / 60) == pytest.approx(q, abs=1e-3)


def test_two_methods_are_compared_by_wilcoxon() -> None:
    # AUC of C4.5 with m tuned minus C4.5: Demšar, JMLR 7, 2006, Table 2; he finds z = -2.54 with zeros shared out.
    gain = [5, -8, 17, 33, 6, -5, 7, 0, 63, 0, 22, 47, 9, 21]
    found = rows(summary("D", frames(np.array([np.zeros(14), gain]).T), "ab"), "EN")
    assert found["wilcoxon_p"].tolist() == pytest.approx([2 * stats.norm.sf(2.54)] * 2, abs=5e-4)
    assert found["not_worse"].tolist() == [False, True]
    assert found[["friedman_p", "critical_difference"]].isna().all(axis=None)


def test_wilcoxon_decides_who_is_worse_not_the_number_of_wins() -> None:
    gain = np.array([-1e-3] * 21 + [1.0] * 20) * np.linspace(1, 2, 41)
    found = rows(summary("D", frames(np.array([np.zeros(41), gain]).T), "ab"), "EN")
    assert found.loc["a", "rank"] < found.loc["b", "rank"]
    assert found["wilcoxon_p"].iloc[0] < 0.05
    assert found["not_worse"].tolist() == [False, True]


@pytest.mark.parametrize("seed", range(5))
def test_friedman_and_nemenyi_agree_with_their_libraries(seed: int) -> None:
    values = normal(20, [0.0, 0.6, 1.2, 1.8], seed=seed)
    found = rows(summary("D", frames(values), "abcd"), "SF")
    column = values[:, :, 1]
    assert found["friedman_p"].iloc[0] == stats.friedmanchisquare(*column.T).pvalue
    best = int(np.argmin(found["rank"]))
    p = scikit_posthocs.posthoc_nemenyi_friedman(-column).to_numpy()[best]
    assert found["not_worse"].tolist() == (p >= 0.05).tolist()
    assert not found["not_worse"].all()


def test_an_image_is_one_block_over_all_metrics() -> None:
    values = normal(9, [0.0, 0.3, 0.6], seed=3)
    found = rows(summary("D", frames(values), "abc"), ALL)
    ranks = stats.rankdata(-values, axis=1)
    assert found["mean"].tolist() == pytest.approx(ranks.mean(axis=(0, 2)).tolist())
    assert found["friedman_p"].iloc[0] == pytest.approx(stats.friedmanchisquare(*ranks.mean(axis=2).T).pvalue)
    assert found["rank"].sum() == pytest.approx(6)
    # The same eight columns again add no evidence: the test has as many blocks as images, not eight times as many.
    same = rows(summary("D", frames(values[:, :, 0]), "abc"), ALL)
    assert same["friedman_p"].iloc[0] == pytest.approx(stats.friedmanchisquare(*values[:, :, 0].T).pvalue)


def test_spread_and_interval() -> None:
    values = normal(40, [0.0], seed=1)[:, 0]
    found = summary("D", frames(values[:, None]), "a").set_index("metric").loc["MI"]
    assert found["standard_deviation"] == pytest.approx(np.std(values[:, 3], ddof=1))
    reference = stats.bootstrap((values[:, 3],), np.mean, method="percentile", rng=np.random.default_rng(5))
    width = reference.confidence_interval.high - reference.confidence_interval.low
    assert found["low"] == pytest.approx(reference.confidence_interval.low, abs=0.05 * width)
    assert found["high"] == pytest.approx(reference.confidence_interval.high, abs=0.05 * width)


def test_the_interval_holds_the_mean_as_often_as_it_says() -> None:
    held = 0
    for seed in range(25):
        found = summary("D", frames(normal(60, [0.0], seed=seed)), "a")[:8]
        held += int(((found["low"] < 0) & (found["high"] > 0)).sum())
    assert 0.90 < held / 200 < 0.98


def test_the_seed_decides_the_interval() -> None:
    scores = frames(normal(12, [0.0, 1.0, 2.0]))
    pd.testing.assert_frame_equal(summary("D", scores, "abc", seed=4), summary("D", scores, "abc", seed=4))
    assert not summary("D", scores, "abc", seed=4)["low"].equals(summary("D", scores, "abc", seed=5)["low"])


def test_unranked_methods_have_means_but_no_ranks() -> None:
    found = summary("D", frames(normal(12, [0.0, 1.0, 2.0, 9.0])), "abc")
    source = rows(found, "EN").loc["d"]
    assert np.isfinite(source["low"])
    assert np.isnan(source["rank"])
    assert not source["not_worse"]
    assert "d" not in rows(found, ALL).index
    assert rows(found, "EN")["rank"].sum() == pytest.approx(6)


def test_an_undefined_image_is_left_out_of_that_metric_alone() -> None:
    scores = frames(normal(12, [0.0, 1.0, 2.0]))
    scores["b"].loc["00003", "SCD"] = np.nan
    scores["d"] = scores["a"].assign(SCD=np.nan)
    found = summary("D", scores, "abc")
    assert rows(found, "SCD")["images"].tolist() == [12, 11, 12, 0]
    assert rows(found, "SCD")["images_ranked"].tolist()[:3] == [11] * 3
    assert rows(found, "EN")["images_ranked"].tolist()[:3] == [12] * 3
    assert rows(found, ALL)["images_ranked"].tolist() == [12] * 3
    assert np.isnan(rows(found, "SCD").loc["d", "mean"])


def test_a_metric_that_one_method_never_has_is_ranked_among_the_others() -> None:
    scores = frames(normal(12, [0.0, 1.0, 2.0, 3.0]))
    scores["b"]["SCD"] = np.nan
    found = rows(summary("D", scores, "abcd"), "SCD")
    assert found["images_ranked"].dropna().tolist() == [12] * 3
    assert found["rank"].sum() == pytest.approx(6)
    assert not found.loc["b", "not_worse"]


@pytest.mark.parametrize("images", [1, 2, 7])
def test_equal_methods_tie_and_none_is_worse(images: int) -> None:
    found = summary("D", frames(np.ones((images, 3))), "abc")
    assert (found["rank"] == 2).all()
    assert (found["friedman_p"] == 1).all()
    assert found["not_worse"].all()
    two = summary("D", frames(np.ones((images, 2))), "ab")
    assert (two["wilcoxon_p"] == 1).all()
    assert two["not_worse"].all()


def test_constant_columns_have_no_spread_and_still_have_ranks() -> None:
    found = rows(summary("D", frames(np.tile([1.0, 2.0, 3.0], (12, 1))), "abc"), "AG")
    assert (found["standard_deviation"] == 0).all()
    assert found["low"].tolist() == found["high"].tolist() == pytest.approx([1, 2, 3])
    assert found["not_worse"].tolist() == [False, False, True]


def test_one_image_tells_nobody_apart() -> None:
    found = summary("D", frames(normal(1, [0.0, 5.0, 9.0])), "abc")
    assert found["not_worse"].all()
    assert found[["standard_deviation", "low", "high"]].isna().all(axis=None)


@pytest.mark.parametrize("ranked", ["", "a"])
def test_fewer_than_two_methods_are_not_compared(ranked: str) -> None:
    found = summary("D", frames(normal(5, [0.0])), ranked)
    assert found[["friedman_p", "wilcoxon_p"]].isna().all(axis=None)
    assert found["mean"].notna().all()
    assert found["not_worse"].tolist() == [bool(ranked)] * len(found)


def test_nothing_scored_gives_an_empty_table() -> None:
    assert summary("D", {}, "ab").columns.tolist() == statistics.COLUMNS


def test_different_images_are_refused() -> None:
    scores = frames(normal(5, [0.0, 1.0]))
    scores["b"] = scores["b"].iloc[1:]
    with pytest.raises(InputError, match="b has scores of 4 images and a of 5"):
        summary("M3FD", scores, "ab")


def test_lower_values_of_a_loss_rank_higher() -> None:
    values = normal(20, [0.0, 0.6, 1.2], seed=1)[:, :, 0]
    gain, loss = frames(values), frames(-values)
    both = {name: pd.DataFrame({"EN": gain[name]["EN"], "MSE": loss[name]["EN"]}) for name in gain}
    found = summary("D", both, "abc")
    columns = ["rank", "friedman_p", "critical_difference", "not_worse"]
    pd.testing.assert_frame_equal(rows(found, "EN")[columns], rows(found, "MSE")[columns])
    pd.testing.assert_frame_equal(rows(found, "EN")[columns], rows(found, ALL)[columns])
    assert rows(found, "EN")["rank"].idxmin() == "c"


def test_two_methods_and_a_loss() -> None:
    both = frames(normal(20, [0.0, 2.0], seed=1)[:, :, 0])
    found = summary("D", {name: frame[["EN"]].rename(columns={"EN": "MSE"}) for name, frame in both.items()}, "ab")
    assert rows(found, "MSE")["not_worse"].tolist() == [True, False]


def test_different_metrics_are_refused() -> None:
    scores = frames(normal(5, [0.0, 1.0]))
    scores["b"] = scores["b"].drop(columns="VIF")
    with pytest.raises(InputError, match="the same metrics for every method"):
        summary("M3FD", scores, "ab")
