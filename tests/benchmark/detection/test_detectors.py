"""The detectors are torchvision's own, and every kind of weight file gets where it belongs or is refused."""

from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import WeightsEnum, mobilenet_v3_large, resnet50
from torchvision.models.detection import (
    FasterRCNN_ResNet50_FPN_Weights,
    FCOS_ResNet50_FPN_Weights,
    RetinaNet_ResNet50_FPN_Weights,
    fasterrcnn_mobilenet_v3_large_320_fpn,
    fasterrcnn_resnet50_fpn,
    fcos_resnet50_fpn,
    retinanet_resnet50_fpn,
)
from torchvision.models.detection._utils import overwrite_eps

from benchmark.detection.detectors import build
from benchmark.detection.settings import DETECTORS, DetectionSettings
from metrics.errors import InputError

RESNET, MOBILENET, SMALL, *_ = DETECTORS
PREDICTOR = "roi_heads.box_predictor.cls_score.weight"


def settings(detector: str = SMALL, weights: str = "none", **others: object) -> DetectionSettings:
    return DetectionSettings(detector=detector, weights=weights, **others)  # type: ignore[arg-type]


def noise(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same names and shapes, other numbers; variances stay positive."""
    generator = torch.Generator().manual_seed(3)
    return {
        name: value if value.dim() == 0 else 0.05 * torch.rand(value.shape, generator=generator) + 0.001
        for name, value in state.items()
    }


@pytest.mark.parametrize(
    ("name", "original"),
    [
        (RESNET, fasterrcnn_resnet50_fpn),
        (MOBILENET, fasterrcnn_mobilenet_v3_large_320_fpn),
        ("retinanet_resnet50_fpn", retinanet_resnet50_fpn),
        ("fcos_resnet50_fpn", fcos_resnet50_fpn),
    ],
)
def test_same_network_as_torchvisions(name: str, original: Callable[..., nn.Module]) -> None:
    ours = build(settings(name, min_size=64, max_size=128), 3).eval()
    theirs = original(weights=None, weights_backbone=None, num_classes=4, min_size=64, max_size=128).eval()
    theirs.load_state_dict(ours.state_dict())
    image = [torch.rand(3, 60, 100, generator=torch.Generator().manual_seed(0))]
    if not hasattr(ours, "roi_heads"):
        ours.score_thresh = theirs.score_thresh = 0.0  # untrained, they are sure of nothing
    with torch.no_grad():
        found, expected = ours(image)[0], theirs(image)[0]
    assert len(found["boxes"]) > 0
    assert all(torch.equal(found[part], expected[part]) for part in ("boxes", "labels", "scores"))
    assert all(weight.requires_grad for weight in ours.parameters())


def test_own_sizes() -> None:
    transform = build(settings(MOBILENET), 1).transform
    assert (transform.min_size, transform.max_size) == ((320,), 640)  # torchvision's
    assert build(settings(min_size=96), 1).transform.min_size == (96,)


def test_first_weights_follow_from_the_seed() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (build(settings(seed=seed), 2).state_dict() for seed in (1, 1, 2))
    assert torch.rand(1) == expected, "torch's own generator is left alone"
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first[PREDICTOR], other[PREDICTOR])
    assert build(settings(), 2).origin == "random weights"


@pytest.mark.parametrize("safe", [True, False])
def test_a_whole_detector_by_path(tmp_path: Path, safe: bool) -> None:
    state = noise(build(settings(), 2).state_dict())
    path = tmp_path / ("own.safetensors" if safe else "own.pth")
    save_file(state, path) if safe else torch.save(state, path)
    same = build(settings(weights=str(path)), 2)
    assert all(torch.equal(value, state[name]) for name, value in same.state_dict().items())
    assert same.origin == f"{path.name}, all weights"
    other = build(settings(weights=str(path)), 5)
    kept = {name for name, value in other.state_dict().items() if torch.equal(value, state.get(name, value[:0]))}
    assert {name.rpartition(".")[0] for name in other.state_dict().keys() - kept} == {
        "roi_heads.box_predictor.cls_score",
        "roi_heads.box_predictor.bbox_pred",
    }
    assert other.origin == f"{path.name}, all but the predictor"


@pytest.mark.parametrize(("name", "classifier"), [(RESNET, resnet50), (MOBILENET, mobilenet_v3_large)])
def test_a_classifier_by_path_becomes_the_backbone(
    tmp_path: Path, name: str, classifier: Callable[..., nn.Module]
) -> None:
    state = noise(classifier(weights=None).state_dict())
    torch.save(state, tmp_path / "backbone.pth")
    detector = build(settings(name, str(tmp_path / "backbone.pth")), 3)
    body = {
        key.removeprefix("backbone.body."): value
        for key, value in detector.state_dict().items()
        if key.startswith("backbone.body.")
    }
    assert len(body) > 200
    prefix = "" if name == RESNET else "features."
    assert all(torch.equal(value, state[prefix + key]) for key, value in body.items())
    assert detector.origin == "backbone.pth, backbone"
    # As torchvision: batch normalisation frozen, and the first stages besides.
    assert not any(isinstance(module, nn.BatchNorm2d) for module in detector.modules())
    trained = {key for key, weight in detector.named_parameters() if weight.requires_grad}
    frozen = ("conv1.", "layer1.") if name == RESNET else ("0.", "1.", "6.")
    assert trained
    assert not any(key.removeprefix("backbone.body.").startswith(frozen) for key in trained)
    assert any(key.startswith("backbone.body." + ("layer2" if name == RESNET else "7")) for key in trained)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where torchvision looks for its files, empty."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


@pytest.mark.parametrize(
    ("name", "original", "published", "without_epsilon"),
    [
        (RESNET, fasterrcnn_resnet50_fpn, FasterRCNN_ResNet50_FPN_Weights.COCO_V1, True),
        ("retinanet_resnet50_fpn", retinanet_resnet50_fpn, RetinaNet_ResNet50_FPN_Weights.COCO_V1, True),
        ("fcos_resnet50_fpn", fcos_resnet50_fpn, FCOS_ResNet50_FPN_Weights.COCO_V1, False),
    ],
)
def test_coco_weights_act_as_in_torchvision(
    name: str,
    original: Callable[..., nn.Module],
    published: WeightsEnum,
    without_epsilon: bool,
    hub: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    theirs = original(weights=None, weights_backbone=None, num_classes=91)
    state = noise(theirs.state_dict())
    monkeypatch.setattr(published, "get_state_dict", lambda **options: dict(state))
    ours = build(settings(name, "coco"), 3).eval()
    assert ours.origin == f"torchvision's {type(published).__name__}.COCO_V1, all but the predictor"
    theirs.load_state_dict(state)
    if without_epsilon:  # what torchvision does with these weights
        for module in theirs.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 0.0
        overwrite_eps(theirs, 0.0)
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, expected = ours.backbone(image), theirs.eval().backbone(image)
    for level in expected:
        torch.testing.assert_close(found[level], expected[level], rtol=1e-4, atol=1e-5)


def test_without_network_the_message_says_where_the_file_belongs(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **options: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "urlopen", offline)
    with pytest.raises(InputError) as refused:
        build(settings(RESNET, "backbone"), 3)
    message = str(refused.value)
    assert str(hub / "resnet50-0676ba61.pth") in message  # the name is torchvision's
    assert "no route to host" in message
    assert "https://download.pytorch.org/models/resnet50-0676ba61.pth" in message


def test_a_damaged_download_is_refused(hub: Path) -> None:
    (hub / "resnet50-0676ba61.pth").write_bytes(b"half of it")
    with pytest.raises(InputError, match="resnet50-0676ba61.pth is damaged"):
        build(settings(RESNET, "backbone"), 3)


def test_files_that_do_not_fit_are_refused_in_one_line(tmp_path: Path) -> None:
    state = build(settings(), 2).state_dict()
    wider = {name: value.repeat(2, *[1] * (value.dim() - 1)) for name, value in state.items()}
    cases: dict[str, tuple[object, str]] = {
        "list.pth": ([1, 2], "holds a list"),
        "nested.pth": ({"epoch": 3}, "expected a state dict"),
        "wider.pth": (wider, "do not fit the detector"),
        "other.pth": ({"weight": torch.zeros(3)}, "1 are unknown"),
        "part.pth": ({name: state[name] for name in state if "rpn.head.conv" not in name}, "2 are missing"),
        "resnet.pth": ({"conv1.weight": torch.zeros(64, 3, 7, 7)}, "do not fit the detector"),
    }
    for name, (content, message) in cases.items():
        torch.save(content, tmp_path / name)
        with pytest.raises(InputError, match=message) as refused:
            build(settings(weights=str(tmp_path / name)), 2)
        assert "\n" not in str(refused.value)
        assert name in str(refused.value)
    for name in ("damaged.pth", "damaged.safetensors"):
        (tmp_path / name).write_bytes(b"\x80\x02 no weights")
        with pytest.raises(InputError, match="is no checkpoint that can be read"):
            build(settings(weights=str(tmp_path / name)), 2)
    with pytest.raises(InputError, match="no such file; expected none, backbone, coco"):
        build(settings(weights=str(tmp_path / "missing.pth")), 2)


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("owned"),))


def test_no_code_from_a_weight_file_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(Evil(), tmp_path / "evil.pth")
    with pytest.raises(InputError, match="is no checkpoint"):
        build(settings(weights="evil.pth"), 2)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"detector": "yolo"}, "unknown detector 'yolo'; known: fasterrcnn_resnet50_fpn, "),
        ({"detector": SMALL}, "set weights to 'none' or a path"),
        ({"min_size": 640, "max_size": 480}, "min_size 640 is above max_size 480"),
        ({"epochs": 0}, "greater than or equal to 1"),
        ({"learning_rate": float("nan")}, "finite"),
        ({"learning_rate": float("inf")}, "finite"),
        ({"score_threshold": 1.5}, "less than or equal to 1"),
        ({"protocol": "other"}, "'paper' or 'retrain'"),
        ({"weights": ""}, "at least 1 character"),
        ({"epoch": 3}, "Unexpected keyword argument"),
    ],
)
def test_settings_out_of_range(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DetectionSettings(**wrong)  # type: ignore[arg-type]
