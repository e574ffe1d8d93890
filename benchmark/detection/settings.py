"""The settings of detection: detector, training, inference. Importable without torch."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from benchmark.detection.registry import RECORDS, require_known

DETECTORS = tuple(RECORDS)
# Settings that may differ between a run and its checkpoint, because training does not depend on them.
WITHOUT_EFFECT = ("protocol", "score_threshold", "boxes", "checkpoint_steps", "workers")

_Count = Annotated[int, Field(ge=1)]
_Whole = Annotated[int, Field(ge=0)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(config=ConfigDict(extra="forbid"), frozen=True)
class DetectionSettings:
    """How objects are detected in fused images.

    The defaults of training are torchvision's reference recipe for its Faster R-CNN (references/detection: SGD,
    momentum 0.9, weight decay 1e-4, learning rate 0.02 at 16 images a step, scaled linearly to `batch`), with the
    12 epochs and the decays after two thirds and eleven twelfths of the "1x" schedule (He et al., "Rethinking
    ImageNet Pre-training", 2019, section 3).

    Attributes:
        detector: One of `registry.names()`, or `path/to/file.py:function` for a detector in a file of your own.
        protocol: "paper", one detector trained on infrared and visible images together; or "retrain", one a method,
            trained on its fused images.
        weights: What training starts from: "backbone" (ImageNet) or "coco" (all but the last layer), which
            torchvision downloads; the path of a file with one of these or with a trained detector; "none", a random
            initialisation.
        colour: The detector's input: "luma", the grey image as three equal channels; or "chroma", the grey
            image recoloured by the visible one's chroma (YCbCr). Infrared images stay grey.
        epochs: How often the training images are seen.
        batch: Images a step.
        optimiser: "sgd", or "adamw" for a network that trains from scratch.
        learning_rate, momentum, weight_decay: Of the optimiser; AdamW has no use for the momentum.
        schedule: "step", a tenth after two thirds and again after eleven twelfths of the epochs; "cosine", falling to
            zero; or "constant".
        warmup: Steps over which the learning rate rises linearly from a thousandth.
        gradient_norm: What the gradient's norm is clipped to.
        flip: Probability of a mirrored training image.
        contrast: How far a training image's contrast and brightness are changed at random: its levels become
            mean + c (level - mean) + b with c from 1 - contrast to 1 + contrast and b within a quarter of that.
        min_size, max_size: What the shorter side is scaled to, and the most that the longer side may become, in
            pixels; None for the detector's own.
        seed: Of the first weights, the order of the images and every draw.
        checkpoint_steps: A checkpoint is written after so many steps, and after each epoch.
        workers: Processes that read images.
        score_threshold: The least score of a detection.
        boxes: The most detections of an image.
    """

    detector: str = "fasterrcnn_resnet50_fpn"
    protocol: Literal["paper", "retrain"] = "paper"
    weights: Annotated[str, Field(min_length=1)] = "backbone"
    colour: Literal["luma", "chroma"] = "luma"
    epochs: _Count = 12
    batch: _Count = 4
    optimiser: Literal["sgd", "adamw"] = "sgd"
    learning_rate: _Positive = 0.005
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-4
    schedule: Literal["step", "cosine", "constant"] = "step"
    warmup: _Whole = 500
    gradient_norm: _Positive = 10.0
    flip: _Share = 0.5
    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.0
    min_size: Annotated[int, Field(ge=32)] | None = None
    max_size: Annotated[int, Field(ge=32)] | None = None
    seed: _Whole = 0
    checkpoint_steps: _Count = 500
    workers: _Whole = 2
    score_threshold: _Share = 0.05
    boxes: _Count = 100

    @model_validator(mode="after")
    def _fits(self) -> Self:
        require_known(self.detector)
        record = RECORDS.get(self.detector)
        if self.weights in ("backbone", "coco") and (record is None or self.weights not in record.weights):
            raise ValueError(
                f"weights {self.weights!r}: none are published for {self.detector!r}; set weights to 'none' or a path"
            )
        if self.min_size is not None and self.max_size is not None and self.min_size > self.max_size:
            raise ValueError(f"min_size {self.min_size} is above max_size {self.max_size}; expected it below")
        return self
