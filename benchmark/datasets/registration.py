"""Estimate the shift between the two images of a pair."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.images import ImageArray, grey
from metrics.opencv import cv2


class Shift(NamedTuple):
    """How far the visible image lies from the infrared one.

    Attributes:
        x, y: In pixels, to the right and down.
        response: Share of the correlation that lies in its peak, 0 to 1: how sure the estimate is.
    """

    x: float
    y: float
    response: float

    @property
    def length(self) -> float:
        """The shift's length in pixels."""
        return float(np.hypot(self.x, self.y))


def estimate_shift(infrared: ImageArray, visible: ImageArray) -> Shift:
    """Return the shift of a pair by phase correlation of gradients, which both bands share where levels differ.

    Args:
        infrared, visible: uint8 images of one size, (H, W) or (H, W, 3) RGB.

    Reference: Kuglin and Hines, "The phase correlation image alignment method", 1975; `cv2.phaseCorrelate`.
    """
    first, second = _gradients(infrared), _gradients(visible)
    window = cv2.createHanningWindow((first.shape[1], first.shape[0]), cv2.CV_64F)
    (x, y), response = cv2.phaseCorrelate(first, second, window)
    return Shift(float(x), float(y), float(response))


def _gradients(image: ImageArray) -> NDArray[np.float64]:
    smooth = cv2.GaussianBlur(grey(image).astype(np.float64), (0, 0), 1.0)
    return np.asarray(np.hypot(cv2.Sobel(smooth, cv2.CV_64F, 1, 0), cv2.Sobel(smooth, cv2.CV_64F, 0, 1)))
