"""Detector training: it learns, resumes exactly, and refuses data that does not fit."""

import csv
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.ops import box_iou

from benchmark.datasets.base import Box
from benchmark.detection.detectors import build
from benchmark.detection.inference import detect
from benchmark.detection.samples import Example, Target
from benchmark.detection.settings import DetectionSettings
from benchmark.detection.training import _augment, _learning_rate, load, train
from metrics import images
from metrics.errors import InputError

CLASSES = ("dark", "bright")
SETTINGS = DetectionSettings(
    detector="small",
    weights="none",
    optimiser="adamw",
    learning_rate=3e-3,
    epochs=2,
    batch=2,
    warmup=3,
    contrast=0.2,
    min_size=64,
    workers=0,
)


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    """Five images of two sizes with a dark and a bright block each, one of them without."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    made = []
    for number in range(5):
        pixels = rng.integers(100, 140, (64, 80 + 16 * (number % 2)), np.uint8)
        boxes = []
        for label, level, x0 in (("dark", 10, 4), ("bright", 240, 44)) if number != 4 else ():
            x, y = x0 + int(rng.integers(0, 12)), int(rng.integers(0, 30))
            pixels[y : y + 24, x : x + 20] = level
            boxes.append(Box(x, y, x + 20, y + 24, label))
        images.write(folder / f"{number}.png", pixels)
        made.append(Example(str(number), folder / f"{number}.png", None, tuple(boxes)))
    return made


def go(
    examples: list[Example],
    folder: Path,
    settings: DetectionSettings = SETTINGS,
    stop: int | None = None,
    device: str = "cpu",
) -> nn.Module:
    """Train a new detector, interrupted once `stop` steps are done."""
    model = build(settings, len(CLASSES))

    def progress(done: int, of: int) -> None:
        if done == stop:
            raise KeyboardInterrupt

    train(model, examples, CLASSES, folder, settings, device=device, progress=progress)
    return model


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "train.csv").open(newline="") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def whole(examples: list[Example], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run: five images in batches of two, three steps an epoch."""
    folder = tmp_path_factory.mktemp("whole")
    go(examples, folder)
    return folder


def test_it_learns_to_find_the_blocks(examples: list[Example], tmp_path: Path, device: str) -> None:
    settings = replace(SETTINGS, learning_rate=6e-3, epochs=24, schedule="cosine", contrast=0.0)
    model = go(examples, tmp_path, settings, device=device)
    log = rows(tmp_path)
    assert [int(row["step"]) for row in log] == list(range(1, 73))
    assert float(log[-1]["total"]) < 0.5 * float(log[0]["total"])
    first, second = (list(detect(model, examples, settings, device=device)) for _ in range(2))
    assert all(np.array_equal(one.boxes, two.boxes) for one, two in zip(first, second, strict=True))
    for found, example in zip(first, examples, strict=True):
        for box in example.boxes:
            best = np.flatnonzero(found.labels == CLASSES.index(box.label) + 1)[:1]
            where = torch.tensor([[box.x0, box.y0, box.x1, box.y1]], dtype=torch.float64)
            assert box_iou(torch.from_numpy(found.boxes[best]), where).item() > 0.4
            assert found.scores[best] > 0.5
        assert example.boxes or not (found.scores > 0.5).any(), "there is nothing to find"


def test_the_log_adds_up(whole: Path) -> None:
    for row in rows(whole):
        terms = sum(float(row[name]) for name in ("objectness", "proposal_box", "class", "box"))
        assert terms == pytest.approx(float(row["total"]), rel=1e-4)
    assert [row["epoch"] for row in rows(whole)] == ["1"] * 3 + ["2"] * 3


