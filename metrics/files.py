"""Files: written whole or not at all, hashed, and watched for changes while a run uses them."""

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from metrics.errors import InputError

# Of `write_file` and of safetensors: mkstemp draws eight characters, safetensors six.
_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp|\.tmp[A-Za-z0-9]{6}")

Stamps = dict[Path, tuple[int, int, int]]


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that nobody ever sees half of it, not even after a power cut.

    Raises:
        InputError: The disk is full, or the folder cannot be written to.
    """
    write_file(path, lambda temporary: temporary.write_bytes(data))


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under a temporary name and rename it.

    Args:
        path: Where to; an older file stays until the new one is whole.
        write: Writes the content to the file that it is given; raises OSError where it cannot.

    Raises:
        InputError: The disk is full, or the folder cannot be written to.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())  # or a power cut could leave the name of a file without its content
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _cannot_write(path, error) from error


def append_text(path: Path, text: str) -> None:
    """Write a text at the end of a file, which is created where it is missing.

    Raises:
        InputError: The disk is full, or the file cannot be written; part of the text may have been written.
    """
    try:
        with path.open("a", newline="", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise _cannot_write(path, error) from error


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that a process killed while writing left in a folder, and nothing else."""
    for path in folder.glob(".*tmp*"):
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink()


def digest(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _cannot_read(path, error) from error


def digest_all(paths: Iterable[Path]) -> str:
    """Return a SHA-256 over several files, in the order given.

    Raises:
        InputError: One of them cannot be read.
    """
    return combine_digests(digest(path) for path in paths)


def combine_digests(digests: Iterable[str]) -> str:
    """Return the SHA-256 that `digest_all` gives for files of these SHA-256s."""
    return hashlib.sha256(b"".join(map(bytes.fromhex, digests))).hexdigest()


def require_there(path: Path) -> None:
    """Raise InputError when a fused image is not there."""
    if not path.is_file():
        raise InputError(f"{path} is not there; every pair needs its fused image. Run the stage before this one.")


def stamp_files(paths: Iterable[Path]) -> Stamps:
    """Return time, size and inode of files: to be taken before they are hashed, for `require_unchanged` afterwards.

    Raises:
        InputError: One of them is not there.
    """
    return {path: _stamp(path) for path in paths}


def require_unchanged(stamps: Mapping[Path, tuple[int, int, int]]) -> None:
    """Raise InputError when a file is not the one that was stamped; to be called after its use."""
    for path, stamp in stamps.items():
        if _stamp(path) != stamp:
            raise InputError(f"{path} changed while the run was at work; let it rest and run again.")


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise _cannot_read(path, error) from error
    return status.st_mtime_ns, status.st_size, status.st_ino


def _cannot_read(path: Path, error: OSError) -> InputError:
    return InputError(f"{path} cannot be read ({error.strerror})")


def _cannot_write(path: Path, error: OSError) -> InputError:
    reason = error.strerror or " ".join(str(error).split())
    return InputError(f"{path} cannot be written ({reason}); make room or correct the folder's rights, and run again.")
