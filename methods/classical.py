"""Fusion without learning: the two sources themselves, pixel rules, and a Laplacian pyramid.

The sources are rows of every table: a metric on which `infrared` or `average` beats a trained network says
something about the metric.
"""

import numpy as np
from numpy.typing import NDArray

from methods.base import Method
from metrics.images import ImageArray
from metrics.opencv import cv2

Raw = NDArray[np.float32]


class Infrared(Method):
    """The infrared image as it is."""

    source = True
    infrared = True

    def forward(self, infrared: ImageArray, visible: ImageArray) -> Raw:
        """Return the infrared image, levels 0-255."""
        return infrared.astype(np.float32)


class Visible(Method):
    """The visible image's luma as it is."""

    source = True

    def forward(self, infrared: ImageArray, visible: ImageArray) -> Raw:
        """Return the visible image's luma, levels 0-255."""
        return visible.astype(np.float32)


class Average(Method):
    """The mean of both images at every pixel."""

    def forward(self, infrared: ImageArray, visible: ImageArray) -> Raw:
        """Return (infrared + visible) / 2, levels 0-255."""
        return (infrared.astype(np.float32) + visible.astype(np.float32)) / np.float32(2)


class Maximum(Method):
    """The brighter of both images at every pixel."""

    def forward(self, infrared: ImageArray, visible: ImageArray) -> Raw:
        """Return max(infrared, visible), levels 0-255."""
        return np.maximum(infrared, visible).astype(np.float32)


class Laplacian(Method):
    """Laplacian pyramid: the stronger detail at every scale, the mean of the coarsest level.

    At each level the coefficient of larger magnitude is kept; the coarsest level is averaged. Four levels of
    detail, fewer for an image whose shorter side would fall below 8 pixels.

    Reference:
        Burt and Adelson, "The Laplacian Pyramid as a Compact Image Code", IEEE Trans. Communications, 1983;
        Toet, "Image fusion by a ratio of low-pass pyramid", Pattern Recognition Letters, 1989, for fusion by
        selecting coefficients.
    """

    levels = 4

    def forward(self, infrared: ImageArray, visible: ImageArray) -> Raw:
        """Return the pyramid's reconstruction, levels about 0-255; it may overshoot both ends."""
        coarse = [infrared.astype(np.float32), visible.astype(np.float32)]
        details: list[Raw] = []
        while len(details) < self.levels and min(coarse[0].shape) >= 16:
            finer, coarse = coarse, [_reduce(band) for band in coarse]
            ours, theirs = (fine - _expand(low, fine) for fine, low in zip(finer, coarse, strict=True))
            details.append(np.where(np.abs(ours) >= np.abs(theirs), ours, theirs))
        fused = (coarse[0] + coarse[1]) / np.float32(2)
        for detail in reversed(details):
            fused = _expand(fused, detail) + detail
        return fused


def _reduce(fine: Raw) -> Raw:
    return np.asarray(cv2.pyrDown(fine), dtype=np.float32)


def _expand(low: Raw, like: Raw) -> Raw:
    return np.asarray(cv2.pyrUp(low, dstsize=like.shape[::-1]), dtype=np.float32)
