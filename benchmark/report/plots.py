"""Box plots of per-image scores: the coordinates from which the template draws them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.cbook import boxplot_stats

from benchmark.tables.ranking import heading

WIDTH, LEFT, RIGHT, TOP, STEP, BOTTOM = 448, 140, 430, 6, 22, 22
_FEW = 40  # so many images or fewer are all drawn; of more, the outliers
_TICKS = 4


@dataclass(frozen=True)
class Dot:
    """One image: where it lies, its name and value, and whether it is beyond the whiskers."""

    x: float
    image: str
    text: str
    outlier: bool


@dataclass(frozen=True)
class MethodBox:
    """One method: five numbers of Tukey's box plot and the mean, as positions and in words."""

    method: str
    y: float
    low: float
    first: float
    median: float
    third: float
    high: float
    mean: float
    text: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class BoxPlot:
    """One metric of a data set: its heading, a box a method; ticks as (position, label)."""

    metric: str
    height: float
    ticks: tuple[tuple[float, str], ...]
    boxes: tuple[MethodBox, ...]
    undefined: tuple[tuple[float, str], ...]


def draw_box_plot(metric: str, scores: Mapping[str, "pd.Series[float]"]) -> BoxPlot:
    """Return the box plot of a metric.

    Whiskers reach to the last image within 1.5 interquartile ranges of the box (Tukey).

    Args:
        metric: Its id.
        scores: By method, the values by image; missing ones are left out.
    """
    defined = {method: values.dropna() for method, values in scores.items()}
    everything = np.concatenate([np.asarray(values, dtype=float) for values in defined.values()] or [np.zeros(0)])
    ticks = _ticks(float(everything.min()), float(everything.max())) if everything.size else [0.0, 1.0]
    span = ticks[-1] - ticks[0]

    def position(value: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * (value - ticks[0]) / span, 1)

    boxes, undefined = [], []
    for row, (method, values) in enumerate(defined.items()):
        y = TOP + STEP * row + STEP / 2
        if values.empty:
            undefined.append((y, method))
        else:
            boxes.append(_box(method, y, values, position))
    digits = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    labels = tuple((position(tick), f"{tick:.{digits}f}") for tick in ticks)
    return BoxPlot(heading(metric), TOP + STEP * len(defined) + BOTTOM, labels, tuple(boxes), tuple(undefined))


def _box(method: str, y: float, values: "pd.Series[float]", position: Callable[[float], float]) -> MethodBox:
    numbers = values.to_numpy(dtype=float)
    (box,) = boxplot_stats(numbers)  # as the figures' box plots are drawn by
    low, high, median, mean = (float(box[name]) for name in ("whislo", "whishi", "med", "mean"))
    first, third = float(box["q1"]), float(box["q3"])
    dots = tuple(
        Dot(position(value), str(image), f"{value:.4f}", outlier)
        for image, value in zip(values.index, numbers.tolist(), strict=True)
        if (outlier := not low <= value <= high) or len(numbers) <= _FEW
    )
    text = f"median {median:.4f}, quartiles {first:.4f} and {third:.4f}, mean {mean:.4f}, {len(numbers)} images"
    return MethodBox(
        method,
        y,
        low=position(low),
        first=position(first),
        median=position(median),
        third=position(third),
        high=position(high),
        mean=position(mean),
        text=text,
        dots=dots,
    )


def _ticks(low: float, high: float) -> Sequence[float]:
    """Return round numbers, evenly spaced, that span a range."""
    span = (high - low) or abs(high) or 1.0
    raw = span / _TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    start, stop = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(start, max(stop, start + 1) + 1)]
