"""Training MoE-Fusion from an experiment, and fusing with what was trained."""

import re
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

import methods
from benchmark import datasets
from benchmark.detection.samples import Samples, visible_examples
from benchmark.engine import experiment
from benchmark.engine.stages.train import PairSamples, Train
from benchmark.synthetic import layouts as synthetic
from metrics import images
from metrics.errors import InputError
from run_benchmark import main

EXPERIMENT = """
title = "Tiny"
methods = ["average"]

[[datasets]]
name = "m3fd"

[train.fusion]
local_gate_grid = [6, 8]
global_gate_grid = [6, 8]

[train.detector]
backbone = "small"

[train.training]
epochs = 1
batch = 2
resize = [64, 96]
workers = 0
"""


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an experiment and its data."""
    folder = tmp_path_factory.mktemp("training")
    synthetic.write(folder / "data/M3FD", layout="m3fd", train=3, test=2, seed=1, size=(128, 96))
    (folder / "tiny.toml").write_text(EXPERIMENT)
    return folder


def call(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> int:
    line = ["run_benchmark.py", arguments[0], str(folder / "tiny.toml"), *arguments[1:]]
    line += ["--data-root", str(folder / "data"), "--out", str(folder / "out")]
    monkeypatch.setattr(sys, "argv", line)
    return main()


def test_trained_stopped_resumed_and_compared(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, folder, "train") == 0
    model = folder / "out/cells/M3FD/MoE-Fusion/train/model.safetensors"
    log = folder / "out/cells/M3FD/MoE-Fusion/train/train.csv"
    assert len(pd.read_csv(log)) == 2  # three samples in batches of two
    before = log.read_bytes()
    assert call(monkeypatch, folder, "train") == 0, "a finished training is kept"
    assert log.read_bytes() == before

    assert call(monkeypatch, folder, "run", "--workers", "1", "--methods", "average", "moefusion") == 0
    found = pd.read_csv(folder / "out/table1.csv")
    mine = found[(found["origin"] == "measured") & (found["method"] == "MoE-Fusion")].iloc[0]
    assert mine["EN"] > 0
    difference = found[found["origin"] == "difference"]
    assert difference["method"].tolist() == ["MoE-Fusion"]  # its row in the paper
    raw = methods.create("moefusion", weights=model).raw(*[torch.zeros(37, 53, dtype=torch.uint8).numpy()] * 2)
    assert raw.shape == (37, 53)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("epochs = 1", "epoch = 1", "unknown setting 'epoch' of TrainingConfig; known: epochs, batch"),
        ("epochs = 1", "epochs = 0", "TrainingConfig.epochs: expected a whole number from 1, got 0"),
        (
            'backbone = "small"',
            'backbone = "tiny"',
            "DetectorConfig.backbone: expected 'resnet50' or 'small', got 'tiny'",
        ),
        ("local_gate_grid = [6, 8]", "top_k = 9", "top_k"),
        ("batch = 2", "batch = 3", "was trained with training.batch 2, but this run has 3"),
    ],
)
def test_settings_that_cannot_be_used(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    old: str,
    new: str,
    said: str,
) -> None:
    assert call(monkeypatch, folder, "train") == 0  # so that there is a checkpoint that may not fit
    text = EXPERIMENT.replace(old, new)
    assert text != EXPERIMENT
    (folder / "tiny.toml").write_text(text)
    status = call(monkeypatch, folder, "train")
    (folder / "tiny.toml").write_text(EXPERIMENT)
    complaint = capfd.readouterr().err
    assert status == 2
    assert complaint.startswith("error: ")
    assert said in complaint


def test_fusing_needs_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no published weights; train it"):
        methods.create("moefusion")
    with pytest.raises(InputError, match="gone.safetensors is no file"):
        methods.create("moefusion", weights=tmp_path / "gone.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0nonsense")
    with pytest.raises(InputError, match="bad.safetensors is damaged"):
        methods.create("moefusion", weights=tmp_path / "bad.safetensors")


def test_a_data_set_without_boxes_cannot_train_it(folder: Path) -> None:
    pairs = datasets.load("m3fd", folder / "data/M3FD").train
    with pytest.raises(InputError, match="the training part is empty"):
        Train((), ("car",), experiment.TrainSettings(), {})
    with pytest.raises(InputError, match="the data set has no boxes"):
        Train(pairs, (), experiment.TrainSettings(), {})


def test_a_damaged_image_is_one_line_from_a_loading_worker_too(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder / "data", tmp_path / "data")
    for path in (tmp_path / "data/M3FD/Vis").glob("*.png"):
        path.write_bytes(path.read_bytes()[:-2000])
    (tmp_path / "tiny.toml").write_text(EXPERIMENT.replace("workers = 0", "workers = 1"))
    assert call(monkeypatch, tmp_path, "train") == 2
    complaints = [line for line in capfd.readouterr().err.splitlines() if line]
    assert len(complaints) == 1
    assert re.fullmatch(r"error: .*Vis/\d+\.png cannot be decoded .*", complaints[0])


def test_a_training_image_that_changes_is_refused(folder: Path, tmp_path: Path) -> None:
    """The trained model would stand under the hash of the old one."""
    data = shutil.copytree(folder / "data/M3FD", tmp_path / "M3FD")
    found = datasets.load("m3fd", data)
    samples, examples = PairSamples(found.train, found.classes), visible_examples(found.train)
    seen = Samples(examples, found.classes, "luma")
    assert all(pair.fingerprint for pair in found.train)
    assert samples[0].infrared.shape == seen[0][0][:1].shape
    for path in (found.train[0].infrared, found.train[0].visible):
        images.write(path, 255 - images.read(path))
    for each in (samples, seen):
        assert each[1]
        with pytest.raises(InputError, match="changed while the run was at work"):
            each[0]
