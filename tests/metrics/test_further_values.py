"""The metrics beyond the paper's eight against values by hand, against other libraries, and against loops over windows
that follow their definitions step by step."""

import math
from itertools import product

import numpy as np
import pytest
import sewar
from numpy.typing import NDArray
from scipy.fft import dctn
from scipy.signal import convolve2d
from sewar.utils import Filter
from skimage import metrics as skimage

import metrics
from metrics.definitions.meyer import transform_wavelets
from metrics.images import ImageArray

Maps = NDArray[np.float64]


def triple(seed: int, height: int = 24, width: int = 27, low: int = 0, high: int = 255) -> list[ImageArray]:
    """Return images that share a scene, with noise; the visible one is darker."""
    random = np.random.default_rng(seed)
    scene = random.uniform(low, high, (height, width)).cumsum(axis=1) % (high - low + 1) + low
    images = [scene + random.normal(0, 20, scene.shape), 0.6 * scene + random.normal(0, 10, scene.shape)]
    images.append((images[0] + images[1]) / 2 + random.normal(0, 4, scene.shape))
    return [np.clip(image, low, high).astype(np.uint8) for image in images]


def patches(image: NDArray[np.generic], size: int) -> Maps:
    """Return all windows of an image, (rows, columns, size, size)."""
    return np.lib.stride_tricks.sliding_window_view(image.astype(np.float64), (size, size))


def gaussian(size: int, sigma: float) -> Maps:
    axis = np.arange(size) - size // 2
    window = np.exp(-(axis[:, None] ** 2 + axis**2) / (2 * sigma**2))
    return np.asarray(window / window.sum())


def test_errors_by_hand() -> None:
    infrared, visible, fused = (np.full((2, 8), level, np.uint8) for level in (10, 40, 13))
    fused[0, 0] = 40
    # Squared errors: 15·9 + 900 to infrared, 15·729 to visible.
    mean = (15 * 9 + 900 + 15 * 729) / 32
    assert metrics.mean_squared_error(infrared, visible, fused) == mean
    assert metrics.mean_squared_error(infrared, visible, fused, divisor=255) == pytest.approx(mean / 255**2)
    expected = (math.sqrt(15 * 9 + 900) + math.sqrt(15 * 729)) / 32
    assert metrics.root_error_per_pixel(infrared, visible, fused) == pytest.approx(expected)
    psnr = metrics.peak_signal_to_noise_ratio
    assert psnr(infrared, visible, fused) == pytest.approx(10 * math.log10(255**2 / mean))
    assert psnr(infrared, visible, fused, divisor=255) - psnr(infrared, visible, fused) == pytest.approx(
        48.1308, abs=1e-4
    )
    assert psnr(infrared, visible, fused, peak=None) == pytest.approx(10 * math.log10(40**2 / mean))
    assert psnr(infrared, visible, fused, error="root per pixel") == pytest.approx(10 * math.log10(255**2 / expected))
    assert math.isnan(psnr(infrared, infrared, infrared))


def test_errors_are_those_of_other_libraries() -> None:
    """With one image as both sources: there the definitions are the same."""
    source, _, fused = triple(1)
    psnr = metrics.peak_signal_to_noise_ratio(source, source, fused)
    assert metrics.mean_squared_error(source, source, fused) == skimage.mean_squared_error(source, fused)
    assert psnr == pytest.approx(skimage.peak_signal_noise_ratio(source, fused, data_range=255), rel=1e-14)
    assert psnr == pytest.approx(sewar.psnr(source, fused), rel=1e-14)


def test_correlation_is_numpys() -> None:
    infrared, visible, fused = triple(2)
    expected = (
        np.corrcoef(fused.ravel(), infrared.ravel())[0, 1] + np.corrcoef(fused.ravel(), visible.ravel())[0, 1]
    ) / 2
    assert metrics.correlation_coefficient(infrared, visible, fused) == pytest.approx(expected, rel=1e-12)


