"""The packaged MoE-Fusion: it fuses without training, and its card says what it is."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import methods
import metrics
import moefusion
from benchmark import datasets
from benchmark.synthetic import layouts as synthetic
from methods.moefusion import MoEFusion
from metrics import images
from metrics.files import digest

FILE = moefusion.PACKAGED
CARD = (FILE.parent / "README.md").read_text()


@pytest.fixture(scope="module")
def method() -> methods.Method:
    return methods.create("moefusion")


def test_it_is_the_default(method: methods.Method) -> None:
    assert method.variant == "small"
    assert method.settings() == {"weights": digest(FILE), "packaged weights": True}
    assert methods.create("moefusion", weights=FILE).settings()["packaged weights"] is False


def test_its_card_says_how_it_was_trained() -> None:
    record = json.loads(FILE.with_suffix(".json").read_text())["training"]
    assert FILE.stat().st_size < 5e6
    steps, pairs = re.search(r"(\d+) steps of 4 windows.*?(\d+) pairs", CARD, re.DOTALL).groups()  # type: ignore[union-attr]
    assert (int(steps), int(pairs)) == (record["step"], record["samples"])
    counts = re.search(r"MSRS (\d+) .*FLIR aligned (\d+) .*RoadScene (\d+) .*LLVIP (\d+) .*M3FD-Fusion (\d+)", CARD)
    assert counts is not None
    assert sum(map(int, counts.groups())) == record["samples"]
    assert f"| seed | {record['config']['seed']}," in CARD
    assert digest(FILE) in CARD


def test_any_size_and_colour(method: methods.Method) -> None:
    random = np.random.default_rng(0)
    infrared, visible = (random.integers(0, 256, (37, 53, 3), dtype=np.uint8) for _ in range(2))
    fused = method.fuse(infrared, visible)
    assert fused.shape == (37, 53)
    assert (fused == method.fuse(images.grey(infrared), images.grey(visible))).all()


def test_on_scenes_that_it_never_saw_it_keeps_more_than_the_average(method: methods.Method, tmp_path: Path) -> None:
    """Synthetic scenes are another world than its training data: it must not fall apart there."""
    synthetic.write(tmp_path / "M3FD", layout="m3fd", train=1, test=4, seed=5, size=(320, 240))
    average = methods.create("average")
    wins = []
    for pair in datasets.load("m3fd", tmp_path / "M3FD").test:
        sources = [images.grey(images.read(path)) for path in (pair.infrared, pair.visible)]
        own, other = (metrics.evaluate(*sources, each.fuse(*sources)) for each in (method, average))
        wins.append([own[name] > other[name] for name in ("SF", "AG", "Q_abf", "VIF")])
    assert np.mean(wins, axis=0).min() >= 0.75


@pytest.mark.parametrize(
    ("dataset", "trained"),
    [("MSRS", True), ("FLIR", True), ("RoadScene", True), ("LLVIP", True), ("M3FD-Fusion", True), ("TNO", False)],
)
def test_tables_of_its_training_data_are_marked(dataset: str, trained: bool) -> None:
    assert dataset in datasets.titles().values()
    assert (MoEFusion.leakage("small", dataset) is not None) is trained
