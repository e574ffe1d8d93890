"""Tensor files that appear whole or not at all."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from metrics.files import append_text as appended
from metrics.files import write_file as written

__all__ = ["appended", "save_tensors", "written"]


def save_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """Write tensors, from whatever device, as a .safetensors file.

    Args:
        path: Where to.
        tensors: By name.
        about: The file's metadata.

    Raises:
        InputError: The disk is full, say.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}

    def write(temporary: Path) -> None:
        try:
            save_file(plain, temporary, dict(about))
        except SafetensorError as error:  # what the system refuses to safetensors comes as its own error
            raise OSError(str(error)) from error

    written(path, write)
