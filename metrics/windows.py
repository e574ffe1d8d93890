"""Moments of images in sliding windows, computed once for all metrics of an image triple.

Images are float64 (H, W), as `levels` returns them. The functions know an image by identity: pass the same array.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from metrics.images import ImageArray
from metrics.opencv import cv2
from metrics.sharing import computed_once

Maps = NDArray[np.float64]
Border = Literal["valid", "replicate", "zero"]


@dataclass(frozen=True)
class Window:
    """A square window whose weights sum to 1.

    Attributes:
        taps: Its width, odd.
        sigma: Of a Gaussian, in pixels; None makes all weights equal.
        border: "valid" returns only positions where the whole window lies in the image, `taps` - 1 fewer a side;
            "replicate" repeats the image's border, "zero" puts zeros around it, and both return all.
    """

    taps: int
    sigma: float | None = None
    border: Border = "valid"

    @cached_property
    def weights(self) -> Maps:
        """The weights along one axis, (taps,)."""
        offsets = np.arange(self.taps) - self.taps // 2
        weights = np.exp(-(offsets**2) / (2 * self.sigma**2)) if self.sigma else np.ones(self.taps)
        return np.asarray(weights / weights.sum())

    def average(self, image: Maps) -> Maps:
        """Return the weighted mean of an image in each window."""
        outside = cv2.BORDER_CONSTANT if self.border == "zero" else cv2.BORDER_REPLICATE
        if self.sigma is None:
            # Sums of whole numbers are exact this way, so that a window of equal levels has no variance at all.
            size = (self.taps, self.taps)
            means = cv2.boxFilter(image, cv2.CV_64F, size, normalize=False, borderType=outside)
            means = means / self.taps**2
        else:
            means = cv2.sepFilter2D(image, cv2.CV_64F, self.weights, self.weights, borderType=outside)
        margin = self.taps // 2
        kept = slice(margin, -margin) if self.border == "valid" else slice(None)
        return np.asarray(means[kept, kept], np.float64)


@computed_once
def levels(image: ImageArray) -> Maps:
    """Return an image's grey levels as float64."""
    return image.astype(np.float64)


@computed_once
def local_mean(image: Maps, window: Window) -> Maps:
    """Return the mean in each window."""
    centred, centre = _centre(image)
    return _average(centred, window) + centre


@computed_once
def local_covariance(one: Maps, other: Maps, window: Window) -> Maps:
    """Return E[xy] - E[x]E[y] in each window; the variance where both images are one.

    Covariances do not depend on the levels' mean, and without it their rounding error is smaller.
    """
    first, second = _centre(one)[0], _centre(other)[0]
    covariance = window.average(first * second)
    covariance -= _average(first, window) * _average(second, window)
    return covariance


@computed_once
def _centre(image: Maps) -> tuple[Maps, float]:
    """Return an image less its mean, rounded so that whole numbers stay whole, and that mean."""
    centre = round(float(image.mean()))
    return image - centre, centre


@computed_once
def _average(image: Maps, window: Window) -> Maps:
    return window.average(image)


def find_flat_windows(image: ImageArray, taps: int) -> NDArray[np.bool_]:
    """Return where a window of `taps` pixels a side has one level that is not black: (H - taps + 1, W - taps + 1)."""
    window = np.ones((taps, taps), np.uint8)
    flat = (cv2.dilate(image, window) == cv2.erode(image, window)) & (image > 0)
    inside = slice(taps // 2, -(taps // 2))
    return np.asarray(flat[inside, inside], np.bool_)
