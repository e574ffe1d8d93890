"""Training MoE-Fusion from an experiment, and fusing with what was trained."""

import re
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

import methods
import moefusion
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


def test_a_checkpoint_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gone.safetensors is no file"):
        methods.create("moefusion", weights=tmp_path / "gone.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0nonsense")
    with pytest.raises(InputError, match="bad.safetensors is damaged"):
        methods.create("moefusion", weights=tmp_path / "bad.safetensors")


SEVERAL = """
[[datasets]]
name = "folders"
root = "others"

[[train.datasets]]
name = "m3fd"
part = "all"
leave_out = ["00001"]

[[train.datasets]]
name = "folders"
root = "others"
part = "test"
"""


@pytest.fixture
def several(folder: Path, tmp_path: Path) -> Path:
    """A folder with an experiment that trains on pairs with boxes and on others without, of another size."""
    shutil.copytree(folder / "data", tmp_path / "data")
    synthetic.write(tmp_path / "drawn", layout="m3fd", train=1, test=1, seed=2, size=(96, 128))
    for band, name in (("Ir", "ir"), ("Vis", "vi")):
        shutil.copytree(tmp_path / "drawn" / band, tmp_path / "data/others" / name)
    first, second = SEVERAL.split("\n\n", 1)
    text = EXPERIMENT.replace("\n[train.fusion]", f"{first}\n\n[train.fusion]") + "\n" + second
    (tmp_path / "tiny.toml").write_text(
        text.replace("resize = [64, 96]", 'resize = "none"\ncrop = [48, 64]\nflip = 0.5')
    )
    return tmp_path


def test_one_model_for_all_is_trained_on_several_data_sets(several: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, several, "run", "--workers", "1", "--methods", "average", "moefusion") == 0
    cells = list((several / "out/cells").glob("*/MoE-Fusion/train"))
    assert [cell.parent.parent.name.startswith("training-data") for cell in cells] == [True]
    found = pd.read_csv(several / "out/table1.csv")
    rows = found[(found["method"] == "MoE-Fusion") & (found["origin"] == "measured")]
    assert rows["dataset"].tolist() == ["M3FD", "folders"]
    assert rows["EN"].min() > 0
    # Four of M3FD's five and both of the others: six samples, three steps of two.
    assert set(rows["notes"]) == {"trained by this run: 3 steps of 2 pairs at windows of 64x48, from 6 pairs"}


def test_a_pair_to_leave_out_must_be_there(
    several: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    text = (several / "tiny.toml").read_text()
    (several / "tiny.toml").write_text(text.replace('["00001"]', '["00077"]'))
    assert call(monkeypatch, several, "train") == 2
    assert "leave_out of the training data m3fd names '00077', which is not among the 5 pairs" in capfd.readouterr().err


def test_the_packaged_model_fuses_without_training(
    several: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    line = ["run_benchmark.py", "run", "folders", "--methods", "average", "moefusion", "--workers", "1"]
    line += ["--data-root", str(several / "data/others"), "--out", str(tmp_path / "strangers")]
    monkeypatch.setattr(sys, "argv", line)
    assert main() == 0
    found = pd.read_csv(tmp_path / "strangers/table1.csv")
    assert found["method"].tolist() == ["Average", "MoE-Fusion (small)"]
    assert not list((tmp_path / "strangers/cells").glob("*/*/train"))
    pair = datasets.load("folders", several / "data/others").test[0]
    sources = images.read(pair.infrared), images.read(pair.visible)
    stored = images.read(next((tmp_path / "strangers/cells/folders").glob(f"MoE*/fuse/{pair.name}.png")))
    assert (stored == methods.create("moefusion").fuse(*sources)).all()


@pytest.mark.parametrize(("name", "variant"), [("m3fd", "small"), ("tno", "small"), ("demo", None), ("all", None)])
def test_where_the_file_says_how_to_train_the_run_trains_it(name: str, variant: str | None) -> None:
    chosen = experiment.with_overrides(
        experiment.read(name), methods=[experiment.method(text) for text in ("moefusion", "moefusion:train")]
    ).methods
    assert [method.variant for method in chosen] == [variant, None]
    assert [method.trained for method in chosen] == [variant is None, True]
    assert experiment.method("moefusion:some/file.safetensors").trained is False


def test_a_row_has_the_note_of_the_training_only_where_its_model_fused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(monkeypatch, folder, "run", "--workers", "1", "--methods", "average", "moefusion") == 0
    trained = pd.read_csv(folder / "out/table1.csv").set_index(["method", "origin"])["notes"]
    assert trained["MoE-Fusion", "measured"].startswith("trained by this run: 2 steps of 2 pairs at 96x64")
    packaged = ["--methods", "average", f"MoE-Fusion=moefusion:{moefusion.PACKAGED}"]
    assert call(monkeypatch, folder, "run", "--workers", "1", *packaged) == 0
    notes = pd.read_csv(folder / "out/table1.csv").set_index(["method", "origin"])["notes"]
    assert "trained by this run" not in str(notes["MoE-Fusion", "measured"])


def test_a_method_without_a_packaged_model_is_trained_by_the_run(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from methods.moefusion import MoEFusion\n\n\nclass Own(MoEFusion):\n    variants = ()\n"
    )
    given = [experiment.method(f"{tmp_path}/own.py:Own")]
    (chosen,) = experiment.with_overrides(experiment.read("m3fd"), methods=given).methods
    assert chosen.trained


def test_a_data_set_without_boxes_cannot_train_it(folder: Path) -> None:
    pairs = datasets.load("m3fd", folder / "data/M3FD").train
    with pytest.raises(InputError, match="the training part is empty"):
        Train((), ("car",), experiment.TrainSettings(), {})
    with pytest.raises(InputError, match="the training data have no boxes"):
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
