"""Kill -9 while models are trained, objects found, a sweep run, a report drawn: all is as in an undisturbed run."""

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from benchmark.engine.cells import MANIFEST, Manifest
from benchmark.synthetic import layouts as synthetic
from tests.faults.runs import SCRIPT, left_behind, start

EXPERIMENT = """
title = "Killed"
methods = ["average", "moefusion"]
tables = [1, 3]

[[datasets]]
name = "m3fd"

[train.fusion]
local_gate_grid = [6, 8]
global_gate_grid = [6, 8]

[train.detector]
backbone = "small"

[train.training]
epochs = 2
batch = 2
resize = [64, 96]
workers = 0
checkpoint_steps = 1

[detection]
detector = "small"
weights = "none"
epochs = 2
batch = 2
warmup = 1
workers = 0
checkpoint_steps = 1
score_threshold = 0.0
"""


class Kill(NamedTuple):
    """In which command; which files tell that its moment is near; how many more rows or files there may be then."""

    verb: str
    watched: str
    most: int


RUN, SWEEP, REPORT = "run", "sweep alpha", "report"
KILLS = (
    Kill(RUN, "cells/M3FD/MoE-Fusion/train/train.csv", 2),
    Kill(RUN, "cells/M3FD/infrared+visible/detector/train.csv", 2),
    Kill(RUN, "cells/M3FD/*/detect/*.jsonl", 2),
    Kill(SWEEP, "cells/M3FD/MoE-Fusion-alpha*/train/train.csv", 9),
    Kill(REPORT, "figures/*", 4),
)


@pytest.mark.slow
def test_killed_while_training(tmp_path: Path) -> None:
    synthetic.write(tmp_path / "data/M3FD", layout="m3fd", train=4, test=2, seed=4, size=(128, 96))
    (tmp_path / "killed.toml").write_text(EXPERIMENT)

    def line(verb: str, out: Path) -> list[str]:
        if verb == REPORT:
            return [sys.executable, str(SCRIPT), verb, str(out)]
        given = ["--data-root", str(tmp_path / "data"), "--out", str(out), "--workers", "1"]
        return [sys.executable, str(SCRIPT), *verb.split(), str(tmp_path / "killed.toml"), *given]

    whole, out = tmp_path / "whole", tmp_path / "killed"
    draw, landed = random.Random(7), 0
    with ThreadPoolExecutor() as beside:
        undisturbed = beside.submit(lambda: [finish(line(verb, whole)) for verb in (RUN, SWEEP, REPORT)])
        for verb in (RUN, SWEEP, REPORT):
            for kill in [each for each in KILLS if each.verb == verb]:
                landed += killed(line(verb, out), lambda kill=kill: progress(out, kill.watched), kill.most, draw)
                assert not (out / "report.html").exists() or whole_page(out)
            finish(line(verb, out))
    undisturbed.result()
    assert landed >= len(KILLS) - 1  # on a fast machine one may come too late
    assert made(out) == made(whole)
    assert {Path(name).name for name in made(out)} >= {"table1.csv", "table3.csv", "sweep_alpha.csv", "detections.json"}
    assert whole_page(out)
    assert left_behind(out) == []
    manifests = [Manifest.model_validate_json(path.read_bytes()) for path in out.rglob(MANIFEST)]
    assert {manifest.status for manifest in manifests} == {"done"}


def killed(line: list[str], progress: Callable[[], int], most: int, draw: random.Random) -> bool:
    """Start a command and kill it soon after it has made some progress; return whether it lived so long."""
    before, wanted, delay = progress(), draw.randint(1, most), draw.random() / 20
    process = start(line, stdout=None)
    while process.poll() is None and progress() < before + wanted:
        time.sleep(0.002)
    time.sleep(delay)
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
    complaints = process.communicate()[1]
    assert alive or (process.returncode, complaints) == (0, "")
    return alive


def finish(line: list[str]) -> None:
    process = start(line, stdout=None)
    complaints = process.communicate(timeout=120)[1]
    assert (process.returncode, complaints) == (0, "")


def progress(out: Path, watched: str) -> int:
    """Return how many rows the watched journals have, or how many files there are of another kind."""
    found = [path for path in out.glob(watched) if not path.name.startswith(".")]
    return sum(path.read_bytes().count(b"\n") if path.suffix in (".csv", ".jsonl") else 1 for path in found)


def made(out: Path) -> dict[str, bytes]:
    """Return what the commands are for: tables, models, what was found, and the figures as images."""
    found = [*out.glob("*.csv"), *out.rglob("model.safetensors"), *out.rglob("detections.json"), *out.rglob("*.png")]
    return {str(path.relative_to(out)): path.read_bytes() for path in found}


def whole_page(out: Path) -> bool:
    """Return whether the report is there to its end."""
    return (out / "report.html").read_text().rstrip().endswith("</html>")
