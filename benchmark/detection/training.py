"""Training a detector on images with boxes, so that it can stop at any moment and go on as if it had not."""

import csv
import io
import json
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from benchmark.detection.detectors import build
from benchmark.detection.samples import Example, Sample, Samples, Target
from benchmark.detection.settings import WITHOUT_EFFECT, DetectionSettings
from metrics import images
from metrics.errors import InputError
from moefusion.data import epoch_order, load_batches
from moefusion.distributed import usable_device
from moefusion.files import save_tensors
from moefusion.journal import kept_rows

MODEL, CHECKPOINT, LOG = "model.safetensors", "checkpoint.safetensors", "train.csv"
_FORMAT, _KEY = 1, "detector"  # of the record in a file's own metadata
_OPTIMISER = "optimiser."
_DECAYS = (2 / 3, 11 / 12)  # of all epochs, after which "step" goes to a tenth
_LOSSES = {
    "loss_objectness": "objectness",
    "loss_rpn_box_reg": "proposal_box",
    "loss_classifier": "class",
    "loss_box_reg": "box",
}
_COLUMNS = ("step", "epoch", "learning_rate", "total", *_LOSSES.values(), "gradient_norm", "seconds")  # of the log


class Trained(NamedTuple):
    """A trained detector.

    Attributes:
        model: Its network, on the CPU, in evaluation mode.
        settings: How it was made.
        classes: What it finds; its labels count them from 1.
        origin: What its training started from, in words.
        images: How many images it was trained on.
    """

    model: nn.Module
    settings: DetectionSettings
    classes: tuple[str, ...]
    origin: str
    images: int


def train(
    model: nn.Module,
    examples: Sequence[Example],
    classes: Sequence[str],
    folder: Path,
    settings: DetectionSettings,
    *,
    device: str = "auto",
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Path:
    """Train a detector in place and return the file of it, for `load`.

    The folder gets checkpoint.safetensors with all that going on takes, train.csv with a row of losses a step, and
    in the end model.safetensors. A folder with a checkpoint is gone on from. Each step's draws follow from seed and
    step alone, so that a resumed run takes the same steps as an uninterrupted one: on a CPU bit for bit, on a GPU as
    far as its kernels repeat themselves.

    Args:
        model: As `build(settings, len(classes))` gives it.
        examples: What to learn from.
        classes: The data set's.
        folder: Made where it is missing.
        settings: How.
        device: "auto", a GPU where there is one; or any of torch's names.
        progress: Called with (steps done, all) after each step.

    Raises:
        InputError: There is no example, an image cannot be read, the checkpoint is of other settings, or a loss is
            not finite any more.
    """
    if not examples:
        raise InputError("the training part is empty; a detector needs images to learn from")
    if not any(example.boxes for example in examples):
        raise InputError("none of the training images has a box; a detector needs some to learn from")
    target = usable_device(device)
    folder.mkdir(parents=True, exist_ok=True)
    return _Run(model.to(target).train(), examples, classes, folder, settings, target).run(progress)


def load(path: Path) -> Trained:
    """Return a detector that `train` wrote.

    Raises:
        InputError: The file is missing, damaged, or of something else.
    """
    record, tensors = _read(path)
    try:
        settings = TypeAdapter(DetectionSettings).validate_python(record["settings"])
        classes = tuple(map(str, record["classes"]))
        origin, images = str(record["origin"]), record["images"]
        if type(images) is not int:
            raise ValueError(f"images: expected a whole number, got {images!r:.40}")
        model = build(settings, len(classes), initialise=False)
        model.load_state_dict(_without(tensors, _OPTIMISER))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path} does not fit this version's detectors ({_line(error)}); train it again") from error
    model.origin = origin  # type: ignore[assignment]
    return Trained(model.eval(), settings, classes, origin, images)


