"""The detectors by name, and the weights that they start from: torchvision's Faster R-CNNs."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision.models import MobileNet_V3_Large_Weights, ResNet50_Weights
from torchvision.models.detection import (
    FasterRCNN,
    FasterRCNN_MobileNet_V3_Large_320_FPN_Weights,
    FasterRCNN_ResNet50_FPN_Weights,
)
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import mobilenet_backbone, resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign

from benchmark.detection.settings import DETECTORS, DetectionSettings
from metrics.errors import InputError, unknown
from moefusion.backbones import PREDICTOR, small_backbone
from moefusion.pretrained import download_state, load_into_detector, read_state

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
    backbone = small_backbone(_SMALL_WIDTHS, _SMALL_CHANNELS, groups=8)
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
        "box_roi_pool": MultiScaleRoIAlign(["0", "1", "2", "3"], output_size=7, sampling_ratio=1),
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
    state = download_state(download) if download else _read(Path(weights))
    if download is FasterRCNN_ResNet50_FPN_Weights.COCO_V1:
        # They were made with a normalisation without epsilon, which FrozenBatchNorm2d adds to the variance.
        epsilon = FrozenBatchNorm2d(1).eps
        state = {name: value - epsilon if name.endswith("running_var") else value for name, value in state.items()}
    name = f"torchvision's {type(download).__name__}.{download.name}" if download else Path(weights).name
    return f"{name}, {load_into_detector(detector, state, weights, PREDICTOR)}"


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(
            f"detector weights {str(path)!r}: no such file; expected none, backbone, coco or a file's path"
        )
    return read_state(path)
