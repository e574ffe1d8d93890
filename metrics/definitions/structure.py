"""Structural similarity (SSIM and MS_SSIM): of the fused image to each source, or to what both sources show at best."""

import math
from typing import Literal

import numpy as np

from metrics.checks import require_grey
from metrics.images import ImageArray
from metrics.metric import Metric, rule
from metrics.opencv import cv2
from metrics.sharing import computed_once
from metrics.windows import Border, Maps, Window, levels, local_covariance, local_mean

_TAPS, _SIGMA = 11, 1.5  # of the Gaussian window of all programs but one
_GAUSSIAN, _BOX = Window(_TAPS, _SIGMA), Window(_TAPS)
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_SMALLEST_EXPOSURE = 44  # pixels a side; two halvings leave one window
_SMALLEST_FIVE_SCALES = 161
_EPSILON = 2.0**-52


def structural_similarity(
    infrared: ImageArray,
    visible: ImageArray,
    fused: ImageArray,
    *,
    dynamic_range: float = 255,
    window: Literal["gaussian", "box"] = "gaussian",
    border: Border = "valid",
    total: Literal["sum", "mean"] = "sum",
) -> float:
    """Return the structural similarity of the fused image to both sources (SSIM); higher is better.

    1 (mean) or 2 (sum) where the fused image equals both sources.

    Args:
        infrared, visible, fused: uint8 (H, W) of one size, at least as wide as the window where its border is
            "valid".
        dynamic_range: L in the constants (0.01 L)² and (0.03 L)². 255 is that of the levels; programs that give
            another one punish small differences of dark and flat areas more.
        window: Gaussian of 11x11 pixels with sigma 1.5 and population variances, or 7x7 equal weights with sample
            variances.
        border: "valid" leaves out windows that reach over the border; "replicate" repeats the border's pixels.
        total: Whether the two similarities are summed or averaged.

    Reference:
        Wang, Bovik, Sheikh, Simoncelli: "Image quality assessment: From error visibility to structural similarity",
        IEEE Transactions on Image Processing, 2004.
    """
    shape = Window(_TAPS, _SIGMA, border) if window == "gaussian" else Window(7, None, border)
    require_grey(shape.taps if border == "valid" else 1, infrared=infrared, visible=visible, fused=fused)
    similarities = [
        float(_similarity(levels(s), levels(fused), shape, dynamic_range)[0].mean()) for s in (infrared, visible)
    ]
    return sum(similarities) / (1 if total == "sum" else 2)


def exposure_similarity(infrared: ImageArray, visible: ImageArray, fused: ImageArray) -> float:
    """Return how like the fused image is to the structure that both sources suggest in each window (SSIM), up to 1.

    The suggested structure is the sources' patches, weighted by their contrast and scaled to the stronger one; the
    mean level does not count. Made for images of several exposures (MEF-SSIM). Higher is better.

    Args:
        infrared, visible, fused: uint8 (H, W) of one size, at least 11x11.

    Reference:
        Ma, Zeng, Wang: "Perceptual quality assessment for multi-exposure image fusion", IEEE Transactions on Image
        Processing, 2015.
    """
    require_grey(_TAPS, infrared=infrared, visible=visible, fused=fused)
    return _exposure_similarity(levels(infrared), levels(visible), levels(fused))


def multiscale_exposure_similarity(infrared: ImageArray, visible: ImageArray, fused: ImageArray) -> float:
    """Return the weighted geometric mean of `exposure_similarity` at three scales (MS_SSIM), up to 1.

    Higher is better. NaN where a scale's similarity is negative.

    Args:
        infrared, visible, fused: uint8 (H, W) of one size, at least 44x44.

    Reference:
        Ma, Zeng, Wang, 2015; see `exposure_similarity`.
    """
    require_grey(_SMALLEST_EXPOSURE, infrared=infrared, visible=visible, fused=fused)
    images = [levels(image) for image in (infrared, visible, fused)]
    weights = np.array(_SCALE_WEIGHTS[:3]) / sum(_SCALE_WEIGHTS[:3])
    product = 1.0
    for scale, weight in enumerate(weights.tolist()):
        if scale:
            images = [_halve(image, "edge", (0, 1)) for image in images]
        similarity = _exposure_similarity(*images)
        if similarity < 0:
            return math.nan
        product *= similarity**weight
    return product


