"""Statistics of means over images: standard deviations, bootstrap intervals, average ranks, and significance tests."""

from collections.abc import Collection, Mapping
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from benchmark.tables.ranking import losses
from metrics.errors import InputError

ALL = "all"
LEVEL = 0.05
RESAMPLES = 2000
COLUMNS = [
    "dataset",
    "method",
    "metric",
    "images",
    "mean",
    "standard_deviation",
    "low",
    "high",
    "rank",
    "images_ranked",
    "friedman_p",
    "wilcoxon_p",
    "critical_difference",
    "not_worse",
]


def summary(
    dataset: str, scores: Mapping[str, pd.DataFrame], ranked: Collection[str], *, seed: int = 0
) -> pd.DataFrame:
    """Return the statistics of a data set in long form, one row a metric and method.

    Columns: dataset, method, metric; images on which the metric is defined, its mean over them, standard_deviation
    (divided by images - 1), and low and high, the 95 % interval of the mean. Over the ranked methods, on the
    images_ranked on which the metric is defined for all of them: rank, the average over images of the rank within
    the image, 1 the best, ties averaged; friedman_p, the probability of such ranks if the methods did not differ;
    critical_difference between average ranks, by Nemenyi; not_worse, whether the method has the best average rank
    or is not significantly worse at 0.05. Where Friedman's test does not reject, no method is worse. Two methods
    are too few for it: Wilcoxon's signed-rank test stands in, as wilcoxon_p, and says which is worse. A method whose
    metric is undefined throughout does not compete in it: it has no rank, and not_worse is false.

    The metric "all": the metrics of an image depend on each other, so an image is one block of the test, not one for
    each metric. Its methods are ranked by each metric defined for all of them, in the metric's direction; `mean` is
    the average of these ranks over images and metrics, its spread that over images. The test ranks the averages
    within each image, and `rank` is the average of that, to which the critical difference belongs.

    The interval is the percentile bootstrap over images: no shape is assumed, undefined images stay undefined, and
    one set of resamples serves every method and metric. It is too narrow for few images. The p-values are of one
    metric each, uncorrected for the number of metrics.

    Args:
        dataset: Its name.
        scores: By method, a row an image and a column a metric; the same images and metrics for all.
        ranked: The methods that compete; the others have no ranks.
        seed: Of the bootstrap.

    Raises:
        InputError: Methods were scored on different images or by different metrics.

    Reference:
        Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, 2006, section 3.2.2.
    """
    _require_one_index(dataset, scores)
    if not scores:
        return pd.DataFrame(columns=COLUMNS)
    competing = [method for method in scores if method in ranked]
    ids = next(iter(scores.values())).columns
    values = {metric: pd.DataFrame({name: frame[metric] for name, frame in scores.items()}) for metric in ids}
    rivals = {metric: frame[competing].dropna(axis="columns", how="all") for metric, frame in values.items()}
    compared = {metric: losses(frame.dropna(), metric) for metric, frame in rivals.items()}
    if competing:
        values[ALL] = _rank_over_metrics(values, competing)
        compared[ALL] = values[ALL].dropna()
    intervals = _intervals(pd.concat(values, axis="columns"), seed)
    rows = [
        pd.DataFrame({"dataset": dataset, "metric": metric, **_spread(frame)})
        .join(intervals.loc[metric])
        .join(_comparison(compared[metric]))
        .rename_axis("method")
        .reset_index()
        for metric, frame in values.items()
    ]
    found = pd.concat(rows, ignore_index=True)
    found["not_worse"] = found["not_worse"].eq(True)
    found["images_ranked"] = found["images_ranked"].astype("Int64")
    return found[COLUMNS]


def critical_difference(methods: int, images: int) -> float:
    """Return the difference of average ranks that is significant at 0.05 between any two of several methods.

    Args:
        methods: How many are ranked, at least 2.
        images: On how many each.

    Reference:
        Nemenyi, 1963, as in Demšar, JMLR 7, 2006, section 3.2.2: q √(k (k + 1) / 6N).
    """
    q = stats.studentized_range.ppf(1 - LEVEL, methods, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(methods * (methods + 1) / (6 * images)))


