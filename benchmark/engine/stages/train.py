"""Train MoE-Fusion on a training part: the cell holds model.safetensors, its checkpoint and train.csv."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

import moefusion
from benchmark.datasets.base import Pair, fingerprint
from benchmark.detection.samples import label_boxes
from benchmark.engine.cells import MODEL, Cell
from benchmark.engine.experiment import TrainSettings
from benchmark.engine.stage import Finished, TrainingStage
from metrics import images
from metrics.errors import InputError

Config = TypeVar("Config")
_WITHOUT_EFFECT = ("checkpoint_steps", "workers", "tensorboard")  # on what is learned


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


class Train(TrainingStage):
    """Trains MoE-Fusion; a training that was stopped is resumed from its checkpoint."""

    name: ClassVar[str] = "train"
    shows_progress: ClassVar[bool] = True

    def __init__(
        self,
        pairs: tuple[Pair, ...],
        classes: tuple[str, ...],
        settings: TrainSettings,
        changes: dict[str, Any],
        *,
        device: str = "auto",
    ) -> None:
        """Prepare to train.

        Args:
            pairs: What to train on.
            classes: What the auxiliary detectors learn to find.
            settings: How.
            changes: Fields of the fusion network's settings that differ.
            device: "auto", "cpu", "cuda".

        Raises:
            InputError: Settings or pairs cannot be used.
        """
        if not pairs:
            raise InputError("the training part is empty; MoE-Fusion needs pairs to learn from")
        if not classes:
            raise InputError("the training data have no boxes; MoE-Fusion's auxiliary detectors learn from them")
        self.pairs, self.classes, self.device = pairs, classes, device
        self.fusion, self.detector, self.training = configs(settings, changes)

    def recipe(self) -> dict[str, Any]:
        """Return all settings that decide what is learned, the classes and the pairs."""
        training = {name: value for name, value in self.training.to_dict().items() if name not in _WITHOUT_EFFECT}
        return {
            "fusion": self.fusion.to_dict(),
            "detector": asdict(self.detector),
            "training": training,
            "classes": list(self.classes),
            "data": fingerprint(self.pairs),
        }

    def make(self, missing: list[str], cell: Cell) -> Iterator[str]:
        """Train to the end.

        Raises:
            InputError: An image or the checkpoint cannot be used, or a loss is not finite any more.
        """
        try:
            torch.manual_seed(self.training.seed)  # the first weights; `moefusion.train` draws by itself
            model = moefusion.MoEFusion(self.fusion, self.detector, len(self.classes))
            samples = PairSamples(self.pairs, self.classes)
            moefusion.train(model, samples, cell.folder, self.training, resume=True, device=self.device)
        except ValueError as error:
            raise InputError(str(error)) from error
        yield MODEL

    def finish(self, cell: Cell) -> Finished:
        """Return how much training the model got, for the notes of its rows."""
        training, pairs = self.training, len(self.pairs)
        steps = training.epochs * -(-pairs * training.repeat // training.batch)
        seen = training.crop or training.resize
        size = f"{'windows of ' if training.crop else ''}{seen[1]}x{seen[0]}" if seen else "their own size"
        note = f"trained by this run: {steps} steps of {training.batch} pairs at {size}, from {pairs} pairs"
        return Finished([note], [cell.folder / MODEL])


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
