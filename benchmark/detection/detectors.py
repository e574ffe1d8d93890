"""The detectors by name, and the weights that they start from: torchvision's Faster R-CNNs."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import MobileNet_V3_Large_Weights, ResNet50_Weights
from torchvision.models.detection import (
    FasterRCNN,
    FasterRCNN_MobileNet_V3_Large_320_FPN_Weights,
    FasterRCNN_ResNet50_FPN_Weights,
)
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN, mobilenet_backbone, resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.ops import Conv2dNormActivation, FrozenBatchNorm2d, MultiScaleRoIAlign

from benchmark.detection.settings import DETECTORS, DetectionSettings
from metrics.errors import InputError, unknown

_DOWNLOADS = {
    ("fasterrcnn_resnet50_fpn", "backbone"): ResNet50_Weights.IMAGENET1K_V1,
    ("fasterrcnn_resnet50_fpn", "coco"): FasterRCNN_ResNet50_FPN_Weights.COCO_V1,
    ("fasterrcnn_mobilenet_v3_large_320_fpn", "backbone"): MobileNet_V3_Large_Weights.IMAGENET1K_V1,
    ("fasterrcnn_mobilenet_v3_large_320_fpn", "coco"): FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1,
}
_RATIOS = (0.5, 1.0, 2.0)
_SMALL_WIDTHS = (24, 32, 48, 64)
_SMALL_ANCHORS = (12, 24, 48, 96, 192)  # the last level is the fourth at half its size
_SMALL_CHANNELS = 32
_SMALL_HEAD = 128
_PREDICTOR = "roi_heads.box_predictor."
_CLASSIFIERS = ("conv1.weight", "features.")  # how torchvision's ResNet and MobileNet can be told
_AFTER_BACKBONE = ("backbone.fpn.", "rpn.", "roi_heads.")


def build(settings: DetectionSettings, classes: int, *, initialise: bool = True) -> nn.Module:
    """Return a detector in training mode; its attribute `origin` says in words where its weights come from.

    It is a torchvision Faster R-CNN: a list of images (3, H, W) in [0, 1] in, boxes in their pixels out. Where it
    starts from weights, batch normalisation and the first stages are frozen, as torchvision does; from chance,
    everything trains.

    Args:
        settings: Which, of what size, and from which weights.
        classes: How many, without the background.
        initialise: Load `settings.weights`; without, a checkpoint will fill the weights.

    Raises:
        InputError: The detector is unknown, or the weights cannot be had or do not fit.
    """
    if settings.detector not in _BUILDERS:
        raise unknown("detector", settings.detector, DETECTORS)
    sizes = {"min_size": settings.min_size, "max_size": settings.max_size}
    given = {name: size for name, size in sizes.items() if size is not None}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        detector: nn.Module = _BUILDERS[settings.detector](settings.weights != "none", num_classes=classes + 1, **given)
    detector.origin = "random weights"  # type: ignore[assignment]
    if initialise and settings.weights != "none":
        detector.origin = _start(detector, settings)  # type: ignore[assignment]
    return detector


def _resnet50(trained: bool, **options: Any) -> FasterRCNN:
    norm_layer, trainable = (FrozenBatchNorm2d, 3) if trained else (nn.BatchNorm2d, 5)
    backbone = resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=norm_layer, trainable_layers=trainable
    )
    return FasterRCNN(backbone, **options)


def _mobilenet(trained: bool, **options: Any) -> FasterRCNN:
    # The numbers are those of torchvision's function of the name, which cannot be told to freeze without loading.
    norm_layer, trainable = (FrozenBatchNorm2d, 3) if trained else (nn.BatchNorm2d, 6)
    backbone = mobilenet_backbone(
        backbone_name="mobilenet_v3_large", weights=None, fpn=True, norm_layer=norm_layer, trainable_layers=trainable
    )
    own = {
        "min_size": 320,
        "max_size": 640,
        "rpn_pre_nms_top_n_test": 150,
        "rpn_post_nms_top_n_test": 150,
        "rpn_score_thresh": 0.05,
        "rpn_anchor_generator": AnchorGenerator(((32, 64, 128, 256, 512),) * 3, (_RATIOS,) * 3),
    }
    return FasterRCNN(backbone, **own | options)


def _small(trained: bool, **options: Any) -> FasterRCNN:
    # GroupNorm: a small machine means small batches, too small for statistics over them.
    def layer(inputs: int, outputs: int, stride: int) -> nn.Module:
        made: nn.Module = Conv2dNormActivation(inputs, outputs, 3, stride, norm_layer=partial(nn.GroupNorm, 8))
        return made

    stages = OrderedDict(stem=layer(3, _SMALL_WIDTHS[0], 2))
    inputs = _SMALL_WIDTHS[0]
    for number, width in enumerate(_SMALL_WIDTHS, start=1):
        stages[f"layer{number}"] = nn.Sequential(layer(inputs, width, 2), layer(width, width, 1))
        inputs = width
    levels = [str(number) for number in range(len(_SMALL_WIDTHS))]
    outputs = {f"layer{int(level) + 1}": level for level in levels}
    backbone = BackboneWithFPN(nn.Sequential(stages), outputs, list(_SMALL_WIDTHS), _SMALL_CHANNELS)
    own = {
        "min_size": 240,
        "max_size": 640,
        "rpn_anchor_generator": AnchorGenerator(
            tuple((size,) for size in _SMALL_ANCHORS), (_RATIOS,) * len(_SMALL_ANCHORS)
        ),
        "rpn_pre_nms_top_n_train": 400,
        "rpn_pre_nms_top_n_test": 400,
        "rpn_post_nms_top_n_train": 300,
        "rpn_post_nms_top_n_test": 200,
        "box_roi_pool": MultiScaleRoIAlign(levels, output_size=7, sampling_ratio=1),
        "box_head": TwoMLPHead(_SMALL_CHANNELS * 7**2, _SMALL_HEAD),
        "box_batch_size_per_image": 64,
    }
    classes = options.pop("num_classes")
    return FasterRCNN(backbone, box_predictor=FastRCNNPredictor(_SMALL_HEAD, classes), **own | options)


_BUILDERS = dict(zip(DETECTORS, (_resnet50, _mobilenet, _small), strict=True))


def _start(detector: nn.Module, settings: DetectionSettings) -> str:
    """Load the weights that settings name; return where they come from."""
    weights = settings.weights
    download = _DOWNLOADS.get((settings.detector, weights))
    state = _downloaded(download) if download else _read(Path(weights))
    if download is FasterRCNN_ResNet50_FPN_Weights.COCO_V1:
        # They were made with a normalisation without epsilon, which FrozenBatchNorm2d adds to the variance.
        epsilon = FrozenBatchNorm2d(1).eps
        state = {name: value - epsilon if name.endswith("running_var") else value for name, value in state.items()}
    name = f"torchvision's {type(download).__name__}.{download.name}" if download else Path(weights).name
    return f"{name}, {_fill(detector, state, weights)}"


def _downloaded(download: Any) -> dict[str, Any]:
    file = Path(torch.hub.get_dir()) / "checkpoints" / download.url.rpartition("/")[2]
    known = file.stem.rpartition("-")[2]  # torchvision's file names end in the beginning of their SHA-256
    by_hand = f"get {download.url} by hand and put it there, or set weights to a path or 'none'"
    if file.is_file() and not hashlib.sha256(file.read_bytes()).hexdigest().startswith(known):
        raise InputError(f"{file} is damaged: its SHA-256 does not begin with {known}; remove it")
    try:
        state: dict[str, Any] = download.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:  # no network; another hash than the file's name says
        raise InputError(f"{file} is not there and could not be fetched ({_line(error)}); {by_hand}") from error
    return state


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(
            f"detector weights {str(path)!r}: no such file; expected none, backbone, coco or a file's path"
        )
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises its own, pickle's, zipfile's and struct's errors
        raise InputError(f"{path} holds no weights that can be read ({_line(error)}); take another copy") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path} holds a {type(state).__name__}; expected a state dict, tensors by their names")
    return state


def _fill(detector: nn.Module, state: Mapping[str, Tensor], weights: str) -> str:
    """Load a classifier's weights into the backbone, or a detector's; return which parts were taken."""
    if any(name.startswith(_CLASSIFIERS) for name in state):
        state = {
            f"backbone.body.{name.removeprefix('features.')}": value
            for name, value in state.items()
            if not name.startswith(("fc.", "classifier."))
        }
    own = detector.state_dict()
    backbone = all(name.startswith("backbone.") for name in state)
    predictor = {name: value for name, value in state.items() if name.startswith(_PREDICTOR)}
    other_classes = any(name in own and value.shape != own[name].shape for name, value in predictor.items())
    new: tuple[str, ...] = _AFTER_BACKBONE if backbone else (_PREDICTOR,) if other_classes else ()
    taken = {name: value for name, value in state.items() if not (other_classes and name in predictor)}
    try:
        missing, unexpected = detector.load_state_dict(taken, strict=False)
    except RuntimeError as error:
        raise InputError(f"weights {weights!r} do not fit the detector: {_line(error)}") from error
    missing = [name for name in missing if not name.startswith(new)] if new else missing
    if missing or unexpected:
        raise InputError(
            f"weights {weights!r} do not fit the detector: {len(missing)} are missing ({', '.join(missing[:2])}), "
            f"{len(unexpected)} are unknown ({', '.join(unexpected[:2])})"
        )
    return "backbone" if backbone else "all but the predictor" if other_classes else "all weights"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
