"""Visual information fidelity (VIF): in the pixel domain, over four scales."""

import math
from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from metrics.checks import require_grey
from metrics.images import ImageArray
from metrics.metric import Metric, rule
from metrics.opencv import cv2

SMALLEST = 41  # pixels a side; the fourth scale's window just fits

_TAPS = (17, 9, 5, 3)
_NOISE = 2.0  # variance of the visual noise, on squared grey levels
_EPSILON = 1e-10
_TILE = 16  # outputs a tile: small enough for the banded product to waste little on its zeros

_BOTH = np.arange(2)

Maps = NDArray[np.float64]


def published_fidelity(source: ImageArray, fused: ImageArray, *, saturated: bool = False) -> float:
    """Return the visual information fidelity of the fused image to one source, step by step as published.

    At each scale and pixel the fused image is taken for the source times a gain plus noise, fitted in a Gaussian
    window; the fidelity is the information about the scene in the fused image by that in the source.
    `visual_information_fidelity` computes the same 2 times as fast, 4 times where saturated (640x480, one thread).

    Args:
        source, fused: uint8 (H, W) of one size, at least 41x41.
        saturated: See `visual_information_fidelity`.
    """
    x, y = source.astype(np.float64), fused.astype(np.float64)
    seen = present = 0.0
    for scale, taps in enumerate(_TAPS):
        if scale:
            x, y = _local_mean(x, taps)[::2, ::2], _local_mean(y, taps)[::2, ::2]
        most = 255.0 if saturated and not scale else math.inf
        source_mean, fused_mean = _local_mean(x, taps), _local_mean(y, taps)
        source_square, fused_square, product = (
            _local_mean(np.minimum(values, most), taps) for values in (x * x, y * y, x * y)
        )
        source_variance = np.maximum(source_square - source_mean**2, 0)
        fused_variance = np.maximum(fused_square - fused_mean**2, 0)
        covariance = product - source_mean * fused_mean
        source_variance[source_variance < _EPSILON] = 0
        gain = np.maximum(covariance / (source_variance + _EPSILON), 0)
        gain[(source_variance == 0) | (fused_variance < _EPSILON)] = 0
        noise = np.maximum(fused_variance - gain * covariance, _EPSILON)
        seen += np.log1p(gain**2 * source_variance / (noise + _NOISE)).sum()
        present += np.log1p(source_variance / _NOISE).sum()
    return float(seen / present) if present > 0 else math.nan


def _local_mean(image: Maps, taps: int) -> Maps:
    """Return the mean in a Gaussian window around each pixel whose window lies in the image."""
    window, border = np.array(_gaussian(taps)), taps // 2
    means: Maps = np.asarray(cv2.sepFilter2D(image, cv2.CV_64F, window, window), dtype=np.float64)
    return means[border:-border, border:-border]


def visual_information_fidelity(
    infrared: ImageArray, visible: ImageArray, fused: ImageArray, *, saturated: bool = False, flat: float = math.nan
) -> float:
    """Return the visual information fidelity of the fused image, summed over both sources (VIF).

    0 where nothing of the sources is seen, 2 where the fused image equals both; higher is better, and added
    contrast gives more than 2.

    Args:
        infrared, visible, fused: uint8 (H, W) of one size, at least 41x41.
        saturated: At the first scale, cut the products of grey levels at 255, as 8-bit arithmetic does. That scale
            then hardly counts, because a variance survives only where the local mean is below 16.
        flat: The value for a source without any variance, where the ratio is 0/0.

    Reference:
        Sheikh, Bovik: "Image information and visual quality", IEEE Transactions on Image Processing, 2006, in the
        pixel-domain form `vifp_mscale` that its authors published; summed over two sources as by Han, Cai, Cao,
        Xu: "A new image fusion performance metric based on visual information fidelity", Information Fusion, 2013.
    """
    require_grey(SMALLEST, infrared=infrared, visible=visible, fused=fused)
    # Three images at once, in blocks of rows that stay in the cache, filtered by products of matrices, with one
    # logarithm for the product of a column: the sums of `published_fidelity` in another order.
    images = np.stack([infrared, visible, fused]).astype(np.float64)
    seen, present = np.zeros(2), np.zeros(2)
    for scale, taps in enumerate(_TAPS):
        window = _gaussian(taps)
        if scale:
            images = _halved(images, window)
        if scale == (1 if saturated else 0):
            # Variances do not feel a shift, and the rounding of E[xy] - E[x]E[y] shrinks with the levels.
            images -= np.round(images.mean(axis=(1, 2), keepdims=True))
        _add_information(images, window, saturated and not scale, seen, present)
    return sum(float(s / p) if p > 0 else flat for s, p in zip(seen, present, strict=True))


def _add_information(images: Maps, window: tuple[float, ...], saturated: bool, seen: Maps, present: Maps) -> None:
    """Add one scale's information, of each source, to `seen` (through the fused image) and `present`."""
    reach = len(window) - 1
    for top in range(0, images.shape[1] - reach, _TILE):
        rows = images[:, top : top + _TILE + reach]
        if not saturated:
            _add_block(rows, window, False, _BOTH, seen, present)
            continue
        for source in range(2):
            # Without a level below 16 in the window no variance survives saturation, and the sample adds nothing.
            columns = np.flatnonzero(np.any(rows[source] < 16, axis=0))
            if columns.size:
                part = rows[[source, 2], :, max(columns[0] - reach, 0) : columns[-1] + reach + 1]
                _add_block(part, window, True, _BOTH[source : source + 1], seen, present)


