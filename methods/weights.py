"""Official weight files: locate, download and verify them."""

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import platformdirs
import pooch

from methods.record import Record, WeightFile
from metrics.errors import InputError
from metrics.files import write_file


def folder(method: str) -> Path:
    """Return where a method's weights are kept: below $IVIF_WEIGHTS, or the user's data folder."""
    root = os.environ.get("IVIF_WEIGHTS") or platformdirs.user_data_path("ivif-benchmark") / "weights"
    return Path(root) / method


def locate(method: str, record: Record, variant: str | None, given: str | None) -> dict[str, Path]:
    """Return the weight files that a variant reads, by their official names.

    Args:
        method: The method's name.
        record: Its record.
        variant: Which variant.
        given: A file or folder with the user's own weights; None for the local weights folder, then a download.

    Raises:
        InputError: A file is not there and cannot be fetched, or is not the official one. Files that the user
            names are taken even when their hash is another; `official` tells.
    """
    files = [file for file in record.files if not file.variants or variant in file.variants]
    if given is None:
        return {file.name: fetch(method, record, file) for file in files}
    path = Path(given)
    if not path.exists():
        raise InputError(f"{path} is not there; expected {_join_names(files)} for method {method!r}")
    if path.is_file():
        if len(files) != 1:
            raise InputError(f"{path} is one file; method {method!r} reads {_join_names(files)}: give their folder")
        return {files[0].name: path}
    missing = [file for file in files if not (path / file.name).is_file()]
    if missing:
        raise InputError(f"{path} does not hold {_join_names(missing)}, which method {method!r} reads")
    return {file.name: path / file.name for file in files}


def fetch(method: str, record: Record, file: WeightFile) -> Path:
    """Return a verified official file in the local weights folder, downloading it when it is not there.

    Raises:
        InputError: It is damaged, there is no network, or it must be fetched by hand.
    """
    path = folder(method) / file.name
    if path.is_file():
        if not usable(path, file):
            raise InputError(f"{path} is not the official file ({_identity(file)}); remove it and fetch it again")
        return path
    by_hand = f"get it by hand ({record.by_hand or file.url}), then `run_benchmark.py weights add {method} PATH`"
    if file.url is None:
        raise InputError(f"weights of method {method!r}: {path} is not there and has no direct download; {by_hand}")
    known = f"sha256:{file.sha256}" if file.sha256 else None
    pooch.get_logger().setLevel("WARNING")  # its lines would stand between the errors
    try:
        pooch.retrieve(file.url, known, fname=file.name, path=path.parent, progressbar=False)
    except Exception as error:  # requests, urllib and pooch have no common base
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise InputError(
            f"weights of method {method!r}: {file.name} could not be fetched ({reason}); {by_hand}"
        ) from error
    if not official(path, file):
        path.unlink()
        raise InputError(f"{file.url} gave another file than the official one ({_identity(file)}); {by_hand}")
    return path


def add(method: str, record: Record, source: Path) -> list[Path]:
    """Copy official files from a file or folder into the local weights folder; return the copies.

    Raises:
        InputError: None of the method's official files is there.
    """
    candidates = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    added = []
    for file in record.files:
        named = [path for path in candidates if path.name == file.name or file.known]
        match = next((path for path in named if usable(path, file)), None)
        if match is not None:
            target = folder(method) / file.name
            _copy(match, target)
            added.append(target)
    if not added:
        expected = "; ".join(f"{file.name}: {_identity(file)}" for file in record.files)
        raise InputError(f"{source} holds none of the official files of method {method!r} ({expected})")
    return added


def _copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{target.parent} cannot be created ({error.strerror}); make room or correct the folder's rights"
        ) from error
    write_file(target, lambda temporary: shutil.copyfile(source, temporary))


def official(path: Path, file: WeightFile) -> bool:
    """Return whether a file is, byte for byte, the authors' own."""
    if file.bytes is not None and path.stat().st_size != file.bytes:
        return False  # unread: `add` is shown whole folders
    data = path.read_bytes()
    if file.sha256 is not None:
        return hashlib.sha256(data).hexdigest() == file.sha256
    return file.git_blob is not None and git_blob(data) == file.git_blob


def usable(path: Path, file: WeightFile) -> bool:
    """Return whether a file is the authors' own, or cannot be told from it because no hash was ever published."""
    return official(path, file) or not file.known


def git_blob(data: bytes) -> str:
    """Return the hash by which git knows a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _identity(file: WeightFile) -> str:
    known = f"sha256 {file.sha256}" if file.sha256 else f"git blob {file.git_blob or 'unknown'}"
    return f"{file.bytes} bytes, {known}" if file.bytes is not None else known


def _join_names(files: Iterable[WeightFile]) -> str:
    return ", ".join(file.name for file in files)
