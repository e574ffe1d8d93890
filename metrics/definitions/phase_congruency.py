"""The metric from phase congruency: Q_p."""

import math
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from metrics.checks import require_grey
from metrics.images import ImageArray
from metrics.metric import Metric, rule
from metrics.opencv import cv2
from metrics.windows import Maps, Window

_SCALES, _ORIENTATIONS = 4, 6
_WAVELENGTH, _FACTOR = 3.0, 2.1  # pixels of the shortest wave; from a scale to the next
_BANDWIDTH = 0.55  # deviation of the logarithmic Gaussian over its centre frequency
_SPREAD = math.pi / _ORIENTATIONS / 1.2  # radians: deviation of the angular Gaussian
_NOISE = 2.0  # deviations of the noise below which energy does not count
_CUT_OFF, _GAIN = 0.5, 10.0  # of the sigmoid that asks for several frequencies
_EPSILON = 1e-4
_FEATURE = 0.1  # phase congruency from which on a pixel is a feature
_ROWS = 16  # treated at a time, so that intermediate arrays stay in the cache
_STABILISER = 1e-4  # in numerator and denominator of a correlation

Spectrum = NDArray[np.complex128]


class Features(NamedTuple):
    """Of an image, (H, W) each: phase congruency, its largest and its smallest moment."""

    congruency: Maps
    largest: Maps
    smallest: Maps


def phase_congruency_preservation(infrared: ImageArray, visible: ImageArray, fused: ImageArray) -> float:
    """Return how well the sources' features, found by phase congruency, correlate with the fused image's (Q_p).

    0 to 1; higher is better. A fused image that equals both sources has about 0.94; one that is constant, but not
    black, has nearly 1, because a correlation of nothing counts as perfect. NaN where the fused image is black or
    the sources have no feature.

    Args:
        infrared, visible, fused: uint8 (H, W) of one size.

    Reference:
        Zhao, Laganière, Liu: "Performance assessment of combinative pixel-level image fusion based on an absolute
        feature measurement", IJICIC, 2007; phase congruency by Kovesi, "Image features from phase congruency",
        Videre, 1999.
    """
    require_grey(2, infrared=infrared, visible=visible, fused=fused)
    first, second, seen = (_features(image) for image in (visible, infrared, fused))
    from_first = first.congruency > second.congruency
    masks = [features.congruency > _FEATURE for features in (first, second)]
    either = np.maximum(first.congruency, second.congruency) > _FEATURE
    count = int(either.sum())
    if not count:
        return math.nan
    product = 1.0
    for one, other, fused_map in zip(first, second, seen, strict=True):
        stronger = np.where(from_first, one, other)
        correlations = [
            _local_correlation(source, mask, fused_map)
            for source, mask in ((one, masks[0]), (other, masks[1]), (stronger, either))
        ]
        product *= float(np.maximum.reduce(correlations).sum()) / count
    return product


def _local_correlation(source: Maps, mask: NDArray[np.bool_], fused: Maps) -> Maps:
    """Return the correlation under each window of a masked map with the fused image's; 0 outside the mask."""
    mean = Window(11, 1.5, "zero").average
    masked = np.where(mask, source, 0.0)
    masked_mean, fused_mean = mean(masked), mean(fused)
    covariance = mean(masked * fused) - masked_mean * fused_mean
    variances = (mean(masked * masked) - masked_mean**2) * (mean(fused * fused) - fused_mean**2)
    correlation = (covariance + _STABILISER) / (np.sqrt(np.abs(variances)) + _STABILISER)
    return np.where(mask, correlation, 0.0)


def _features(image: ImageArray) -> Features:
    """Return the phase congruency of an image with levels 0-255, and its moments over orientations."""
    filters = _filters(*image.shape)
    spectrum: Spectrum = fft.fft2(image.astype(np.float64))
    total_energy, total_amplitude = np.zeros(image.shape), np.zeros(image.shape)
    across, down, mixed = np.zeros(image.shape), np.zeros(image.shape), np.zeros(image.shape)
    with ThreadPoolExecutor(max(1, cv2.getNumThreads())) as pool:
        oriented = pool.map(partial(_oriented_energy, spectrum, filters), range(_ORIENTATIONS))
        for number, (energy, amplitude) in enumerate(oriented):
            total_energy += energy
            total_amplitude += amplitude
            with np.errstate(invalid="ignore", divide="ignore"):  # 0/0 of a black image gives the program's NaN
                energy /= amplitude
            energy *= energy
            angle = number * math.pi / _ORIENTATIONS
            across += energy * math.cos(angle) ** 2
            down += energy * math.sin(angle) ** 2
            mixed += energy * (math.cos(angle) * math.sin(angle))
    half = _ORIENTATIONS / 2
    across, down, mixed = across / half, down / half, mixed / _ORIENTATIONS  # the program halves the mixed moment
    difference = np.sqrt(mixed**2 + (across - down) ** 2) + _EPSILON
    sums = across + down
    return Features(total_energy / (total_amplitude + _EPSILON), (sums + difference) / 2, (sums - difference) / 2)


