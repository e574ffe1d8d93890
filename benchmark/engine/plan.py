"""Estimate the time and disk space of a run, from a few images that are processed before it starts."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import methods
import metrics
from benchmark.datasets.base import Pair
from benchmark.engine.experiment import MethodSettings, ScoreSettings
from benchmark.engine.run_record import Part
from benchmark.engine.stages.fuse import divide_work, limit_threads
from metrics import images, lookahead
from metrics.workers import Workers

WORTH = 500  # images from which on a run says beforehand what it will take
_TRIED = 2  # pairs a method is tried on; the last one counts, for the first one pays for what is set up once


@dataclass(frozen=True)
class Cost:
    """What one method costs on one data set.

    Attributes:
        dataset, method: Which.
        pairs: How many images are to be made.
        fuse, score: Seconds for all of them, in the processes that work on them.
        size: Bytes that they take on the disk.
    """

    dataset: str
    method: str
    pairs: int
    fuse: float
    score: float
    size: float


def cost(
    part: Part,
    number: int,
    label: str,
    method: MethodSettings,
    score: ScoreSettings,
    *,
    device: str = "auto",
    workers: Workers,
) -> Cost | None:
    """Return what a method costs on a data set, or None when it fails: its cell will say why.

    Args:
        part: The data set's pairs; the first ones are tried.
        number: How many images are to be made.
        label: The method's.
        method: What fuses.
        score: How it is scored.
        device: Where a network runs.
        workers: Processes that fuse and score.
    """
    try:
        fuses = methods.create(method.name, variant=method.variant, weights=method.weights, device=device)
        processes, threads = divide_work(fuses, workers)
        with TemporaryDirectory() as folder, limit_threads(threads):
            for pair in part.pairs[:_TRIED]:
                tried = _tried(fuses, part.name, pair, Path(folder) / "fused.png", score)
    except (Exception, SystemExit):  # whatever it is, the run itself meets it again, and reports it
        return None
    beside = lookahead.threads(workers.number) if threads is None else processes
    fusing = tried.fusing / processes + tried.files / beside
    scoring = tried.scoring / workers.number
    return Cost(part.title, label, number, fusing * number, scoring * number, tried.size * number)


class _Tried(NamedTuple):
    """The seconds that one pair takes: reading it and writing its image, fusing, scoring; and the image's bytes."""

    files: float
    fusing: float
    scoring: float
    size: int


def _tried(method: methods.Method, dataset: str, pair: Pair, path: Path, score: ScoreSettings) -> _Tried:
    began = time.perf_counter()
    infrared, visible = images.read(pair.infrared), images.read(pair.visible)
    read = time.perf_counter()
    image = method.fuse_named(dataset, pair.name, infrared, visible)
    fused = time.perf_counter()
    images.write(path, image)
    written = time.perf_counter()
    metrics.evaluate_files(
        pair.infrared, pair.visible, path, convention=score.convention, size=score.pixels, metrics=score.metrics
    )
    scored = time.perf_counter()
    return _Tried(read - began + written - fused, fused - read, scored - written, path.stat().st_size)


def text(costs: Iterable[Cost], workers: Workers) -> str:
    """Return the plan in one line."""
    costs = list(costs)
    pairs, size, fuse, score = (
        sum(getattr(each, name) for each in costs) for name in ("pairs", "size", "fuse", "score")
    )
    slowest = max(costs, key=lambda each: each.fuse)
    return (
        f"plan: {pairs:,} images, about {_duration(fuse + score)} on {workers.number} processes "
        f"(fuse {_duration(fuse)}, of it {slowest.method} {_duration(slowest.fuse)}; score {_duration(score)}) "
        f"and {size / 1e9:.1f} GB"
    )


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
