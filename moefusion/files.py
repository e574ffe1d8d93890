"""Files that appear whole or not at all, files that grow, and what is said where neither can be."""

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

    Raises:
        OSError: The disk is full, say.
    """
    try:
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
    except (OSError, SafetensorError) as error:  # what the system refuses to safetensors comes as its own error
        raise _refused(path, error) from error


def appended(path: Path, text: str) -> None:
    """Write a text at the end of a file, which is made where it is missing.

    Raises:
        OSError: The disk is full, say; part of the text may have been written.
    """
    try:
        with path.open("a", newline="", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise _refused(path, error) from error


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
    written(path, lambda name: save_file(plain, name, dict(about)))


def _refused(path: Path, error: Exception) -> OSError:
    """Return the error of a file that cannot be written, in one line that names it."""
    said = (isinstance(error, OSError) and error.strerror) or " ".join(str(error).split())
    return OSError(f"{path} cannot be written ({said}); make room or mend the folder, and run again.")
