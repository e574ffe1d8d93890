"""Grey-level histograms, computed once for all metrics of an image triple."""

import numpy as np
from numpy.typing import NDArray

from metrics.images import ImageArray
from metrics.sharing import computed_once

Counts = NDArray[np.intp]


@computed_once
def histogram(image: ImageArray) -> Counts:
    """Return how many pixels of a uint8 image have each level: (256,)."""
    return np.bincount(image.ravel(), minlength=256)


@computed_once
def joint_histogram(source: ImageArray, fused: ImageArray) -> Counts:
    """Return how many pixels have each pair of levels: (256, 256), the source's down, the fused image's across."""
    pairs = np.left_shift(source, 8, dtype=np.uint16)
    pairs |= fused
    return np.bincount(pairs.ravel(), minlength=65536).reshape(256, 256)
