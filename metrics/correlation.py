"""The metric from correlations: SCD."""

import math

import numpy as np

from metrics.checks import require_grey
from metrics.opencv import cv2
from metrics.pictures import Picture


def sum_of_correlations_of_differences(infrared: Picture, visible: Picture, fused: Picture) -> float:
    """Return r(fused - visible, infrared) + r(fused - infrared, visible) (SCD), -2 to 2; higher is better.

    r is Pearson's correlation over all pixels. The result is NaN where a difference or a source is constant, as
    for a fused picture that equals a source.

    Args:
        infrared, visible, fused: uint8 (H, W) of one size; the scale of the levels does not matter.

    Reference:
        Aslantas, Bendes: "A new image quality metric for image fusion: The sum of the correlations of
        differences", AEU - International Journal of Electronics and Communications, 2015.
    """
    require_grey(1, infrared=infrared, visible=visible, fused=fused)
    return _correlation(fused, visible, infrared) + _correlation(fused, infrared, visible)


def _correlation(fused: Picture, other: Picture, source: Picture) -> float:
    """Return r(fused - other, source) from exact integer moments, so that 0/0 is recognised as such."""
    count = fused.size
    fused_sum, other_sum, source_sum = (int(picture.sum(dtype=np.int64)) for picture in (fused, other, source))
    product = _inner(fused, source) - _inner(other, source)
    covariance = count * product - (fused_sum - other_sum) * source_sum
    difference_variance = count * squared_distance(fused, other) - (fused_sum - other_sum) ** 2
    source_variance = count * squared_distance(source) - source_sum**2
    if difference_variance == 0 or source_variance == 0:
        return math.nan
    return covariance / math.sqrt(difference_variance * source_variance)


def _inner(one: Picture, other: Picture) -> int:
    return (squared_distance(one) + squared_distance(other) - squared_distance(one, other)) // 2


def squared_distance(one: Picture, other: Picture | None = None) -> int:
    """Return the exact sum of squared differences of two uint8 pictures, or of one picture's squares."""
    if other is None:
        return round(cv2.norm(one, cv2.NORM_L2SQR))
    return round(cv2.norm(one, other, cv2.NORM_L2SQR))
