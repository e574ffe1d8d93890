"""Pretrained weights: read from a file, downloaded from torchvision, loaded into a detector."""

import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from metrics.errors import InputError
from metrics.files import digest

_CLASSIFIERS = ("conv1.weight", "features.")  # names in the states of torchvision's ResNet and MobileNet
_CLASSIFIER_HEADS = ("fc.", "classifier.")
_BODY = "backbone.body."  # of a detector of torchvision


def read_state(path: Path) -> dict[str, Any]:
    """Return the content of a file of weights, on the CPU, without running any code in it.

    Args:
        path: A .safetensors file, or a file that `torch.save` wrote.

    Raises:
        InputError: The file is damaged, holds something else than tensors and plain containers, or is compressed.
    """
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        _refuse_compressed(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damage is raised as an exception besides
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises its own, pickle's, zipfile's and struct's errors
        raise InputError(
            f"{path} is no checkpoint that can be read ({one_line(error, 160)}); fetch it again"
        ) from error
    if not isinstance(state, dict):
        raise InputError(f"{path} holds a {type(state).__name__}; expected a dictionary of tensors")
    return state


def download_state(weights: Any) -> dict[str, Any]:
    """Return weights that torchvision publishes, from torch's cache or downloaded into it; the hash is verified.

    Args:
        weights: A member of one of torchvision's enumerations of weights.

    Raises:
        InputError: The file in the cache is damaged, or there is no network.
    """
    file = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
    known = file.stem.rpartition("-")[2]  # torchvision's file names end in the first digits of their SHA-256
    if file.is_file() and not digest(file).startswith(known):
        raise InputError(f"{file} is damaged: its SHA-256 does not begin with {known}; remove it")
    try:
        state: dict[str, Any] = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:  # no network; another hash than the file's name says
        raise InputError(
            f"{file} is not there and could not be fetched ({one_line(error)}); download {weights.url} by hand and "
            "put it there, or set weights to a path or 'none'"
        ) from error
    return state


def load_into_detector(detector: nn.Module, state: Mapping[str, Any], weights: str, predictor: tuple[str, ...]) -> str:
    """Load a classifier's weights into a detector's backbone, or those of a whole detector.

    Args:
        detector: Its backbone's weights begin with "backbone.body.", as in torchvision.
        state: The state of a classifier, of a backbone or of a detector, whose classes may be others.
        weights: Its name, for messages.
        predictor: How the names of the weights that depend on the classes begin; left as they are where the state's
            have other shapes.

    Returns:
        The parts that were loaded: "backbone", "all weights" or "all but the predictor".

    Raises:
        InputError: The state does not fit.
    """
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{weights} holds nested values; expected a state dict, tensors by their names")
    if any(name.startswith(_CLASSIFIERS) for name in state):
        state = {
            _BODY + name.removeprefix("features."): value
            for name, value in state.items()
            if not name.startswith(_CLASSIFIER_HEADS)
        }
    own = detector.state_dict()
    only_backbone = all(name.startswith("backbone.") for name in state)
    other_classes = any(
        name.startswith(predictor) and name in own and value.shape != own[name].shape for name, value in state.items()
    )
    if other_classes:
        state = {name: value for name, value in state.items() if not name.startswith(predictor)}
    try:
        missing, unexpected = detector.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise InputError(f"weights {weights!r} do not fit the detector: {one_line(error)}") from error
    if only_backbone:
        missing = [name for name in missing if name.startswith(_BODY)]
    elif other_classes:
        missing = [name for name in missing if not name.startswith(predictor)]
    if missing or unexpected:
        raise InputError(
            f"weights {weights!r} do not fit the detector: {len(missing)} are missing ({', '.join(missing[:3])}), "
            f"{len(unexpected)} are unknown ({', '.join(unexpected[:3])})"
        )
    return "backbone" if only_backbone else "all but the predictor" if other_classes else "all weights"


def one_line(error: BaseException, most: int = 200) -> str:
    """Return an error's message as one line of at most so many characters."""
    return " ".join(str(error).split())[:most] or type(error).__name__


def _refuse_compressed(path: Path) -> None:
    """Raise where a zip's members are larger than the file: PyTorch compresses none, so a megabyte stays one."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            claimed = sum(member.file_size for member in archive.infolist())
        if claimed > path.stat().st_size:
            raise InputError(f"its {path.stat().st_size} bytes claim to unpack to {claimed}")
