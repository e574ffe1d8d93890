"""The four conventions: tables of options over one function per metric.

Published values of one metric disagree because programs disagree. Each convention is one program, reproduced;
numbers of different conventions never belong in one column.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from metrics.contrast import average_gradient, spatial_frequency, standard_deviation
from metrics.correlation import sum_of_correlations_of_differences
from metrics.edges import edge_preservation
from metrics.errors import InputError, unknown
from metrics.fidelity import SMALLEST, visual_information_fidelity
from metrics.images import ImageArray, grey
from metrics.information import entropy, mutual_information
from metrics.opencv import cv2


@dataclass(frozen=True)
class Metric:
    """One of the eight metrics; a higher value is better in all of them.

    Attributes:
        title: The metric's name in full.
        function: Computes it, from (infrared, visible, fused) or from the fused image alone.
        sources: Whether it looks at the sources.
        formula: In short; F is the fused image, S a source, sums run over pixels.
        reference: Where it was proposed.
        smallest: The fewest pixels a side that it can be computed on.
    """

    title: str
    function: Callable[..., float]
    sources: bool
    formula: str
    reference: str
    smallest: int = 1


@dataclass(frozen=True)
class Rule:
    """How a convention computes one metric: the scale of the result in words, and the function's options."""

    scale: str
    options: Mapping[str, Any]


def _rule(scale: str, /, **options: Any) -> Rule:
    return Rule(scale, options)


@dataclass(frozen=True)
class Convention:
    """A program whose numbers are reproduced.

    Attributes:
        program: Whose program, and how it computes.
        grey: Turns the program's colour images into grey.
        rules: By metric id; a metric that is missing here does not exist in the program.
    """

    program: str
    grey: Callable[[ImageArray], ImageArray]
    rules: Mapping[str, Rule]


def grey_opencv(image: ImageArray) -> ImageArray:
    """Return an image as (H, W) luma as OpenCV computes it in float32, rounded half to even.

    Args:
        image: uint8, (H, W) or (H, W, 3) RGB; grey is returned as it is.
    """
    if image.ndim == 2:
        return image
    return np.rint(cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2GRAY)).astype(np.uint8)


METRICS: dict[str, Metric] = {
    "EN": Metric("entropy", entropy, False, "-Σ p log2 p over 256 grey levels", "Roberts, van Aardt, Ahmed, JARS 2008"),
    "SF": Metric(
        "spatial frequency",
        spatial_frequency,
        False,
        "√(mean (vertical difference)² + mean (horizontal difference)²)",
        "Eskicioglu, Fisher, IEEE T-COM 1995",
        smallest=2,
    ),
    "SD": Metric("standard deviation", standard_deviation, False, "√(mean (F - mean F)²)", "Rao, MST 1997"),
    "MI": Metric(
        "mutual information",
        mutual_information,
        True,
        "Σ over S of H(S) + H(F) - H(S, F)",
        "Qu, Zhang, Yan, Electronics Letters 2002",
    ),
    "VIF": Metric(
        "visual information fidelity",
        visual_information_fidelity,
        True,
        "Σ over S of (Σ log(1 + g²σ²S/(σ²v + 2))) / (Σ log(1 + σ²S/2)), over four scales",
        "Sheikh, Bovik, IEEE TIP 2006; Han et al., Information Fusion 2013",
        smallest=SMALLEST,
    ),
    "AG": Metric(
        "average gradient",
        average_gradient,
        False,
        "mean √((∂x F)² + (∂y F)²)/√2",
        "Cui et al., Optics Communications 2015",
        smallest=2,
    ),
    "SCD": Metric(
        "sum of the correlations of differences",
        sum_of_correlations_of_differences,
        True,
        "r(F - visible, infrared) + r(F - infrared, visible)",
        "Aslantas, Bendes, AEU 2015",
    ),
    "Q_abf": Metric(
        "edge preservation",
        edge_preservation,
        True,
        "Σ over S of Σ Q(S, F)|∇S|, divided by Σ over S of Σ |∇S|",
        "Xydeas, Petrovic, Electronics Letters 2000",
    ),
}
IDS = tuple(METRICS)

_EN = _rule("bits, 0 to 8")
_AG = _rule("grey levels; sum over (H-1)(W-1)")
_SCD = _rule("-2 to 2")
_QABF = _rule("0 to 1; gradients of levels 0-255", divisor=1)

