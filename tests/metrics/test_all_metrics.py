"""One tester for every metric in every convention: input checks, range, repetition, sizes, degenerate images."""

import math

import numpy as np
import pytest

import metrics
from metrics.errors import InputError
from metrics.images import ImageArray
from metrics.metric import GROUPS
from metrics.sharing import sharing

CASES = [(name, convention) for name, metric in metrics.METRICS.items() for convention in metric.rules]
every_rule = pytest.mark.parametrize(("name", "convention"), CASES)

INFINITE = math.inf
# The values that a metric can have, by its definition; (id, convention) where a convention has its own.
RANGES: dict[str | tuple[str, str], tuple[float, float]] = {
    "EN": (0, 8),
    "SF": (0, 255 * math.sqrt(2)),
    ("SF", "tang2022"): (0, math.sqrt(2)),
    "SD": (0, 127.5),
    ("SD", "tang2022"): (0, math.sqrt(255)),
    "MI": (-1e-12, 16),
    "VIF": (0, INFINITE),
    "AG": (0, INFINITE),
    "SCD": (-2, 2),
    "Q_abf": (0, 0.9994 * 0.9879),
    "CC": (-1, 1),
    "MSE": (0, 255**2),
    ("MSE", "tang2022"): (0, 1),
    ("MSE", "tang2023"): (0, 1),
    ("MSE", "metric_python"): (0, 1),
    "RMSE": (0, 255),
    "PSNR": (-INFINITE, INFINITE),
    "SSIM": (-2, 2),
    ("SSIM", "tang2022"): (-1, 1),
    ("SSIM", "tang2023"): (-1, 1),
    "MS_SSIM": (0, 2),
    ("MS_SSIM", "tang2022"): (0, 1),
    ("MS_SSIM", "tang2023"): (0, 1),
    "N_abf": (0, 1),
    "VIFF": (0, INFINITE),
    "FMI_pixel": (0, 1),
    "FMI_dct": (0, 1),
    "FMI_w": (0, 1),
    "CE": (-INFINITE, INFINITE),
    "EI": (0, INFINITE),
    "Q_cb": (0, 1),
    "Q_cv": (0, INFINITE),
    "NMI": (0, 2),
    "Q_ncie": (0.8, 1),
    "Q_y": (-1, 1 + 1e-9),
    "Q_c": (-1, 1 + 1e-9),
    "Q_w": (-1, 1),
    "Q_p": (-1, 1),
}


