"""Metrics that weigh frequencies as the eye does: Q_cb and Q_cv."""

import math

import numpy as np

from metrics.checks import require_grey
from metrics.definitions.frequency import filtered, radial_frequencies, stretched
from metrics.images import ImageArray
from metrics.metric import Metric, rule
from metrics.opencv import cv2
from metrics.sharing import computed_once
from metrics.windows import Maps

_BLOCK = 16  # pixels a side of the blocks of Q_cv


def contrast_preservation(infrared: ImageArray, visible: ImageArray, fused: ImageArray, *, unit: bool = False) -> float:
    """Return how much of the sources' local contrast the fused image preserves (Q_cb), 0 to 1; higher is better.

    Levels are stretched to 0-255 and filtered by the eye's contrast sensitivity; the contrast at a pixel compares two
    Gaussian blurs and is compressed as by contrast masking. NaN where an image is constant, or where a contrast is
    exactly zero, because the programs then multiply infinity by zero.

    Args:
        infrared, visible, fused: uint8 (H, W) of one size.
        unit: Divide levels by 255 before they are stretched.

    Reference:
        Chen, Blum: "A new automated quality assessment algorithm for image fusion", Image and Vision Computing, 2009.
    """
    require_grey(1, infrared=infrared, visible=visible, fused=fused)
    first, second, seen = (_masked_contrast(image, unit=unit) for image in (visible, infrared, fused))
    if not all(contrast.min() > 0 for contrast in (first, second, seen)):  # false for NaN as well
        return math.nan
    weight = first**2 / (first**2 + second**2)
    preserved = [np.minimum(source, seen) / np.maximum(source, seen) for source in (first, second)]
    return float((weight * preserved[0] + (1 - weight) * preserved[1]).mean())


@computed_once
def _masked_contrast(image: ImageArray, *, unit: bool) -> Maps:
    """Return the contrast at each pixel after masking (Chen and Blum, equations 5 to 8): (H, W)."""
    radius = radial_frequencies(image.shape, 30)
    response = np.exp(-((radius / 15.3870) ** 2)) - 0.7622 * np.exp(-((radius / 1.3456) ** 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        levels = filtered(stretched(image, unit=unit), response)
        contrast = np.abs(_blurred(levels, 2) / _blurred(levels, 4) - 1)
        masked: Maps = contrast**3 / (contrast**2 + 1e-4)
    return masked


def _blurred(image: Maps, sigma: int) -> Maps:
    # The window is cut at 15 pixels and not brought to unit sum, as in the programs: the wider one loses its tails.
    offsets = np.arange(-15, 16)
    window = np.exp(-(offsets**2) / (2 * sigma**2)) / math.sqrt(2 * math.pi * sigma**2)
    return np.asarray(cv2.sepFilter2D(image, cv2.CV_64F, window, window, borderType=cv2.BORDER_CONSTANT))


def perceived_error(infrared: ImageArray, visible: ImageArray, fused: ImageArray) -> float:
    """Return the squared error to the sources as the eye sees it, weighted by their edges (Q_cv); lower is better.

    From 0, typically 200 to 800. Levels are stretched to 0-255. Blocks of 16x16 pixels count by the fifth power of
    the sources' gradients, so few strong edges decide. NaN where an image is constant but not black, or where both
    sources are.

    Args:
        infrared, visible, fused: uint8 (H, W) of one size.

    Reference:
        Chen, Varshney: "A human perception inspired quality metric for image fusion based on regional information",
        Information Fusion, 2007; contrast sensitivity by Mannos and Sakrison, 1974.
    """
    require_grey(1, infrared=infrared, visible=visible, fused=fused)
    radius = 0.144 * radial_frequencies(fused.shape, 8)
    response = 2.6 * (0.0192 + radius) * np.exp(-(radius**1.1))
    errors = weights = 0.0
    for source in (visible, infrared):
        levels = stretched(source)
        saliency = _block_sums(_sobel(levels) ** 5)
        visible_error = _block_sums(filtered(levels - stretched(fused), response) ** 2) / _BLOCK**2
        errors += float((saliency * visible_error).sum())
        weights += float(saliency.sum())
    return errors / weights if weights else math.nan


def _sobel(image: Maps) -> Maps:
    smooth, difference = np.array([1.0, 2.0, 1.0]), np.array([-1.0, 0.0, 1.0])
    across = cv2.sepFilter2D(image, cv2.CV_64F, difference, smooth, borderType=cv2.BORDER_CONSTANT)
    down = cv2.sepFilter2D(image, cv2.CV_64F, smooth, difference, borderType=cv2.BORDER_CONSTANT)
    magnitude: Maps = np.sqrt(np.asarray(across) ** 2 + np.asarray(down) ** 2)
    return magnitude


def _block_sums(image: Maps) -> Maps:
    """Return the sums of blocks from the top left corner; the last ones are filled up with zeros."""
    starts = [np.arange(0, side, _BLOCK) for side in image.shape]
    sums: Maps = np.add.reduceat(np.add.reduceat(image, starts[0], axis=0), starts[1], axis=1)
    return sums


_CONTRAST = "0 to 1, about 0.3 to 0.7; levels stretched to 0-255"
_ERROR = rule("grey levels squared, about 100 to 3000; levels stretched to 0-255")

METRICS = (
    Metric(
        "Q_cb",
        "contrast preservation (Chen and Blum)",
        contrast_preservation,
        "perception",
        "mean of λ min(C, C_F)/max(C, C_F) over both sources, C the masked local contrast",
        "Chen, Blum, Image and Vision Computing 2009",
        {"vifb": rule(_CONTRAST), "mefb": rule(f"{_CONTRAST}, from levels 0-1", unit=True)},
        undefined="an image is constant",
    ),
    Metric(
        "Q_cv",
        "perceived error (Chen and Varshney)",
        perceived_error,
        "perception",
        "Σ over S and blocks of λ mean (CSF * (S - F))², divided by Σ λ, λ = Σ |∇S|⁵",
        "Chen, Varshney, Information Fusion 2007",
        {"vifb": _ERROR, "mefb": _ERROR},
        higher_is_better=False,
        undefined="an image is constant",
    ),
)
