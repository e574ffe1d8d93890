"""The metric from correlations: SCD."""

import math

import numpy as np

from metrics.checks import require_grey
from metrics.images import ImageArray
from metrics.metric import Metric, rule
from metrics.opencv import cv2


def sum_of_correlations_of_differences(infrared: ImageArray, visible: ImageArray, fused: ImageArray) -> float:
    """Return r(fused - visible, infrared) + r(fused - infrared, visible) (SCD), -2 to 2; higher is better.

    r is Pearson's correlation over all pixels. The result is NaN where a difference or a source is constant, as
    for a fused image that equals a source.

    Args:
        infrared, visible, fused: uint8 (H, W) of one size; the scale of the levels does not matter.

    Reference:
        Aslantas, Bendes: "A new image quality metric for image fusion: The sum of the correlations of
        differences", AEU - International Journal of Electronics and Communications, 2015.
    """
    require_grey(1, infrared=infrared, visible=visible, fused=fused)
    return _correlation(fused, visible, infrared) + _correlation(fused, infrared, visible)


def _correlation(fused: ImageArray, other: ImageArray, source: ImageArray) -> float:
    """Return r(fused - other, source) from exact integer moments, so that 0/0 is recognised as such."""
    count = fused.size
    fused_sum, other_sum, source_sum = (int(image.sum(dtype=np.int64)) for image in (fused, other, source))
    product = _inner(fused, source) - _inner(other, source)
    covariance = count * product - (fused_sum - other_sum) * source_sum
    difference_variance = count * squared_distance(fused, other) - (fused_sum - other_sum) ** 2
    source_variance = count * squared_distance(source) - source_sum**2
    if difference_variance == 0 or source_variance == 0:
        return math.nan
    return covariance / math.sqrt(difference_variance * source_variance)


def _inner(one: ImageArray, other: ImageArray) -> int:
    return (squared_distance(one) + squared_distance(other) - squared_distance(one, other)) // 2


def squared_distance(one: ImageArray, other: ImageArray | None = None) -> int:
    """Return the exact sum of squared differences of two uint8 images, or of one image's squares."""
    if other is None:
        return round(cv2.norm(one, cv2.NORM_L2SQR))
    return round(cv2.norm(one, other, cv2.NORM_L2SQR))


_SCD = rule("-2 to 2")

METRICS = (
    Metric(
        "SCD",
        "sum of the correlations of differences",
        sum_of_correlations_of_differences,
        "structure",
        "r(F - visible, infrared) + r(F - infrared, visible)",
        "Aslantas, Bendes, AEU 2015",
        {"tang2022": _SCD, "tang2023": _SCD, "cddfuse": _SCD},
        paper=True,
    ),
)
