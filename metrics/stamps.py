"""Files that must stay the same while a run works on them: what was made of others may not stand under their hash."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from metrics.errors import InputError

Stamps = dict[Path, tuple[int, int, int]]


def require_there(path: Path) -> None:
    """Raise InputError when a fused image is not there."""
    if not path.is_file():
        raise InputError(f"{path} is not there; every pair needs its fused image. Run the stage before this one.")


def stamped(paths: Iterable[Path]) -> Stamps:
    """Return what the file system says of files: to be taken before they are hashed.

    Raises:
        InputError: One of them is not there.
    """
    return {path: _stamp(path) for path in paths}


def require_unchanged(stamps: Mapping[Path, tuple[int, int, int]]) -> None:
    """Raise InputError when a file is another one than it was; to be called after its use."""
    for path, stamp in stamps.items():
        if _stamp(path) != stamp:
            raise InputError(f"{path} changed while the run was at work; let it rest and run again.")


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    return found.st_mtime_ns, found.st_size, found.st_ino
