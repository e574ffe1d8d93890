"""The detectors, from torchvision, and the weights that they start from."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torchvision.models import get_weight
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN, mobilenet_backbone, resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.fcos import FCOSClassificationHead, FCOSHead, FCOSRegressionHead
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from benchmark.detection.detector import Detector
from benchmark.detection.registry import RECORDS, load_builder
from benchmark.detection.settings import DetectionSettings
from metrics.errors import InputError
from moefusion.backbones import PREDICTOR, small_backbone
from moefusion.data import DetectedObjects, Target
from moefusion.pretrained import download_state, load_into_detector, one_line, read_state

_RATIOS = (0.5, 1.0, 2.0)
_SMALL_WIDTHS = (24, 32, 48, 64)
_SMALL_ANCHORS = (12, 24, 48, 96, 192)  # the last level is the fourth at half its size
_SMALL_STRIDES = (4, 8, 16, 32, 64)
_SMALL_CHANNELS = 32
_SMALL_HEAD = 128
_SMALL_SIZES = {"min_size": 240, "max_size": 640}
_SMALL_NORM = partial(nn.GroupNorm, 8)


def build(settings: DetectionSettings, classes: int, *, initialise: bool = True) -> Detector:
    """Return a detector in training mode; its attribute `origin` says in words where its weights come from.

    Where torchvision's start from weights, batch normalisation and the first stages are frozen, as torchvision does;
    from a random initialisation, everything trains.

    Args:
        settings: Which, of what size, and from which weights.
        classes: Their number, without the background.
        initialise: Load `settings.weights`; without, a checkpoint will fill the weights.

    Raises:
        InputError: The detector is unknown or cannot be built, or the weights cannot be obtained or do not fit.
    """
    builder = load_builder(settings.detector)
    sizes = {"min_size": settings.min_size, "max_size": settings.max_size}
    sizes = {name: size for name, size in sizes.items() if size is not None}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        try:
            detector = builder(classes, settings.weights != "none", **sizes)
        except InputError:
            raise
        except Exception as error:  # a user's function raises whatever it runs into
            reason = f"{type(error).__name__}: {one_line(error)}"
            raise InputError(f"detector {settings.detector!r} cannot be built ({reason})") from error
    if not isinstance(detector, Detector):
        raise InputError(
            f"detector {settings.detector!r} is a {type(detector).__name__}; expected a "
            "benchmark.detection.detector.Detector"
        )
    if initialise and settings.weights != "none":
        detector.origin = _load_weights(detector, settings)
    return detector.train()


def _load_weights(detector: Detector, settings: DetectionSettings) -> str:
    """Load the weights that settings name; return where they come from."""
    weights, record = settings.weights, RECORDS.get(settings.detector)
    if record is not None and weights in record.weights:
        origin = record.weights[weights]
        state = download_state(get_weight(origin))
        origin = f"torchvision's {origin}"
        if weights in record.without_epsilon:
            epsilon = FrozenBatchNorm2d(1).eps  # which FrozenBatchNorm2d adds to the variance
            state = {name: value - epsilon if name.endswith("running_var") else value for name, value in state.items()}
    else:
        path = Path(weights)
        if not path.is_file():
            raise InputError(f"detector weights {weights!r}: no such file; expected none, backbone, coco or a path")
        state, origin = read_state(path), path.name
    return f"{origin}, {load_into_detector(detector, state, weights, detector.predictor)}"


class TorchvisionDetector(Detector):
    """A detector of torchvision: given targets it returns its losses in training mode, without them detections.

    Attributes:
        terms: The names of its losses in train.csv, by torchvision's.
    """

    terms: ClassVar[Mapping[str, str]]
    backbone: nn.Module

    def losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """Return the losses; under autocast only the backbone is computed in low precision.

        In bfloat16 the anchors of a large image would be whole pixels from where they belong.
        """
        device = images[0].device.type
        low = torch.is_autocast_enabled(device)
        with torch.autocast(device, enabled=False), _autocast(self.backbone, device, low):
            losses = self(images, targets)
        return {name: losses[own] for own, name in self.terms.items()}


class FasterRCNNDetector(TorchvisionDetector, FasterRCNN):
    """Faster R-CNN (Ren et al., 2015); arguments as torchvision's `FasterRCNN`."""

    predictor = PREDICTOR
    roi_heads: Any
    terms: ClassVar[Mapping[str, str]] = {
        "loss_objectness": "objectness",
        "loss_rpn_box_reg": "proposal_box",
        "loss_classifier": "class",
        "loss_box_reg": "box",
    }

    def detections(self, images: list[Tensor], *, score_threshold: float, boxes: int) -> list[DetectedObjects]:
        """Return the objects found in each image."""
        self.roi_heads.score_thresh, self.roi_heads.detections_per_img = score_threshold, boxes
        found: list[DetectedObjects] = self(images)
        return found


