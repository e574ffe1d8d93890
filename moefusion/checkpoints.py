"""Checkpoints: one safetensors file with weights, optimiser and settings, and the settings again as JSON beside."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from moefusion.backbones import DetectorConfig
from moefusion.config import FusionConfig
from moefusion.files import save_tensors, written
from moefusion.model import MoEFusion

_FORMAT = 1
_KEY = "moefusion"  # of the settings in the file's own metadata
_MODEL, _OPTIMISER = "model.", "optimiser."
_REMEDY = "Take another copy, or remove it where a run made it: the same run makes it again."
_PER_CLASS = 1280  # numbers at least: two detectors, a class's score and four edges, from 128 features


class Checkpoint(NamedTuple):
    """What a checkpoint file holds.

    Attributes:
        settings: Of the model, under "fusion", "detector" and "classes", and what else it was saved with.
        weights: The model's state.
        optimiser: The optimiser's state, under "name of the weight.name of the value"; empty where none was saved.
    """

    settings: dict[str, Any]
    weights: dict[str, Tensor]
    optimiser: dict[str, Tensor]


def model_settings(model: MoEFusion) -> dict[str, Any]:
    """Return what it takes to build the model again, as plain values."""
    return {
        "fusion": model.fusion_config.to_dict(),
        "detector": asdict(model.detector_config),
        "classes": model.classes,
    }


def save_checkpoint(
    path: str | Path,
    model: MoEFusion,
    optimiser: torch.optim.Optimizer | None = None,
    training: Mapping[str, Any] | None = None,
) -> None:
    """Write a checkpoint; it appears whole or not at all, and an older one stays until then.

    Args:
        path: A .safetensors file; its settings can be read in the .json beside it.
        model: What to save.
        optimiser: Its state is saved as well, so that training can go on.
        training: Plain values that are saved under "training".
    """
    path = Path(path)
    settings: dict[str, Any] = {"format": _FORMAT, **model_settings(model)}
    if training is not None:
        settings["training"] = dict(training)
    tensors = {_MODEL + name: value for name, value in model.state_dict().items()}
    if optimiser is not None:
        tensors |= {_OPTIMISER + name: value for name, value in _optimiser_state(model, optimiser).items()}
    save_tensors(path, tensors, {_KEY: json.dumps(settings)})
    text = json.dumps(settings, indent=2) + "\n"
    written(path.with_suffix(".json"), lambda name: Path(name).write_text(text, encoding="utf-8"))


def load_checkpoint(path: str | Path) -> MoEFusion:
    """Return the model of a checkpoint, on the CPU, in evaluation mode.

    Args:
        path: A .safetensors file that `save_checkpoint` or `train` wrote.

    Raises:
        ValueError: The file is missing, damaged, or of something else.
    """
    checkpoint = read_checkpoint(path, optimiser=False)
    try:
        fusion = FusionConfig.from_dict(checkpoint.settings["fusion"])
        detector = DetectorConfig(**checkpoint.settings["detector"])
        classes = checkpoint.settings["classes"]
        _require_held(fusion, classes, checkpoint.weights)
        model = MoEFusion(fusion, detector, classes, initialise=False)
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        said = " ".join(str(error).split())[:160]
        raise ValueError(
            f"{path} has settings that this version cannot build a model from: {said}. {_REMEDY}"
        ) from error
    fill_model(model, checkpoint.weights, path)
    return model.eval()


def _require_held(fusion: FusionConfig, classes: object, weights: Mapping[str, Tensor]) -> None:
    """Raise for settings of a far larger model than the weights are: to build it would take all memory."""
    held = sum(weight.numel() for weight in weights.values())
    grids = [fusion.global_gate_grid] * fusion.global_experts + [fusion.local_gate_grid] * (
        fusion.local_experts is True
    )
    predicted = classes * _PER_CLASS if isinstance(classes, int) and fusion.uses_attention else 0
    if max(predicted, *(math.prod(grid) * fusion.experts for grid in grids), 0) > held or fusion.experts > len(weights):
        raise ValueError(f"they claim a larger model than one of {held} numbers")


def read_checkpoint(path: str | Path, *, optimiser: bool = True) -> Checkpoint:
    """Return what a checkpoint file holds; the optimiser's state only where it is asked for.

    Raises:
        ValueError: The file is missing, damaged, or no checkpoint of a MoEFusion model.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path} is no file; expected a checkpoint (.safetensors) that `train` wrote.")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            names = list(file.keys())
            weights, state = (
                {name.removeprefix(part): file.get_tensor(name) for name in names if name.startswith(part)}
                for part in (_MODEL, _OPTIMISER if optimiser else "\0")
            )
        settings = json.loads(metadata.get(_KEY, "null"))
    except (OSError, SafetensorError, ValueError, RecursionError) as error:  # RecursionError: of nested settings
        said = " ".join(str(error).split())[:160]
        raise ValueError(f"{path} is damaged, or no safetensors file: {said}. {_REMEDY}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{path} is no checkpoint of a MoEFusion model; expected its settings in the metadata.")
    if settings.get("format") != _FORMAT:
        raise ValueError(f"{path} is of format {settings.get('format')!r}; this version reads {_FORMAT}.")
    if isinstance(settings.get("fusion"), dict):
        # A file without this field is older than it; its gates saw the features as they are.
        settings["fusion"].setdefault("gate_input", "raw")
    return Checkpoint(settings, weights, state)


def fill_model(model: MoEFusion, weights: Mapping[str, Tensor], path: str | Path) -> None:
    """Load weights into a model, all of them and no others.

    Raises:
        ValueError: Names or shapes differ from the model's.
    """
    try:
        model.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as error:
        said = " ".join(str(error).split())[:240]
        raise ValueError(f"{path} does not fit the model of its settings: {said}") from error


def fill_optimiser(model: MoEFusion, optimiser: torch.optim.Optimizer, state: Mapping[str, Tensor]) -> None:
    """Load an optimiser's state, as `read_checkpoint` gives it."""
    values: dict[int, dict[str, Tensor]] = {}
    for index, name in enumerate(trained_weights(model)):
        own = {key.removeprefix(f"{name}."): state[key] for key in state if key.rpartition(".")[0] == name}
        if own:
            values[index] = own
    optimiser.load_state_dict({"state": values, "param_groups": optimiser.state_dict()["param_groups"]})


def trained_weights(model: MoEFusion) -> dict[str, torch.nn.Parameter]:
    """Return the weights that train, by name, in the order in which an optimiser is to have them."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def _optimiser_state(model: MoEFusion, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value
        for name, weight in trained_weights(model).items()
        for key, value in optimiser.state.get(weight, {}).items()
    }
