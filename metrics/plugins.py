"""Load what users add: objects from a Python file (`path/to/file.py:Name`) and from installed packages."""

import hashlib
import importlib.util
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from metrics.errors import InputError

# What a file holds of each kind, for messages.
_ATTRIBUTE = {"method": "Class", "data set": "function", "detector": "function"}


def split_file_name(name: str) -> tuple[Path, str] | None:
    """Return the file and the attribute of `path/to/file.py:Name`; None for any other name."""
    path, colon, attribute = name.rpartition(":")
    return (Path(path), attribute) if colon and path.endswith(".py") else None


def load_module(path: Path, kind: str) -> ModuleType:
    """Return the module of a Python file.

    Args:
        path: The file. Each path and content has a module of its own, so that two files of one name never stand for
            each other, nor a file for what it was before.
        kind: What is looked for in it, for messages: "method", "data set".

    Raises:
        InputError: The file is missing, or it does not load.
    """
    if not path.is_file():
        raise InputError(f"{path} is not there; a {kind} of your own is written path/to/file.py:{_ATTRIBUTE[kind]}")
    try:
        identity = hashlib.sha256(str(path.resolve()).encode() + b"\0" + path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
    name = f"ivif_plugin_{identity[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a script may end itself where it thinks it is run
        del sys.modules[name]
        raise InputError(f"{path} does not load: {_summary(error)}") from error
    return module


def installed_names(group: str) -> tuple[str, ...]:
    """Return the names that installed packages offer in an entry point group, sorted."""
    return tuple(sorted({point.name for point in entry_points(group=group)}))


def load_installed(group: str, name: str, kind: str) -> object | None:
    """Return what an installed package offers by a name; None when no package does.

    Raises:
        InputError: It does not load.
    """
    for point in entry_points(group=group, name=name):
        try:
            found: object = point.load()
        except Exception as error:
            raise InputError(f"{kind} {name!r} of {point.value} does not load: {_summary(error)}") from error
        return found
    return None


def _summary(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
