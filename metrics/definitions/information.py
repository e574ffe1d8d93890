"""Metrics from grey-level histograms: entropy, mutual information, relative entropy."""

import numpy as np
from numpy.typing import NDArray

from metrics.checks import require_grey
from metrics.histograms import histogram, joint_histogram
from metrics.images import ImageArray
from metrics.metric import Metric, rule


def entropy(fused: ImageArray) -> float:
    """Return the entropy of a fused image's grey levels (EN), in bits, 0 to 8; higher is better.

    Args:
        fused: uint8 (H, W).

    Reference:
        Roberts, van Aardt, Ahmed: "Assessment of image fusion procedures using entropy, image quality, and
        multispectral classification", Journal of Applied Remote Sensing, 2008.
    """
    require_grey(1, fused=fused)
    return _entropy(histogram(fused))


def mutual_information(
    infrared: ImageArray, visible: ImageArray, fused: ImageArray, *, unit: str = "bit", merge_top: bool = False
) -> float:
    """Return the information that the fused image shares with both sources, summed (MI); higher is better.

    Args:
        infrared, visible, fused: uint8 (H, W) of one size.
        unit: "bit" or "nat".
        merge_top: Count levels 254 and 255 as one in the joint histogram but apart in the marginal ones, as
            programs do that index a histogram with a saturating 8-bit level + 1. Never lowers the value.

    Reference:
        Qu, Zhang, Yan: "Information measure for performance of image fusion", Electronics Letters, 2002.
    """
    require_grey(1, infrared=infrared, visible=visible, fused=fused)
    bits = _shared_bits(infrared, fused, merge_top) + _shared_bits(visible, fused, merge_top)
    return bits * {"bit": 1.0, "nat": float(np.log(2))}[unit]


def relative_entropy(infrared: ImageArray, visible: ImageArray, fused: ImageArray) -> float:
    """Return how far the sources' grey levels are distributed otherwise than the fused image's (CE), in bits.

    The Kullback-Leibler divergence from a source to the fused image, averaged over both sources; lower is better.
    Levels that one of the two images lacks are left out, so that the value may be negative, and jumps when a single
    pixel fills a level. Known as cross entropy.

    Args:
        infrared, visible, fused: uint8 (H, W) of one size.

    Reference:
        Bulanon, Burks, Alchanatis: "Image fusion of visible and thermal images for fruit detection", Biosystems
        Engineering, 2009, as VIFB cites it.
    """
    require_grey(1, infrared=infrared, visible=visible, fused=fused)
    return (_divergence(infrared, fused) + _divergence(visible, fused)) / 2


def _divergence(source: ImageArray, fused: ImageArray) -> float:
    counts, fused_counts = histogram(source), histogram(fused)
    both = (counts > 0) & (fused_counts > 0)
    share, fused_share = counts[both] / source.size, fused_counts[both] / fused.size
    return float((share * np.log2(share / fused_share)).sum())


def _shared_bits(source: ImageArray, fused: ImageArray, merge_top: bool) -> float:
    joint = joint_histogram(source, fused)
    marginals = _entropy(histogram(source)) + _entropy(histogram(fused))
    if merge_top:
        joint = joint.copy()
        joint[254] += joint[255]
        joint[:, 254] += joint[:, 255]
        joint = joint[:255, :255]
    return marginals - _entropy(joint)


def _entropy(counts: NDArray[np.intp]) -> float:
    share = counts[counts > 0] / counts.sum()
    # No product by BLAS: on a busy machine it waits milliseconds for its second thread.
    return 0.0 - float((share * np.log2(share)).sum())


_EN = rule("bits, 0 to 8")
_BITS = rule("bits, sum over both sources; levels 254 and 255 merged in the joint", merge_top=True)
_NATS = rule("nats, sum over both sources", unit="nat")

METRICS = (
    Metric(
        "EN",
        "entropy",
        entropy,
        "information",
        "-Σ p log2 p over 256 grey levels",
        "Roberts, van Aardt, Ahmed, JARS 2008",
        {"tang2022": _EN, "tang2023": _EN, "cddfuse": _EN, "vifb": _EN},
        sources=False,
        paper=True,
    ),
    Metric(
        "MI",
        "mutual information",
        mutual_information,
        "information",
        "Σ over S of H(S) + H(F) - H(S, F)",
        "Qu, Zhang, Yan, Electronics Letters 2002",
        # VIFB stretches levels to 0-255 first, which maps distinct levels to distinct ones: MI does not change.
        {"tang2022": _BITS, "tang2023": _BITS, "cddfuse": _NATS, "vifb": _NATS},
        paper=True,
    ),
    Metric(
        "CE",
        "cross entropy",
        relative_entropy,
        "information",
        "½ Σ over S of Σ p(S) log2(p(S)/p(F)) over levels that both have",
        "Bulanon, Burks, Alchanatis, Biosystems Engineering 2009",
        {"vifb": rule("bits, mean over both sources, about 0.2 to 4.6; may be negative")},
        higher_is_better=False,
    ),
)
