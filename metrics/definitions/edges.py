"""Edge preservation (Q_abf): how much of the sources' gradients the fused image keeps."""

import math

import numpy as np
from numpy.typing import NDArray

from metrics.checks import require_grey
from metrics.images import ImageArray
from metrics.metric import Metric, rule

_ROWS = 16  # rows treated at a time, so that intermediate arrays stay in the cache

Maps = NDArray[np.float64]


def edge_preservation(infrared: ImageArray, visible: ImageArray, fused: ImageArray, *, divisor: int = 1) -> float:
    """Return how well strength and direction of the sources' edges survive in the fused image (Q_abf).

    0 to 0.987; higher is better. NaN where both sources are black all over.

    Args:
        infrared, visible, fused: uint8 (H, W) of one size.
        divisor: What grey levels are divided by first. Mathematically it cancels; but with 255 the tests for equal
            and for zero gradients meet rounding noise, and programs that work on 0-1 owe their values to it.

    Reference:
        Xydeas, Petrovic: "Objective image fusion performance measure", Electronics Letters, 2000, with L = 1.
    """
    require_grey(1, infrared=infrared, visible=visible, fused=fused)
    framed = np.pad(np.stack([infrared, visible, fused]), ((0, 0), (1, 1), (1, 1)))
    kept = total = 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        for top in range(0, len(fused), _ROWS):
            block = framed[:, top : top + _ROWS + 2].astype(np.float64)
            if divisor != 1:
                block /= divisor
            strength, angle = _gradients(block)
            kept += float((_preserved(strength, angle) * strength[:2]).sum())
            total += float(strength[:2].sum())
    return kept / total if total else math.nan


def _gradients(block: Maps) -> tuple[Maps, Maps]:
    """Return Sobel gradients' strength and angle, (K, H, W), of (K, H + 2, W + 2) levels.

    The taps are summed one by one, down the kernel's columns, as MATLAB's conv2 does: on levels of k/255 the
    rounding of each partial sum decides whether two gradients count as equal.
    """
    above, below = block[:, :-2], block[:, 2:]
    twice = 2 * block
    column = below + twice[:, 1:-1]
    column += above
    across = below[:, :, :-2] - column[:, :, 2:]
    across += twice[:, 1:-1, :-2]
    across += above[:, :, :-2]
    down = below[:, :, 2:] - above[:, :, 2:]
    down += twice[:, 2:, 1:-1]
    down -= twice[:, :-2, 1:-1]
    down += below[:, :, :-2]
    down -= above[:, :, :-2]
    angle = down / across
    np.arctan(angle, out=angle)
    np.copyto(angle, np.pi / 2, where=across == 0)
    across *= across
    down *= down
    across += down
    return np.sqrt(across, out=across), angle


def _preserved(strength: Maps, angle: Maps) -> Maps:
    """Return the share of each source's edge that is kept, (2, H, W), from sources and fused image (3, H, W)."""
    source, fused = strength[:2], strength[2]
    ratio: Maps = np.minimum(source, fused)
    ratio /= np.maximum(source, fused)
    np.copyto(ratio, fused, where=source == fused)
    ratio -= 0.5
    ratio *= -15
    np.exp(ratio, out=ratio)
    ratio += 1
    # The alignment 1 - |difference| / (pi/2) has no wrap-around: it reaches -1 for opposite diagonals.
    turn = angle[:2] - angle[2]
    np.abs(turn, out=turn)
    turn *= 22 / (np.pi / 2)
    turn -= 22 * (1 - 0.8)
    np.exp(turn, out=turn)
    turn += 1
    ratio *= turn
    np.divide(0.9994 * 0.9879, ratio, out=ratio)
    return ratio


_QABF = rule("0 to 1; gradients of levels 0-255", divisor=1)

METRICS = (
    Metric(
        "Q_abf",
        "edge preservation",
        edge_preservation,
        "gradient",
        "Σ over S of Σ Q(S, F)|∇S|, divided by Σ over S of Σ |∇S|",
        "Xydeas, Petrovic, Electronics Letters 2000",
        {
            "tang2022": rule("0 to 1; gradients of levels 0-1", divisor=255),
            "tang2023": _QABF,
            "cddfuse": _QABF,
            "vifb": _QABF,
        },
        paper=True,
        undefined="both sources are black",
    ),
)