def images(name: str, convention: str, *levels: int | None, less: int = 0) -> list[ImageArray]:
    """Return a triple no smaller than a metric needs, or `less` smaller; images of a level given are constant."""
    smallest = metrics.METRICS[name].smallest_side(convention)
    height = smallest - less if less else max(48, smallest)
    random = np.random.default_rng(1)
    scene = random.normal(0, 1, (height, height + 8)).cumsum(axis=0).cumsum(axis=1)
    scene = 200 * (scene - scene.min()) / max(np.ptp(scene), 1)
    noisy = [np.clip(scene + random.normal(20, 9, scene.shape), 0, 255).astype(np.uint8) for _ in range(3)]
    noisy[1] = 255 - noisy[1]
    noisy[2] = ((noisy[0].astype(int) + noisy[1] + noisy[2]) // 3).astype(np.uint8)
    return [
        image if level is None else np.full_like(image, level)
        for image, level in zip(noisy, levels or (None,) * 3, strict=True)
    ]


@every_rule
def test_only_grey_images_of_8_bits_and_one_size_are_taken(name: str, convention: str) -> None:
    metric = metrics.METRICS[name]
    infrared, visible, fused = images(name, convention)
    wrong = [
        (infrared, visible, fused.astype(np.float64)),
        (infrared, visible, np.stack([fused] * 3, axis=-1)),
        (infrared.astype(np.float32), visible, fused),
        (infrared, visible[1:], fused),
        (infrared, visible, fused[:, 1:]),
    ]
    for triple in wrong if metric.sources else wrong[:2]:
        with pytest.raises(InputError):
            metric.compute(convention, *triple)


@every_rule
def test_a_value_lies_in_its_range(name: str, convention: str) -> None:
    low, high = RANGES.get((name, convention)) or RANGES[name]
    infrared, visible, fused = images(name, convention)
    noise = np.random.default_rng(2).integers(0, 256, fused.shape, dtype=np.uint8)
    for image in (fused, noise, infrared // 16, 255 - infrared):
        value = metrics.METRICS[name].compute(convention, infrared, visible, image)
        assert low <= value <= high or (math.isnan(value) and metrics.METRICS[name].undefined)


@every_rule
def test_a_value_is_always_the_same(name: str, convention: str) -> None:
    """Whether computed again, after other metrics that share intermediate results, or on arrays of another order."""
    triple = images(name, convention)
    before = [image.copy() for image in triple]
    value = metrics.METRICS[name].compute(convention, *triple)
    assert metrics.METRICS[name].compute(convention, *triple) == value
    transposed = map(np.asfortranarray, triple)
    assert metrics.evaluate(*transposed, convention=convention, metrics=[name])[name] == value
    with sharing():
        for _ in range(2):
            assert metrics.METRICS[name].compute(convention, *triple) == value
    assert metrics.evaluate(*triple, convention=convention, metrics="all")[name] == value
    assert all(np.array_equal(image, copy) for image, copy in zip(triple, before, strict=True))


@every_rule
def test_the_smallest_image(name: str, convention: str) -> None:
    smallest = metrics.METRICS[name].smallest_side(convention)
    square = [image[:smallest, :smallest] for image in images(name, convention)]
    value = metrics.METRICS[name].compute(convention, *square)
    assert math.isfinite(value) or metrics.METRICS[name].undefined
    small = [image[: smallest - 1, :smallest] for image in square]
    if smallest == 1:
        return
    with pytest.raises(InputError, match=f"{name} needs at least {smallest}x{smallest}"):
        metrics.evaluate(*small, convention=convention, metrics=[name])
    assert math.isnan(metrics.evaluate(*small, convention=convention, metrics="all")[name])


@every_rule
@pytest.mark.parametrize(
    "levels",
    [(0, 0, 0), (255, 255, 255), (9, 99, 199), (None, 0, 255), (None, None, 0), (None, None, 137), (0, None, None)],
)
def test_degenerate_images(name: str, convention: str, levels: tuple[int | None, ...]) -> None:
    """No warning, which would be an error here, and no infinite value; NaN only where `undefined` says of it."""
    metric = metrics.METRICS[name]
    value = metric.compute(convention, *images(name, convention, *levels))
    assert not math.isinf(value)
    assert metric.undefined or not math.isnan(value)


@every_rule
def test_a_fused_image_that_equals_its_sources(name: str, convention: str) -> None:
    metric = metrics.METRICS[name]
    infrared, visible, _ = images(name, convention)
    for triple in ((infrared, infrared, infrared), (infrared, visible, infrared), (infrared, visible, visible)):
        value = metric.compute(convention, *triple)
        assert not math.isinf(value)
        assert metric.undefined or not math.isnan(value)


@every_rule
def test_the_better_direction(name: str, convention: str) -> None:
    """A fused image that equals both sources scores better than noise."""
    metric = metrics.METRICS[name]
    image = images(name, convention)[0]
    noise = np.random.default_rng(3).integers(0, 256, image.shape, dtype=np.uint8)
    same, other = (metric.compute(convention, image, image, fused) for fused in (image, noise))
    if metric.sources and not math.isnan(same):
        assert (same > other) == metric.higher_is_better


@every_rule
def test_exchanged_sources(name: str, convention: str) -> None:
    infrared, visible, fused = images(name, convention)
    if metrics.METRICS[name].symmetric:
        one, other = (
            metrics.METRICS[name].compute(convention, *sources, fused)
            for sources in ((infrared, visible), (visible, infrared))
        )
        assert one == pytest.approx(other, rel=1e-10, nan_ok=True)


@pytest.mark.parametrize("metric", metrics.METRICS.values(), ids=list(metrics.METRICS))
def test_a_metric_is_described(metric: metrics.Metric) -> None:
    assert all((metric.id, metric.title, metric.formula, metric.reference))
    assert metric.group in GROUPS
    assert metric.rules
    assert set(metric.rules) <= set(metrics.CONVENTIONS)
    assert all(rule.scale for rule in metric.rules.values())
    for function in {rule.function or metric.function for rule in metric.rules.values()}:
        assert function.__doc__
        assert f"({metric.id})" in function.__doc__ or metric.id in function.__doc__
        assert ("higher is better" if metric.higher_is_better else "lower is better") in function.__doc__.lower()


def test_every_convention_has_a_metric() -> None:
    assert {convention for _, convention in CASES} == set(metrics.CONVENTIONS)
