"""Kill -9 while MoE-Fusion or a detector is trained: after restarts models and tables are the undisturbed ones."""

import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest

from benchmark.datasets import synthetic
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
epochs = 3
batch = 2
resize = [64, 96]
workers = 0
checkpoint_steps = 1

[detection]
detector = "small"
weights = "none"
epochs = 3
batch = 2
warmup = 1
workers = 0
checkpoint_steps = 1
score_threshold = 0.0
"""
KILLS = 2


def made(out: Path) -> dict[str, bytes]:
    found = [*out.glob("table*.csv"), *out.rglob("model.safetensors"), *out.rglob("detections.json")]
    return {str(path.relative_to(out)): path.read_bytes() for path in found}


@pytest.mark.slow
def test_killed_while_training(tmp_path: Path) -> None:
    synthetic.write(tmp_path / "data/M3FD", layout="m3fd", train=4, test=2, seed=4, size=(128, 96))
    (tmp_path / "killed.toml").write_text(EXPERIMENT)

    def line(out: str) -> list[str]:
        given = ["--data-root", str(tmp_path / "data"), "--out", str(tmp_path / out), "--workers", "1"]
        return [sys.executable, str(SCRIPT), "run", str(tmp_path / "killed.toml"), *given]

    whole = start(line("whole"), stdout=None)
    assert whole.communicate(timeout=120)[1] == ""
    assert whole.returncode == 0

    draw, kills, logs = random.Random(7), 0, ("MoE-Fusion/train", "infrared+visible/detector")
    while True:
        process = start(line("killed"), stdout=None)
        if kills < KILLS:
            # The first half falls into the training of MoE-Fusion, the second into that of the detector.
            log = tmp_path / "killed/cells/M3FD" / logs[2 * kills // KILLS] / "train.csv"
            before, wanted = rows(log), draw.randrange(1, 3)
            while process.poll() is None and rows(log) < before + wanted:
                time.sleep(0.002)
            time.sleep(draw.random() / 20)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                kills += 1
                continue
        complaints = process.communicate(timeout=120)[1]
        break
    assert (process.returncode, complaints) == (0, "")
    assert kills == KILLS
    assert made(tmp_path / "killed") == made(tmp_path / "whole")
    assert (
        len(made(tmp_path / "whole")) == 7
    )  # two tables and Table 1's statistics, two models, two lists of detections
    assert left_behind(tmp_path / "killed") == []


def rows(log: Path) -> int:
    return log.read_bytes().count(b"\n") if log.is_file() else 0
