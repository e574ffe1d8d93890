"""Methods by name: built in, from installed packages' entry points, and classes in a file."""

import importlib
import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from types import ModuleType

from methods.base import Method
from methods.record import Record
from metrics.code import code_digest
from metrics.errors import InputError, unknown
from metrics.plugins import installed_names, load_installed, load_module, split_file_name

OTHER = {
    "infrared": "methods.classical:Infrared",
    "visible": "methods.classical:Visible",
    "average": "methods.classical:Average",
    "maximum": "methods.classical:Maximum",
    "laplacian": "methods.classical:Laplacian",
    "moefusion": "methods.moefusion:MoEFusion",
    "folder": "methods.folder:Folder",
}
ENTRY_POINTS = "ivif.methods"
GROUPS: dict[str, Callable[[Record], bool]] = {
    "paper": lambda record: record.row is not None,
    "all-verified": lambda record: record.verified != "architecture only",
}


@cache
def published() -> dict[str, str]:
    """Return the published networks as {name: "module:Class"}.

    These are the files of this folder that hold a subclass of `NetworkMethod`; a method is named like its file. The
    files are searched as text, because importing them would load torch.
    """
    classes = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if match := re.search(r"^class (\w+)\(NetworkMethod\)", path.read_text(encoding="utf-8"), re.MULTILINE):
            classes[path.stem] = f"methods.{path.stem}:{match[1]}"
    return classes


def built_in() -> dict[str, str]:
    """Return all methods of this package as {name: "module:Class"}."""
    return OTHER | published()


def names() -> tuple[str, ...]:
    """Return the names that `create` knows: built-in methods, then those of installed packages."""
    known = built_in()
    return (*known, *(name for name in installed_names(ENTRY_POINTS) if name not in known))


def records() -> dict[str, Record]:
    """Return the records of the published networks, by name, the oldest first; loads torch."""
    known = {name: method.record for name in published() if (method := find(name)) and hasattr(method, "record")}
    return dict(sorted(known.items(), key=lambda item: (item[1].year, item[0])))


def expand(texts: Iterable[str]) -> list[str]:
    """Return a list of methods with each name of a group replaced by the names of its methods.

    Args:
        texts: Methods as the command line names them; "paper" stands for the published methods of the MoE-Fusion
            paper's Table 1, "all-verified" for those whose official weights give the authors' output here.
    """
    texts = list(texts)
    expanded: list[str] = []
    for text in texts:
        if text in GROUPS:
            members = [name for name, record in records().items() if GROUPS[text](record)]
            expanded += [name for name in members if name not in (*texts, *expanded)]
        else:
            expanded.append(text)
    return expanded


def find(name: str) -> type[Method]:
    """Return a method's class.

    Args:
        name: One of `names()`, or `path/to/file.py:Class` for a class in the user's own file.

    Raises:
        InputError: The name is unknown, or names something that is not a `Method`.
    """
    if file := split_file_name(name):
        return _require_class(name, load_module(file[0], "method"), file[1])
    if name in (known := built_in()):
        module, _, attribute = known[name].partition(":")
        return _require_class(name, importlib.import_module(module), attribute)
    found = load_installed(ENTRY_POINTS, name, "method")
    if found is None:
        raise unknown("method", name, (*names(), "path/to/file.py:Class"))
    return _require_method(name, found)


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


def _require_class(name: str, module: ModuleType, attribute: str) -> type[Method]:
    if not hasattr(module, attribute):
        classes = [key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, Method)]
        raise unknown(f"class in {module.__file__}", attribute, [key for key in classes if key != "Method"])
    return _require_method(name, getattr(module, attribute))


def _require_method(name: str, found: object) -> type[Method]:
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise InputError(f"{name} is {found!r}; expected a subclass of methods.Method")
    if not isinstance(found.title, str):
        raise InputError(f"{name} has the title {found.title!r}; expected a text")
    code_digest(found)
    return found
