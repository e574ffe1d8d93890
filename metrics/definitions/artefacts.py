"""Fusion artefacts (N_abf): edges of the fused image that neither source has."""

import math

import numpy as np
from numpy.typing import NDArray

from metrics.checks import require_grey
from metrics.images import ImageArray
from metrics.metric import Metric, rule
from metrics.sharing import computed_once

Maps = NDArray[np.float64]

_THRESHOLD = 2.0  # gradient from which an edge counts by its strength
_FLAT_WEIGHT = 0.001


def fusion_artefacts(
    infrared: ImageArray,
    visible: ImageArray,
    fused: ImageArray,
    *,
    divisor: int = 1,
    flat_weight: float = _FLAT_WEIGHT,
    infrared_as_fused: bool = False,
) -> float:
    """Return the share of edge information that fusion invented (N_abf), 0 to 1; lower is better.

    Where the fused image's gradient exceeds both sources', what is lost of theirs counts as artefact, weighted by
    the sources' gradients.

    Args:
        infrared, visible, fused: uint8 (H, W) of one size, at least 2x2.
        divisor: What grey levels are divided by first. With 255 no gradient reaches the threshold of 2, so that all
            edges weigh alike whatever their strength.
        flat_weight: The weight of gradients below that threshold.
        infrared_as_fused: Take the infrared image for the result of fusing the visible with the fused one, as a
            program does that exchanges its arguments. Its value says little about the fused image.

    Reference:
        Petrovic, Xydeas: "Objective image fusion performance characterisation", ICCV 2005; in the form of
        Shreyamsha Kumar: "Multifocus and multispectral image fusion based on pixel significance using discrete
        cosine harmonic wavelet transform", Signal, Image and Video Processing, 2013.
    """
    require_grey(2, infrared=infrared, visible=visible, fused=fused)
    sources, result = ((visible, fused), infrared) if infrared_as_fused else ((infrared, visible), fused)
    strength, _ = _gradients(result, divisor)
    invented = np.logical_and(*(strength > _gradients(source, divisor)[0] for source in sources))
    lost = total = 0.0
    for source in sources:
        source_strength = _gradients(source, divisor)[0]
        weight = np.where(source_strength >= _THRESHOLD, source_strength**1.5, flat_weight)
        kept = _preserved(
            *(angles[invented] for angles in (*_gradients(source, divisor), *_gradients(result, divisor)))
        )
        lost += float(((1 - kept) * weight[invented]).sum())
        total += float(weight.sum())
    return lost / total if total else math.nan


@computed_once
def _gradients(image: ImageArray, divisor: int) -> tuple[Maps, Maps]:
    """Return Sobel gradients' strength, an eighth of the taps' sums, and angle, ±π/2 at most.

    The border is mirrored without its own pixels. Sums run down the kernel's columns first: on levels of k/255 the
    rounding decides whether two gradients count as equal.
    """
    framed = np.pad(image.astype(np.float64) / divisor, 1, "reflect")
    above, middle, below = framed[:-2], framed[1:-1], framed[2:]
    columns = (above + 2 * middle) + below
    across = columns[:, 2:] - columns[:, :-2]
    steps = below - above
    down = (steps[:, :-2] + 2 * steps[:, 1:-1]) + steps[:, 2:]
    with np.errstate(divide="ignore", invalid="ignore"):
        angle = np.arctan(across / down)
    angle[np.isnan(angle)] = 0
    return np.sqrt(across**2 + down**2) / 8, angle


def _preserved(source: Maps, source_angle: Maps, fused: Maps, fused_angle: Maps) -> Maps:
    """Return how well strength and direction of a source's edge survive, where the fused one is stronger."""
    ratio = source / fused
    alignment = np.abs(np.abs(source_angle - fused_angle) - np.pi / 2) * (2 / np.pi)
    quality = 0.9999 / (1 + np.exp(-19 * (ratio - 0.5)))
    quality *= 0.9995 / (1 + np.exp(-22 * (alignment - 0.5)))
    return np.sqrt(quality)


METRICS = (
    Metric(
        "N_abf",
        "fusion artefacts",
        fusion_artefacts,
        "gradient",
        "Σ over |∇F| > |∇A|, |∇B| of Σ over S of (1 - Q(S, F))w(S), divided by Σ over S of Σ w(S)",
        "Petrovic, Xydeas, ICCV 2005; Shreyamsha Kumar, SIViP 2013",
        {
            "tang2022": rule("0 to 1; gradients of levels 0-1, all edges weigh alike, about 0.002 to 0.7", divisor=255),
            "tang2023": rule(
                "0 to 1; arguments exchanged: scores the infrared image as if fused, about 0.002 to 0.08",
                infrared_as_fused=True,
            ),
            "metric_python": rule("0 to 1; as kumar2013, no weight below the threshold", flat_weight=0.0),
            "kumar2013": rule("0 to 1; gradients of levels 0-255, as published"),
        },
        higher_is_better=False,
        smallest=2,
        undefined="both sources are flat",
        symmetric=False,
    ),
)