def multiscale_structural_similarity(
    infrared: ImageArray, visible: ImageArray, fused: ImageArray, *, dynamic_range: float = 255
) -> float:
    """Return the structural similarity over five scales, summed over both sources (MS_SSIM), 0 to 2.

    Higher is better. A scale whose contrast and structure disagree on the whole makes a source's value 0.

    Args:
        infrared, visible, fused: uint8 (H, W) of one size, at least 161x161.
        dynamic_range: See `structural_similarity`.

    Reference:
        Wang, Simoncelli, Bovik: "Multiscale structural similarity for image quality assessment", Asilomar
        Conference, 2003.
    """
    require_grey(_SMALLEST_FIVE_SCALES, infrared=infrared, visible=visible, fused=fused)
    scales = [[levels(image) for image in (infrared, visible, fused)]]
    while len(scales) < len(_SCALE_WEIGHTS):
        scales.append([_halve(image, "constant", (1, 1)) for image in scales[-1]])
    total = 0.0
    for source in range(2):
        product = 1.0
        for scale, (images, weight) in enumerate(zip(scales, _SCALE_WEIGHTS, strict=True)):
            similarity, contrast = _similarity(images[source], images[2], _GAUSSIAN, dynamic_range)
            last = scale == len(scales) - 1
            product *= max(float((similarity if last else contrast).mean()), 0.0) ** weight
        total += product
    return total


def _similarity(source: Maps, fused: Maps, window: Window, dynamic_range: float) -> tuple[Maps, Maps]:
    """Return the maps of the structural similarity and of its part without the mean levels."""
    luminance, contrast = (0.01 * dynamic_range) ** 2, (0.03 * dynamic_range) ** 2
    # Sample variances, where weights are equal; population variances under a Gaussian.
    scale = 1.0 if window.sigma else window.taps**2 / (window.taps**2 - 1)
    variances = scale * (local_covariance(source, source, window) + local_covariance(fused, fused, window))
    structure: Maps = 2 * scale * local_covariance(source, fused, window)
    structure += contrast
    structure /= variances + contrast
    one, other = local_mean(source, window), local_mean(fused, window)
    return structure * (2 * one * other + luminance) / (one**2 + other**2 + luminance), structure


@computed_once
def _exposure_similarity(infrared: Maps, visible: Maps, fused: Maps) -> float:
    """Return MEF-SSIM of one scale.

    In a window the suggested structure is a₁c₁ + a₂c₂, with c a source's patch less its mean. So its moments follow
    from those of the images, and no patch is ever cut out.
    """
    first, second = _suggested_shares(infrared, visible)
    spread = first**2 * local_covariance(infrared, infrared, _GAUSSIAN)
    spread += 2 * first * second * local_covariance(infrared, visible, _GAUSSIAN)
    spread += second**2 * local_covariance(visible, visible, _GAUSSIAN)
    spread += local_covariance(fused, fused, _GAUSSIAN)
    common = first * local_covariance(infrared, fused, _GAUSSIAN)
    common += second * local_covariance(visible, fused, _GAUSSIAN)
    constant = (0.03 * 255) ** 2
    return float(((2 * common + constant) / (spread + constant)).mean())


