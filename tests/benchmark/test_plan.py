"""What a long run says of itself before it starts."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from benchmark.engine import plan
from benchmark.engine.experiment import DatasetSettings, Experiment, ScoreSettings, method
from benchmark.engine.loading import load_part
from benchmark.engine.runner import Options
from benchmark.studies.experiment_run import run
from benchmark.synthetic import layouts as synthetic
from metrics.workers import Workers

# Both sleep as long as anything else takes together on these small scenes; the second has a network's device.
OWN = """
import time
from methods import Method

class Slow(Method):
    def forward(self, infrared, visible):
        time.sleep(0.4)
        return infrared

class Network(Slow):
    device = "cpu"

class Broken(Method):
    def forward(self, infrared, visible):
        raise RuntimeError("this network has no head")
"""
PAIRS = 3
FOUND = re.compile(r"plan: (\d+) images, about (\d+) s on (\d+) processes \(fuse (\d+) s, of it (\S+) (\d+) s; score")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    synthetic.write(tmp_path / "M3FD", layout="m3fd", train=1, test=PAIRS, seed=0, size=(128, 96))
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path


@pytest.mark.parametrize(("name", "workers", "divided"), [("Slow", 1, 1), ("Slow", 4, 4), ("Network", 4, 1)])
def test_workers_divide_the_work_that_they_share(root: Path, name: str, workers: int, divided: int) -> None:
    part = load_part(DatasetSettings("m3fd"), root, root / "out" / "data").part
    settings, score = method(f"{root / 'own.py'}:{name}"), ScoreSettings()
    cost = plan.cost(part, 1000, name, settings, score, workers=Workers(workers))
    assert cost
    assert cost.pairs == 1000
    assert cost.fuse == pytest.approx(400 / divided, rel=0.2)
    assert 1e3 < cost.size / 1000 < 1e5  # a PNG of 128x96


def test_a_run_says_it_before_it_starts(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "WORTH", 2 * PAIRS)
    wanted = Experiment(
        title="Plan",
        datasets=[DatasetSettings("m3fd")],
        methods=[method(text) for text in ("average", f"{root / 'own.py'}:Slow", f"{root / 'own.py'}:Broken")],
    )
    shown = shown_by(wanted, root)
    said = FOUND.search(shown)
    assert said, shown
    images, total, processes, fuse, slowest, its = said.groups()
    assert (images, processes, slowest) == (str(2 * PAIRS), "1", "Slow")  # what breaks is not in it
    assert int(total) >= int(fuse) >= int(its) == 1
    assert "plan:" not in shown_by(wanted, root), "nothing is missing but what breaks"


def shown_by(wanted: Experiment, root: Path) -> str:
    shown = io.StringIO()
    options = Options(out=root / "out", data_root=root, workers=1)
    assert run(wanted, options, console=Console(file=shown, width=200)).status == 1
    return shown.getvalue()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5340, "89 min"), (5400, "1 h 30 min"), (2e5, "55 h 33 min")],
)
def test_durations(seconds: float, said: str) -> None:
    cost = plan.Cost("M3FD", "Slow", 12345, seconds, 0, 2e9)
    assert plan.text([cost], Workers(3)) == (
        f"plan: 12,345 images, about {said} on 3 processes (fuse {said}, of it Slow {said}; score 0 s) and 2.0 GB"
    )
