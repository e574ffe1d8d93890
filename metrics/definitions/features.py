"""Feature mutual information (FMI): how much of the sources' features, window by window, the fused image tells."""

from functools import cache
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import fft

from metrics.checks import require_grey
from metrics.definitions.meyer import transform_wavelets
from metrics.images import ImageArray
from metrics.metric import Metric, rule
from metrics.sharing import computed_once

Maps = NDArray[np.float64]
Windows = NDArray[np.float64]  # (9, N): the samples of N windows of 3x3, down the columns first

_BLOCK = 1024  # windows treated at a time, so that their 81 joint probabilities stay in the cache
_SAMPLES = np.arange(1, 10.0)[:, None]


def edge_mutual_information(infrared: ImageArray, visible: ImageArray, fused: ImageArray, *, divisor: int = 1) -> float:
    """Return the mutual information of Sobel edges in windows of 3x3 (FMI_pixel), 0 to 1; higher is better.

    Programs call it "pixel", though pixels are not what they compare.

    Args:
        infrared, visible, fused: uint8 (H, W) of one size, at least 3x3.
        divisor: What grey levels are divided by first. Mathematically it cancels; but with 255 rounding noise decides
            which of two equal gradients is the edge.

    Reference:
        Haghighat, Aghagolzadeh, Seyedarabi: "A non-reference image fusion metric based on mutual information of image
        features", Computers & Electrical Engineering, 2011; fast form: Haghighat, Razian, AICT 2014.
    """
    require_grey(3, infrared=infrared, visible=visible, fused=fused)
    codes = [_code_windows(_find_edges(image, divisor)) for image in (infrared, visible, fused)]
    total = 0.0
    for source in codes[:2]:
        # Few of the 512x512 pairs of binary windows exist; each is compared once.
        pairs, counts = np.unique(512 * codes[2] + source, return_counts=True)
        total += float(counts @ _share_information(_decode_windows(pairs // 512), _decode_windows(pairs % 512)))
    return total / (2 * len(codes[2]))


def transform_mutual_information(
    infrared: ImageArray, visible: ImageArray, fused: ImageArray, *, transform: Literal["dct", "wavelet"]
) -> float:
    """Return the mutual information of transform coefficients in windows of 3x3 (FMI_dct, FMI_w), 0 to 1.

    Higher is better. NaN where an image is constant and its cosine coefficients are rounding noise.

    Args:
        infrared, visible, fused: uint8 (H, W) of one size, at least 3x3.
        transform: "dct", the cosine transform of the whole image; "wavelet", one level of the discrete Meyer wavelet,
            its four bands side by side.

    Reference:
        See `edge_mutual_information`.
    """
    require_grey(3, infrared=infrared, visible=visible, fused=fused)
    if transform == "dct" and any(image.min() == image.max() for image in (infrared, visible, fused)):
        return float("nan")
    planes = [_cosines(image) if transform == "dct" else _wavelets(image) for image in (infrared, visible, fused)]
    rows, columns = (side - 2 for side in planes[0].shape)
    total = 0.0
    for row in range(rows):
        windows = [_cut_windows(plane[row : row + 3]) for plane in planes]
        for start in range(0, columns, _BLOCK):
            one, other, result = (window[:, start : start + _BLOCK] for window in windows)
            total += float(_share_information(result, one).sum() + _share_information(result, other).sum())
    return float(total / (2 * rows * columns))


@computed_once
def _cosines(image: ImageArray) -> Maps:
    return np.asarray(fft.dctn(image.astype(np.float64), norm="ortho"))


@computed_once
def _wavelets(image: ImageArray) -> Maps:
    """Return the bands of a wavelet transform side by side, scaled to 0-1."""
    plane = transform_wavelets(image.astype(np.float64))
    low, high = plane.min(), plane.max()
    return (plane - low) / (high - low) if high > low else np.ones_like(plane)


def _cut_windows(rows: Maps) -> Windows:
    """Return the windows along three rows, (9, N)."""
    return sliding_window_view(rows, 3, axis=1).transpose(2, 0, 1).reshape(9, -1)


def _share_information(fused: Windows, source: Windows) -> Maps:
    """Return 2 I/(H + H) of pairs of windows, (N,): 1 where they are equal.

    A window's samples, scaled to 0-1, are taken for a probability density over the positions 1 to 9. The joint
    density mixes independence with the most dependent one that has the same marginals, so that the windows'
    correlation comes out.
    """
    p, q = _scale_densities(fused), _scale_densities(source)
    correlation = _correlate(p, q)
    joint = np.empty((9, 9, p.shape[1]))
    for negative in (False, True):
        chosen = (correlation < 0) == negative
        if chosen.any():
            joint[:, :, chosen] = _mix_densities(p[:, chosen], q[:, chosen], correlation[chosen], negative)
    entropies = _entropy(p) + _entropy(q)
    shared = entropies - _entropy(joint.reshape(81, -1))
    information = np.divide(2 * shared, entropies, out=np.zeros_like(shared), where=shared != 0)
    information[(fused == source).all(axis=0)] = 1
    return information


def _scale_densities(windows: Windows) -> Windows:
    """Return windows scaled to 0-1 and divided by their sums; a constant window becomes uniform."""
    low, high = windows.min(axis=0), windows.max(axis=0)
    scaled = np.ones_like(windows)
    np.divide(windows - low, high - low, out=scaled, where=high > low)
    return scaled / _add(scaled)


def _add(samples: Windows) -> Maps:
    """Return sums in the order of the samples.

    The sum of nine times 1/9 must not be 1 exactly: two uniform windows then correlate by their rounding errors, as
    in the program, and count as equal.
    """
    total: Maps = samples[0].copy()
    for sample in samples[1:]:
        total += sample
    return total


def _correlate(p: Windows, q: Windows) -> Maps:
    """Return Pearson's correlation; 0 where the covariance is exactly 0."""
    p_rest, q_rest = p - _add(p) / 9, q - _add(q) / 9
    covariance = _add(p_rest * q_rest)
    norm = np.sqrt(_add(p_rest**2) * _add(q_rest**2))
    return np.divide(covariance, norm, out=np.zeros_like(norm), where=covariance != 0)


def _mix_densities(p: Windows, q: Windows, correlation: Maps, negative: bool) -> Maps:
    """Return joint densities (9, 9, N) of the given correlations, which all have one sign."""
    p_sum, q_sum = np.cumsum(p, axis=0), np.cumsum(q, axis=0)
    dependent = np.maximum(p_sum[:, None] + q_sum - 1, 0) if negative else np.minimum(p_sum[:, None], q_sum)
    spread = _deviation(p) * _deviation(q)
    excess = dependent.sum(axis=(0, 1)) - p_sum.sum(axis=0) * q_sum.sum(axis=0)
    share = np.divide(correlation * spread, excess, out=np.zeros_like(spread), where=spread * excess != 0)
    joint: Maps = dependent  # the density is the mixed difference of the distribution
    joint[1:] -= joint[:-1].copy()
    joint[:, 1:] -= joint[:, :-1].copy()
    joint *= share
    joint += ((1 - share) * p)[:, None] * q
    return joint


def _deviation(density: Windows) -> Maps:
    mean: Maps = (_SAMPLES * density).sum(axis=0)
    variance: Maps = (_SAMPLES**2 * density).sum(axis=0) - mean**2
    return np.sqrt(np.maximum(variance, 0))


def _entropy(density: Windows) -> Maps:
    """Return entropies in bits; rounding may leave probabilities slightly below 0, whose sign the logarithm drops."""
    magnitude = np.abs(density)
    magnitude[magnitude == 0] = 1
    entropy: Maps = -(density * np.log2(magnitude)).sum(axis=0)
    return entropy


@computed_once
def _find_edges(image: ImageArray, divisor: int) -> NDArray[np.bool_]:
    """Return where the Sobel gradient is above twice its root mean square and at a maximum along its direction.

    As MATLAB's edge does it, with the taps added one by one, down the kernel's columns.
    """
    framed = np.pad(image.astype(np.float64) / divisor, 1, "edge") / 8
    above, middle, below = framed[:-2], framed[1:-1], framed[2:]
    down = above[:, :-2] - below[:, :-2]
    down = down + 2 * above[:, 1:-1] - 2 * below[:, 1:-1] + above[:, 2:] - below[:, 2:]
    across = above[:, :-2] + 2 * middle[:, :-2] + below[:, :-2]
    across = across - above[:, 2:] - 2 * middle[:, 2:] - below[:, 2:]
    strength = across**2 + down**2
    slack = 100 * np.finfo(np.float64).eps
    lies_across = (np.abs(across) >= np.abs(down) - slack) & _is_maximum(strength)
    lies_down = (np.abs(down) >= np.abs(across) - slack) & _is_maximum(strength.T).T
    edges: NDArray[np.bool_] = (strength > 4 * strength.mean()) & (lies_across | lies_down)
    return edges


def _is_maximum(strength: Maps) -> NDArray[np.bool_]:
    """Return where a value is at least its left neighbour and above its right one; outside counts as lower."""
    maximum = np.ones(strength.shape, bool)
    maximum[:, 1:] &= strength[:, :-1] <= strength[:, 1:]
    maximum[:, :-1] &= strength[:, :-1] > strength[:, 1:]
    return maximum


@computed_once
def _code_windows(edges: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return each window of a binary map as a number of nine bits."""
    windows = sliding_window_view(edges, (3, 3)).transpose(0, 1, 3, 2).reshape(-1, 9)
    return windows @ (2 ** np.arange(9))


@cache
def _binary_windows() -> Windows:
    return np.asarray((np.arange(512) >> np.arange(9)[:, None]) & 1, np.float64)


def _decode_windows(codes: NDArray[np.intp]) -> Windows:
    return _binary_windows()[:, codes]


_DCT = rule("0 to 1; of the cosine transform, about 0.24 to 0.48", transform="dct")
_WAVELET = rule("0 to 1; of the discrete Meyer wavelet, about 0.30 to 0.51", transform="wavelet")
_REFERENCE = "Haghighat, Aghagolzadeh, Seyedarabi, CEE 2011; Haghighat, Razian, AICT 2014"
_FORMULA = "½ Σ over S of mean 2 I(F, S)/(H(F) + H(S)) over windows of {}"

METRICS = (
    Metric(
        "FMI_pixel",
        "feature mutual information, edges",
        edge_mutual_information,
        "information",
        _FORMULA.format("edge maps"),
        _REFERENCE,
        {
            "tang2022": rule("0 to 1; edges of levels 0-1, about 0.83 to 0.92", divisor=255),
            "tang2023": rule("0 to 1; edges of levels 0-255, about 0.83 to 0.92"),
        },
        smallest=3,
    ),
    Metric(
        "FMI_dct",
        "feature mutual information, cosines",
        transform_mutual_information,
        "information",
        _FORMULA.format("cosine coefficients"),
        _REFERENCE,
        {"tang2022": _DCT, "tang2023": _DCT},
        smallest=3,
        undefined="an image is constant",
    ),
    Metric(
        "FMI_w",
        "feature mutual information, wavelets",
        transform_mutual_information,
        "information",
        _FORMULA.format("wavelet coefficients"),
        _REFERENCE,
        {"tang2022": _WAVELET, "tang2023": _WAVELET},
        smallest=3,
    ),
)