def _suggested_shares(infrared: Maps, visible: Maps) -> tuple[Maps, Maps]:
    """Return the factors of both sources' patches in the structure that they suggest."""
    count = _TAPS**2
    energies = [np.maximum(count * local_covariance(source, source, _BOX), 0) for source in (infrared, visible)]
    shared = count * local_covariance(infrared, visible, _BOX)
    norms = [np.sqrt(energy) for energy in energies]
    # 1 where the patches are alike but for contrast, towards 0 where they contradict each other.
    agreement = np.sqrt(np.maximum(energies[0] + energies[1] + 2 * shared, 0)) + _EPSILON
    agreement /= norms[0] + norms[1] + _EPSILON
    power = np.minimum(np.tan(np.pi / 2 * np.minimum(agreement, 1 - _EPSILON)), 10)
    contrasts = [norm + 0.001 for norm in norms]
    weights = [(contrast / _TAPS) ** power + _EPSILON for contrast in contrasts]
    total = weights[0] + weights[1]
    first, second = (weight / (total * contrast) for weight, contrast in zip(weights, contrasts, strict=True))
    energy = first**2 * energies[0] + 2 * first * second * shared + second**2 * energies[1]
    scale = np.ones_like(energy)
    np.divide(np.maximum(*contrasts), np.sqrt(np.maximum(energy, 0)), out=scale, where=energy > 0)
    return first * scale, second * scale


@computed_once
def _halve(image: Maps, padding: Literal["edge", "constant"], sides: tuple[int, int]) -> Maps:
    """Return means of 2x2 pixels; an odd side is first extended, `sides` before and after it."""
    extended = np.pad(image, [sides if side % 2 else (0, 0) for side in image.shape], padding)
    rows, columns = extended.shape[0] // 2, extended.shape[1] // 2
    halved = cv2.resize(extended[: 2 * rows, : 2 * columns], (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(halved, np.float64)


_EXPOSURE = rule("MEF-SSIM, one number for both sources, at most 1, about 0.72 to 0.97", function=exposure_similarity)
_MS_EXPOSURE = rule(
    "MEF-SSIM at three scales, at most 1, about 0.71 to 0.98",
    function=multiscale_exposure_similarity,
    smallest=_SMALLEST_EXPOSURE,
)

METRICS = (
    Metric(
        "SSIM",
        "structural similarity",
        structural_similarity,
        "structure",
        "Σ over S of mean (2μSμF + C1)(2σSF + C2)/((μ²S + μ²F + C1)(σ²S + σ²F + C2))",
        "Wang et al., IEEE TIP 2004; MEF-SSIM: Ma, Zeng, Wang, IEEE TIP 2015",
        {
            "tang2022": _EXPOSURE,
            "tang2023": rule(
                "mean over both sources, L = 1 on levels 0-255, at most 1, about 0.29 to 0.76",
                dynamic_range=1,
                border="replicate",
                total="mean",
                smallest=1,
            ),
            "cddfuse": rule(
                "sum over both sources, L = 2 on levels 0-255, 7x7 window, at most 2, about 0.58 to 1.55",
                dynamic_range=2,
                window="box",
                smallest=7,
            ),
            "vifb": rule("sum over both sources, L = 255, at most 2, about 1.07 to 1.70"),
            "metric_python": rule(
                "sum over both sources, L = 1 on levels 0-255, at most 2, about 0.58 to 1.54", dynamic_range=1
            ),
        },
        smallest=_TAPS,
    ),
    Metric(
        "MS_SSIM",
        "multi-scale structural similarity",
        multiscale_structural_similarity,
        "structure",
        "Π over scales of SSIM to a weight",
        "Wang, Simoncelli, Bovik, Asilomar 2003; MEF-SSIM: Ma, Zeng, Wang, IEEE TIP 2015",
        {
            "tang2022": _MS_EXPOSURE,
            "tang2023": _MS_EXPOSURE,
            "metric_python": rule(
                "sum over both sources, five scales, L = 1 on levels 0-255, at most 2, about 0.36 to 1.73",
                dynamic_range=1,
            ),
        },
        smallest=_SMALLEST_FIVE_SCALES,
        undefined="the similarity of a scale is negative",
    ),
)
