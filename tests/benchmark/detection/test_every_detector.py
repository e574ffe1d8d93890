"""One tester for every detector that is registered, and for one in a user's file."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torchvision.ops import box_iou

from benchmark.datasets.base import Box
from benchmark.detection import registry
from benchmark.detection.detector import Detector
from benchmark.detection.detectors import build
from benchmark.detection.inference import detect
from benchmark.detection.samples import Example
from benchmark.detection.settings import DetectionSettings
from benchmark.detection.training import load, train
from metrics import images
from metrics.errors import InputError
from moefusion.data import Target

CLASSES = ("dark", "bright")
SMALL = [name for name in registry.RECORDS if name.endswith("small")]
# A training step of the others writes half a gigabyte of checkpoint.
TRAINED = [name if name in SMALL else pytest.param(name, marks=pytest.mark.slow) for name in registry.RECORDS]
USER = """
from benchmark.detection.detectors import RetinaNetDetector
from moefusion.backbones import small_backbone
from torchvision.models.detection.anchor_utils import AnchorGenerator


def wide(classes, pretrained, **sizes):
    anchors = AnchorGenerator(((8,), (16,), (32,), (64,)), ((1.0,),) * 4)
    backbone = small_backbone((8, 16, 32), channels=32, groups=4)
    return RetinaNetDetector(backbone, classes + 1, anchor_generator=anchors, **sizes)


def plain(classes, pretrained, **sizes):
    return anchors


def other(classes, pretrained, **sizes):
    return AnchorGenerator(((8,),), ((1.0,),))


number = 3
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "mine.py"
    path.write_text(USER)
    return path


