"""Each metric against arithmetic by hand and against slow, literal restatements of its definition."""

import math

import numpy as np
import pytest
import sewar
from numpy.typing import NDArray
from scipy.signal import convolve2d

import metrics
from metrics.definitions.fidelity import published_fidelity
from metrics.images import ImageArray

Maps = NDArray[np.float64]


def triple(seed: int = 0, height: int = 48, width: int = 56, low: int = 0, high: int = 255) -> list[ImageArray]:
    """Three related images: smooth noise of two seeds and their mean, with full contrast and dark parts."""
    random = np.random.default_rng(seed)
    sources = []
    for sigma in (3, 5):
        noise = convolve2d(random.standard_normal((height, width)), np.ones((sigma, sigma)), "same", "symm")
        noise = low + (high - low) * (noise - noise.min()) / np.ptp(noise)
        sources.append(np.round(noise).astype(np.uint8))
    mean = np.round((sources[0].astype(float) + sources[1]) / 2 + random.normal(0, 2, (height, width)))
    return [*sources, np.clip(mean, 0, 255).astype(np.uint8)]


def halves(left: int, right: int) -> ImageArray:
    image = np.full((6, 8), left, np.uint8)
    image[:, 4:] = right
    return image


def ramp(step: int) -> ImageArray:
    return np.tile(np.arange(10, dtype=np.uint8) * np.uint8(step), (6, 1))


def test_entropy_by_hand() -> None:
    assert metrics.entropy(halves(7, 7)) == 0
    assert metrics.entropy(halves(0, 255)) == 1  # two equally frequent levels: one bit
    assert metrics.entropy(np.arange(256, dtype=np.uint8).reshape(16, 16)) == 8  # 256 of them: eight bits


def test_spatial_frequency_by_hand() -> None:
    # Every horizontal difference is 3, every vertical one 0. 6 rows of 10 pixels have 6·9 horizontal differences.
    assert metrics.spatial_frequency(ramp(3)) == pytest.approx(3)
    assert metrics.spatial_frequency(ramp(3), divisor=255) == pytest.approx(3 / 255)
    assert metrics.spatial_frequency(ramp(3), per_pixel=True) == pytest.approx(math.sqrt(9 * 54 / 60))
    # 0 on top of 255, twice: squared differences are 255² in 1 of 1 vertical places, the largest there is.
    assert metrics.spatial_frequency(np.array([[0, 0], [255, 255]], np.uint8)) == pytest.approx(255)


