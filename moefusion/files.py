"""Files that appear whole or not at all."""

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor


def written(path: Path, write: Callable[[str], object]) -> None:
    """Write a file under a temporary name and rename it.

    Args:
        path: Where to.
        write: Writes the content to the file of the name that it is given.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    try:
        write(temporary)
        with Path(temporary).open("rb") as file:
            os.fsync(file.fileno())  # or a power cut could leave the name of a file without its content
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def save_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """Write tensors, from whatever device, as a .safetensors file.

    Args:
        path: Where to.
        tensors: By name.
        about: The file's metadata.

    Raises:
        OSError: The disk is full, say.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    try:
        written(path, lambda name: save_file(plain, name, dict(about)))
    except SafetensorError as error:  # what the system refuses comes as this, too
        raise OSError(f"{path} cannot be written ({error}); make room or mend the folder, and run again.") from error
