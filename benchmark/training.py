"""Training MoE-Fusion on a data set's training part."""

import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

import moefusion
from benchmark.datasets.base import Pair
from benchmark.experiment import TrainSettings
from metrics import pictures
from metrics.errors import InputError

Config = TypeVar("Config")


class PairSamples:
    """A data set's pairs as `moefusion` trains on them: luma in [0, 1], boxes in pixels, classes from 1."""

    def __init__(self, pairs: tuple[Pair, ...], classes: tuple[str, ...]) -> None:
        self.pairs = pairs
        self.numbers = {label: number for number, label in enumerate(classes, start=1)}

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> moefusion.Sample:
        """Return a pair; raises InputError for a picture that cannot be read."""
        pair = self.pairs[index]
        return moefusion.Sample(
            infrared=_luma(pair.infrared),
            visible=_luma(pair.visible),
            boxes=torch.tensor([(box.x0, box.y0, box.x1, box.y1) for box in pair.boxes]).reshape(-1, 4),
            labels=torch.tensor([self.numbers[label] for label in pair.labels], dtype=torch.long),
        )


def train(
    pairs: tuple[Pair, ...],
    classes: tuple[str, ...],
    settings: TrainSettings,
    folder: Path,
    *,
    device: str = "auto",
    redo: bool = False,
) -> Path:
    """Train MoE-Fusion and return its model.safetensors; goes on from the folder's checkpoint if there is one.

    Args:
        pairs: What to train on.
        classes: What the auxiliary detectors learn to find.
        settings: How.
        folder: Gets the checkpoints and train.csv, a row a step.
        device: "auto", "cpu", "cuda".
        redo: Remove the folder's earlier training first.

    Raises:
        InputError: Settings, pictures or an earlier checkpoint do not fit, or a loss is not finite any more.
    """
    if not pairs:
        raise InputError("the training part is empty; MoE-Fusion needs pairs to learn from")
    if not classes:
        raise InputError("the data set has no boxes; MoE-Fusion's auxiliary detectors need them to learn from")
    if redo:
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise InputError(
                f"--redo under torchrun: its processes would remove it under each other; remove {folder} by hand"
            )
        shutil.rmtree(folder, ignore_errors=True)
    fusion_base, training_base = (
        (moefusion.FusionConfig.paper(), moefusion.TrainingConfig.paper())
        if settings.preset == "paper"
        else (moefusion.FusionConfig.public(), moefusion.TrainingConfig.public())
    )
    try:
        fusion = _with(moefusion.FusionConfig, fusion_base, settings.fusion)
        small = settings.detector.get("backbone") == "small"
        detector_base = moefusion.DetectorConfig.small() if small else moefusion.DetectorConfig.paper()
        detector = _with(moefusion.DetectorConfig, detector_base, settings.detector)
        config = _with(moefusion.TrainingConfig, training_base, settings.training)
        torch.manual_seed(config.seed)  # the first weights; `moefusion.train` draws by itself
        model = moefusion.MoEFusion(fusion, detector, len(classes))
        return moefusion.train(model, PairSamples(pairs, classes), folder, config, resume=True, device=device)
    except ValueError as error:
        # A DataLoader's worker raises the error anew with its whole traceback as the message; the last line is ours.
        said = str(error).strip().splitlines()[-1]
        raise InputError(said.removeprefix(f"{InputError.__module__}.{InputError.__name__}: ")) from error


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
    return torch.from_numpy(pictures.grey(pictures.read(path))).float()[None] / 255
