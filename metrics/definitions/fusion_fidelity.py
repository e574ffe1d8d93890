"""Visual information fidelity for fusion (VIFF): at each pixel, of the source that the fused image shows less of."""

from typing import Literal

import numpy as np

from metrics.checks import require_grey
from metrics.images import ImageArray
from metrics.metric import Metric, rule
from metrics.sharing import computed_once
from metrics.windows import Maps, Window, find_flat_windows, levels, local_covariance

SMALLEST = 41  # pixels a side; the fourth scale's window just fits

_WINDOWS = tuple(Window(taps, taps / 5) for taps in (17, 9, 5, 3))
_SCALE_WEIGHTS = (1.0, 0.0, 0.15, 1.0)
_NOISE = 0.005 * 255**2  # variance of the visual noise, on squared grey levels
_EPSILON = 1e-10
_FLOOR = 1e-7  # added to each pixel's information, so that flat images have some


def visual_information_fidelity_for_fusion(
    infrared: ImageArray, visible: ImageArray, fused: ImageArray, *, ties: Literal["visible", "infrared"] = "visible"
) -> float:
    """Return the share of visual information that the fused image keeps of its worse source (VIFF).

    1 where the fused image equals both sources, more with added contrast; higher is better. Low where it equals one
    source only. Many papers print VIF, summed over both sources, under this name.

    Args:
        infrared, visible, fused: uint8 (H, W) of one size, at least 41x41.
        ties: The source that counts where both have one gain.

    Reference:
        Han, Cai, Cao, Xu: "A new image fusion performance metric based on visual information fidelity", Information
        Fusion, 2013.
    """
    require_grey(SMALLEST, infrared=infrared, visible=visible, fused=fused)
    images = [levels(image) for image in (infrared, visible, fused)]
    fidelity = 0.0
    for window, weight in zip(_WINDOWS, _SCALE_WEIGHTS, strict=True):
        if window is not _WINDOWS[0]:
            images = [_halve(image, window) for image in images]
        if not weight:
            continue
        seen, present, gains = zip(*(_information(source, images[2], window) for source in images[:2]), strict=True)
        by_infrared = gains[0] < gains[1] if ties == "visible" else gains[0] <= gains[1]
        kept = float(np.where(by_infrared, *seen).sum())
        full = float(np.where(by_infrared, *present).sum())
        floor = _FLOOR * by_infrared.size
        fidelity += weight * (kept + floor) / (full + floor)
    return fidelity / sum(_SCALE_WEIGHTS)


def _information(source: Maps, fused: Maps, window: Window) -> tuple[Maps, Maps, Maps]:
    """Return the information of a source that is seen through the fused image, that is present, and the gain."""
    variance = np.maximum(local_covariance(source, source, window), 0)
    fused_variance = np.maximum(local_covariance(fused, fused, window), 0)
    covariance = local_covariance(source, fused, window)
    gain = covariance / (variance + _EPSILON)
    noise = fused_variance - gain * covariance
    flat = variance < _EPSILON
    gain[flat] = 0
    noise[flat] = fused_variance[flat]
    variance[flat] = 0
    fused_flat = fused_variance < _EPSILON
    gain[fused_flat] = 0
    noise[fused_flat] = 0
    opposed = gain < 0
    noise[opposed] = fused_variance[opposed]
    gain[opposed] = 0
    noise = np.maximum(noise, _EPSILON)
    return np.log10(1 + gain**2 * variance / (noise + _NOISE)), np.log10(1 + variance / _NOISE), gain


@computed_once
def _halve(image: Maps, window: Window) -> Maps:
    return np.ascontiguousarray(window.average(image)[::2, ::2])


def _rounding_decides(infrared: ImageArray, visible: ImageArray, fused: ImageArray) -> bool:
    """Return whether a window of the first scale is flat, but not black, in a source: its gain has a random sign."""
    return any(bool(find_flat_windows(image, _WINDOWS[0].taps).any()) for image in (infrared, visible))


METRICS = (
    Metric(
        "VIFF",
        "visual information fidelity, fusion",
        visual_information_fidelity_for_fusion,
        "perception",
        "(F1 + 0.15 F3 + F4)/2.15, Fs = Σ log(1 + g²σ²S/(σ²v + 325)) / Σ log(1 + σ²S/325), S of the smaller g",
        "Han, Cai, Cao, Xu, Information Fusion 2013",
        {"mefb": rule("about 0.2 to 2.2", ties="infrared"), "han2013": rule("about 0.2 to 2.2")},
        smallest=SMALLEST,
        symmetric=False,
        rests_on_rounding=_rounding_decides,
    ),
)
