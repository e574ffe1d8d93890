"""Training MoE-Fusion on a data set's training part."""

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

import moefusion
from benchmark.datasets.base import Pair, fingerprint
from benchmark.detection.samples import label_boxes
from benchmark.engine.cells import Cell, is_first_process
from benchmark.engine.experiment import TrainSettings
from metrics import images
from metrics.errors import InputError

Config = TypeVar("Config")


class PairSamples:
    """A data set's pairs as `moefusion` trains on them: luma in [0, 1], boxes in pixels, classes from 1."""

    def __init__(self, pairs: tuple[Pair, ...], classes: tuple[str, ...]) -> None:
        self.pairs = pairs
        self.classes = classes

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> moefusion.Sample:
        """Return a pair; raises InputError for an image that cannot be read, or changed since it was hashed."""
        pair = self.pairs[index]
        sample = moefusion.Sample(
            infrared=_luma(pair.infrared),
            visible=_luma(pair.visible),
            **label_boxes(pair.boxes, self.classes),
        )
        pair.require_unchanged()
        return sample


MODEL = "model.safetensors"
_WITHOUT_EFFECT = ("checkpoint_steps", "workers", "tensorboard")  # on what is learned


def train(
    pairs: tuple[Pair, ...],
    classes: tuple[str, ...],
    settings: TrainSettings,
    changes: dict[str, Any],
    cell: Cell,
    *,
    device: str = "auto",
    redo: bool = False,
) -> bool:
    """Write a trained MoE-Fusion as the cell's model.safetensors; return whether there was anything to do.

    Beside it lie the checkpoint, from which a stopped training goes on, and train.csv, a row a step. The code is
    no part of what decides the cell: hours of training are not thrown away for a changed comment.

    Args:
        pairs: What to train on.
        classes: What the auxiliary detectors learn to find.
        settings: How.
        changes: Fields of the fusion network's settings that differ.
        cell: Where to.
        device: "auto", "cpu", "cuda".
        redo: Remove an earlier training first.

    Raises:
        InputError: Settings, images or an earlier training do not fit, or a loss is not finite any more.
    """
    if not pairs:
        raise InputError("the training part is empty; MoE-Fusion needs pairs to learn from")
    if not classes:
        raise InputError("the data set has no boxes; MoE-Fusion's auxiliary detectors need them to learn from")
    fusion, detector, training = configs(settings, changes)
    recipe = {
        "fusion": _listed(fusion),
        "detector": _listed(detector),
        "training": {name: value for name, value in _listed(training).items() if name not in _WITHOUT_EFFECT},
        "classes": list(classes),
        "data": fingerprint(pairs),
    }
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    if redo and not alone:
        raise InputError(
            f"--redo under torchrun: its processes would remove it under each other; remove {cell.folder} by hand"
        )
    if not redo:
        cell.refuse_other(recipe)
        if cell.holds(recipe, {}) and (cell.folder / MODEL).is_file():
            return False
    first = is_first_process()
    if first:
        cell.open(recipe, {}, discard=lambda names: None, redo=redo)
    try:
        torch.manual_seed(training.seed)  # the first weights; `moefusion.train` draws by itself
        model = moefusion.MoEFusion(fusion, detector, len(classes))
        moefusion.train(model, PairSamples(pairs, classes), cell.folder, training, resume=True, device=device)
    except ValueError as error:
        raise InputError(str(error)) from error
    if first:
        cell.close(notes=[_said(training, len(pairs))], files=[cell.folder / MODEL])
    return True


def configs(
    settings: TrainSettings, changes: dict[str, Any]
) -> tuple[moefusion.FusionConfig, moefusion.DetectorConfig, moefusion.TrainingConfig]:
    """Return what an experiment's settings come to.

    Args:
        settings: The experiment's.
        changes: Fields of the fusion network's settings that differ from them.

    Raises:
        InputError: A field is unknown or out of its range.
    """
    fusion_base, training_base = (
        (moefusion.FusionConfig.paper(), moefusion.TrainingConfig.paper())
        if settings.preset == "paper"
        else (moefusion.FusionConfig.public(), moefusion.TrainingConfig.public())
    )
    small = settings.detector.get("backbone") == "small"
    detector_base = moefusion.DetectorConfig.small() if small else moefusion.DetectorConfig.paper()
    try:
        return (
            _with(moefusion.FusionConfig, fusion_base, settings.fusion | changes),
            _with(moefusion.DetectorConfig, detector_base, settings.detector),
            _with(moefusion.TrainingConfig, training_base, settings.training),
        )
    except ValueError as error:
        raise InputError(str(error)) from error


def _said(training: moefusion.TrainingConfig, pairs: int) -> str:
    """Return how much training a model got, for the notes of its rows."""
    steps = training.epochs * -(-pairs * training.repeat // training.batch)
    size = f"{training.resize[1]}x{training.resize[0]}" if training.resize else "their own size"
    return f"trained by this run: {steps} steps of {training.batch} pairs at {size}, from {pairs} pairs"


def _listed(config: Any) -> dict[str, Any]:
    """Return settings as JSON gives them back: lists for tuples."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(config).items()}


def _with(kind: Callable[..., Config], base: Any, changes: dict[str, Any]) -> Config:
    known = asdict(base)
    for name in changes:
        if name not in known:
            raise InputError(f"unknown setting {name!r} of {type(base).__name__}; known: {', '.join(known)}")
    return kind(**known | {name: _plain(value) for name, value in changes.items()})


def _plain(value: Any) -> Any:
    """Return a value of TOML as the settings have it: pairs for lists, None for the text "none"."""
    return tuple(value) if isinstance(value, list) else None if value == "none" else value


def _luma(path: Path) -> Tensor:
    return torch.from_numpy(images.grey(images.read(path))).float()[None] / 255