class _OneStageDetector(TorchvisionDetector):
    """A detector without proposals. Its head has a column for the background, as torchvision's numbering has it."""

    predictor = ("head.classification_head.cls_logits.",)

    def detections(self, images: list[Tensor], *, score_threshold: float, boxes: int) -> list[DetectedObjects]:
        """Return the objects found in each image, without background and without boxes that are empty once clipped."""
        self.score_thresh, self.detections_per_img = score_threshold, sys.maxsize
        return [_keep_objects(found, boxes) for found in self(images)]


class RetinaNetDetector(_OneStageDetector, RetinaNet):
    """RetinaNet (Lin et al., "Focal Loss for Dense Object Detection", 2017); arguments as torchvision's `RetinaNet`."""

    terms: ClassVar[Mapping[str, str]] = {"classification": "class", "bbox_regression": "box"}


class FCOSDetector(_OneStageDetector, FCOS):
    """FCOS (Tian et al., "Fully Convolutional One-Stage Object Detection", 2019); arguments as torchvision's `FCOS`."""

    terms: ClassVar[Mapping[str, str]] = {
        "classification": "class",
        "bbox_regression": "box",
        "bbox_ctrness": "centerness",
    }


def build_faster_rcnn_resnet50(classes: int, pretrained: bool, **sizes: int) -> Detector:
    """Return the paper's detector, torchvision's `fasterrcnn_resnet50_fpn`."""
    return FasterRCNNDetector(_resnet50(pretrained), classes + 1, **sizes)


def build_faster_rcnn_mobilenet(classes: int, pretrained: bool, **sizes: int) -> Detector:
    """Return torchvision's `fasterrcnn_mobilenet_v3_large_320_fpn`."""
    # The numbers are those of torchvision's function of the name, which cannot freeze stages without loading weights.
    norm_layer, trainable = (FrozenBatchNorm2d, 3) if pretrained else (nn.BatchNorm2d, 6)
    backbone = mobilenet_backbone(
        backbone_name="mobilenet_v3_large", weights=None, fpn=True, norm_layer=norm_layer, trainable_layers=trainable
    )
    return FasterRCNNDetector(
        backbone,
        classes + 1,
        rpn_pre_nms_top_n_test=150,
        rpn_post_nms_top_n_test=150,
        rpn_score_thresh=0.05,
        rpn_anchor_generator=AnchorGenerator(((32, 64, 128, 256, 512),) * 3, (_RATIOS,) * 3),
        **{"min_size": 320, "max_size": 640} | sizes,
    )


def build_faster_rcnn_small(classes: int, pretrained: bool, **sizes: int) -> Detector:
    """Return a Faster R-CNN of 0.5 million weights for machines without a GPU."""
    return FasterRCNNDetector(
        _small_pyramid(),
        rpn_anchor_generator=_small_anchors(),
        rpn_pre_nms_top_n_train=400,
        rpn_pre_nms_top_n_test=400,
        rpn_post_nms_top_n_train=300,
        rpn_post_nms_top_n_test=200,
        box_roi_pool=MultiScaleRoIAlign(["0", "1", "2", "3"], output_size=7, sampling_ratio=1),
        box_head=TwoMLPHead(_SMALL_CHANNELS * 7**2, _SMALL_HEAD),
        box_predictor=FastRCNNPredictor(_SMALL_HEAD, classes + 1),
        box_batch_size_per_image=64,
        **_SMALL_SIZES | sizes,
    )


