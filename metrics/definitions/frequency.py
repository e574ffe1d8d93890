"""Filters in the frequency domain and grey levels stretched to 0-255, as the programs of Z. Liu's family have them."""

import numpy as np
from scipy import fft

from metrics.images import ImageArray
from metrics.opencv import cv2
from metrics.sharing import computed_once
from metrics.windows import Maps


@computed_once
def stretched(image: ImageArray, *, unit: bool = False) -> Maps:
    """Return grey levels stretched to 0-255 and rounded half up, as float64 (H, W).

    A black image stays as it is; any other constant image becomes NaN, because the programs divide zero by zero.

    Args:
        image: uint8 (H, W).
        unit: Divide the levels by 255 before they are stretched, which moves some half-way cases by a level.
    """
    levels = np.arange(256.0) / 255 if unit else np.arange(256.0)
    low, high = levels[image.min()], levels[image.max()]
    if low == high:
        return np.zeros(image.shape) if high == 0 else np.full(image.shape, np.nan)
    table = np.floor((levels - low) / (high - low) * 255 + 0.5)
    result: Maps = table[image]
    return result


def frequencies(count: int) -> Maps:
    """Return the frequencies of an axis in units of its Nyquist frequency, the zero frequency first."""
    return np.fft.ifftshift((np.arange(count) - count // 2) * (2 / count))


def filtered(image: Maps, response: Maps) -> Maps:
    """Return an image filtered circularly by an even frequency response.

    Args:
        image: (H, W).
        response: (H, W // 2 + 1), of the non-negative column frequencies, the zero frequency first.
    """
    threads = cv2.getNumThreads()
    spectrum = fft.rfft2(image, workers=threads)
    spectrum *= response
    result: Maps = fft.irfft2(spectrum, image.shape, overwrite_x=True, workers=threads)
    return result


def radial_frequencies(shape: tuple[int, ...], cycles: float) -> Maps:
    """Return sqrt((W u / cycles)² + (H v / cycles)²), u and v in units of Nyquist: (H, W // 2 + 1)."""
    height, width = shape
    rows = height / cycles * frequencies(height)
    columns = width / cycles * np.abs(frequencies(width)[: width // 2 + 1])
    return np.hypot(rows[:, None], columns[None])
