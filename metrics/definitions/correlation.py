"""Metrics from correlations: SCD and CC."""

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


def correlation_coefficient(infrared: ImageArray, visible: ImageArray, fused: ImageArray) -> float:
    """Return Pearson's correlation of the fused image with a source, averaged over both (CC), -1 to 1.

    Higher is better. NaN where an image is constant.

    Args:
        infrared, visible, fused: uint8 (H, W) of one size; the scale of the levels does not matter.
    """
    require_grey(1, infrared=infrared, visible=visible, fused=fused)
    return (_pearson(fused, infrared) + _pearson(fused, visible)) / 2


def _pearson(one: ImageArray, other: ImageArray) -> float:
    """Return the correlation of two images from exact integer moments, so that 0/0 is recognised as such."""
    one_sum, other_sum = (int(image.sum(dtype=np.int64)) for image in (one, other))
    covariance = one.size * _inner(one, other) - one_sum * other_sum
    one_variance = one.size * squared_distance(one) - one_sum**2
    other_variance = one.size * squared_distance(other) - other_sum**2
    if one_variance == 0 or other_variance == 0:
        return math.nan
    return covariance / math.sqrt(one_variance * other_variance)


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
_CC = rule("-1 to 1; mean over both sources")

METRICS = (
    Metric(
        "SCD",
        "sum of correlations of differences",
        sum_of_correlations_of_differences,
        "structure",
        "r(F - visible, infrared) + r(F - infrared, visible)",
        "Aslantas, Bendes, AEU 2015",
        {"tang2022": _SCD, "tang2023": _SCD, "cddfuse": _SCD},
        paper=True,
        undefined="the fused image equals a source, or a source is constant",
    ),
    Metric(
        "CC",
        "correlation coefficient",
        correlation_coefficient,
        "structure",
        "½ Σ over S of r(F, S)",
        "Ma, Ma, Li, Information Fusion 2019",
        {"tang2022": _CC, "tang2023": _CC, "cddfuse": _CC, "metric_python": _CC},
        undefined="an image is constant",
    ),
)
