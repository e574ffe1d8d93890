"""One level of the two-dimensional discrete Meyer wavelet transform, as MATLAB's dwt2(image, 'dmey') has it."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Maps = NDArray[np.float64]

_REACH = 50  # taps on either side of the filter's centre
_FREQUENCIES = 4096  # points of the integral over the filter's spectrum; its error is below 1e-15


def transform_wavelets(image: Maps) -> Maps:
    """Return the four bands of an image side by side, the low-pass in the corner, (2 H', 2 W').

    The band to its right is high-pass down the columns, the one below along the rows. The border is mirrored with
    its own pixels, as often as the filter's 102 taps ask for it.

    Args:
        image: (H, W); a band has H' = (H + 101) // 2 rows and W' = (W + 101) // 2 columns.
    """
    halved = [_halve_width(image, taps) for taps in _filters()]
    return np.block([[_halve_width(rows.T, taps).T for taps in _filters()] for rows in halved])


def _halve_width(image: Maps, taps: Maps) -> Maps:
    """Return every second sample of the rows' convolution with a filter, the second one first."""
    reach = len(taps) - 1
    framed = np.pad(image, [(0, 0), (reach, reach)], "symmetric")
    columns = (image.shape[1] + reach) // 2
    result = np.zeros((len(image), columns))
    # The taps are added in one order everywhere, so that a flat image gives flat bands.
    for place, tap in enumerate(taps[::-1].tolist(), start=1):
        result += tap * framed[:, place : place + 2 * columns : 2]
    return result


@cache
def _filters() -> tuple[Maps, Maps]:
    """Return the low-pass and the high-pass filter of the decomposition, 102 taps each."""
    frequency = np.pi * (np.arange(_FREQUENCIES) + 0.5) / _FREQUENCIES
    ramp = np.clip(3 * frequency / np.pi - 1, 0, 1)  # the spectrum falls from 1 at π/3 to 0 at 2π/3
    spectrum = np.cos(np.pi / 2 * ramp**4 * (35 - 84 * ramp + 70 * ramp**2 - 20 * ramp**3))
    taps = np.cos(np.outer(np.arange(-_REACH, _REACH + 1), frequency)) @ spectrum
    rebuilding = np.append(np.sqrt(2) * taps / taps.sum(), 0)
    detail = rebuilding[::-1].copy()
    detail[1::2] *= -1
    return rebuilding[::-1], detail[::-1]