def _require_one_index(dataset: str, scores: Mapping[str, pd.DataFrame]) -> None:
    first = next(iter(scores), "")
    for method, frame in scores.items():
        if not frame.columns.equals(scores[first].columns):
            raise InputError(
                f"{dataset}: {method} has scores of {', '.join(frame.columns)} and {first} of "
                f"{', '.join(scores[first].columns)}; expected the same metrics for every method. Score them again."
            )
        if frame.empty or not frame.index.equals(scores[first].index):
            raise InputError(
                f"{dataset}: {method} has scores of {len(frame)} images and {first} of {len(scores[first])}, not the "
                "same ones; ranks need the same images for every method. Score them again together."
            )


def _rank_over_metrics(values: Mapping[str, pd.DataFrame], competing: list[str]) -> pd.DataFrame:
    """Return by image and competing method the mean of its ranks, over the metrics defined for all of them."""
    ranks = [losses(frame[competing].dropna(), metric).rank(axis="columns") for metric, frame in values.items()]
    return pd.concat(ranks).groupby(level=0).mean().reindex(next(iter(values.values())).index)


def _spread(values: pd.DataFrame) -> dict[str, "pd.Series[float]"]:
    return {"images": values.count(), "mean": values.mean(), "standard_deviation": values.std(ddof=1)}


def _intervals(values: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return low and high of each column's mean over images; of a single image there is none."""
    numbers = values.to_numpy(dtype=float)
    defined = np.isfinite(numbers)
    filled = np.where(defined, numbers, 0.0)
    count = len(numbers)
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(float)
    weights = draws @ defined
    means = np.divide(draws @ filled, weights, out=np.full(weights.shape, np.nan), where=weights > 0)
    limits = np.full((2, numbers.shape[1]), np.nan)
    enough = defined.sum(axis=0) > 1
    limits[:, enough] = np.nanquantile(means[:, enough], [LEVEL / 2, 1 - LEVEL / 2], axis=0)
    return pd.DataFrame(limits.T, index=values.columns, columns=["low", "high"])


def _comparison(losses: pd.DataFrame) -> pd.DataFrame:
    """Return the ranks and tests of methods from a row an image and a column a method, the lowest the best."""
    images, methods = losses.shape
    found = pd.DataFrame(index=losses.columns)
    found["rank"] = losses.rank(axis="columns").mean()
    found["images_ranked"] = images
    found["friedman_p"] = found["wilcoxon_p"] = found["critical_difference"] = np.nan
    found["not_worse"] = True
    if images and methods == 2:
        p, first_loses = _wilcoxon(losses.iloc[:, 0].to_numpy() - losses.iloc[:, 1].to_numpy())
        found["wilcoxon_p"] = p
        if p < LEVEL:
            found["not_worse"] = [not first_loses, first_loses]
    elif images and methods > 2:
        found["friedman_p"] = p = _friedman(losses)
        found["critical_difference"] = difference = critical_difference(methods, images)
        if p < LEVEL:
            found["not_worse"] = found["rank"] - found["rank"].min() <= difference
    return found


def _friedman(losses: pd.DataFrame) -> float:
    if losses.eq(losses.iloc[:, 0], axis="index").all(axis=None):
        return 1.0  # nothing but ties, of which the statistic is 0/0
    return float(stats.friedmanchisquare(*losses.to_numpy().T).pvalue)


def _wilcoxon(differences: NDArray[np.float64]) -> tuple[float, bool]:
    """Return the p-value of paired differences, and whether their ranks, with their signs, sum to above zero."""
    differences = differences[differences != 0]
    if not len(differences):
        return 1.0, False
    ranks = stats.rankdata(np.abs(differences))
    # The exact distribution holds without ties only.
    method: Literal["approx", "auto"] = "approx" if len(set(ranks)) < len(ranks) else "auto"
    return float(stats.wilcoxon(differences, method=method).pvalue), bool(np.sign(differences) @ ranks > 0)
