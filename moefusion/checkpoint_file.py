"""Checkpoint files of every training here: safetensors with weights, optimiser and, in the metadata, settings as JSON.

The settings can be read in a .json file beside each checkpoint as well.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from metrics.errors import InputError
from metrics.files import write_bytes, write_file
from moefusion.pretrained import one_line

REMEDY = "remove it where a run made it: the same run makes it again"
_VERSION = 1
_OPTIMISER = "optimiser."


class Format(NamedTuple):
    """What tells one kind of checkpoint file from another.

    Attributes:
        kind: In messages, "detector" say.
        key: Of the settings in the file's metadata.
        prefix: How the names of the model's weights begin in the file.
    """

    kind: str
    key: str
    prefix: str


class Checkpoint(NamedTuple):
    """The content of a checkpoint file.

    Attributes:
        settings: What `write_checkpoint` got.
        weights: The model's state.
        optimiser: The optimiser's state, under "name of the weight.name of the value"; empty where none was saved.
    """

    settings: dict[str, Any]
    weights: dict[str, Tensor]
    optimiser: dict[str, Tensor]


def write_checkpoint(
    path: Path,
    form: Format,
    settings: Mapping[str, Any],
    model: nn.Module,
    optimiser: torch.optim.Optimizer | None = None,
) -> None:
    """Write a checkpoint; it appears whole or not at all, and an older one stays until then.

    Args:
        path: A .safetensors file.
        form: Its kind.
        settings: Plain values.
        model: Its state is saved.
        optimiser: Its state is saved as well where given, so that training can resume.

    Raises:
        InputError: The disk is full, say.
    """
    settings = {"format": _VERSION, **settings}
    tensors = {form.prefix + name: value for name, value in model.state_dict().items()}
    if optimiser is not None:
        for name, weight in trained_weights(model).items():
            for key, value in optimiser.state.get(weight, {}).items():
                tensors[f"{_OPTIMISER}{name}.{key}"] = value
    save_tensors(path, tensors, {form.key: json.dumps(settings)})
    write_bytes(path.with_suffix(".json"), (json.dumps(settings, indent=2) + "\n").encode())


def read_checkpoint(path: Path, form: Format, *, optimiser: bool = True) -> Checkpoint:
    """Return the content of a checkpoint file; the optimiser's state only where it is asked for.

    Raises:
        InputError: The file is missing, damaged, or of another kind or version.
    """
    if not path.is_file():
        raise InputError(f"{path} is no file; expected a checkpoint (.safetensors) that `train` wrote")
    weights, state = {}, {}
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(form.key, "null")
            for name in file.keys():  # noqa: SIM118, it is no dict
                if not name.startswith(_OPTIMISER):
                    if name.startswith(form.prefix):
                        weights[name.removeprefix(form.prefix)] = file.get_tensor(name)
                elif optimiser:
                    state[name.removeprefix(_OPTIMISER)] = file.get_tensor(name)
        settings = json.loads(text)
    except (OSError, SafetensorError, ValueError, RecursionError) as error:  # RecursionError: of nested settings
        raise InputError(f"{path} is damaged, or no safetensors file ({one_line(error)}); {REMEDY}") from error
    if not isinstance(settings, dict):
        raise InputError(f"{path} is no checkpoint of a {form.kind}; expected its settings in the metadata")
    if settings.get("format") != _VERSION:
        raise InputError(f"{path} is of format {settings.get('format')!r:.40}; this version reads {_VERSION}")
    return Checkpoint(settings, weights, state)


def fill_model(model: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load weights into a model, all of them and no others.

    Raises:
        InputError: Names or shapes differ from the model's.
    """
    try:
        model.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise InputError(f"{path} does not fit the model of its settings: {one_line(error, 240)}") from error


def fill_optimiser(model: nn.Module, optimiser: torch.optim.Optimizer, state: Mapping[str, Tensor], path: Path) -> None:
    """Load an optimiser's state, as `read_checkpoint` gives it.

    Raises:
        InputError: It is of other weights.
    """
    index = {name: number for number, name in enumerate(trained_weights(model))}
    values: dict[int, dict[str, Tensor]] = {}
    try:
        for name, value in state.items():
            weight, _, key = name.rpartition(".")
            values.setdefault(index[weight], {})[key] = value
        optimiser.load_state_dict({"state": values, "param_groups": optimiser.state_dict()["param_groups"]})
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path} has the optimiser's state of another model ({one_line(error)}); {REMEDY}") from error


def trained_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights that train, by name, in the order that an optimiser gets them in."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors, from whatever device, as a .safetensors file.

    Args:
        path: Where to.
        tensors: By name.
        metadata: Of the file.

    Raises:
        InputError: The disk is full, say.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}

    def write(temporary: Path) -> None:
        try:
            save_file(plain, temporary, dict(metadata))
        except SafetensorError as error:  # safetensors reports what the system refuses as its own error
            raise OSError(str(error)) from error

    write_file(path, write)
