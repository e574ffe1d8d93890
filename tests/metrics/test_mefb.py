"""What the metrics of Z. Liu's family give by their definitions, without the programs' own numbers."""

import math
from pathlib import Path

import numpy as np
import pytest

import metrics
from metrics.definitions.frequency import filtered, radial_frequencies, stretched
from metrics.definitions.phase_congruency import _filters
from metrics.images import ImageArray, write


@pytest.fixture(scope="module")
def scene() -> ImageArray:
    random = np.random.default_rng(3)
    steps = random.normal(0, 1, (60, 75)).cumsum(axis=0).cumsum(axis=1)
    return np.uint8(250 * (steps - steps.min()) / np.ptp(steps)) + random.integers(0, 6, steps.shape, dtype=np.uint8)


def score(name: str, *images: ImageArray) -> float:
    return metrics.METRICS[name].compute("mefb", *images)


@pytest.mark.parametrize(
    ("name", "value"),
    [("Q_cb", 1), ("Q_cv", 0), ("NMI", 2), ("Q_y", 1), ("Q_c", 1), ("Q_w", 1), ("VIFF", 1)],
)
def test_an_image_fused_with_itself(name: str, value: float, scene: ImageArray) -> None:
    assert score(name, scene, scene, scene) == pytest.approx(value, abs=1e-9)


def test_images_without_anything_in_common_have_the_least_information() -> None:
    """Of independent images the matrix of correlations is the identity: 1 - log2(3)/8."""
    axes = np.arange(64, dtype=np.uint8)
    first, second = np.meshgrid(axes, axes)
    third = np.bitwise_xor(first, second)  # pairwise independent of both
    assert score("Q_ncie", first, second, third) == pytest.approx(1 - math.log2(3) / 8, abs=1e-12)
    assert score("NMI", first, second, third) == pytest.approx(0, abs=1e-12)


def test_equal_images_correlate_by_an_eighth_of_their_entropy(scene: ImageArray) -> None:
    correlation = metrics.entropy(np.uint8(stretched(scene))) / 8
    shares = np.array([1 + 2 * correlation, 1 - correlation, 1 - correlation]) / 3
    expected = 1 + float((shares * np.log2(shares)).sum()) / 8
    assert score("Q_ncie", scene, scene, scene) == pytest.approx(expected, abs=1e-12)


def test_q_c_depends_on_the_order_of_its_sources(scene: ImageArray) -> None:
    other = np.ascontiguousarray(scene[::-1])
    fused = np.uint8((scene.astype(int) * 2 + other) // 3)
    assert score("Q_c", scene, other, fused) != pytest.approx(score("Q_c", other, scene, fused), rel=1e-3)


def test_levels_are_stretched_in_the_order_of_the_program() -> None:
    image = np.array([[10, 11, 12, 60]], np.uint8)
    assert stretched(image).tolist() == [[0, 5, 10, 255]]  # 5.1 and 10.2 to the nearest
    assert np.isnan(stretched(np.full((2, 2), 7, np.uint8))).all()
    assert not stretched(np.zeros((2, 2), np.uint8)).any()


@pytest.mark.parametrize("shape", [(8, 8), (7, 10), (9, 5)])
def test_a_frequency_filter_is_the_programs(shape: tuple[int, int]) -> None:
    """real(ifft2(ifftshift(fftshift(fft2(x)) W))) with W on centred frequencies."""
    image = np.random.default_rng(0).normal(0, 1, shape)
    rows, columns = ((np.arange(n) - n // 2) * (2 / n) * (n / 4) for n in shape)
    response = np.exp(-np.hypot(rows[:, None], columns[None]))
    expected = np.fft.ifft2(np.fft.ifftshift(np.fft.fftshift(np.fft.fft2(image)) * response)).real
    np.testing.assert_allclose(filtered(image, np.exp(-radial_frequencies(shape, 4))), expected, atol=1e-12)


@pytest.mark.parametrize("shape", [(12, 16), (11, 14), (9, 7)])
def test_the_energy_of_filters_is_that_in_the_image_domain(shape: tuple[int, int]) -> None:
    """Σ h² + 2 Σ h h' over scales, h = real(ifft2(filter)) √(HW): the definition, where the bank uses Parseval."""
    bank = _filters(*shape)
    for angular, products in zip(bank.angular, bank.products, strict=True):
        total = sum(np.fft.ifft2(radial * angular).real for radial in bank.radial) * math.sqrt(shape[0] * shape[1])
        assert products == pytest.approx(float((total**2).sum()), rel=1e-10)


@pytest.mark.parametrize(
    ("flat", "expected"),
    [
        ((), set()),
        (("infrared",), {"Q_c", "VIFF"}),
        (("fused",), {"Q_c"}),
        (("visible", "fused"), {"Q_c", "Q_y", "VIFF"}),
    ],
)
def test_where_rounding_decides_it_is_told(flat: tuple[str, ...], expected: set[str], tmp_path: Path) -> None:
    """Flat windows: 17x17 in a source for VIFF, 7x7 in any image for Q_c, in the fused image and a source for Q_y."""
    for number, band in enumerate(("infrared", "visible", "fused")):
        pixels = np.random.default_rng(number).integers(0, 256, (48, 48), dtype=np.uint8)
        if band in flat:
            pixels[10:30, 10:30] = 255
        (tmp_path / band).mkdir()
        write(tmp_path / band / "1.png", pixels)
    folders = [tmp_path / band for band in ("infrared", "visible", "fused")]
    frame = metrics.evaluate_folder(*folders, convention="mefb", metrics="all", workers=1)
    told = [remark for remark in frame.attrs["remarks"] if "rounding" in remark]
    assert {name for remark in told for name in remark.partition(":")[0].split(", ")} == expected
