"""Training a detector on images with boxes; it can stop at any moment and resume exactly."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from benchmark.detection.detector import Detector
from benchmark.detection.detectors import build
from benchmark.detection.samples import Example, Sample, Samples
from benchmark.detection.settings import WITHOUT_EFFECT, DetectionSettings
from metrics.errors import InputError
from moefusion import trainer
from moefusion.checkpoint_file import Format, read_checkpoint
from moefusion.data import Target
from moefusion.distributed import rank, usable_device
from moefusion.pretrained import one_line
from moefusion.trainer import CHECKPOINT, LOG, MODEL, StepLosses, derive_seed

__all__ = ["CHECKPOINT", "LOG", "MODEL", "Trained", "load", "train"]
FORMAT = Format(kind="detector", key="detector", prefix="")
_DECAYS = (2 / 3, 11 / 12)  # of all epochs, after which "step" goes to a tenth


class Trained(NamedTuple):
    """A trained detector.

    Attributes:
        model: Its network, on the CPU, in evaluation mode.
        settings: How it was trained.
        classes: The classes that it detects; its labels count them from 1.
        origin: The weights that its training started from, in words.
        images: The number of its training images.
    """

    model: Detector
    settings: DetectionSettings
    classes: tuple[str, ...]
    origin: str
    images: int


def train(
    model: Detector,
    examples: Sequence[Example],
    classes: Sequence[str],
    folder: Path,
    settings: DetectionSettings,
    *,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Train a detector in place and return the file of it, for `load`.

    Files and resuming are those of `moefusion.trainer.train`: training resumes from a checkpoint in the folder, if
    there is one.

    Args:
        model: As `build(settings, len(classes))` gives it.
        examples: The training images.
        classes: The data set's.
        folder: Created where it is missing.
        settings: How it is trained.
        device: "auto", a GPU where there is one; or any of torch's names.
        progress: Called with (steps done, all) after each step, by somebody who shows it; without, lines are printed.

    Raises:
        InputError: There is no example, an image cannot be read, the checkpoint is of other settings, or a loss is
            not finite.
    """
    if not examples:
        raise InputError("the training part is empty; a detector needs images to learn from")
    if not any(example.boxes for example in examples):
        raise InputError("none of the training images has a box; a detector needs some to learn from")
    task = _DetectorTask(model, examples, classes, settings)
    report = progress or (lambda done, of: None)
    return trainer.train(
        task, folder, resume=True, device=usable_device(device), report=report, progress=progress is None, bar=False
    )


def load(path: Path) -> Trained:
    """Return a detector that `train` wrote.

    Raises:
        InputError: The file is missing, damaged, or of something else.
    """
    record, weights, _ = read_checkpoint(path, FORMAT, optimiser=False)
    try:
        settings = TypeAdapter(DetectionSettings).validate_python(record["settings"])
        classes = tuple(map(str, record["classes"]))
        origin, images = str(record["origin"]), record["images"]
        if type(images) is not int:
            raise ValueError(f"images: expected a whole number, got {images!r:.40}")
        model = build(settings, len(classes), initialise=False)
        model.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path} does not fit this version's detectors ({one_line(error)}); train it again") from error
    model.origin = origin
    model.eval()
    return Trained(model, settings, classes, origin, images)


class _DetectorTask(trainer.Task[Sample, list[Sample]]):
    form = FORMAT
    without_effect = WITHOUT_EFFECT

    def __init__(
        self, detector: Detector, examples: Sequence[Example], classes: Sequence[str], settings: DetectionSettings
    ) -> None:
        super().__init__(detector, Samples(examples, classes, settings.colour), len(examples), settings)
        self.detector, self.detection, self.classes = detector, settings, list(classes)

    @property
    def collate(self) -> Callable[[list[Sample]], list[Sample]]:
        return list  # the images' sizes differ

    def optimiser(self, weights: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        return _optimiser(weights, self.detection)

    def learning_rate(self, step: int) -> float:
        return _learning_rate(self.detection, step, self.epoch_steps)

    def losses(self, batch: list[Sample], step: int, device: torch.device) -> StepLosses:
        torch.manual_seed(derive_seed(self.detection.seed, "step", step, *([rank()] if rank() else [])))
        images, targets = zip(*(_augment(*sample, self.detection) for sample in batch), strict=True)
        terms = self.detector.losses(
            [image.to(device, non_blocking=True) for image in images],
            [Target(boxes=target["boxes"].to(device), labels=target["labels"].to(device)) for target in targets],
        )
        return StepLosses(torch.stack(list(terms.values())).sum(), {n: t.detach() for n, t in terms.items()}, {})

    def record(self, step: int) -> dict[str, Any]:
        return {
            "settings": asdict(self.detection),
            "classes": self.classes,
            "origin": self.detector.origin,
            "images": self.samples,
            "step": step,
        }


def _optimiser(weights: Sequence[nn.Parameter], settings: DetectionSettings) -> torch.optim.Optimizer:
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimiser == "adamw":
        return torch.optim.AdamW(weights, lr=rate, weight_decay=decay)
    return torch.optim.SGD(weights, lr=rate, momentum=settings.momentum, weight_decay=decay)


def _learning_rate(settings: DetectionSettings, step: int, epoch_steps: int) -> float:
    """Return the learning rate of a step, counted from 0."""
    rate = settings.learning_rate
    if step < settings.warmup:
        rate *= 0.001 + 0.999 * step / settings.warmup
    if settings.schedule == "cosine":
        return rate * (1 + math.cos(math.pi * step / (settings.epochs * epoch_steps))) / 2
    if settings.schedule == "step":
        return rate / 10.0 ** sum(step // epoch_steps >= round(part * settings.epochs) for part in _DECAYS)
    return rate


def _augment(image: Tensor, target: Target, settings: DetectionSettings) -> Sample:
    """Return a training image and its target, randomly mirrored and with random contrast and brightness."""
    mirrored, contrast, brightness = torch.rand(3).tolist()
    boxes = target["boxes"]
    if mirrored < settings.flip:
        image, x0, x1 = image.flip(-1), boxes[:, 0], boxes[:, 2]
        boxes = torch.stack([image.shape[-1] - x1, boxes[:, 1], image.shape[-1] - x0, boxes[:, 3]], dim=1)
    if settings.contrast:
        mean, share = image.mean(), settings.contrast
        image = mean + (1 + share * (2 * contrast - 1)) * (image - mean) + share / 4 * (2 * brightness - 1)
        image = image.clamp(0, 1)
    return image, Target(boxes=boxes, labels=target["labels"])