def _add_block(
    rows: Maps, window: tuple[float, ...], saturated: bool, places: NDArray[np.intp], seen: Maps, present: Maps
) -> None:
    """Add a block's information; `rows` holds the sources at `places`, then the fused image."""
    sources = len(places)
    split = [sources + 1, 2 * sources + 2]
    moments = np.empty((3 * sources + 2, *rows.shape[1:]))
    first, second, mixed = np.split(moments, split)
    first[:] = rows
    np.multiply(rows, rows, out=second)
    np.multiply(rows[:-1], rows[-1], out=mixed)
    if saturated:
        np.minimum(moments[sources + 1 :], 255, out=moments[sources + 1 :])
    means, squares, crosses = np.split(_filtered(moments, window), split)
    crosses -= means[:-1] * means[-1]
    np.maximum(crosses, 0, out=crosses)
    means *= means
    squares -= means
    np.maximum(squares, 0, out=squares)
    variance, seen_variance = squares[:-1], squares[-1]
    for small, cleared in ((variance, variance), (seen_variance, crosses)):
        if small.min() < _EPSILON:
            cleared[np.broadcast_to(small < _EPSILON, cleared.shape)] = 0
    gain = crosses / (variance + _EPSILON)
    crosses *= gain
    noise = np.subtract(seen_variance, crosses, out=crosses)
    np.maximum(noise, _EPSILON, out=noise)
    noise += _NOISE
    gain *= gain
    gain *= variance
    gain += noise
    variance *= 1 / _NOISE
    variance += 1
    seen[places] += _sum_of_logarithms(gain) - _sum_of_logarithms(noise)
    present[places] += _sum_of_logarithms(variance)


def _sum_of_logarithms(maps: Maps) -> Maps:
    """Return the sum of logarithms of each map; one logarithm of a column's product serves its few rows."""
    # Factors lie between 1 and 2^50, reached after saturation, and there are 16: no product leaves float64's range.
    sums: Maps = np.log(np.multiply.reduce(maps, axis=1)).sum(axis=-1)
    return sums


def _halved(images: Maps, window: tuple[float, ...]) -> Maps:
    """Return the images filtered with the window, every second sample of what the window covers wholly."""
    rows, columns = ((side - len(window)) // 2 + 1 for side in images.shape[1:])
    halved = np.empty((len(images), rows, columns))
    for top in range(0, rows, _TILE):
        bottom = min(top + _TILE, rows)
        halved[:, top:bottom] = _filtered(images[:, 2 * top : 2 * (bottom - 1) + len(window)], window, step=2)
    return halved


def _filtered(maps: Maps, window: tuple[float, ...], step: int = 1) -> Maps:
    """Return (K, H, W) maps filtered along both axes, every `step`-th sample of what the window covers wholly.

    A banded matrix times a block of the maps does what a loop over taps would do, at the speed of BLAS.
    """
    count, height, width = maps.shape
    rows, columns = ((side - len(window)) // step + 1 for side in (height, width))
    tiles = -(-columns // _TILE)
    band = _band(window, _TILE, step)
    down = np.empty((count, rows, max(width, (tiles - 1) * _TILE * step + len(band))))
    down[:, :, width:] = 0
    np.matmul(np.ascontiguousarray(_band(window, rows, step).T), maps, out=down[:, :, :width])
    down = down.reshape(count * rows, -1)
    spans = sliding_window_view(down, len(band), axis=1)[:, : tiles * _TILE * step : _TILE * step]
    across = np.empty((count * rows, tiles * _TILE))
    np.matmul(spans.swapaxes(0, 1), band, out=across.reshape(count * rows, tiles, _TILE).swapaxes(0, 1))
    return across.reshape(count, rows, -1)[:, :, :columns]


@cache
def _band(window: tuple[float, ...], outputs: int, step: int) -> Maps:
    """Return the matrix that a row of samples is multiplied with to filter it: (samples, outputs)."""
    band = np.zeros(((outputs - 1) * step + len(window), outputs))
    for output in range(outputs):
        band[output * step : output * step + len(window), output] = window
    band.flags.writeable = False
    return band


def _gaussian(taps: int) -> tuple[float, ...]:
    offsets = np.arange(taps) - taps // 2
    window = np.exp(-(offsets**2) / (2 * (taps / 5) ** 2))
    return tuple((window / window.sum()).tolist())


METRICS = (
    Metric(
        "VIF",
        "visual information fidelity",
        visual_information_fidelity,
        "fidelity",
        "Σ over S of (Σ log(1 + g²σ²S/(σ²v + 2))) / (Σ log(1 + σ²S/2)), over four scales",
        "Sheikh, Bovik, IEEE TIP 2006; Han et al., Information Fusion 2013",
        {
            "tang2022": rule("sum over both sources; first scale saturated", saturated=True),
            "tang2023": rule("sum over both sources", saturated=False),
            "cddfuse": rule("sum over both sources; 1 for a flat source", flat=1.0),
        },
        smallest=SMALLEST,
        paper=True,
        undefined="a source is constant",
    ),
)
