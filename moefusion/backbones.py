"""The auxiliary detectors' parts from torchvision, and the weights that they start from."""

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn
from torchvision.models import ResNet50_Weights
from torchvision.models.detection import FasterRCNN, FasterRCNN_ResNet50_FPN_Weights
from torchvision.models.detection.backbone_utils import BackboneWithFPN, resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.ops import Conv2dNormActivation, FrozenBatchNorm2d, MultiScaleRoIAlign

from metrics.errors import InputError
from moefusion.config import PRETRAINED, DetectorConfig
from moefusion.distributed import BatchNorm
from moefusion.pretrained import download_state, load_into_detector, read_state

_DOWNLOADS = dict(
    zip(PRETRAINED, (ResNet50_Weights.IMAGENET1K_V1, FasterRCNN_ResNet50_FPN_Weights.COCO_V1), strict=True)
)
_TRAINED_STAGES = 3  # of torchvision's five; the stem and stage 1 stay frozen
_SMALL_WIDTHS = (16, 32, 48, 64)
_SMALL_CHANNELS = 32
_SMALL_HEAD = 128
_SMALL_PROPOSALS, _SMALL_SAMPLES = 300, 128
PREDICTOR = ("roi_heads.box_predictor.",)  # the weights of a Faster R-CNN that depend on the classes


def build_detectors(config: DetectorConfig, classes: int, bands: tuple[str, ...], *, initialise: bool) -> nn.ModuleDict:
    """Return one Faster R-CNN for each band; only their `backbone`, `rpn` and `roi_heads` are of use.

    Args:
        config: The detectors' settings.
        classes: Their number, without the background.
        bands: Their names.
        initialise: Load `config.weights`; without, a checkpoint will fill the weights.

    Raises:
        InputError: The weights cannot be obtained or do not fit.
    """
    detectors = nn.ModuleDict({band: _detector(config, classes) for band in bands})
    if initialise and config.weights is not None:
        state = _read(config.weights)
        for detector in detectors.values():
            load_into_detector(detector, state, config.weights, PREDICTOR)
    return detectors


def _detector(config: DetectorConfig, classes: int) -> FasterRCNN:
    # All that is not given, anchors, RPN and RoI heads, torchvision has as the paper's detector does: anchors of
    # 8 strides in ratios 0.5, 1, 2; 2000 and 1000 proposals; 256 and 512 samples; two layers of 1024.
    if config.backbone == "small":
        backbone = small_backbone(_SMALL_WIDTHS, _SMALL_CHANNELS, groups=4)
        pool = MultiScaleRoIAlign(["0", "1", "2", "3"], output_size=7, sampling_ratio=2)
        head = TwoMLPHead(_SMALL_CHANNELS * 7**2, _SMALL_HEAD)
        predictor = FastRCNNPredictor(_SMALL_HEAD, classes + 1)
        return FasterRCNN(
            backbone,
            rpn_post_nms_top_n_train=_SMALL_PROPOSALS,
            rpn_post_nms_top_n_test=_SMALL_PROPOSALS,
            box_roi_pool=pool,
            box_head=head,
            box_predictor=predictor,
            box_batch_size_per_image=_SMALL_SAMPLES,
        )
    # COCO's weights were made with a normalisation without epsilon; torchvision takes it out as well.
    frozen = partial(FrozenBatchNorm2d, eps=0.0) if config.weights == "coco" else FrozenBatchNorm2d
    trained = config.weights is not None
    backbone = resnet_fpn_backbone(
        backbone_name="resnet50",
        weights=None,
        norm_layer=frozen if trained else BatchNorm,
        trainable_layers=_TRAINED_STAGES if trained else 5,
    )
    return FasterRCNN(backbone, num_classes=classes + 1)


def small_backbone(widths: Sequence[int], channels: int, groups: int) -> BackboneWithFPN:
    """Return a small feature pyramid with levels "0", "1", ... at strides 4, 8, ... and "pool" at twice the last.

    GroupNorm, because small machines train on small batches, whose statistics are too noisy for batch normalisation.

    Args:
        widths: Channels of each stage; the stem has those of the first.
        channels: Of every level.
        groups: Of GroupNorm.
    """

    def layer(inputs: int, outputs: int, stride: int) -> nn.Module:
        norm = partial(nn.GroupNorm, groups)
        convolution: nn.Module = Conv2dNormActivation(inputs, outputs, 3, stride, norm_layer=norm)
        return convolution

    stages = OrderedDict(stem=layer(3, widths[0], 2))
    inputs = widths[0]
    for number, width in enumerate(widths, start=1):
        stages[f"layer{number}"] = nn.Sequential(layer(inputs, width, 2), layer(width, width, 1))
        inputs = width
    levels = {f"layer{number}": str(number - 1) for number in range(1, len(widths) + 1)}
    return BackboneWithFPN(nn.Sequential(stages), levels, list(widths), channels)


def _read(weights: str) -> dict[str, Any]:
    if weights in _DOWNLOADS:
        return download_state(_DOWNLOADS[weights])
    if not Path(weights).is_file():
        raise InputError(f"{weights} is no file; known weights: {', '.join(_DOWNLOADS)}, or the path of a file")
    return read_state(Path(weights))