def build_retinanet_resnet50(classes: int, pretrained: bool, **sizes: int) -> Detector:
    """Return torchvision's `retinanet_resnet50_fpn`."""
    return RetinaNetDetector(_resnet50(pretrained, one_stage=True), classes + 1, **sizes)


def build_retinanet_small(classes: int, pretrained: bool, **sizes: int) -> Detector:
    """Return a RetinaNet for machines without a GPU."""
    return RetinaNetDetector(
        _small_pyramid(),
        classes + 1,
        anchor_generator=_small_anchors(),
        head=RetinaNetHead(_SMALL_CHANNELS, len(_RATIOS), classes + 1, norm_layer=_SMALL_NORM),
        **_SMALL_SIZES | sizes,
    )


def build_fcos_resnet50(classes: int, pretrained: bool, **sizes: int) -> Detector:
    """Return torchvision's `fcos_resnet50_fpn`."""
    return FCOSDetector(_resnet50(pretrained, one_stage=True), classes + 1, **sizes)


def build_fcos_small(classes: int, pretrained: bool, **sizes: int) -> Detector:
    """Return an FCOS for machines without a GPU."""
    head = FCOSHead(_SMALL_CHANNELS, 1, classes + 1)
    # FCOSHead's own GroupNorm has 32 groups, of one channel each here: at a level of one pixel it has no variance.
    head.classification_head = FCOSClassificationHead(_SMALL_CHANNELS, 1, classes + 1, norm_layer=_SMALL_NORM)
    head.regression_head = FCOSRegressionHead(_SMALL_CHANNELS, 1, norm_layer=_SMALL_NORM)
    anchors = AnchorGenerator(tuple((stride,) for stride in _SMALL_STRIDES), ((1.0,),) * len(_SMALL_STRIDES))
    return FCOSDetector(_small_pyramid(), classes + 1, anchor_generator=anchors, head=head, **_SMALL_SIZES | sizes)


def _resnet50(pretrained: bool, *, one_stage: bool = False) -> BackboneWithFPN:
    """Return a ResNet-50 with feature pyramid; for detectors of one stage its levels are P3 to P7, as in RetinaNet."""
    norm_layer, trainable = (FrozenBatchNorm2d, 3) if pretrained else (nn.BatchNorm2d, 5)
    levels = {"returned_layers": [2, 3, 4], "extra_blocks": LastLevelP6P7(256, 256)} if one_stage else {}
    return resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=norm_layer, trainable_layers=trainable, **levels
    )


def _small_pyramid() -> BackboneWithFPN:
    return small_backbone(_SMALL_WIDTHS, _SMALL_CHANNELS, groups=8)


def _small_anchors() -> AnchorGenerator:
    return AnchorGenerator(tuple((size,) for size in _SMALL_ANCHORS), (_RATIOS,) * len(_SMALL_ANCHORS))


def _keep_objects(found: DetectedObjects, most: int) -> DetectedObjects:
    """Return the first detections that are neither background nor empty."""
    boxes, labels, scores = found["boxes"], found["labels"], found["scores"]
    kept = (labels > 0) & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return DetectedObjects(boxes=boxes[kept][:most], labels=labels[kept][:most], scores=scores[kept][:most])


@contextmanager
def _autocast(backbone: nn.Module, device: str, enabled: bool) -> Iterator[None]:
    """Let a backbone compute in bfloat16 and return float32, for as long as the context lasts."""
    if not enabled:
        yield
        return
    forward = backbone.forward

    def forward_low(images: Tensor) -> dict[str, Tensor]:
        with torch.autocast(device, torch.bfloat16):
            features: dict[str, Tensor] = forward(images)
        return {level: values.float() for level, values in features.items()}

    backbone.forward = forward_low
    try:
        yield
    finally:
        del backbone.forward
