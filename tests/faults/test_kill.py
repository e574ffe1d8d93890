"""Kill -9 at random moments: after a restart no cell is half done and every table is the undisturbed one."""

import os
import random
import signal
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from benchmark.engine.cells import MANIFEST, Manifest
from tests.faults.runs import command, left_behind, results, start


class Step(NamedTuple):
    """A command, how often it is killed, and how many files it may write before it is."""

    verb: str
    kills: int
    files: int


# Each way is a sequence of commands that ends in the tables; commands of later stages join here.
WAYS = {
    "run": [Step("run", 7, 9)],
    "stages": [Step("fuse", 2, 9), Step("score", 2, 4), Step("table", 1, 1)],
}


def files(out: Path) -> int:
    return sum(1 for _ in out.rglob("*"))


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_killed_at_random_moments(way: str, scenes: Path, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    out, draw, killed, statuses = tmp_path / "out", random.Random(way), 0, []
    for step in WAYS[way]:
        kills = 0
        while True:
            process = start(command(scenes, out, step.verb, workers=draw.choice((1, 2))), stdout=None)
            if kills < step.kills:
                before, wanted, delay = files(out), draw.randrange(step.files), draw.random()
                while process.poll() is None and files(out) - before < wanted:
                    time.sleep(0.002)  # so that most kills fall into the work, not into the start
                time.sleep(delay / 20 if wanted else delay)
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    kills += 1
                    process.communicate()
                    continue
            complaints = process.communicate()[1]
            statuses.append((process.returncode, complaints))
            break
        killed += kills
    assert statuses == [(0, "")] * len(WAYS[way])
    assert killed >= sum(step.kills for step in WAYS[way]) - 1  # on a fast machine one may come too late
    assert results(out) == undisturbed
    assert left_behind(out) == []
    manifests = [Manifest.model_validate_json(path.read_bytes()) for path in out.rglob(MANIFEST)]
    assert len(manifests) == 8
    assert {(manifest.status, len(manifest.items)) for manifest in manifests} == {("done", 6)}