def _oriented_energy(spectrum: Spectrum, filters: "Filters", number: int) -> tuple[Maps, Maps]:
    """Return an orientation's energy and sum of amplitudes; see `_energy`."""
    directed = spectrum * filters.angular[number]
    responses: list[Spectrum] = [fft.ifft2(directed * radial, overwrite_x=True) for radial in filters.radial]
    threshold = _noise_threshold(responses[0], filters.squares[number], filters.products[number])
    energy, amplitude = np.empty(spectrum.shape), np.empty(spectrum.shape)
    for top in range(0, len(spectrum), _ROWS):
        rows = slice(top, top + _ROWS)
        energy[rows], amplitude[rows] = _energy([response[rows] for response in responses], threshold)
    return energy, amplitude


def _energy(responses: list[Spectrum], threshold: float) -> tuple[Maps, Maps]:
    """Return the energy along one orientation above its noise, weighted by frequency spread; and the amplitudes' sum.

    Args:
        responses: Of some rows at each scale.
        threshold: The energy of noise.
    """
    real, imaginary = np.zeros(responses[0].shape), np.zeros(responses[0].shape)
    amplitude, largest = np.zeros(real.shape), np.zeros(real.shape)
    for response in responses:
        real += response.real
        imaginary += response.imag
        own = _magnitude(response.real, response.imag)
        amplitude += own
        np.maximum(largest, own, out=largest)
    length = _magnitude(real, imaginary)
    # Along the mean phase the scales add up to length² / (length + ε); what is across it counts against them.
    scale = 1 / (length + _EPSILON)
    energy = length * length * scale
    real *= scale
    imaginary *= scale
    for response in responses:
        energy -= np.abs(response.real * imaginary - response.imag * real)
    energy -= threshold
    np.maximum(energy, 0, out=energy)
    width = amplitude / (largest + _EPSILON) / _SCALES
    energy /= 1 + np.exp(_GAIN * (_CUT_OFF - width))
    return energy, amplitude


def _magnitude(real: Maps, imaginary: Maps) -> Maps:
    squares = real * real
    squares += imaginary * imaginary
    return np.sqrt(squares, out=squares)


def _noise_threshold(response: Spectrum, square: float, products: float) -> float:
    """Return the energy that noise alone reaches, from the median of the smallest scale's squared amplitude."""
    power = -float(np.median(response.real**2 + response.imag**2)) / math.log(0.5) / square
    variance = power * products
    return (math.sqrt(variance * math.pi / 2) + _NOISE * math.sqrt((2 - math.pi / 2) * variance)) / 1.7


class Filters(NamedTuple):
    """The bank for one image size, the zero frequency first.

    Attributes:
        radial: By scale, (H, W).
        angular: By orientation, (H, W).
        squares: By orientation, the sum of squares of the smallest scale's filter.
        products: By orientation, Σ h² + 2 Σ h h' over scales and their pairs, h the real parts in the image domain.
    """

    radial: tuple[Maps, ...]
    angular: tuple[Maps, ...]
    squares: tuple[float, ...]
    products: tuple[float, ...]


@lru_cache(maxsize=1)
def _filters(height: int, width: int) -> Filters:
    rows, columns = _grid(height), _grid(width)
    radius = np.hypot(rows[:, None], columns[None])
    radius[height // 2, width // 2] = 1
    angle = np.arctan2(-rows[:, None], columns[None])
    plain = np.hypot(*np.meshgrid(*((np.arange(n) - n // 2) / n for n in (height, width)), indexing="ij"))
    # The program shifts this filter the other way than the rest, which moves it by a frequency where a side is odd.
    low_pass = np.fft.fftshift(1 / (1 + (plain / 0.45) ** 30))
    radial = []
    for scale in range(_SCALES):
        wavelength = _WAVELENGTH * _FACTOR**scale
        response = np.exp(-(np.log(radius * wavelength) ** 2) / (2 * math.log(_BANDWIDTH) ** 2))
        response[height // 2, width // 2] = 0
        radial.append(np.fft.ifftshift(response) * low_pass)
    angular, squares, products = [], [], []
    for number in range(_ORIENTATIONS):
        turn = number * math.pi / _ORIENTATIONS
        distance = np.abs(np.arctan2(np.sin(angle - turn), np.cos(angle - turn)))
        response = np.fft.ifftshift(np.exp(-(distance**2) / (2 * _SPREAD**2)))
        angular.append(response)
        squares.append(float((radial[0] * response).ravel() @ (radial[0] * response).ravel()))
        # By Parseval's theorem, the real part in the image domain is the even part in the frequency domain.
        both = sum(radial[1:], radial[0]) * response
        even = (both + np.roll(both[::-1, ::-1], (1, 1), axis=(0, 1))) / 2
        products.append(float(even.ravel() @ even.ravel()))
    return Filters(tuple(radial), tuple(angular), tuple(squares), tuple(products))


def _grid(count: int) -> Maps:
    """Return an axis's coordinates around its centre; of an odd number they reach ±1/2."""
    return (np.arange(count) - count // 2) / (count - 1 if count % 2 else count)


METRICS = (
    Metric(
        "Q_p",
        "phase congruency preservation (Zhao)",
        phase_congruency_preservation,
        "perception",
        "product over phase congruency and both its moments of the mean of the largest local correlation with F",
        "Zhao, Laganière, Liu, IJICIC 2007",
        {"mefb": rule("0 to 1, about 0.2 to 0.7; near 1 for a constant fused image")},
        smallest=2,
        undefined="the fused image is black",
    ),
)