@pytest.mark.parametrize("stop", [2, 3, 5])
def test_interrupted_training_resumes_exactly(examples: list[Example], tmp_path: Path, whole: Path, stop: int) -> None:
    settings = replace(SETTINGS, checkpoint_steps=2)
    with pytest.raises(KeyboardInterrupt):
        go(examples, tmp_path, settings, stop=stop)
    assert not (tmp_path / "model.safetensors").exists()
    torch.manual_seed(99)
    resumed = go(examples, tmp_path, replace(settings, score_threshold=0.3))
    assert rows(tmp_path) == rows(whole)
    expected = load_file(whole / "model.safetensors")
    assert all(torch.equal(value, expected[name]) for name, value in resumed.state_dict().items())
    ours, theirs = (load_file(folder / "checkpoint.safetensors") for folder in (tmp_path, whole))
    assert ours.keys() == theirs.keys()
    assert any(name.startswith("optimiser.roi_heads.") for name in ours)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not list(tmp_path.glob(".*")), "temporary files are left"


def test_a_finished_run_resumes_to_its_end(examples: list[Example], whole: Path) -> None:
    before, log = (whole / "model.safetensors").read_bytes(), rows(whole)
    go(examples, whole)
    assert (whole / "model.safetensors").read_bytes() == before
    assert rows(whole) == log


