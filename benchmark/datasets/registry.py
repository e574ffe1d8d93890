"""Data sets by name: the modules of `benchmark.datasets.readers`, installed packages' entry points, and Python files.

A module holds its data set's card as `RECORD`. An entry point or a file names a `Record`, or a reader alone.
"""

import importlib
import pkgutil
from functools import cache

from benchmark.datasets import readers
from benchmark.datasets.record import Record, record_of
from metrics.errors import InputError, unknown
from metrics.plugins import installed_names, load_installed, load_module, split_file_name

ENTRY_POINTS = "ivif.datasets"
FILE = "path/to/file.py:function"
# Readers of rooms above this one, which is why they are named and not imported.
_ELSEWHERE = ("benchmark.synthetic.reader",)


@cache
def built_in() -> dict[str, Record]:
    """Return the card of each data set that comes with the benchmark, by name."""
    modules = [f"{readers.__name__}.{module.name}" for module in pkgutil.iter_modules(readers.__path__)]
    cards: list[Record] = [importlib.import_module(module).RECORD for module in (*modules, *_ELSEWHERE)]
    return {card.name: card for card in sorted(cards, key=lambda card: (card.position, card.name))}


def names() -> tuple[str, ...]:
    """Return the names of the data sets: those of the benchmark, then those of installed packages."""
    return (*built_in(), *(name for name in installed_names(ENTRY_POINTS) if name not in built_in()))


def titles() -> dict[str, str]:
    """Return the title of each data set, by name."""
    return {name: record(name).title for name in names()}


def record(name: str) -> Record:
    """Return a data set's card.

    Args:
        name: One of `names()`, or `path/to/file.py:function` for a reader (or a `Record`) in a file.

    Raises:
        InputError: The name is unknown, or what it names is neither a reader nor a `Record`.
    """
    if file := split_file_name(name):
        path, attribute = file
        module = load_module(path, "data set")
        if not hasattr(module, attribute):
            own = [key for key, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
            raise unknown(f"data set in {path}", attribute, own or ["none"])
        return _checked(name, getattr(module, attribute), attribute)
    if name in built_in():
        return built_in()[name]
    found = load_installed(ENTRY_POINTS, name, "data set")
    if found is None:
        raise unknown("data set", name, (*names(), FILE))
    return _checked(name, found, name)


def _checked(name: str, found: object, short: str) -> Record:
    if isinstance(found, Record):
        return found
    if not callable(found):
        raise InputError(
            f"data set {name} is {type(found).__name__}; expected a function read(root, findings) that returns "
            "benchmark.datasets.Parts, or a benchmark.datasets.Record"
        )
    return record_of(found, short)
