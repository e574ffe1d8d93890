"""Methods by name: the built-in ones, installed packages' entry points, and classes in a file."""

import hashlib
import importlib
import importlib.util
import sys
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from methods.base import Method
from metrics.errors import InputError, unknown

BUILT_IN = {
    "infrared": "methods.classical:Infrared",
    "visible": "methods.classical:Visible",
    "average": "methods.classical:Average",
    "maximum": "methods.classical:Maximum",
    "laplacian": "methods.classical:Laplacian",
    "densefuse": "methods.densefuse:DenseFuse",
    "rfn_nest": "methods.rfn_nest:RFNNest",
    "ifcnn": "methods.ifcnn:IFCNN",
    "piafusion": "methods.piafusion:PIAFusion",
    "didfuse": "methods.didfuse:DIDFuse",
    "auif": "methods.auif:AUIF",
    "swinfuse": "methods.swinfuse:SwinFuse",
    "ydtr": "methods.ydtr:YDTR",
    "tardal": "methods.tardal:TarDAL",
    "moefusion": "methods.moefusion:MoEFusion",
    "folder": "methods.folder:Folder",
}
ENTRY_POINTS = "ivif.methods"


def names() -> tuple[str, ...]:
    """Return the names that `create` knows: built-in methods, then those of installed packages."""
    installed = sorted({point.name for point in entry_points(group=ENTRY_POINTS)} - set(BUILT_IN))
    return (*BUILT_IN, *installed)


def find(name: str) -> type[Method]:
    """Return a method's class.

    Args:
        name: One of `names()`, or `path/to/file.py:Class` for a class in a file of one's own.

    Raises:
        InputError: Nobody knows the name, or what it names is not a `Method`.
    """
    path, colon, attribute = name.rpartition(":")
    if colon and path.endswith(".py"):
        return _class(name, _module(Path(path)), attribute)
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        return _class(name, importlib.import_module(module), attribute)
    for point in entry_points(group=ENTRY_POINTS, name=name):
        try:
            found = point.load()
        except Exception as error:
            raise InputError(f"method {name!r} of {point.value} does not load: {_said(error)}") from error
        return _checked(name, found)
    raise unknown("method", name, (*names(), "path/to/file.py:Class"))


def create(name: str, *, variant: str | None = None, weights: str | Path | None = None, device: str = "auto") -> Method:
    """Return a method ready to fuse.

    Args:
        name: One of `names()`, or `path/to/file.py:Class`.
        variant: One of the method's published variants; None is its default.
        weights: The file or folder of its weights; None where it needs none or finds them itself.
        device: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1".

    Raises:
        InputError: The name or variant is unknown, or the weights cannot be used.
    """
    return find(name)(variant=variant, weights=None if weights is None else str(weights), device=device)


@cache
def code_digest(method: type[Method]) -> str:
    """Return a SHA-256 over the source files of a method as they were when it was first asked for.

    `find` asks as soon as it has loaded them: what changes later is not what this process runs.
    """
    files = sorted(hashlib.sha256(path.read_bytes()).digest() for path in method.code())  # whatever folder they lie in
    return hashlib.sha256(b"".join(files)).hexdigest()


def _module(path: Path) -> ModuleType:
    if not path.is_file():
        raise InputError(f"{path} is not there; a method of your own is written path/to/file.py:Class")
    # A name of its own for every path and content, so that two files called method.py do not stand for each other, nor
    # a file for what it was before.
    try:
        known = hashlib.sha256(str(path.resolve()).encode() + b"\0" + path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
    name = f"ivif_method_{known[:16]}"
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
        raise InputError(f"{path} does not load: {_said(error)}") from error
    return module


def _class(name: str, module: ModuleType, attribute: str) -> type[Method]:
    if not hasattr(module, attribute):
        there = [key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, Method)]
        raise unknown(f"class in {module.__file__}", attribute, [key for key in there if key != "Method"])
    return _checked(name, getattr(module, attribute))


def _checked(name: str, found: object) -> type[Method]:
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise InputError(f"{name} is {found!r}; expected a subclass of methods.Method")
    if not isinstance(found.title, str):
        raise InputError(f"{name} has the title {found.title!r}; expected a text")
    code_digest(found)
    return found


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
