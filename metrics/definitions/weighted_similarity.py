"""Structural similarity to the sources, weighted by which of them has the structure: Q_y, Q_c and Q_w."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.checks import require_grey
from metrics.images import ImageArray
from metrics.metric import Metric, rule
from metrics.opencv import cv2
from metrics.sharing import computed_once
from metrics.windows import Maps, Window, find_flat_windows, levels

_SMALLEST = 11  # pixels a side; the programs refuse smaller images although the window of Q_y and Q_c has seven
_TINY = 2e-16  # the constants of Q_y's and Q_c's similarity, below the rounding of a window's variance
_SIMILAR = 0.75  # similarity of the sources from which on Q_y averages them


class Similarity(NamedTuple):
    """Of two images under each window: their similarity, covariance and variances, (H', W') each."""

    similarity: Maps
    covariance: Maps
    first_variance: Maps
    second_variance: Maps


def structure_preservation(infrared: ImageArray, visible: ImageArray, fused: ImageArray) -> float:
    """Return the structural similarity to both sources where they are alike, to the nearer one elsewhere (Q_y).

    About 0 to 1; higher is better, 1 for a fused image that equals a source. The constants of the similarity are
    smaller than rounding errors: where a window is flat, but not black, in the fused image and in a source, its
    value is chance.

    Args:
        infrared, visible, fused: uint8 (H, W) of one size, at least 11x11.

    Reference:
        Yang, Zhang, Wang, Jiang: "A novel similarity based quality metric for image fusion", Information Fusion, 2008.
    """
    require_grey(_SMALLEST, infrared=infrared, visible=visible, fused=fused)
    sources, first, second = (_tiny_similarity(*pair) for pair in _pairs(infrared, visible, fused))
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = sources.first_variance / (sources.first_variance + sources.second_variance)
        average = weight * first.similarity + (1 - weight) * second.similarity
        quality = np.where(sources.similarity >= _SIMILAR, average, np.fmax(first.similarity, second.similarity))
    return _mean_of_numbers(quality)


def covariance_weighted_similarity(infrared: ImageArray, visible: ImageArray, fused: ImageArray) -> float:
    """Return the structural similarity to both sources, weighted by their covariances with the fused image (Q_c).

    0 to 1; higher is better. The order of the sources matters, visible first: where the weight is negative the value
    is 0, where it is above 1 the value is 1, although the weight should have been cut. Where a window is flat, but
    not black, its weight has the sign of a rounding error. NaN where the fused image is constant.

    Args:
        infrared, visible, fused: uint8 (H, W) of one size, at least 11x11.

    Reference:
        Cvejic, Loza, Bull, Canagarajah: "A similarity metric for assessment of image fusion algorithms",
        International Journal of Signal Processing, 2005.
    """
    require_grey(_SMALLEST, infrared=infrared, visible=visible, fused=fused)
    if fused.min() == fused.max():
        return math.nan  # no covariance anywhere: every weight is 0/0
    _, first, second = (_tiny_similarity(*pair) for pair in _pairs(infrared, visible, fused))
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = first.covariance / (first.covariance + second.covariance)
        quality = weight * first.similarity + (1 - weight) * second.similarity
    quality[weight < 0] = 0
    quality[weight > 1] = 1
    return _mean_of_numbers(quality)


def edge_similarity(infrared: ImageArray, visible: ImageArray, fused: ImageArray) -> float:
    """Return the saliency-weighted similarity of edge images to both sources' (Q_w as MEFB prints it), 0 to 1.

    Higher is better. MEFB's Q_w is Piella and Heijmans' weighted index of the images' Prewitt gradients, not of the
    images: 0.74 to 1.04 times the published Q_w. NaN where both sources are constant.

    Args:
        infrared, visible, fused: uint8 (H, W) of one size, at least 11x11.

    Reference:
        Piella, Heijmans: "A new quality metric for image fusion", ICIP, 2003, equation 5.
    """
    require_grey(_SMALLEST, infrared=infrared, visible=visible, fused=fused)
    edges = [_prewitt(image) for image in (visible, infrared, fused)]
    window = Window(11, 1.5)
    first, second = (_similarity(source, edges[2], window, 6.5025, 58.5225) for source in edges[:2])
    one, other = first.first_variance, second.first_variance
    total = one + other
    weight = np.divide(one, total, out=np.full_like(one, 0.5), where=total != 0)
    saliency = np.maximum(one, other)
    quality = weight * first.similarity + (1 - weight) * second.similarity
    whole = float(saliency.sum())
    return float((saliency * quality).sum()) / whole if whole else math.nan


def _rounding_decides_q_y(infrared: ImageArray, visible: ImageArray, fused: ImageArray) -> bool:
    """Return whether a window is flat, but not black, in the fused image and in a source."""
    return bool((_flat(fused) & (_flat(infrared) | _flat(visible))).any())


def _rounding_decides_q_c(infrared: ImageArray, visible: ImageArray, fused: ImageArray) -> bool:
    """Return whether a window is flat, but not black, in any of the images."""
    return bool((_flat(infrared) | _flat(visible) | _flat(fused)).any())


def _flat(image: ImageArray) -> NDArray[np.bool_]:
    return find_flat_windows(image, 7)


def _pairs(infrared: ImageArray, visible: ImageArray, fused: ImageArray) -> list[tuple[ImageArray, ImageArray]]:
    return [(visible, infrared), (visible, fused), (infrared, fused)]


@computed_once
def _tiny_similarity(one: ImageArray, other: ImageArray) -> Similarity:
    return _similarity(levels(one), levels(other), Window(7, 1.5), _TINY, _TINY)


def _similarity(one: Maps, other: Maps, window: Window, luminance: float, contrast: float) -> Similarity:
    """Return the structural similarity of two images for given constants, and its components."""
    # Not from centred levels, as `metrics.windows` has them: the programs' rounding errors decide flat windows.
    one_mean, other_mean = window.average(one), window.average(other)
    one_variance = window.average(one * one) - one_mean**2
    other_variance = window.average(other * other) - other_mean**2
    covariance = window.average(one * other) - one_mean * other_mean
    with np.errstate(invalid="ignore", divide="ignore"):
        similarity = (2 * one_mean * other_mean + luminance) * (2 * covariance + contrast)
        similarity /= (one_mean**2 + other_mean**2 + luminance) * (one_variance + other_variance + contrast)
    return Similarity(similarity, covariance, one_variance, other_variance)


def _prewitt(image: ImageArray) -> Maps:
    ones, difference = np.ones(3), np.array([1.0, 0.0, -1.0])
    across = cv2.sepFilter2D(levels(image), cv2.CV_64F, difference, ones, borderType=cv2.BORDER_CONSTANT)
    down = cv2.sepFilter2D(levels(image), cv2.CV_64F, ones, difference, borderType=cv2.BORDER_CONSTANT)
    magnitude: Maps = np.sqrt(np.asarray(across) ** 2 + np.asarray(down) ** 2)
    return magnitude


def _mean_of_numbers(values: Maps) -> float:
    numbers = values[~np.isnan(values)]
    return float(numbers.mean()) if numbers.size else math.nan


METRICS = (
    Metric(
        "Q_y",
        "structure preservation (Yang)",
        structure_preservation,
        "structure",
        "mean of λ SSIM(V, F) + (1 - λ) SSIM(I, F) where SSIM(V, I) ≥ 0.75, else of the larger one",
        "Yang et al., Information Fusion 2008",
        {"mefb": rule("about 0 to 1; 7x7 Gaussian window, σ 1.5")},
        smallest=_SMALLEST,
        undefined="both sources are black",
        rests_on_rounding=_rounding_decides_q_y,
    ),
    Metric(
        "Q_c",
        "covariance-weighted similarity (Cvejic)",
        covariance_weighted_similarity,
        "structure",
        "mean of λ SSIM(V, F) + (1 - λ) SSIM(I, F), λ = cov(V, F)/(cov(V, F) + cov(I, F))",
        "Cvejic et al., IJSP 2005",
        {"mefb": rule("0 to 1; visible first, exchanging the sources changes it by up to 35 %")},
        smallest=_SMALLEST,
        undefined="the fused image is constant",
        symmetric=False,
        rests_on_rounding=_rounding_decides_q_c,
    ),
    Metric(
        "Q_w",
        "edge-weighted similarity (Piella and Heijmans), its edge form",
        edge_similarity,
        "structure",
        "Σ c (λ SSIM(|∇V|, |∇F|) + (1 - λ) SSIM(|∇I|, |∇F|)) / Σ c, c = max variance of |∇S|",
        "Piella, Heijmans, ICIP 2003",
        {"mefb": rule("0 to 1; of Prewitt edges, not of the images: 0.74 to 1.04 times the published Q_w")},
        smallest=_SMALLEST,
        undefined="both sources are constant",
    ),
)
