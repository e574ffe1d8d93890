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


@pytest.mark.parametrize("convention", list(metrics.CONVENTIONS))
def test_all_metrics(benchmark: BenchmarkFixture, triple: list[ImageArray], convention: str) -> None:
    benchmark(metrics.evaluate, *map(grey, triple), convention=convention)


@pytest.mark.parametrize("name", metrics.PAPER)
def test_one_metric(benchmark: BenchmarkFixture, triple: list[ImageArray], name: str) -> None:
    benchmark(metrics.evaluate, *map(grey, triple), metrics=[name])


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


def timed(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start