def test_spatial_frequency_is_exact_on_large_sums() -> None:
    # 1 + 2·65025·(number of differences) needs more than 32 bits; each of the two means is 255².
    board = (np.indices((700, 900)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert metrics.spatial_frequency(board) == pytest.approx(255 * math.sqrt(2), rel=1e-15)


def test_standard_deviation_by_hand() -> None:
    assert metrics.standard_deviation(halves(100, 120)) == pytest.approx(10)  # mean 110, deviations of 10
    # In saturating arithmetic the darker half becomes 0 and the other 10² = 100, of which the mean is 50 ...
    assert metrics.standard_deviation(halves(100, 120), saturated=True) == pytest.approx(math.sqrt(50))
    # ... and with deviations of 50 the square stops at 255.
    assert metrics.standard_deviation(halves(100, 200), saturated=True) == pytest.approx(math.sqrt(127.5))
    # Mean 100.5: deviations of ±0.5, of which the positive one rounds away from zero, to 1.
    assert metrics.standard_deviation(halves(100, 101), saturated=True) == pytest.approx(math.sqrt(0.5))


def test_average_gradient_by_hand() -> None:
    # Gradient (3, 0) everywhere, borders included: 60 terms of 3/√2, divided by 5·9.
    assert metrics.average_gradient(ramp(3)) == pytest.approx(60 * 3 / math.sqrt(2) / 45)
    assert metrics.average_gradient(ramp(3), per_pixel=True) == pytest.approx(3 / math.sqrt(2))


@pytest.mark.parametrize("shape", [(2, 2), (2, 7), (33, 5), (48, 56)])
def test_average_gradient_is_numpys(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    down, across = np.gradient(image.astype(float))
    expected = np.sqrt((down**2 + across**2) / 2).mean()
    assert metrics.average_gradient(image, per_pixel=True) == pytest.approx(expected, rel=1e-13)


def test_mutual_information_by_hand() -> None:
    one = halves(10, 90)
    assert metrics.mutual_information(one, one, one) == pytest.approx(2)  # one bit from each source
    assert metrics.mutual_information(one, one, one, unit="nat") == pytest.approx(2 * math.log(2))
    assert metrics.mutual_information(one, one, halves(5, 5)) == 0
    # Levels 254 and 255 merged in the joint: the joint entropy is 0, the source's own is 1 bit, twice.
    assert metrics.mutual_information(halves(254, 255), halves(254, 255), halves(5, 5), merge_top=True) == 2


@pytest.mark.parametrize("merge", [False, True])
def test_mutual_information_is_the_definition(merge: bool) -> None:
    infrared, visible, fused = triple(2)
    expected = 0.0
    for source in (infrared, visible):
        top = 254 if merge else 255
        joint, marginal, other = {}, {}, {}
        for s, f in zip(source.ravel().tolist(), fused.ravel().tolist(), strict=True):
            pair = (min(s, top), min(f, top))
            joint[pair] = joint.get(pair, 0) + 1
            marginal[s] = marginal.get(s, 0) + 1
            other[f] = other.get(f, 0) + 1
        for counts, sign in ((joint, -1), (marginal, 1), (other, 1)):
            expected -= sign * sum(n / fused.size * math.log2(n / fused.size) for n in counts.values())
    assert metrics.mutual_information(infrared, visible, fused, merge_top=merge) == pytest.approx(expected, rel=1e-12)


def test_stretching_the_levels_leaves_mutual_information_alone() -> None:
    """VIFB stretches levels to 0-255 before MI; no two levels of any range meet, so the step can be left out."""
    for span in range(1, 256):
        stretched = np.floor(np.arange(span + 1) / span * 255 + 0.5)
        assert (np.diff(stretched) > 0).all()


def test_correlations_by_hand() -> None:
    infrared = np.array([[0, 2], [0, 2]], np.uint8)
    visible = np.array([[0, 0], [4, 4]], np.uint8)
    scd = metrics.sum_of_correlations_of_differences
    assert scd(infrared, visible, infrared + visible) == pytest.approx(2)  # each difference is the other source
    assert math.isnan(scd(infrared, visible, infrared))
    assert math.isnan(scd(halves(3, 3), halves(0, 9), halves(0, 8)))


def test_correlations_are_pearsons() -> None:
    infrared, visible, fused = triple(3)
    i, v, f = (image.astype(float).ravel() for image in (infrared, visible, fused))
    expected = np.corrcoef(f - v, i)[0, 1] + np.corrcoef(f - i, v)[0, 1]
    found = metrics.sum_of_correlations_of_differences(infrared, visible, fused)
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("saturated", [False, True])
@pytest.mark.parametrize(
    ("height", "width", "low", "high"), [(41, 41, 0, 255), (48, 56, 0, 255), (57, 75, 0, 30), (64, 43, 10, 60)]
)
def test_fidelity_is_the_definition(saturated: bool, height: int, width: int, low: int, high: int) -> None:
    infrared, visible, fused = triple(4, height, width, low, high)
    expected = sum(published_fidelity(source, fused, saturated=saturated) for source in (infrared, visible))
    found = metrics.visual_information_fidelity(infrared, visible, fused, saturated=saturated)
    assert found == pytest.approx(expected, rel=1e-10)


def test_fidelity_is_sewars() -> None:
    infrared, visible, fused = triple(5, 80, 90)
    expected = sewar.vifp(infrared, fused) + sewar.vifp(visible, fused)
    assert published_fidelity(infrared, fused) == pytest.approx(sewar.vifp(infrared, fused), rel=1e-12)
    assert metrics.visual_information_fidelity(infrared, visible, fused) == pytest.approx(expected, rel=1e-12)


def test_fidelity_at_its_ends() -> None:
    image = triple(6)[0]
    flat = np.full_like(image, 201)
    assert metrics.visual_information_fidelity(image, image, image) == pytest.approx(2, abs=1e-9)
    assert metrics.visual_information_fidelity(image, image, flat) == 0
    assert math.isnan(metrics.visual_information_fidelity(flat, image, image))
    # CDDFuse's function returns 1 for a source without variance, by a test for a zero denominator.
    assert metrics.visual_information_fidelity(flat, image, image, flat=1.0) == pytest.approx(2, abs=1e-9)


def literal_edges(infrared: ImageArray, visible: ImageArray, fused: ImageArray, divisor: int) -> float:
    """Xydeas and Petrovic, with zero padding and taps added one by one down the kernel's columns."""
    kernels = ([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], [[1, 2, 1], [0, 0, 0], [-1, -2, -1]])

    def gradient(image: ImageArray) -> tuple[Maps, Maps]:
        height, width = image.shape
        framed = np.pad(image / divisor, 1)
        sums = []
        for kernel in kernels:
            total = np.zeros(image.shape)
            for column in range(3):
                for row in range(3):
                    shifted = framed[2 - row : 2 - row + height, 2 - column : 2 - column + width]
                    total = total + kernel[row][column] * shifted
            sums.append(total)
        x, y = sums
        angle = np.full(image.shape, math.pi / 2)
        angle[x != 0] = np.arctan(y[x != 0] / x[x != 0])
        return np.sqrt(x * x + y * y), angle

    strength, angle = gradient(fused)
    kept = total = 0.0
    for source in (infrared, visible):
        source_strength, source_angle = gradient(source)
        for g, a, f, b in zip(
            source_strength.ravel(), source_angle.ravel(), strength.ravel(), angle.ravel(), strict=True
        ):
            ratio = g / f if f > g else f if f == g else f / g
            alignment = 1 - abs(a - b) / (math.pi / 2)
            q = 0.9994 / (1 + math.exp(-15 * (ratio - 0.5))) * 0.9879 / (1 + math.exp(-22 * (alignment - 0.8)))
            kept += q * g
            total += g
    return kept / total


@pytest.mark.parametrize("divisor", [1, 255])
@pytest.mark.parametrize(("height", "width"), [(48, 56), (3, 40), (33, 4)])
def test_edge_preservation_is_the_definition(divisor: int, height: int, width: int) -> None:
    # Few levels, so that equal and vanishing gradients, which the scale treats differently, are frequent.
    infrared, visible, fused = (image // 16 * 16 for image in triple(7, height, width))
    expected = literal_edges(infrared, visible, fused, divisor)
    found = metrics.edge_preservation(infrared, visible, fused, divisor=divisor)
    assert found == pytest.approx(expected, rel=1e-12)


def test_edge_preservation_by_hand() -> None:
    step = halves(0, 200)
    # All edges are kept: alignment 1, and the original's rule for equal gradients puts the gradient itself, at least
    # 200, where a ratio belongs; its sigmoid is 1 to machine precision.
    expected = 0.9994 * 0.9879 / (1 + math.exp(-22 * 0.2))
    assert metrics.edge_preservation(step, step, step) == pytest.approx(expected, rel=1e-12)
    assert math.isnan(metrics.edge_preservation(halves(0, 0), halves(0, 0), step))
