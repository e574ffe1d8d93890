"""Mutual information brought to a fixed range: NMI and Q_ncie, on levels stretched to 0-255."""

import math

import numpy as np
from numpy.typing import NDArray

from metrics.checks import require_grey
from metrics.definitions.frequency import stretched
from metrics.images import ImageArray
from metrics.metric import Metric, rule
from metrics.sharing import computed_once


def normalised_mutual_information(infrared: ImageArray, visible: ImageArray, fused: ImageArray) -> float:
    """Return the mutual information with each source over the sum of both entropies, doubled (NMI), 0 to 2.

    Higher is better. NaN where an image is constant but not black, or the fused image and a source both are black.

    Args:
        infrared, visible, fused: uint8 (H, W) of one size.

    Reference:
        Hossny, Nahavandi, Creighton: "Comments on 'Information measure for performance of image fusion'",
        Electronics Letters, 2008.
    """
    require_grey(1, infrared=infrared, visible=visible, fused=fused)
    total = 0.0
    for source in (visible, infrared):
        own, other, joint = _entropies(source, fused)
        total += 2 * (own + other - joint) / (own + other) if own + other else math.nan
    return total


def nonlinear_correlation_information(infrared: ImageArray, visible: ImageArray, fused: ImageArray) -> float:
    """Return the nonlinear correlation information entropy of the three images (Q_ncie), 0.80 to 1.

    Higher is better; natural images lie within 0.803 and 0.85. NaN where an image is constant but not black.

    Args:
        infrared, visible, fused: uint8 (H, W) of one size.

    Reference:
        Wang, Shen, Jin: "Performance evaluation of image fusion techniques", in Image Fusion: Algorithms and
        Applications, 2008.
    """
    require_grey(1, infrared=infrared, visible=visible, fused=fused)
    correlations = np.eye(3)
    for (row, one), (column, other) in (
        ((0, visible), (1, infrared)),
        ((0, visible), (2, fused)),
        ((1, infrared), (2, fused)),
    ):
        own, seen, joint = _entropies(one, other)
        correlations[row, column] = correlations[column, row] = (own + seen - joint) / 8  # entropies to the base 256
    if np.isnan(correlations).any():
        return math.nan
    shares = np.linalg.eigvalsh(correlations) / 3
    shares = shares[shares > 0]
    return 1 + float((shares * np.log2(shares)).sum()) / 8


@computed_once
def _entropies(one: ImageArray, other: ImageArray) -> tuple[float, float, float]:
    """Return the entropies in bits of two images' stretched levels, and that of both together."""
    levels = stretched(one), stretched(other)
    if any(np.isnan(image[0, 0]) for image in levels):
        return math.nan, math.nan, math.nan
    pairs = levels[0].astype(np.uint16) * 256 + levels[1].astype(np.uint16)
    joint = np.bincount(pairs.ravel(), minlength=65536).reshape(256, 256)
    return _entropy(joint.sum(axis=1)), _entropy(joint.sum(axis=0)), _entropy(joint)


def _entropy(counts: NDArray[np.intp]) -> float:
    shares = counts[counts > 0] / counts.sum()
    return -float((shares * np.log2(shares)).sum())


METRICS = (
    Metric(
        "NMI",
        "normalised mutual information",
        normalised_mutual_information,
        "information",
        "2 Σ over S of MI(S, F)/(H(S) + H(F))",
        "Hossny et al., Electronics Letters 2008",
        {"mefb": rule("0 to 2, about 0.3 to 0.8; levels stretched to 0-255")},
        undefined="an image is constant",
    ),
    Metric(
        "Q_ncie",
        "nonlinear correlation information entropy",
        nonlinear_correlation_information,
        "information",
        "1 + Σ (r/3) log256(r/3), r the eigenvalues of the matrix of MI/8 of the three images",
        "Wang, Shen, Jin 2008",
        {"mefb": rule("0.80 to 1, about 0.803 to 0.85; levels stretched to 0-255")},
        undefined="an image is constant",
    ),
)