def test_similarity_is_that_of_other_libraries() -> None:
    infrared, visible, fused = triple(3, 40, 44)
    ssim = skimage.structural_similarity
    expected = sum(ssim(fused, source, data_range=2) for source in (infrared, visible))
    found = metrics.structural_similarity(infrared, visible, fused, window="box", dynamic_range=2)
    assert found == pytest.approx(expected, rel=1e-10)
    gauss = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255, "full": True}
    expected = sum(ssim(fused, source, **gauss)[1][5:-5, 5:-5].mean() for source in (infrared, visible))
    found = metrics.structural_similarity(infrared, visible, fused)
    assert found == pytest.approx(expected, rel=1e-12)
    window = {"fltr": Filter.GAUSSIAN, "sigma": 1.5, "ws": 11}
    expected = sum(sewar.ssim(fused, source, fltr_specs=window)[0] for source in (infrared, visible))
    assert found == pytest.approx(expected, rel=1e-12)


def literal_similarity(source: Maps, fused: Maps, dynamic_range: float) -> tuple[float, float]:
    """SSIM and its contrast part with variances as E[(x - μ)²], over 11x11 Gaussian windows inside the image."""
    window = gaussian(11, 1.5)
    x, y = patches(source, 11), patches(fused, 11)
    mean_x, mean_y = ((window * patch).sum((2, 3)) for patch in (x, y))
    rest_x, rest_y = x - mean_x[..., None, None], y - mean_y[..., None, None]
    var_x, var_y, cov = (
        (window * one * two).sum((2, 3)) for one, two in ((rest_x, rest_x), (rest_y, rest_y), (rest_x, rest_y))
    )
    c1, c2 = (0.01 * dynamic_range) ** 2, (0.03 * dynamic_range) ** 2
    contrast = (2 * cov + c2) / (var_x + var_y + c2)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return float((luminance * contrast).mean()), float(contrast.mean())


def test_similarity_with_a_repeated_border() -> None:
    infrared, visible, fused = triple(4)
    framed = [np.pad(image, 5, "edge").astype(np.float64) for image in (infrared, visible, fused)]
    expected = (literal_similarity(framed[0], framed[2], 1)[0] + literal_similarity(framed[1], framed[2], 1)[0]) / 2
    found = metrics.structural_similarity(infrared, visible, fused, dynamic_range=1, border="replicate", total="mean")
    assert found == pytest.approx(expected, rel=1e-10)


def literal_exposure_similarity(infrared: Maps, visible: Maps, fused: Maps) -> float:
    """MEF-SSIM as its paper's program has it: every patch is cut out."""
    window, epsilon, constant = gaussian(11, 1.5), 2.0**-52, (0.03 * 255) ** 2
    height, width = fused.shape
    qualities = []
    for row, column in product(range(height - 10), range(width - 10)):
        cut = (slice(row, row + 11), slice(column, column + 11))
        sources, result = [infrared[cut], visible[cut]], fused[cut]
        rests = [source - source.mean() for source in sources]
        contrasts = [math.sqrt((rest**2).sum()) + 0.001 for rest in rests]
        both = sources[0] + sources[1]
        agreement = (np.linalg.norm(both - both.mean()) + epsilon) / (sum(map(np.linalg.norm, rests)) + epsilon)
        power = min(math.tan(math.pi / 2 * min(agreement, 1 - epsilon)), 10)
        weights = np.array([(contrast / 11) ** power + epsilon for contrast in contrasts])
        weights /= weights.sum()
        desired = sum(w * rest / contrast for w, rest, contrast in zip(weights, rests, contrasts, strict=True))
        if np.linalg.norm(desired) > 0:
            desired = desired / np.linalg.norm(desired) * max(contrasts)
        one, two = desired - (window * desired).sum(), result - (window * result).sum()
        spread = (window * one * one).sum() + (window * two * two).sum()
        qualities.append((2 * (window * one * two).sum() + constant) / (spread + constant))
    return float(np.mean(qualities))


@pytest.mark.parametrize(("height", "width", "high"), [(14, 17, 255), (11, 11, 255), (16, 12, 30)])
def test_exposure_similarity_is_the_definition(height: int, width: int, high: int) -> None:
    images = triple(5, height, width, 0, high)
    expected = literal_exposure_similarity(*(image.astype(np.float64) for image in images))
    assert metrics.exposure_similarity(*images) == pytest.approx(expected, rel=1e-10)