CONVENTIONS: dict[str, Convention] = {
    "tang2022": Convention(
        "Linfeng-Tang/Evaluation-for-Image-Fusion before 2023-03-03, MATLAB, partly in 8-bit arithmetic; the paper's",
        grey,
        {
            "EN": _EN,
            "SF": _rule("levels 0-1, about 0.03 to 0.08", divisor=255),
            "SD": _rule("saturating 8-bit arithmetic, about 8 to 11", saturated=True),
            "MI": _rule("bits, sum over both sources; levels 254 and 255 merged in the joint", merge_top=True),
            "VIF": _rule("sum over both sources; first scale saturated", saturated=True),
            "AG": _AG,
            "SCD": _SCD,
            "Q_abf": _rule("0 to 1; gradients of levels 0-1", divisor=255),
        },
    ),
    "tang2023": Convention(
        "Linfeng-Tang/Evaluation-for-Image-Fusion since 2023-03-03, MATLAB, in floating point",
        grey,
        {
            "EN": _EN,
            "SF": _rule("levels 0-255, about 8 to 20", divisor=1),
            "SD": _rule("levels 0-255, about 25 to 60", saturated=False),
            "MI": _rule("bits, sum over both sources; levels 254 and 255 merged in the joint", merge_top=True),
            "VIF": _rule("sum over both sources", saturated=False),
            "AG": _AG,
            "SCD": _SCD,
            "Q_abf": _QABF,
        },
    ),
    # The program works in float32, which moves its numbers by less than 3e-7; here all is float64.
    "cddfuse": Convention(
        "Zhaozixiang1228/MMIF-CDDFuse utils/Evaluator.py, Python",
        grey_opencv,
        {
            "EN": _EN,
            "SF": _rule("levels 0-255, about 8 to 20", divisor=1),
            "SD": _rule("levels 0-255, about 25 to 60", saturated=False),
            "MI": _rule("nats, sum over both sources", unit="nat"),
            "VIF": _rule("sum over both sources; 1 for a flat source", flat=1.0),
            "AG": _rule("grey levels; mean", per_pixel=True),
            "SCD": _SCD,
            "Q_abf": _QABF,
        },
    ),
    # The program scores colour images channel by channel; here they become grey first.
    # It also stretches levels to 0-255 before MI, which maps distinct levels to distinct ones: MI does not change.
    "vifb": Convention(
        "xingchenzhang/VIFB, MATLAB",
        grey,
        {
            "EN": _EN,
            "SF": _rule("levels 0-255, about 8 to 20; both sums over H·W", per_pixel=True),
            "SD": _rule("levels 0-255, about 25 to 60", saturated=False),
            "MI": _rule("nats, sum over both sources", unit="nat"),
            "AG": _AG,
            "Q_abf": _QABF,
        },
    ),
}


def convention_of(name: str) -> Convention:
    """Return a convention by its name; raises InputError that lists the known ones."""
    if name not in CONVENTIONS:
        raise unknown("convention", name, tuple(CONVENTIONS))
    return CONVENTIONS[name]


def chosen(only: Iterable[str] | None) -> tuple[str, ...]:
    """Return the metric ids to compute, in the tables' order; None is all eight.

    Raises:
        InputError: An id is unknown, or there is none.
    """
    if only is None:
        return IDS
    wanted = {only} if isinstance(only, str) else set(only)
    for name in wanted - set(IDS):
        raise unknown("metric", name, IDS)
    if not wanted:
        raise InputError(f"no metric was asked for; expected some of {', '.join(IDS)}.")
    return tuple(name for name in IDS if name in wanted)


def describe() -> pd.DataFrame:
    """Return what each metric is: one row a metric, the scale of its values in one column a convention.

    Columns: metric, title, formula, direction, reference, then the conventions' names; a scale is empty where the
    convention lacks the metric.
    """
    rows = []
    for name, metric in METRICS.items():
        scales = {
            convention: record.rules[name].scale if name in record.rules else ""
            for convention, record in CONVENTIONS.items()
        }
        row = {"metric": name, "title": metric.title, "formula": metric.formula, "direction": "higher is better"}
        rows.append(row | {"reference": metric.reference} | scales)
    return pd.DataFrame(rows)
