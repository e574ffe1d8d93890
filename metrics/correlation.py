"""The metric from correlations: SCD."""

import math

import numpy as np

from metrics.checks import require_grey
from metrics.opencv import cv2
from metrics.pictures import Picture


def sum_of_correlations_of_differences(infrared: Picture, visible: Picture, fused: Picture) -> float:
    """Return r(fused - visible, infrared) + r(fused - infrared, visible) (SCD), -2 to 2; higher is better.

    r is Pearson's correlation over all pixels. It is NaN where a difference or a source is constant, as for a
    fused picture that equals a source.

    Args:
        infrared, visible, fused: uint8 (H, W) of one size; the scale does not matter.

    Reference:
        Aslantas, Bendes: "A new image quality metric for image fusion: The sum of the correlations of
        differences", AEU - International Journal of Electronics and Communications, 2015.
    """
    require_grey(1, infrared=infrared, visible=visible, fused=fused)
    count = fused.size
    sums = {name: int(picture.sum(dtype=np.int64)) for name, picture in zip("ivf", (infrared, visible, fused))}
    raise NotImplementedError
