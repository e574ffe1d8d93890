"""The auxiliary detectors' parts from torchvision, and the weights that they start from."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import ResNet50_Weights
from torchvision.models.detection import FasterRCNN, FasterRCNN_ResNet50_FPN_Weights
from torchvision.models.detection.backbone_utils import BackboneWithFPN, resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.ops import Conv2dNormActivation, FrozenBatchNorm2d, MultiScaleRoIAlign

from moefusion.distributed import BatchNorm

Backbone = Literal["resnet50", "small"]
_DOWNLOADS = {"imagenet": ResNet50_Weights.IMAGENET1K_V1, "coco": FasterRCNN_ResNet50_FPN_Weights.COCO_V1}
_TRAINED_STAGES = 3  # of torchvision's five; the stem and stage 1 stay frozen
_SMALL_WIDTHS = (16, 32, 48, 64)
_SMALL_CHANNELS = 32
_SMALL_HEAD = 128
_SMALL_PROPOSALS, _SMALL_SAMPLES = 300, 128
_PREDICTOR = "roi_heads.box_predictor."


@dataclass(frozen=True, kw_only=True)
class DetectorConfig:
    """Settings of the auxiliary detectors; the defaults are those of the paper.

    Attributes:
        backbone: "resnet50" as in the paper, or "small", not the paper's, for machines without a GPU: a network of
            0.4 million weights that also looks at fewer proposals.
        weights: What both detectors start from: "imagenet" (the backbone) or "coco" (all but the last layer),
            which torchvision downloads; a file, .safetensors or PyTorch's, with the state of a torchvision
            ResNet-50 or of a whole detector; or None, chance. With weights a ResNet-50's stem, stage 1 and
            batch normalisation are frozen; without, everything trains.

    Raises:
        ValueError: A value is unknown, or does not go with the backbone.
    """

    backbone: Backbone = "resnet50"
    weights: str | None = "imagenet"

    def __post_init__(self) -> None:
        if self.backbone not in get_args(Backbone):
            known = ", ".join(map(repr, get_args(Backbone)))
            raise ValueError(f"unknown DetectorConfig.backbone {self.backbone!r}; known: {known}")
        if not (self.weights is None or (isinstance(self.weights, str) and self.weights)):
            raise ValueError(
                f"DetectorConfig.weights: expected {', '.join(map(repr, _DOWNLOADS))}, a file or None, "
                f"got {self.weights!r}."
            )
        if self.backbone == "small" and self.weights in _DOWNLOADS:
            raise ValueError(
                f"DetectorConfig.weights: {self.weights!r} are weights of 'resnet50', but the backbone is 'small'. "
                "Use DetectorConfig.small(), which starts from chance."
            )

    @classmethod
    def paper(cls) -> Self:
        """Return detectors as the paper describes them; the default."""
        return cls()

    @classmethod
    def small(cls) -> Self:
        """Return detectors for a machine without a GPU, and for trying things out."""
        return cls(backbone="small", weights=None)


def build_detectors(config: DetectorConfig, classes: int, bands: tuple[str, ...], *, initialise: bool) -> nn.ModuleDict:
    """Return one Faster R-CNN for each band; only their `backbone`, `rpn` and `roi_heads` are of use.

    Args:
        config: What they are and start from.
        classes: How many, without the background.
        bands: Their names.
        initialise: Load `config.weights`; without, a checkpoint will fill the weights.

    Raises:
        ValueError: The weights cannot be had or do not fit.
    """
    detectors = nn.ModuleDict({band: _detector(config, classes) for band in bands})
    if initialise and config.weights is not None:
        state = _read(config.weights)
        for detector in detectors.values():
            _fill(detector, state, config.weights)
    return detectors


def _detector(config: DetectorConfig, classes: int) -> FasterRCNN:
    # All that is not given, anchors, RPN and RoI heads, torchvision has as the paper's detector does: anchors of
    # 8 strides in ratios 0.5, 1, 2; 2000 and 1000 proposals; 256 and 512 samples; two layers of 1024.
    if config.backbone == "small":
        backbone = _small_backbone()
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


def _small_backbone() -> BackboneWithFPN:
    # GroupNorm: a small machine means small batches, too small for statistics over them.
    def layer(inputs: int, outputs: int, stride: int) -> nn.Module:
        made: nn.Module = Conv2dNormActivation(inputs, outputs, 3, stride, norm_layer=partial(nn.GroupNorm, 4))
        return made

    stages = OrderedDict(stem=layer(3, _SMALL_WIDTHS[0], 2))
    inputs = _SMALL_WIDTHS[0]
    for number, width in enumerate(_SMALL_WIDTHS, start=1):
        stages[f"layer{number}"] = nn.Sequential(layer(inputs, width, 2), layer(width, width, 1))
        inputs = width
    outputs = {f"layer{number}": str(number - 1) for number in range(1, len(_SMALL_WIDTHS) + 1)}
    return BackboneWithFPN(nn.Sequential(stages), outputs, list(_SMALL_WIDTHS), _SMALL_CHANNELS)


def _read(weights: str) -> dict[str, Any]:
    try:
        if weights in _DOWNLOADS:
            downloaded: dict[str, Any] = _DOWNLOADS[weights].get_state_dict(check_hash=True, weights_only=True)
            return downloaded
        path = Path(weights)
        if not path.is_file():
            raise ValueError(f"{path} is no file; known weights: {', '.join(_DOWNLOADS)}, or the path of a file.")
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except ValueError:
        raise
    except (OSError, SafetensorError) as error:
        raise ValueError(f"detector weights {weights!r} cannot be had: {_line(error)}") from error
    except Exception as error:  # torch raises its own, pickle's, zipfile's and struct's errors
        raise ValueError(f"{weights} is no file of weights that can be read: {_line(error)}") from error
    if not isinstance(state, dict):
        raise ValueError(f"{weights} holds a {type(state).__name__}; expected a dictionary of tensors.")
    return state


def _fill(detector: nn.Module, state: Mapping[str, Any], weights: str) -> None:
    """Load a classifier's state into the backbone, or a detector's, whose classes may be others."""
    classifier = "conv1.weight" in state
    if classifier:
        state = {f"backbone.body.{name}": value for name, value in state.items() if not name.startswith("fc.")}
    own = detector.state_dict()
    state = {name: value for name, value in state.items() if not _other_classes(name, value, own)}
    try:
        missing, unexpected = detector.load_state_dict(state, strict=False)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise ValueError(f"{weights} does not fit the detector: {_line(error)}") from error
    free = ("backbone.fpn.", "rpn.", "roi_heads.") if classifier else (_PREDICTOR,)
    lacking = [name for name in missing if not name.startswith(free)]
    if lacking or unexpected:
        raise ValueError(
            f"{weights} does not fit the detector: {len(lacking)} weights are missing ({', '.join(lacking[:3])}), "
            f"{len(unexpected)} are unknown ({', '.join(unexpected[:3])})."
        )


def _other_classes(name: str, value: object, own: Mapping[str, Tensor]) -> bool:
    if not name.startswith(_PREDICTOR) or name not in own:
        return False
    return isinstance(value, Tensor) and value.shape != own[name].shape


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:240] or type(error).__name__
