"""Lists of pair names: which pairs are for training and which for the test."""

import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from benchmark.datasets.findings import Findings, short
from benchmark.datasets.pairing import content, safe
from metrics.errors import InputError
from metrics.images import SUFFIXES

Split = tuple[list[str], list[str]]

_LONGEST = 1000  # characters; file systems take 255. Composing a long line of accents takes hours


@dataclass(frozen=True)
class Lists:
    """Two files with a pair's name a line, with or without the extension of its image, or the path of one.

    Attributes:
        train, test: The files; a part without a list is empty.
        why: Whose lists they are.
    """

    train: Path | None
    test: Path | None
    why: str

    def __str__(self) -> str:
        train, test = (path.name if path else "no list" for path in (self.train, self.test))
        return f"{self.why}: train from {train}, test from {test}"


def own(train: Path, test: Path) -> Lists | None:
    """Return the folder's own two lists, or None when it has neither.

    Raises:
        InputError: One is there without the other.
    """
    if train.is_file() != test.is_file():
        there, missing = (train, test) if train.is_file() else (test, train)
        raise InputError(
            f"{there} is there but {missing} is not; a split is both. Add it, or give the options train_list "
            "and test_list."
        )
    return Lists(train, test, "the folder's own lists") if train.is_file() else None


def read(lists: Lists, known: Collection[str], findings: Findings, *, suffixes: tuple[str, ...] = ()) -> Split:
    """Return the names in a training and a test list.

    Args:
        lists: The files.
        known: Names that have an image; listed names that have none are a problem.
        findings: Takes names that leave the folder, repeat, have no image, or are in both lists.
        suffixes: Endings of a listed name that are not part of it.
    """
    train, test = (_names(path, known, findings, suffixes) if path else [] for path in (lists.train, lists.test))
    both = set(train) & set(test)
    for name in sorted(both):
        findings.problem("list", f"{name} is in both {lists.train} and {lists.test}; a pair is in one part.")
    findings.count("pairs in neither list, left out", len(set(known) - set(train) - set(test)))
    return train, [name for name in test if name not in both]


def _names(path: Path, known: Collection[str], findings: Findings, suffixes: tuple[str, ...]) -> list[str]:
    try:
        lines = content(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text file; expected a pair's name a line.") from None
    names: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        listed = line.strip()
        if not listed:
            continue
        # Many lists hold paths. The last part names the pair, and is only ever compared: no path of a list is opened.
        name = _name(listed[max(listed.rfind("/"), listed.rfind("\\")) + 1 :])
        name = next((name.removesuffix(suffix) for suffix in suffixes if name.endswith(suffix)), name)
        where, shown = f"{path}, line {number}", short(name or listed)
        if not safe(name):
            findings.problem(
                "list", f"{where}: {shown!r} is no pair's name; expected a name, or a path that ends in one."
            )
        elif name in names:
            findings.problem("list", f"{where}: {shown} is already in line {names[name]}; a pair is listed once.")
        elif name not in known:
            findings.problem("list", f"{where}: {shown} has neither an infrared nor a visible image.")
        else:
            names[name] = number
    if not any(line.strip() for line in lines):
        findings.problem("list", f"{path} lists no names; expected one a line.")
    return list(names)


def _name(text: str) -> str:
    """Return the name by which a listed image is matched, as `images.name_of` makes it of a file's."""
    stem, _, ending = text.rpartition(".")
    name = stem if stem and f".{ending.lower()}" in SUFFIXES else text
    return unicodedata.normalize("NFC", name) if len(name) <= _LONGEST else name