@pytest.fixture(params=[*registry.RECORDS, "own"])
def settings(request: pytest.FixtureRequest, own: Path) -> DetectionSettings:
    name = f"{own}:wide" if request.param == "own" else request.param
    return DetectionSettings(
        detector=name,
        weights="none",
        optimiser="adamw",
        learning_rate=1e-3,
        epochs=2,
        batch=2,
        warmup=1,
        min_size=64,
        max_size=96,
        workers=0,
        score_threshold=0.0,
        boxes=20,
    )


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    """Three images of two sizes with a dark and a bright block each, the last one without."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    listed = []
    for number in range(3):
        pixels = rng.integers(100, 140, (64, 80 - 16 * (number % 2)), np.uint8)
        boxes = []
        for label, level, x in (("dark", 10, 4), ("bright", 240, 36)) if number != 2 else ():
            pixels[20:44, x : x + 24] = level
            boxes.append(Box(x, 20, x + 24, 44, label))
        images.write(folder / f"{number}.png", pixels)
        listed.append(Example(str(number), folder / f"{number}.png", None, tuple(boxes)))
    return listed


def batch() -> tuple[list[torch.Tensor], list[Target]]:
    """Two images of two sizes, one of them without an object."""
    generator = torch.Generator().manual_seed(2)
    shown = [torch.rand(3, 64, 80, generator=generator), torch.rand(3, 48, 64, generator=generator)]
    some = Target(boxes=torch.tensor([[8.0, 4.0, 40.0, 36.0], [50, 30, 70, 50]]), labels=torch.tensor([1, 2]))
    none = Target(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64))
    return shown, [some, none]


def test_losses_are_finite_and_reach_every_weight(settings: DetectionSettings) -> None:
    detector = build(settings, len(CLASSES))
    assert detector.training
    assert detector.origin == "random weights"
    terms = detector.losses(*batch())
    assert len(terms) >= 2
    assert all(term.dim() == 0 and term.isfinite() for term in terms.values())
    torch.stack(list(terms.values())).sum().backward()
    for name, weight in detector.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
    assert any(weight.grad.any() for weight in detector.parameters())


def test_autocast_reaches_only_the_backbone(settings: DetectionSettings) -> None:
    detector = build(settings, len(CLASSES))
    kinds: dict[str, set[torch.dtype]] = {"backbone": set(), "head": set()}

    def note(name: str) -> None:
        part = "backbone" if name.startswith("backbone.body") else "head"
        module = detector.get_submodule(name)
        module.register_forward_hook(lambda _, __, output: kinds[part].add(output.dtype))

    for name, module in detector.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and not name.startswith("backbone.fpn"):
            note(name)
    torch.manual_seed(0)
    full = detector.losses(*batch())
    assert kinds == {"backbone": {torch.float32}, "head": {torch.float32}}
    kinds["backbone"].clear()
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = detector.losses(*batch())
    assert kinds == {"backbone": {torch.bfloat16}, "head": {torch.float32}}
    assert all(term.dtype == torch.float32 and term.isfinite() for term in mixed.values())
    assert full.keys() == mixed.keys()
    kinds["backbone"].clear()
    detector.losses(*batch())
    assert kinds["backbone"] == {torch.float32}, "and only as long as autocast lasts"


def test_detections_are_in_range(settings: DetectionSettings, examples: list[Example]) -> None:
    detector = build(settings, len(CLASSES))
    found = list(detect(detector, examples, settings, device="cpu"))
    assert [one.name for one in found] == ["0", "1", "2"]
    for one, width in zip(found, (80, 64, 80), strict=True):
        assert 0 < len(one.boxes) <= 20
        assert (one.boxes >= 0).all()
        assert (one.boxes <= (width, 64, width, 64)).all()
        assert (one.boxes[:, :2] < one.boxes[:, 2:]).all()
        assert set(one.labels) <= {1, 2}
        assert ((one.scores >= 0) & (one.scores <= 1)).all()
        assert (np.diff(one.scores) <= 0).all()
    scores = found[0].scores
    middle = float((scores[0] + scores[-1]) / 2)
    (fewer,) = detect(detector, examples[:1], replace(settings, score_threshold=middle), device="cpu")
    assert fewer.scores.tolist() == scores[scores > middle].tolist()
    (two,) = detect(detector, examples[:1], replace(settings, boxes=2), device="cpu")
    assert two.scores.tolist() == scores[:2].tolist()
    (none,) = detect(detector, examples[:1], replace(settings, score_threshold=1.0), device="cpu")
    assert none.boxes.shape == (0, 4)


@pytest.mark.parametrize("settings", [*TRAINED, "own"], indirect=True)
def test_trained_stopped_resumed_and_loaded(
    settings: DetectionSettings, examples: list[Example], tmp_path: Path
) -> None:
    def run(folder: Path, stop: int = -1) -> Path:
        def report(done: int, of: int) -> None:
            assert of == 4
            if done == stop:
                raise KeyboardInterrupt

        detector = build(settings, len(CLASSES))
        return train(detector, examples, CLASSES, folder, settings, device="cpu", progress=report)

    whole = load_file(run(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", stop=2)
    torch.manual_seed(99)
    resumed = run(tmp_path / "parts")
    assert all(torch.equal(value, whole[name]) for name, value in load_file(resumed).items())
    logs = [(tmp_path / name / "train.csv").read_text().splitlines() for name in ("whole", "parts")]
    for one, two in zip(*logs, strict=True):
        assert one.split(",")[:-1] == two.split(",")[:-1]  # all but the seconds
    trained = load(resumed)
    assert (trained.settings, trained.classes, trained.images) == (settings, CLASSES, 3)
    assert all(torch.equal(value, whole[name]) for name, value in trained.model.state_dict().items())
    started = build(replace(settings, weights=str(resumed)), len(CLASSES))
    assert started.origin == "model.safetensors, all weights"
    others = build(replace(settings, weights=str(resumed)), 5)
    assert others.origin == "model.safetensors, all but the predictor"


@pytest.mark.parametrize("name", [name for name in SMALL if name != "small"])  # test_detector_training.py has that
def test_small_detectors_learn(name: str, examples: list[Example], tmp_path: Path) -> None:
    settings = DetectionSettings(
        detector=name,
        weights="none",
        optimiser="adamw",
        learning_rate=6e-3,
        epochs=40,
        batch=3,
        warmup=3,
        flip=0.0,
        schedule="constant",
        min_size=64,
        workers=0,
        score_threshold=0.0,
    )
    detector = build(settings, len(CLASSES))
    train(detector, examples, CLASSES, tmp_path, settings, device="cpu")
    with (tmp_path / "train.csv").open(newline="") as file:
        first, *_, last = csv.DictReader(file)
    assert float(last["class"]) < 0.3 * float(first["class"])
    assert float(last["box"]) < 0.75 * float(first["box"])
    if name == "retinanet_small":  # FCOS's boxes take more steps than a test has
        found = next(detect(detector, examples, settings, device="cpu"))
        for box in examples[0].boxes:
            best = np.flatnonzero(found.labels == CLASSES.index(box.label) + 1)[:1]
            expected = torch.tensor([[box.x0, box.y0, box.x1, box.y1]], dtype=torch.float64)
            assert box_iou(torch.from_numpy(found.boxes[best]), expected).item() > 0.5


def test_functions_that_build_no_detector(own: Path) -> None:
    base = DetectionSettings(weights="none")
    for name, message in {
        f"{own}:plain": "cannot be built .NameError: name 'anchors' is not defined",
        f"{own}:other": "is a AnchorGenerator; expected a benchmark.detection.detector.Detector",
        f"{own}:number": "expected a function that builds a detector, got 3",
        f"{own}:gone": "expected a function that builds a detector, got None",
        f"{own.parent}/gone.py:f": "gone.py is not there; a detector of your own",
    }.items():
        with pytest.raises(InputError, match=message) as refusal:
            build(replace(base, detector=name), 2)
        assert "\n" not in str(refusal.value)
    with pytest.raises(ValueError, match="none are published for .*mine.py:wide"):
        DetectionSettings(detector=f"{own}:wide")


class EntryPoint:
    name, value = "installed", "package.module:build"

    def load(self) -> object:
        return registry.load_builder("small")


def test_an_installed_package_offers_a_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    def points(*, group: str, name: str | None = None) -> list[EntryPoint]:
        return [EntryPoint()] if group == "ivif.detectors" and name in (None, "installed") else []

    monkeypatch.setattr("metrics.plugins.entry_points", points)
    assert registry.names()[-1] == "installed"
    assert isinstance(build(DetectionSettings(detector="installed", weights="none"), 1), Detector)
    with pytest.raises(ValueError, match="unknown detector 'uninstalled'"):
        DetectionSettings(detector="uninstalled")
