"""Metrics of the fused image alone: spatial frequency, standard deviation, average gradient, edge intensity."""

import math

import numpy as np

from metrics.checks import require_grey
from metrics.definitions.correlation import squared_distance
from metrics.histograms import histogram
from metrics.images import ImageArray
from metrics.metric import Metric, rule
from metrics.opencv import cv2

_ROWS = 32  # rows treated at a time, so that intermediate arrays stay in the cache


def spatial_frequency(fused: ImageArray, *, divisor: int = 1, per_pixel: bool = False) -> float:
    """Return the root of the mean squared differences of neighbours, down and across (SF); higher is better.

    Args:
        fused: uint8 (H, W), at least 2x2.
        divisor: What grey levels are divided by first; 255 puts the image on 0-1.
        per_pixel: Divide both sums by H·W rather than by the number of differences in each.

    Reference:
        Eskicioglu, Fisher: "Image quality measures and their performance", IEEE Transactions on
        Communications, 1995.
    """
    require_grey(2, fused=fused)
    height, width = fused.shape
    down = squared_distance(fused[1:], fused[:-1])
    across = squared_distance(fused[:, 1:], fused[:, :-1])
    if per_pixel:
        return math.sqrt((down + across) / (height * width)) / divisor
    return math.sqrt(down / ((height - 1) * width) + across / (height * (width - 1))) / divisor


def standard_deviation(fused: ImageArray, *, saturated: bool = False) -> float:
    """Return the standard deviation of the grey levels (SD), 0 to 127.5; higher is better.

    Args:
        fused: uint8 (H, W).
        saturated: Compute as 8-bit arithmetic does: deviations are rounded, those below zero become 0, squares
            above 255 become 255. The result is no standard deviation; it lies in 0 to 15.97.

    Reference:
        Rao: "In-fibre Bragg grating sensors", Measurement Science and Technology, 1997, as fusion papers cite it.
    """
    require_grey(1, fused=fused)
    counts = histogram(fused)
    levels = np.arange(256)
    deviation = levels - int(counts @ levels) / fused.size
    if saturated:
        deviation = np.floor(np.maximum(deviation, 0) + 0.5)
        return math.sqrt(float(counts @ np.minimum(deviation**2, 255)) / fused.size)
    return math.sqrt(float(counts @ deviation**2) / fused.size)


def average_gradient(fused: ImageArray, *, per_pixel: bool = False) -> float:
    """Return the mean magnitude of the grey-level gradient, over the root of two (AG); higher is better.

    The gradient is central inside and one-sided at the borders (numpy.gradient, MATLAB's gradient).

    Args:
        fused: uint8 (H, W), at least 2x2; the scale is that of grey levels 0-255.
        per_pixel: Divide the sum by H·W rather than by (H-1)·(W-1), although it has H·W terms.

    Reference:
        Cui, Feng, Xu, Li, Chen: "Detail preserved fusion of visible and infrared images using regional
        saliency extraction and multi-scale image decomposition", Optics Communications, 2015.
    """
    require_grey(2, fused=fused)
    height, width = fused.shape
    framed = _mirrored(fused)
    total = 0.0
    for top in range(0, height, _ROWS):
        rows = framed[top : top + _ROWS + 2]
        # Both differences are twice the gradient: integers, exact in float32 together with their squares.
        across = np.subtract(rows[1:-1, 2:], rows[1:-1, :-2], dtype=np.float32)
        down = np.subtract(rows[2:, 1:-1], rows[:-2, 1:-1], dtype=np.float32)
        across *= across
        down *= down
        across += down
        total += float(np.sqrt(across, dtype=np.float64).sum())
    terms: int = height * width if per_pixel else (height - 1) * (width - 1)
    return total / math.sqrt(8) / terms


def edge_intensity(fused: ImageArray) -> float:
    """Return the mean strength of the Sobel gradient (EI); higher is better.

    Args:
        fused: uint8 (H, W); the scale is that of grey levels 0-255, the taps sum to 4 a side, the border is repeated.

    Reference:
        Rajalingam, Priya: "Hybrid multimodality medical image fusion technique for feature enhancement in medical
        diagnosis", International Journal of Engineering Science Invention, 2018, as VIFB cites it.
    """
    require_grey(1, fused=fused)
    across, down = (
        cv2.Sobel(fused, cv2.CV_32F, *order, ksize=3, borderType=cv2.BORDER_REPLICATE) for order in ((1, 0), (0, 1))
    )
    squares = across * across + down * down  # whole numbers below 2^24, exact in float32
    return float(np.sqrt(squares, dtype=np.float64).mean())


def _mirrored(image: ImageArray) -> np.ndarray[tuple[int, int], np.dtype[np.int16]]:
    """Return the image with a frame that turns central differences at the border into twice one-sided ones."""
    framed = np.empty((image.shape[0] + 2, image.shape[1] + 2), np.int16)
    framed[1:-1, 1:-1] = image
    framed[0], framed[-1] = 2 * framed[1] - framed[2], 2 * framed[-2] - framed[-3]
    framed[:, 0], framed[:, -1] = 2 * framed[:, 1] - framed[:, 2], 2 * framed[:, -2] - framed[:, -3]
    return framed


_SF = rule("levels 0-255, about 8 to 20", divisor=1)
_SD = rule("levels 0-255, about 25 to 60", saturated=False)
_AG = rule("grey levels; sum over (H-1)(W-1)")

METRICS = (
    Metric(
        "SF",
        "spatial frequency",
        spatial_frequency,
        "gradient",
        "√(mean (vertical difference)² + mean (horizontal difference)²)",
        "Eskicioglu, Fisher, IEEE T-COM 1995",
        {
            "tang2022": rule("levels 0-1, about 0.03 to 0.08", divisor=255),
            "tang2023": _SF,
            "cddfuse": _SF,
            "vifb": rule("levels 0-255, about 8 to 20; both sums over H·W", per_pixel=True, side_by_side=True),
        },
        sources=False,
        smallest=2,
        paper=True,
    ),
    Metric(
        "SD",
        "standard deviation",
        standard_deviation,
        "information",
        "√(mean (F - mean F)²)",
        "Rao, MST 1997",
        {
            "tang2022": rule("saturating 8-bit arithmetic, about 8 to 11", saturated=True),
            "tang2023": _SD,
            "cddfuse": _SD,
            "vifb": _SD,
        },
        sources=False,
        paper=True,
    ),
    Metric(
        "AG",
        "average gradient",
        average_gradient,
        "gradient",
        "mean √((∂x F)² + (∂y F)²)/√2",
        "Cui et al., Optics Communications 2015",
        {"tang2022": _AG, "tang2023": _AG, "cddfuse": rule("grey levels; mean", per_pixel=True), "vifb": _AG},
        sources=False,
        smallest=2,
        paper=True,
    ),
    Metric(
        "EI",
        "edge intensity",
        edge_intensity,
        "gradient",
        "mean √((Sobel x)² + (Sobel y)²)",
        "Rajalingam, Priya, IJESI 2018",
        {"vifb": rule("grey levels, about 29 to 112")},
        sources=False,
    ),
)
