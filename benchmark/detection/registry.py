"""The detectors by name: how each is built and which weights are published for it. Importable without torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from metrics.code import code_digest
from metrics.errors import InputError, unknown
from metrics.plugins import installed_names, load_installed, load_module, split_file_name

ENTRY_POINTS = "ivif.detectors"
_HERE = "benchmark.detection.detectors"
_RESNET = "ResNet50_Weights.IMAGENET1K_V1"


@dataclass(frozen=True)
class DetectorRecord:
    """A detector that comes with the benchmark.

    Attributes:
        builder: "module:function"; `load_builder` says how it is called.
        weights: Names of torchvision's published weights, by what `DetectionSettings.weights` calls them.
        without_epsilon: Those of them that were trained with a batch normalisation without epsilon.
    """

    builder: str
    weights: Mapping[str, str] = field(default_factory=dict)
    without_epsilon: tuple[str, ...] = ()


RECORDS: Mapping[str, DetectorRecord] = {
    "fasterrcnn_resnet50_fpn": DetectorRecord(
        f"{_HERE}:build_faster_rcnn_resnet50",
        {"backbone": _RESNET, "coco": "FasterRCNN_ResNet50_FPN_Weights.COCO_V1"},
        without_epsilon=("coco",),
    ),
    "fasterrcnn_mobilenet_v3_large_320_fpn": DetectorRecord(
        f"{_HERE}:build_faster_rcnn_mobilenet",
        {
            "backbone": "MobileNet_V3_Large_Weights.IMAGENET1K_V1",
            "coco": "FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1",
        },
    ),
    "small": DetectorRecord(f"{_HERE}:build_faster_rcnn_small"),
    "retinanet_resnet50_fpn": DetectorRecord(
        f"{_HERE}:build_retinanet_resnet50",
        {"backbone": _RESNET, "coco": "RetinaNet_ResNet50_FPN_Weights.COCO_V1"},
        without_epsilon=("coco",),
    ),
    "retinanet_small": DetectorRecord(f"{_HERE}:build_retinanet_small"),
    "fcos_resnet50_fpn": DetectorRecord(
        f"{_HERE}:build_fcos_resnet50", {"backbone": _RESNET, "coco": "FCOS_ResNet50_FPN_Weights.COCO_V1"}
    ),
    "fcos_small": DetectorRecord(f"{_HERE}:build_fcos_small"),
}


def names() -> tuple[str, ...]:
    """Return the names of the built-in detectors, then those of installed packages (entry point `ivif.detectors`)."""
    return (*RECORDS, *(name for name in installed_names(ENTRY_POINTS) if name not in RECORDS))


def require_known(name: str) -> None:
    """Raise InputError unless the name is one of `names()` or reads `path/to/file.py:function`."""
    if split_file_name(name) is None and name not in names():
        raise unknown("detector", name, (*names(), "path/to/file.py:function"))


def load_builder(name: str) -> Callable[..., Any]:
    """Return the function that builds a detector.

    It is called `function(classes, pretrained, **sizes)`: the number of classes without the background, whether weights
    will be loaded (so that early stages can be frozen), and `min_size` and `max_size` where the settings have them. It
    returns a `benchmark.detection.detector.Detector`.

    Args:
        name: One of `names()`, or `path/to/file.py:function`.

    Raises:
        InputError: The name is unknown, or what it names is no function.
    """
    file = split_file_name(name)
    builder: object
    if file is not None:
        path, attribute = file
        builder = getattr(load_module(path, "detector"), attribute, None)
    elif name in RECORDS:
        module, _, attribute = RECORDS[name].builder.partition(":")
        builder = getattr(import_module(module), attribute)
    else:
        require_known(name)
        builder = load_installed(ENTRY_POINTS, name, "detector")
    if not callable(builder):
        raise InputError(f"detector {name!r}: expected a function that builds a detector, got {builder!r:.80}")
    return builder


def detection_code(name: str) -> str:
    """Return a hash of the code that decides what a trained detector finds in an image."""
    return code_digest(
        "benchmark.detection.inference:detect",
        "benchmark.detection.coco:ground_truth",
        "benchmark.detection.coco:results",
        RECORDS[name].builder if name in RECORDS else load_builder(name),
    )
