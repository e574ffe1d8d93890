"""Time of the metrics on one 1024x768 triple: `pytest tests/speed --benchmark-only`.

The cost of decoding the three PNG files is the yardstick. For figures of one thread set OPENBLAS_NUM_THREADS=1.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import metrics
from metrics.images import ImageArray, cv2, grey, read, write
from metrics.sharing import sharing


def own_rules(convention: str) -> list[str]:
    """Return the metrics of a convention whose rule no earlier convention has."""
    earlier = list(metrics.CONVENTIONS)[: list(metrics.CONVENTIONS).index(convention)]
    rules = metrics.CONVENTIONS[convention].rules
    return [
        name
        for name, rule in rules.items()
        if not any(metrics.METRICS[name].rules.get(other) is rule for other in earlier)
    ]


@pytest.fixture(scope="module")
def triple() -> list[ImageArray]:
    """A real M3FD pair and its average where a development checkout has one; else a synthetic scene in colour."""
    folder = Path(os.environ.get("IVIF_SHARED", Path(__file__).parents[3] / "shared")) / "data" / "M3FD"
    if (folder / "Ir" / "00003.png").is_file():
        sources = [read(folder / band / "00003.png") for band in ("Ir", "Vis")]
    else:
        sources = [synthetic(seed) for seed in range(2)]
    infrared, visible = (grey(source) for source in sources)
    return [*sources, np.floor((infrared.astype(float) + visible) / 2 + 0.5).astype(np.uint8)]


def synthetic(seed: int) -> ImageArray:
    """An RGB image with smooth parts, edges, sensor noise and a dark corner, which PNG packs about as a photo."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (12, 16, 3)).astype(np.float32)
    scene = cv2.resize(coarse, (1024, 768), interpolation=cv2.INTER_CUBIC)
    scene[200:400, 300:500] += 60
    scene += random.normal(0, 2, scene.shape)
    scene[600:, :300] *= 0.05
    return np.clip(scene, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def files(triple: list[ImageArray], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("triple")
    paths = [folder / f"{name}.png" for name in ("infrared", "visible", "fused")]
    for path, image in zip(paths, triple, strict=True):
        write(path, image)
    return paths


def decode(files: list[Path]) -> list[ImageArray]:
    return [read(path) for path in files]


def test_decoding_three_files(benchmark: BenchmarkFixture, files: list[Path]) -> None:
    benchmark(decode, files)


def test_scoring_three_files(benchmark: BenchmarkFixture, files: list[Path]) -> None:
    benchmark(metrics.evaluate_files, *files)


@pytest.mark.parametrize("convention", [name for name, one in metrics.CONVENTIONS.items() if "EN" in one.rules])
def test_the_papers_metrics(benchmark: BenchmarkFixture, triple: list[ImageArray], convention: str) -> None:
    benchmark(metrics.evaluate, *map(grey, triple), convention=convention)


@pytest.mark.parametrize(
    ("convention", "name"), [(convention, name) for convention in metrics.CONVENTIONS for name in own_rules(convention)]
)
def test_one_metric(benchmark: BenchmarkFixture, triple: list[ImageArray], convention: str, name: str) -> None:
    images = [grey(image) for image in triple]
    benchmark.pedantic(metrics.METRICS[name].compute, args=(convention, *images), rounds=3, warmup_rounds=1)


def test_fidelity_of_dark_images(benchmark: BenchmarkFixture, triple: list[ImageArray]) -> None:
    """The dearest case of tang2022's VIF, which skips what is nowhere dark."""
    dark = [grey(image) // 8 for image in triple]
    benchmark(metrics.evaluate, *dark, metrics=["VIF"])


def test_ratio_to_decoding(
    benchmark: BenchmarkFixture, triple: list[ImageArray], files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """All eight metrics cost at most four times what decoding the files costs.

    In seconds of processor time, so that it matters little what else the machine does; each turn takes both in
    succession and the middle ratio counts.
    """
    images = [grey(image) for image in triple]
    turns = [(timed(lambda: metrics.evaluate(*images)), timed(lambda: decode(files))) for _ in range(25)]
    ratio = median(scoring / decoding for scoring, decoding in turns)
    scoring, decoding = (1e3 * min(times) for times in zip(*turns, strict=True))
    with capsys.disabled():
        print(f"\neight metrics {scoring:.0f} ms, decoding {decoding:.0f} ms at best; middle ratio {ratio:.2f}")
    benchmark.pedantic(metrics.evaluate, args=images)
    assert ratio < 4


def test_ratio_of_all_metrics_to_the_papers(
    benchmark: BenchmarkFixture, triple: list[ImageArray], capsys: pytest.CaptureFixture[str]
) -> None:
    """All of tang2022's metrics but FMI and N_abf cost at most four times the paper's eight."""
    images = [grey(image) for image in triple]
    names = [name for name in metrics.select("all", "tang2022") if not name.startswith(("FMI", "N_abf"))]
    assert set(names) > set(metrics.PAPER)
    turns = [
        (timed(lambda: metrics.evaluate(*images, metrics=names)), timed(lambda: metrics.evaluate(*images)))
        for _ in range(15)
    ]
    ratio = median(all_metrics / papers for all_metrics, papers in turns)
    with capsys.disabled():
        print(f"\n{len(names)} metrics against eight: middle ratio {ratio:.2f}")
    benchmark.pedantic(metrics.evaluate, args=images, kwargs={"metrics": names})
    assert ratio < 4


# Seconds of the original programs under Octave on a 1024x768 triple, of which pixel loops take most.
ORIGINALS = {"N_abf": 150, "FMI_dct": 7200, "FMI_w": 9400, "FMI_pixel": 120}


@pytest.mark.parametrize("name", ORIGINALS)
def test_the_slow_metrics_beat_their_originals(
    triple: list[ImageArray], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By twenty times at least; by hundreds as measured, so that another machine does not matter."""
    images = [grey(image) for image in triple]
    seconds = timed(lambda: metrics.evaluate(*images, metrics=[name]))
    with capsys.disabled():
        print(f"\n{name}: {seconds:.2f} s, original about {ORIGINALS[name]} s")
    assert seconds < ORIGINALS[name] / 20


def test_ratios_to_other_libraries(triple: list[ImageArray], capsys: pytest.CaptureFixture[str]) -> None:
    """Of the same quantity on the same images, in one run and one thread: SSIM, MS_SSIM, PSNR."""
    import sewar
    import torch
    from sewar.utils import Filter
    from skimage import metrics as skimage
    from torchmetrics.functional import image as torchmetrics

    _, visible, fused = (grey(image) for image in triple)
    sources = (visible, visible)
    tensors = [torch.from_numpy(image.astype(np.float64))[None, None] for image in (fused, visible)]
    gauss = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    box = {"window": "box", "total": "mean"}
    window = {"fltr": Filter.GAUSSIAN, "sigma": 1.5, "ws": 11}
    calls: dict[str, tuple[Callable[[], float], Callable[[], float]]] = {
        "SSIM 7x7, scikit-image": (
            lambda: metrics.structural_similarity(*sources, fused, **box),
            lambda: skimage.structural_similarity(fused, visible, data_range=255),
        ),
        "SSIM Gaussian, scikit-image": (
            lambda: metrics.structural_similarity(*sources, fused, total="mean"),
            lambda: skimage.structural_similarity(fused, visible, **gauss),
        ),
        "SSIM Gaussian, sewar": (
            lambda: metrics.structural_similarity(*sources, fused, total="mean"),
            lambda: sewar.ssim(fused, visible, fltr_specs=window)[0],
        ),
        "SSIM Gaussian, torchmetrics": (
            lambda: metrics.structural_similarity(*sources, fused, total="mean"),
            lambda: float(torchmetrics.structural_similarity_index_measure(*tensors, data_range=255.0)),
        ),
        "MS_SSIM, torchmetrics": (
            lambda: metrics.multiscale_structural_similarity(*sources, fused) / 2,
            lambda: float(torchmetrics.multiscale_structural_similarity_index_measure(*tensors, data_range=255.0)),
        ),
        "PSNR, scikit-image": (
            lambda: metrics.peak_signal_to_noise_ratio(*sources, fused),
            lambda: skimage.peak_signal_noise_ratio(visible, fused, data_range=255),
        ),
        "PSNR, sewar": (
            lambda: metrics.peak_signal_to_noise_ratio(*sources, fused),
            lambda: sewar.psnr(visible, fused),
        ),
        "PSNR, torchmetrics": (
            lambda: metrics.peak_signal_to_noise_ratio(*sources, fused),
            lambda: float(torchmetrics.peak_signal_noise_ratio(*tensors, data_range=255.0)),
        ),
    }
    cv2.setNumThreads(1)
    for name, (ours, theirs) in calls.items():
        with sharing():  # both sources are one image here: it is compared once
            value = ours()
        # torchmetrics mirrors the border for SSIM, where the others leave windows out that reach over it.
        same = "SSIM" not in name or "torchmetrics" not in name
        assert value == pytest.approx(theirs(), rel=1e-6 if same else 2e-2), name
        ratios = []
        for _ in range(5):
            with sharing():
                seconds = timed(ours)
            ratios.append(timed(theirs) / seconds)
        with capsys.disabled():
            print(f"\n{name}: {median(ratios):.1f} times our time")
    cv2.setNumThreads(-1)


def timed(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start
