from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import ResNet50_Weights, resnet50
from torchvision.ops import FrozenBatchNorm2d

from moefusion import AuxiliaryDetectors, DetectorConfig
from moefusion.detectors import Target

SMALL = DetectorConfig.small()


def images(height: int, width: int, samples: int = 1) -> Tensor:
    """Infrared and visible."""
    return torch.rand(2, samples, 1, height, width, generator=torch.Generator().manual_seed(height * width))


def targets(samples: int) -> list[Target]:
    return [Target(boxes=torch.tensor([[8.0, 4.0, 40.0, 36.0]]), labels=torch.tensor([1])) for _ in range(samples)]


@pytest.fixture
def detectors() -> AuxiliaryDetectors:
    torch.manual_seed(0)
    return AuxiliaryDetectors(SMALL, classes=2)


@pytest.mark.parametrize("size", [(64, 96), (61, 97), (33, 35), (286, 517), (5, 3)])
def test_attention_spans_the_image_at_a_quarter_of_its_size(detectors, size):
    with torch.inference_mode():
        maps = detectors.eval().attention(*images(*size, samples=2))
    for each in maps:
        assert each.shape == (2, 1, -(-size[0] // 4), -(-size[1] // 4))
        assert each.min() >= 0
        assert each.max() <= 1
    assert not torch.equal(maps.infrared, maps.visible)


def test_attention_is_where_the_object_is_in_the_image(detectors):
    # Were the map that of the padded image, what changes at the right border would show further left in it.
    dark, bright = torch.zeros(2, 1, 1, 64, 69)
    bright[..., 24:40, 61:] = 1
    with torch.inference_mode():
        change = (detectors.eval().attention(bright, dark).infrared - detectors.attention(dark, dark).infrared).abs()
    row, column = divmod(int(change.argmax()), 18)
    assert 24 // 4 <= row <= 40 // 4
    assert column >= 61 // 4 - 1


def test_attention_runs_neither_proposals_nor_heads(detectors):
    calls = Counter()
    for band, detector in detectors.detectors.items():
        for part in ("backbone", "rpn", "roi_heads"):
            getattr(detector, part).register_forward_hook(lambda *_, name=(band, part): calls.update([name]))
    pair = images(64, 96)
    detectors.eval().attention(*pair)
    assert calls == {("infrared", "backbone"): 1, ("visible", "backbone"): 1}
    detectors.detect(*pair)
    assert calls["infrared", "rpn"] == calls["visible", "roi_heads"] == 1


def test_detectors_go_on_with_features_that_their_attention_weighs(detectors):
    # f = own + ReLU(1x1 convolution of both), a = sigmoid(BN(w2·ReLU(BN(w1·f)))), then f + f·a: by einsum.
    seen = {}
    for band, detector in detectors.detectors.items():
        detector.backbone.register_forward_hook(lambda _, __, out, band=band: seen.__setitem__(band, dict(out)))
        detector.rpn.register_forward_pre_hook(lambda _, given, band=band: seen.__setitem__(band + "_on", given[1]))
    detectors.eval().detect(*images(64, 96))
    assert list(seen["visible"]) == ["0", "1", "2", "3", "pool"]
    exchange = detectors.exchange
    for level in seen["visible"]:
        both = torch.cat([seen["visible"][level], seen["infrared"][level]], dim=1)
        common = torch.einsum("oc,nchw->nohw", exchange.weight[:, :, 0, 0], both) + exchange.bias[:, None, None]
        for band in ("infrared", "visible"):
            feature = seen[band][level] + common.clamp(min=0)
            first, first_norm, _, second, second_norm, _ = detectors.heads[band]
            assert first.weight.shape == (feature.shape[1] // 2, feature.shape[1], 1, 1)
            # A fresh normalisation's mean is 0 and its variance 1, so it only divides by sqrt(1 + epsilon).
            inner = torch.einsum("oc,nchw->nohw", first.weight[:, :, 0, 0], feature) / (1 + first_norm.eps) ** 0.5
            outer = torch.einsum("oc,nchw->nohw", second.weight[:, :, 0, 0], inner.clamp(min=0))
            attention = (outer / (1 + second_norm.eps) ** 0.5).sigmoid()
            torch.testing.assert_close(seen[band + "_on"][level], feature + feature * attention)


def test_losses_train_everything(detectors):
    pair = images(64, 96, samples=2)
    losses = detectors.train().losses(*pair, targets(2))
    assert set(losses) == {
        f"{band}_{part}" for band in ("infrared", "visible") for part in ("objectness", "proposal_box", "class", "box")
    }
    sum(losses.values()).backward()
    for name, parameter in detectors.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_images_without_objects_have_losses(detectors):
    empty = Target(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    losses = detectors.train().losses(*images(64, 96, samples=2), [empty, *targets(1)])
    assert all(loss.isfinite() for loss in losses.values())


def test_published_detector_has_the_papers_settings():
    # Section 4 of the paper and the public code's configuration: anchors of 8 strides, strides 4 to 64.
    with torch.device("meta"):
        detectors = AuxiliaryDetectors(DetectorConfig.paper(), classes=3, initialise=False)
    assert detectors.exchange.weight.shape == (256, 512, 1, 1)
    assert [tuple(detectors.heads["visible"][i].weight.shape[:2]) for i in (0, 3)] == [(128, 256), (1, 128)]
    for detector in detectors.detectors.values():
        rpn, heads = detector.rpn, detector.roi_heads
        assert rpn.anchor_generator.sizes == tuple((8 * stride,) for stride in (4, 8, 16, 32, 64))
        assert rpn.anchor_generator.aspect_ratios == ((0.5, 1.0, 2.0),) * 5
        assert (rpn.proposal_matcher.high_threshold, rpn.proposal_matcher.low_threshold) == (0.7, 0.3)
        assert (rpn.fg_bg_sampler.batch_size_per_image, rpn.fg_bg_sampler.positive_fraction) == (256, 0.5)
        assert rpn._post_nms_top_n == {"training": 2000, "testing": 1000}
        assert rpn.nms_thresh == 0.7
        assert (heads.fg_bg_sampler.batch_size_per_image, heads.fg_bg_sampler.positive_fraction) == (512, 0.25)
        assert (heads.proposal_matcher.high_threshold, heads.proposal_matcher.low_threshold) == (0.5, 0.5)
        assert (heads.score_thresh, heads.nms_thresh, heads.detections_per_img) == (0.05, 0.5, 100)
        assert heads.box_roi_pool.output_size == (7, 7)
        assert heads.box_head.fc6.weight.shape == (1024, 256 * 7 * 7)
        assert heads.box_predictor.cls_score.out_features == 4
        frozen = {name.split(".")[2] for name, p in detector.named_parameters() if not p.requires_grad}
        assert frozen == {"conv1", "layer1"}
        assert any(isinstance(module, FrozenBatchNorm2d) for module in detector.modules())


def test_resnet_without_weights_trains_whole():
    with torch.device("meta"):
        detectors = AuxiliaryDetectors(DetectorConfig(weights=None), classes=1)
    assert all(parameter.requires_grad for parameter in detectors.parameters())
    assert not any(isinstance(module, FrozenBatchNorm2d) for module in detectors.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in detectors.detectors.modules())


def test_imagenet_weights_fill_both_backbones(monkeypatch):
    state = resnet50(weights=None).state_dict()
    asked = {}

    def download(self: ResNet50_Weights, **arguments: object) -> dict[str, Tensor]:
        asked[self] = arguments
        return state

    monkeypatch.setattr(ResNet50_Weights, "get_state_dict", download)
    detectors = AuxiliaryDetectors(DetectorConfig.paper(), classes=1)
    assert asked == {ResNet50_Weights.IMAGENET1K_V1: {"progress": False, "check_hash": True, "weights_only": True}}
    for detector in detectors.detectors.values():
        filled = detector.backbone.body.state_dict()
        assert len(filled) > 200
        assert all(torch.equal(filled[name], state[name]) for name in filled)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_of_a_detector_fills_all_but_other_classes(tmp_path, detectors, suffix):
    path = tmp_path / f"detector{suffix}"
    state = detectors.detectors["visible"].state_dict()
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    filled = AuxiliaryDetectors(DetectorConfig(backbone="small", weights=str(path)), classes=3)
    for detector in filled.detectors.values():
        for name, value in detector.state_dict().items():
            assert ("box_predictor" in name) or torch.equal(value, state[name]), name
        assert detector.roi_heads.box_predictor.cls_score.out_features == 4


def stored(state: object, path: Path) -> Path:
    torch.save(state, path)
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path, "is no file; known weights: imagenet, coco"),
        (lambda path: path.write_bytes(b"nothing") and path, "is no checkpoint that can be read"),
        (lambda path: stored([1.0], path), "holds a list; expected a dictionary"),
        (lambda path: stored({"other": torch.zeros(1)}, path), r"\d+ are missing .*, 1 are unknown \(other\)"),
        (lambda path: stored({"rpn.head.cls_logits.bias": torch.zeros(1)}, path), "do not fit the detector: .*size"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, make, message):
    path = make(tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=message) as refusal:
        AuxiliaryDetectors(DetectorConfig(backbone="small", weights=str(path)), classes=1)
    assert "\n" not in str(refusal.value)


def test_a_damaged_safetensors_file_is_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"\x10nothing")
    with pytest.raises(ValueError, match="is no checkpoint that can be read"):
        AuxiliaryDetectors(DetectorConfig(backbone="small", weights=str(path)), classes=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "resnet18"}, "DetectorConfig.backbone: expected 'resnet50' or 'small', got 'resnet18'"),
        ({"weights": 5}, "DetectorConfig.weights: expected 'imagenet', 'coco', a file or None, got 5"),
        ({"backbone": "small"}, "'imagenet' are weights of 'resnet50'"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        DetectorConfig(**settings)


def test_misuse_is_refused(detectors):
    pair = images(64, 96)
    with pytest.raises(ValueError, match="registered images of one size"):
        detectors.attention(pair[0], pair[1][..., :-1])
    with pytest.raises(ValueError, match="targets: expected one for each of 1 images, got 2"):
        detectors.losses(*pair, targets(2))
    with pytest.raises(ValueError, match="in training mode"):
        detectors.detect(*pair)
    with pytest.raises(ValueError, match="in evaluation mode"):
        detectors.eval().losses(*pair, targets(1))
