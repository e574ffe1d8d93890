"""Data set cards: what is known of a data set before its folder is read."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmark.datasets.findings import Parts


@dataclass(frozen=True)
class Record:
    """A data set's card.

    Attributes:
        name: What commands take; in an experiment, `{dataset}` in the folder of fused images becomes this name.
        title: What tables print.
        folder: Its usual name under a folder of data sets.
        about: One line: what it shows, and whose it is.
        read: Its reader `read(root, findings, *, ...) -> Parts`; its keyword-only arguments are the data set's options.
        published: Number of pairs of each part as published.
        home_page: Where its authors publish it.
        licence: The terms of use as found there, in words; empty when no data are involved.
        citation: BibTeX entries of the papers to cite.
        position: Where lists show it: the paper's data sets come first, then the others by name.
    """

    name: str
    title: str
    folder: str
    about: str
    read: Callable[..., Parts]
    published: Mapping[str, int] = field(default_factory=dict)
    home_page: str = ""
    licence: str = ""
    citation: str = ""
    position: int = 10

    @property
    def options(self) -> tuple[str, ...]:
        """What `load` takes besides the root."""
        return keywords(self.read)


def keywords(function: Callable[..., object]) -> tuple[str, ...]:
    """Return the names of a function's keyword-only arguments."""
    parameters = inspect.signature(function).parameters.values()
    return tuple(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)


def record_of(reader: Callable[..., Parts], name: str) -> Record:
    """Return the card of a reader that has none: its name, and the first line of its docstring."""
    about = (inspect.getdoc(reader) or "").partition("\n")[0]
    return Record(name=name, title=name, folder=name, about=about, read=reader)