class _Run:
    """A training run."""

    def __init__(
        self,
        model: nn.Module,
        examples: Sequence[Example],
        classes: Sequence[str],
        folder: Path,
        settings: DetectionSettings,
        device: torch.device,
    ) -> None:
        self.model, self.folder, self.settings, self.device = model, folder, settings, device
        self.data = Samples(examples, classes, settings.colour)
        self.weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self.optimiser = _optimiser(list(self.weights.values()), settings)
        self.epoch_steps = -(-len(examples) // settings.batch)
        self.steps = settings.epochs * self.epoch_steps
        self.step = 0
        self.rows: list[dict[str, str]] = []

    def run(self, progress: Callable[[int, int], None]) -> Path:
        self._start()
        progress(self.step, self.steps)
        for batch in self._batches():
            self.rows.append({name: f"{value:.6g}" for name, value in self._take_step(batch).items()})
            if self.step % self.settings.checkpoint_steps == 0 or self.step % self.epoch_steps == 0:
                self._save()
            progress(self.step, self.steps)
        path = self.folder / MODEL
        self._write(path, self.model.state_dict())
        return path

    def _take_step(self, batch: list[Sample]) -> dict[str, float]:
        started = time.perf_counter()
        torch.manual_seed(_seed(self.settings.seed, "step", self.step))
        images, targets = zip(*(_changed(*sample, self.settings) for sample in batch), strict=True)
        rate = _learning_rate(self.settings, self.step, self.epoch_steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        losses = self._losses(
            [image.to(self.device, non_blocking=True) for image in images],
            [{"boxes": each["boxes"].to(self.device), "labels": each["labels"].to(self.device)} for each in targets],
        )
        total = torch.stack(list(losses.values())).sum()
        measured = {"total": total.item(), **{_LOSSES[name]: loss.item() for name, loss in losses.items()}}
        self._check(measured)
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.weights.values(), self.settings.gradient_norm).item()
        self._check({"gradient_norm": norm})
        self.optimiser.step()
        epoch = self.step // self.epoch_steps + 1
        self.step += 1
        seconds = time.perf_counter() - started
        return {
            "step": self.step,
            "epoch": epoch,
            "learning_rate": rate,
            **measured,
            "gradient_norm": norm,
            "seconds": seconds,
        }

    def _losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        model: Any = self.model
        batch, scaled = model.transform(images, targets)
        # Only the backbone: in bfloat16 the anchors of a large image would be whole pixels from where they belong.
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            features = model.backbone(batch.tensors)
        features = {level: values.float() for level, values in features.items()}
        proposals, of_proposals = model.rpn(batch, features, scaled)
        _, of_boxes = model.roi_heads(features, proposals, batch.image_sizes, scaled)
        return {**of_proposals, **of_boxes}

    def _batches(self) -> Iterator[list[Sample]]:
        """Return what is left of all epochs' batches; each epoch is a shuffle of its own."""
        settings = self.settings
        order = [
            batch
            for epoch in range(settings.epochs)
            for batch in epoch_order(
                len(self.data), settings.batch, repeat=1, seed=_seed(settings.seed, "order", epoch)
            ).tolist()
        ]
        return load_batches(
            self.data,
            order[self.step :],
            list,  # the images' sizes differ
            workers=settings.workers,
            pin_memory=self.device.type == "cuda",
        )

    def _check(self, values: Mapping[str, float]) -> None:
        if not all(math.isfinite(value) for value in values.values()):
            said = ", ".join(f"{name} {value:g}" for name, value in values.items())
            raise InputError(
                f"training stopped at step {self.step + 1} of {self.steps}: not all is finite: {said}; the last "
                f"checkpoint in {self.folder} stays; set a lower learning_rate"
            )

    def _start(self) -> None:
        """Take up the folder's checkpoint, or begin."""
        path = self.folder / CHECKPOINT
        if not path.exists():
            return
        record, tensors = _read(path)
        now = self._record()
        for name in ("settings", "classes", "origin", "images"):
            _compare(path, name, record.get(name), now[name])
        step = record.get("step")
        if type(step) is not int or not 0 <= step <= self.steps:
            raise InputError(
                f"{path} is damaged: expected its step, a whole number from 0 to {self.steps}, got {step!r:.40}; "
                "remove it to begin anew"
            )
        try:
            self.model.load_state_dict(_without(tensors, _OPTIMISER))
            self.optimiser.load_state_dict(
                {"state": self._optimiser_state(tensors), "param_groups": self.optimiser.state_dict()["param_groups"]}
            )
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"{path} does not fit the detector ({_line(error)}); remove it to begin anew") from error
        self.step = step
        self.rows = [dict(zip(_COLUMNS, row, strict=True)) for row in kept_rows(self.folder / LOG, _COLUMNS, self.step)]

    def _save(self) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        images.write_bytes(self.folder / LOG, text.getvalue().encode())
        state = {
            f"{_OPTIMISER}{name}.{key}": value
            for name, weight in self.weights.items()
            for key, value in self.optimiser.state.get(weight, {}).items()
        }
        self._write(self.folder / CHECKPOINT, self.model.state_dict() | state)

    def _optimiser_state(self, tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
        index = {name: number for number, name in enumerate(self.weights)}
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            name, _, part = key.removeprefix(_OPTIMISER).rpartition(".")
            if key.startswith(_OPTIMISER):
                state.setdefault(index[name], {})[part] = value
        return state

    def _write(self, path: Path, tensors: Mapping[str, Tensor]) -> None:
        save_tensors(path, tensors, {_KEY: json.dumps(self._record())})

    def _record(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "settings": asdict(self.settings),
            "classes": list(self.data.classes),
            "origin": self.model.origin,
            "images": len(self.data),
            "step": self.step,
        }


def _optimiser(weights: list[nn.Parameter], settings: DetectionSettings) -> torch.optim.Optimizer:
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


def _changed(image: Tensor, target: Target, settings: DetectionSettings) -> Sample:
    """Return a training image and its target, mirrored and with other levels as settings and chance have it."""
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


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the record and the tensors of a file that `train` wrote."""
    if not path.is_file():
        raise InputError(f"{path} is not there; expected a detector that was trained before")
    try:
        with safe_open(path, "pt") as file:
            record = json.loads((file.metadata() or {}).get(_KEY, "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
    except (OSError, SafetensorError, ValueError, RecursionError) as error:  # RecursionError: of a nested record
        raise InputError(f"{path} is damaged, or no safetensors file ({_line(error)}); remove it") from error
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise InputError(f"{path} is no detector of this version: its metadata have no record of format {_FORMAT}")
    return record, tensors


def _without(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name: value for name, value in tensors.items() if not name.startswith(prefix)}


def _compare(path: Path, name: str, before: Any, now: Any) -> None:
    """Raise where what a checkpoint was made with differs from what this run has."""
    if isinstance(before, dict) and isinstance(now, dict):
        for field in now:
            if field not in WITHOUT_EFFECT:
                _compare(path, field, before.get(field), now[field])
    elif before != now:
        raise InputError(
            f"{path} was made with {name} {before!r}, but this run has {now!r}; take the same, or remove it to begin "
            "anew"
        )


def _seed(*parts: object) -> int:
    return random.Random(" ".join(map(str, parts))).getrandbits(63)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