def test_exposure_similarity_of_three_scales() -> None:
    images = triple(6, 45, 47)
    scale = [image.astype(np.float64) for image in images]
    expected = 1.0
    for weight in (0.0448, 0.2856, 0.3001):
        expected *= literal_exposure_similarity(*scale) ** (weight / 0.6305)
        framed = [np.pad(image, [(0, 1), (0, 1)], "edge") for image in scale]
        scale = [convolve2d(image, np.full((2, 2), 0.25), "valid")[::2, ::2] for image in framed]
    assert metrics.multiscale_exposure_similarity(*images) == pytest.approx(expected, rel=1e-10)


def test_similarity_of_five_scales() -> None:
    images = triple(7, 161, 170)
    infrared, visible, fused = (image.astype(np.float64) for image in images)
    weights = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
    expected = 0.0
    for source in (infrared, visible):
        one, two, value = source, fused, 1.0
        for scale, weight in enumerate(weights):
            value *= max(literal_similarity(one, two, 1)[scale < 4], 0) ** weight
            one, two = (pool(image) for image in (one, two))
        expected += value
    assert metrics.multiscale_structural_similarity(*images, dynamic_range=1) == pytest.approx(expected, rel=1e-9)


def pool(image: Maps) -> Maps:
    """Average 2x2 pixels; an odd side gets a zero at either end, and what is then left over is dropped."""
    framed = np.pad(image, [(side % 2, side % 2) for side in image.shape])
    rows, columns = (side // 2 for side in framed.shape)
    means = [[framed[2 * r : 2 * r + 2, 2 * c : 2 * c + 2].mean() for c in range(columns)] for r in range(rows)]
    return np.array(means)


def literal_artefacts(infrared: ImageArray, visible: ImageArray, fused: ImageArray, flat_weight: float) -> float:
    kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8

    def gradient(image: ImageArray) -> tuple[list[float], list[float]]:
        windows = patches(np.pad(image, 1, "reflect"), 3)
        v, h = (windows * kernel).sum((2, 3)), (windows * kernel.T).sum((2, 3))
        pairs = zip(v.flat, h.flat, strict=True)
        angles = [math.atan(a / b) if b else math.copysign(math.pi / 2, a) if a else 0 for a, b in pairs]
        return np.hypot(v, h).ravel().tolist(), angles

    (g_a, a_a), (g_b, a_b), (g_f, a_f) = (gradient(image) for image in (infrared, visible, fused))
    lost = total = 0.0
    for k in range(fused.size):
        invented = g_f[k] > g_a[k] and g_f[k] > g_b[k]
        for g, a in ((g_a[k], a_a[k]), (g_b[k], a_b[k])):
            weight = g**1.5 if g >= 2 else flat_weight
            total += weight
            if invented:
                ratio = min(g, g_f[k]) / max(g, g_f[k])
                alignment = abs(abs(a - a_f[k]) - math.pi / 2) * 2 / math.pi
                strength = 0.9999 / (1 + math.exp(-19 * (ratio - 0.5)))
                angle = 0.9995 / (1 + math.exp(-22 * (alignment - 0.5)))
                lost += (1 - math.sqrt(strength * angle)) * weight
    return lost / total


@pytest.mark.parametrize("flat_weight", [0.001, 0.0])
def test_artefacts_are_the_definition(flat_weight: float) -> None:
    infrared, visible, fused = triple(8)
    fused = np.clip(fused.astype(int) + np.random.default_rng(1).integers(-60, 60, fused.shape), 0, 255).astype(
        np.uint8
    )
    expected = literal_artefacts(infrared, visible, fused, flat_weight)
    assert expected > 0.01
    assert metrics.fusion_artefacts(infrared, visible, fused, flat_weight=flat_weight) == pytest.approx(
        expected, rel=1e-12
    )
    exchanged = metrics.fusion_artefacts(infrared, visible, fused, infrared_as_fused=True)
    assert exchanged == pytest.approx(literal_artefacts(visible, fused, infrared, 0.001), rel=1e-12)
    assert metrics.fusion_artefacts(infrared, visible, infrared) == 0


def test_levels_of_0_to_1_make_all_edges_weigh_alike() -> None:
    """No gradient reaches 2 there: the value is that of weights that do not depend on the gradient."""
    step = np.zeros((6, 8), np.uint8)
    step[:, 4:] = 200
    flat = np.full_like(step, 7)
    # The two columns beside the step are artefacts wherever both sources are flat; 12 of 48 pixels, and nothing of
    # the sources' edges is kept.
    kept = math.sqrt(0.9999 / (1 + math.exp(9.5)) * 0.9995 / (1 + math.exp(11)))
    assert metrics.fusion_artefacts(flat, flat, step, divisor=255) == pytest.approx(12 / 48 * (1 - kept), rel=1e-3)


def test_relative_entropy_by_hand() -> None:
    one, other = np.repeat(np.uint8([[1, 2, 2, 2]]), 2, axis=0), np.repeat(np.uint8([[1, 1, 1, 2]]), 2, axis=0)
    divergence = 0.25 * math.log2(0.25 / 0.75) + 0.75 * math.log2(0.75 / 0.25)
    assert metrics.relative_entropy(one, other, other) == pytest.approx(divergence / 2)
    # Levels that the fused image lacks do not count: of the source only level 2 is left.
    assert metrics.relative_entropy(one, one, np.full_like(one, 2)) == pytest.approx(0.75 * math.log2(0.75))


def test_edge_intensity_by_hand() -> None:
    ramp = np.repeat(np.arange(0, 40, 4, dtype=np.uint8)[None], 5, axis=0)
    # Eight times the slope of 4, half of it in the two border columns of ten.
    assert metrics.edge_intensity(ramp) == pytest.approx((8 * 32 + 2 * 16) / 10)


def test_fidelity_for_fusion_is_the_definition() -> None:
    originals = triple(9, 48, 53)
    infrared, visible, fused = (image.astype(np.float64) for image in originals)
    noise, total = 0.005 * 255**2, 0.0
    for size, weight in ((17, 1.0), (9, 0.0), (5, 0.15), (3, 1.0)):
        window = gaussian(size, size / 5)
        if size < 17:
            infrared, visible, fused = (
                convolve2d(image, window, "valid")[::2, ::2] for image in (infrared, visible, fused)
            )
        information = []
        for source in (infrared, visible):
            products = (source, fused, source * source, fused * fused, source * fused)
            mean_x, mean_y, xx, yy, xy = (convolve2d(image, window, "valid") for image in products)
            var_x, var_y, cov = xx - mean_x**2, yy - mean_y**2, xy - mean_x * mean_y
            g = cov / (var_x + 1e-10)
            rest = var_y - g * cov
            rest[g < 0], g[g < 0] = var_y[g < 0], 0
            rest[rest <= 1e-10] = 1e-10
            information.append((np.log10(1 + g**2 * var_x / (rest + noise)), np.log10(1 + var_x / noise), g))
        one, other = information
        use_one = one[2] < other[2]
        seen, present = (np.where(use_one, one[part], other[part]) for part in (0, 1))
        total += weight * (seen + 1e-7).sum() / (present + 1e-7).sum()
    found = metrics.visual_information_fidelity_for_fusion(*originals)
    assert found == pytest.approx(total / 2.15, rel=1e-9)


def literal_window_information(fused: list[float], source: list[float]) -> float:
    """The score of one window, its nine samples down the columns, with scalars only."""
    if fused == source:
        return 1.0

    def density(samples: list[float]) -> list[float]:
        low, high = min(samples), max(samples)
        scaled = [(sample - low) / (high - low) if high > low else 1.0 for sample in samples]
        return [sample / sum(scaled) for sample in scaled]

    def rest(samples: list[float]) -> list[float]:
        total = 0.0
        for sample in samples:
            total += sample
        return [sample - total / 9 for sample in samples]

    def entropy(probabilities: list[float]) -> float:
        return -sum(value * math.log2(abs(value)) for value in probabilities if value)

    p, q = density(fused), density(source)
    p_rest, q_rest = rest(p), rest(q)
    covariance = sum(a * b for a, b in zip(p_rest, q_rest, strict=True))
    c = covariance / math.sqrt(sum(a * a for a in p_rest) * sum(b * b for b in q_rest)) if covariance else 0.0
    bound = (lambda x, y: min(x, y)) if c >= 0 else (lambda x, y: max(x + y - 1, 0))
    u = [[bound(sum(p[: i + 1]), sum(q[: j + 1])) for j in range(9)] for i in range(9)]
    deviations = []
    for d in (p, q):
        mean = sum((i + 1) * value for i, value in enumerate(d))
        deviations.append(math.sqrt(max(sum((i + 1) ** 2 * value for i, value in enumerate(d)) - mean**2, 0)))
    spread = deviations[0] * deviations[1]
    excess = sum(u[i][j] - sum(p[: i + 1]) * sum(q[: j + 1]) for i in range(9) for j in range(9))
    phi = c * spread / excess if c and spread else 0.0
    joint = []
    for i, j in product(range(9), range(9)):
        step = u[i][j] - (u[i - 1][j] if i else 0) - (u[i][j - 1] if j else 0) + (u[i - 1][j - 1] if i and j else 0)
        joint.append(phi * step + (1 - phi) * p[i] * q[j])
    both = entropy(p) + entropy(q)
    return 2 * (both - entropy(joint)) / both


def literal_information(infrared: Maps, visible: Maps, fused: Maps) -> float:
    scores = []
    for row, column in product(range(fused.shape[0] - 2), range(fused.shape[1] - 2)):
        cut = (slice(row, row + 3), slice(column, column + 3))
        one, other, result = ([float(v) for v in plane[cut].T.ravel()] for plane in (infrared, visible, fused))
        scores.append((literal_window_information(result, one) + literal_window_information(result, other)) / 2)
    return float(np.mean(scores))


def test_cosine_information_is_the_definition() -> None:
    images = triple(10, 9, 11)
    expected = literal_information(*(dctn(image.astype(np.float64), norm="ortho") for image in images))
    assert metrics.transform_mutual_information(*images, transform="dct") == pytest.approx(expected, rel=1e-9)


def test_wavelet_information_is_the_definition() -> None:
    images = triple(11, 6, 9)
    planes = [transform_wavelets(image.astype(np.float64)) for image in images]
    planes = [(plane - plane.min()) / np.ptp(plane) for plane in planes]
    expected = literal_information(*planes)
    assert metrics.transform_mutual_information(*images, transform="wavelet") == pytest.approx(expected, rel=1e-9)


def test_wavelets_keep_the_energy_and_separate_what_is_smooth() -> None:
    random = np.random.default_rng(12)
    image = np.zeros((300, 320))
    image[120:180, 130:190] = random.normal(0, 50, (60, 60))
    bands = transform_wavelets(image)
    assert bands.shape == (2 * 200, 2 * 210)
    assert (bands**2).sum() == pytest.approx((image**2).sum(), rel=1e-4)  # orthogonal, but for the truncated taps
    flat = transform_wavelets(np.full((40, 50), 8.0))
    assert np.abs(flat[:70, :75] - 16).max() < 1e-4
    assert np.abs(flat[70:]).max() < 1e-4


def test_edge_information_by_hand() -> None:
    """Three vertical steps: where edges agree a window scores 1, and a window without edges equals one without."""
    image = np.zeros((12, 20), np.uint8)
    image[:, 10:] = 200
    moved = np.roll(image, 0)
    assert metrics.edge_mutual_information(image, moved, image) == 1
    flat = np.full_like(image, 9)
    # A flat window's uniform density tells nothing of a step's; the three columns of windows that see the edge count 0.
    assert metrics.edge_mutual_information(flat, flat, image) == pytest.approx(15 / 18, abs=1e-9)


def test_edge_information_is_the_definition() -> None:
    images = triple(13, 14, 15)
    expected = literal_information(*(literal_edges(image) for image in images))
    assert metrics.edge_mutual_information(*images) == pytest.approx(expected, rel=1e-9)


def literal_edges(image: ImageArray) -> Maps:
    """MATLAB's edge(), pixel by pixel, on whole numbers."""
    kernel = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]]) / 8
    windows = patches(np.pad(image, 1, "edge"), 3)
    down, across = (windows * kernel).sum((2, 3)), (windows * kernel.T).sum((2, 3))
    strength = down**2 + across**2
    height, width = image.shape
    edges = np.zeros(image.shape)
    for r, c in product(range(height), range(width)):
        here = strength[r, c]
        beside = (c == 0 or strength[r, c - 1] <= here) and (c == width - 1 or here > strength[r, c + 1])
        above = (r == 0 or strength[r - 1, c] <= here) and (r == height - 1 or here > strength[r + 1, c])
        steep = abs(across[r, c]) >= abs(down[r, c]), abs(down[r, c]) >= abs(across[r, c])
        edges[r, c] = here > 4 * strength.mean() and ((steep[0] and beside) or (steep[1] and above))
    return edges