def test_the_trained_file_says_what_it_is(examples: list[Example], whole: Path) -> None:
    trained = load(whole / "model.safetensors")
    assert (trained.settings, trained.classes) == (SETTINGS, CLASSES)
    assert (trained.origin, trained.images) == ("random weights", 5)
    assert not trained.model.training
    with safe_open(whole / "model.safetensors", "pt") as file:
        assert json.loads(file.metadata()["detector"])["settings"] == asdict(SETTINGS)
    again = build(replace(SETTINGS, weights=str(whole / "model.safetensors")), 2)  # and others can start from it
    assert again.origin == "model.safetensors, all weights"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 1e-3}, "learning_rate 0.003, but this run has 0.001"),
        ({"colour": "chroma"}, "colour 'luma', but this run has 'chroma'"),
        ({"seed": 1}, "seed 0, but this run has 1"),
    ],
)
def test_other_settings_are_refused(
    examples: list[Example], whole: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        go(examples, whole, replace(SETTINGS, **change))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="images 5, but this run has 4"):
        go(examples[1:], whole)
    with pytest.raises(InputError, match="classes"):
        train(build(SETTINGS, 2), examples, ("bright", "dark"), whole, SETTINGS, device="cpu")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        *(
            ({"step": step}, "its step, a whole number from 0 to 6, got .*; remove it to train from scratch")
            for step in (-1, 1.5, 2.0, True, float("inf"), "3", None, [3], 7, 10**400)
        ),
        ({"images": float("inf")}, "images inf, but this run has 5"),
        ({"settings": []}, "made with settings"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_record_that_cannot_be_is_refused(
    examples: list[Example], whole: Path, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    with safe_open(whole / "checkpoint.safetensors", "pt") as file:
        record = json.loads(file.metadata()["detector"]) | change
    path = tmp_path / "checkpoint.safetensors"
    save_file(load_file(whole / "checkpoint.safetensors"), path, {"detector": json.dumps(record)})
    with pytest.raises(InputError, match=said) as refusal:
        go(examples, tmp_path)
    assert str(path) in str(refusal.value)
    if "step" not in change:  # of a trained model nobody asks it
        with pytest.raises(InputError, match="does not fit this version's detectors"):
            load(path)


@pytest.mark.parametrize("damage", [b"\xff", b"9" * 5000, b"x" * 200_000, b'"'])
def test_a_damaged_log_does_not_stop_a_training(
    examples: list[Example], whole: Path, tmp_path: Path, damage: bytes
) -> None:
    """It resumes from step 3, with the complete rows."""
    settings = replace(SETTINGS, checkpoint_steps=3)
    with pytest.raises(KeyboardInterrupt):
        go(examples, tmp_path, settings, stop=3)
    path = tmp_path / "train.csv"
    head, first, *rest = path.read_bytes().splitlines(keepends=True)
    for content in (damage + head + first, head + damage + first):
        path.write_bytes(b"".join([content, *rest]))
        with pytest.raises(KeyboardInterrupt):
            go(examples, tmp_path, settings, stop=3)
    go(examples, tmp_path, settings)
    assert rows(tmp_path) == rows(whole)[1:]


def test_a_loss_that_is_not_finite_stops_the_run(examples: list[Example], tmp_path: Path) -> None:
    model = build(SETTINGS, 2)
    with torch.no_grad():
        model.roi_heads.box_predictor.cls_score.bias.fill_(torch.nan)
    with pytest.raises(
        InputError, match=r"stopped at step 1 \(epoch 1\): not all is finite: .*class nan.*lower learning_rate"
    ):
        train(model, examples, CLASSES, tmp_path, SETTINGS, device="cpu")
    assert not list(tmp_path.glob("*.safetensors"))


def test_what_cannot_be_trained_on(examples: list[Example], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="training part is empty"):
        go([], tmp_path)
    with pytest.raises(InputError, match="none of the training images has a box"):
        go(examples[4:], tmp_path)
    gone = replace(examples[0], image=tmp_path / "gone.png")
    with pytest.raises(InputError, match="gone.png cannot be read"):
        go([gone, examples[1]], tmp_path)
    with pytest.raises(InputError, match="device 'tpu9' cannot be used"):
        train(build(SETTINGS, 2), examples, CLASSES, tmp_path, SETTINGS, device="tpu9")


def test_files_that_are_no_detector(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no file; expected a checkpoint"):
        load(tmp_path / "model.safetensors")
    half = tmp_path / "half.safetensors"
    half.write_bytes((whole / "model.safetensors").read_bytes()[:5000])
    with pytest.raises(InputError, match="is damaged"):
        load(half)
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="is no checkpoint of a detector"):
        load(tmp_path / "other.safetensors")
    record = {"format": 1, "settings": asdict(SETTINGS), "classes": ["a"], "origin": "", "images": 1}
    tensors = load_file(whole / "model.safetensors")  # of two classes
    save_file(tensors, tmp_path / "classes.safetensors", {"detector": json.dumps(record)})
    with pytest.raises(InputError, match="does not fit this version's detectors"):
        load(tmp_path / "classes.safetensors")
    record["settings"] = asdict(SETTINGS) | {"detector": "yolo"}
    save_file(tensors, tmp_path / "unknown.safetensors", {"detector": json.dumps(record)})
    with pytest.raises(InputError, match="unknown detector 'yolo'"):
        load(tmp_path / "unknown.safetensors")


def test_learning_rates() -> None:
    # Ten steps an epoch; warm-up to the full rate at step 4, a tenth from epoch 8 of 12 on, a hundredth in the last.
    settings = DetectionSettings(learning_rate=1.0, epochs=12, warmup=4)
    rates = [_learning_rate(settings, step, 10) for step in (0, 2, 4, 79, 80, 109, 110)]
    assert rates == pytest.approx([0.001, 0.5005, 1.0, 1.0, 0.1, 0.1, 0.01])
    cosine = replace(settings, schedule="cosine", warmup=0)
    assert [_learning_rate(cosine, step, 10) for step in (0, 30, 60, 120)] == pytest.approx([1, 0.853553, 0.5, 0])
    assert _learning_rate(replace(settings, schedule="constant"), 119, 10) == 1.0


def test_mirrored_boxes_stay_on_their_objects() -> None:
    image = torch.zeros(3, 8, 10)
    image[:, 2:5, 1:4] = 1
    target = Target(boxes=torch.tensor([[1.0, 2.0, 4.0, 5.0]]), labels=torch.tensor([1]))
    mirrored, found = _augment(image, target, replace(SETTINGS, flip=1.0, contrast=0.0))
    assert found["boxes"].tolist() == [[6.0, 2.0, 9.0, 5.0]]
    assert mirrored[:, 2:5, 6:9].all()
    assert mirrored.sum() == image.sum()
    empty = Target(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64))
    assert _augment(image, empty, replace(SETTINGS, flip=1.0))[1]["boxes"].shape == (0, 4)
    kept, same = _augment(image, target, replace(SETTINGS, flip=0.0, contrast=0.0))
    assert torch.equal(kept, image)
    assert same["boxes"].tolist() == target["boxes"].tolist()
    changed = [_augment(image, target, replace(SETTINGS, flip=0.0, contrast=0.5))[0] for _ in range(20)]
    assert all(each.min() >= 0 and each.max() <= 1 for each in changed)
    assert len({round(each.mean().item(), 6) for each in changed}) > 10
