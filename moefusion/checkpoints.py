"""MoE-Fusion's checkpoints: a model with the settings needed to rebuild it."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metrics.errors import InputError
from moefusion import checkpoint_file
from moefusion.checkpoint_file import REMEDY, Checkpoint, Format
from moefusion.config import DetectorConfig, FusionConfig
from moefusion.model import MoEFusion
from moefusion.pretrained import one_line

FORMAT = Format(kind="MoEFusion model", key="moefusion", prefix="model.")
_PER_CLASS = 1280  # numbers at least: two detectors, a class's score and four edges, from 128 features


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
        model: The model to save.
        optimiser: Its state is saved as well, so that training can resume.
        training: Plain values that are saved under "training".
    """
    settings = model_settings(model)
    if training is not None:
        settings["training"] = dict(training)
    checkpoint_file.write_checkpoint(Path(path), FORMAT, settings, model, optimiser)


def halve_checkpoint(source: str | Path, path: str | Path) -> None:
    """Write a model's checkpoint with its weights as float16: half the size, and what the package holds.

    The running statistics, the settings and the record of the training stay as they are. Fused images differ from those
    of the source by a rounding: the packaged model is the file that this writes.

    Args:
        source: A .safetensors file that `train` wrote.
        path: The file to write.

    Raises:
        InputError: The source is no checkpoint, or a weight is beyond float16.
    """
    model, settings = load_checkpoint(source), read_checkpoint(source, optimiser=False).settings
    for name, weight in model.named_parameters():
        weight.data = weight.data.half()
        if not weight.isfinite().all():
            raise InputError(f"{source}: {name} holds values beyond float16's")
    checkpoint_file.write_checkpoint(Path(path), FORMAT, settings, model)


def load_checkpoint(path: str | Path) -> MoEFusion:
    """Return the model of a checkpoint, on the CPU, in evaluation mode.

    Args:
        path: A .safetensors file that `save_checkpoint` or `train` wrote.

    Raises:
        InputError: The file is missing, damaged, or of something else.
    """
    checkpoint = read_checkpoint(path, optimiser=False)
    try:
        fusion = FusionConfig.from_dict(checkpoint.settings["fusion"])
        detector = DetectorConfig(**checkpoint.settings["detector"])
        classes = checkpoint.settings["classes"]
        _require_held(fusion, classes, checkpoint.weights)
        model = MoEFusion(fusion, detector, classes, initialise=False)
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{path} has settings that this version cannot build a model from: {one_line(error, 160)}; {REMEDY}"
        ) from error
    checkpoint_file.fill_model(model, checkpoint.weights, Path(path))
    return model.eval()


def read_checkpoint(path: str | Path, *, optimiser: bool = True) -> Checkpoint:
    """Return the content of a checkpoint file; the optimiser's state only where it is asked for.

    Raises:
        InputError: The file is missing, damaged, or no checkpoint of a MoEFusion model.
    """
    checkpoint = checkpoint_file.read_checkpoint(Path(path), FORMAT, optimiser=optimiser)
    return checkpoint._replace(settings=updated_settings(checkpoint.settings))


def updated_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint's settings with the fields that older files lack."""
    fusion = settings.get("fusion")
    if isinstance(fusion, dict):
        # A file without this field is older than it; its gates saw the features as they are.
        settings = settings | {"fusion": {"gate_input": "raw"} | fusion}
    return settings


def _require_held(fusion: FusionConfig, classes: object, weights: Mapping[str, Tensor]) -> None:
    """Raise for settings of a far larger model than the weights are: building it would take all memory."""
    held = sum(weight.numel() for weight in weights.values())
    grids = [fusion.global_gate_grid] * fusion.global_experts + [fusion.local_gate_grid] * (
        fusion.local_experts is True
    )
    predicted = classes * _PER_CLASS if isinstance(classes, int) and fusion.uses_attention else 0
    if max(predicted, *(math.prod(grid) * fusion.experts for grid in grids), 0) > held or fusion.experts > len(weights):
        raise ValueError(f"they claim a larger model than one of {held} numbers")
