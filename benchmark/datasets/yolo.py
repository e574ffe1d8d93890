"""YOLO annotation files: lines of `class x y width height`, as fractions of the image's size."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmark.datasets.base import Box
from benchmark.datasets.boxes import fitted
from benchmark.datasets.findings import Findings, short
from benchmark.datasets.pairing import Annotations, content, files
from metrics.errors import InputError, unknown

_UNREAD = (".yaml", ".yml", ".names")  # where YOLO's programs keep the names of classes
UNLABELLED = ("error", "background")
_NUMBERED = re.compile(r"(\d{1,4})(?:\s*[:.)-]\s*|\s+)")
_LONGEST_LINE = 1000  # characters


def boxes(
    data: bytes, path: Path, size: tuple[int, int], findings: Findings, *, classes: Sequence[str]
) -> tuple[Box, ...]:
    """Return the boxes of an annotation file; an empty file is an image without objects.

    Args:
        data: The file's content.
        path: The file, for the findings.
        size: (width, height) of its image.
        findings: Takes what cannot be used.
        classes: Class of each number.
    """
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        findings.problem("annotation", f"{path} is no text file; expected lines of `class x y width height`.")
        return ()
    read = (
        _box(line.split(), f"{path}, line {number}", size, findings, classes)
        for number, line in enumerate(lines, 1)
        if line.strip()
    )
    return tuple(box for box in read if box)


def require_unlabelled(unlabelled: str) -> None:
    """Raise unless the option `unlabelled` is one of the two."""
    if unlabelled not in UNLABELLED:
        raise unknown("way to treat images without a label file", unlabelled, UNLABELLED)


def annotations(folder: Path, classes: Sequence[str], unlabelled: str) -> Annotations:
    """Return the label files of a folder; `unlabelled` is `error` or `background`, as in YOLO's own training."""
    found = files(folder, ".txt")
    found.pop("classes", None)
    return Annotations(str(folder), found, partial(boxes, classes=classes), optional=unlabelled == "background")


def class_names(
    folders: Sequence[Path],
    classes: tuple[str, ...],
    findings: Findings,
    *,
    otherwise: str = "",
    spellings: Mapping[str, str] | None = None,
) -> tuple[str, ...]:
    """Return the class of each number: that of the first `classes.txt` there is, else the order given.

    Args:
        folders: Where `classes.txt` may lie, the first that has it decides. It has a class a line, with or without
            its number in front: `People`, `0 People`, `0: People`.
        classes: The data set's classes, in the order that numbers mean without `classes.txt`.
        findings: Takes the note on the order that was assumed, and on other spellings.
        otherwise: Whose that order is, and how to choose another one, for the note.
        spellings: Other names of the classes, in lower case.

    Raises:
        InputError: `classes.txt` names other classes.
    """
    path = next((folder / "classes.txt" for folder in folders if (folder / "classes.txt").is_file()), None)
    if path is None:
        order = ", ".join(f"{number} {label}" for number, label in enumerate(classes))
        for other in sorted(path for folder in folders for path in folder.glob("*") if path.suffix in _UNREAD):
            findings.note(f"{other.name} is not read; write its classes into {folders[0].name}/classes.txt, one a line")
        findings.note(f"no {folders[0].name}/classes.txt: class numbers read as {order}{otherwise}")
        return classes
    lines = [line.strip() for line in content(path).decode("utf-8-sig", errors="replace").splitlines() if line.strip()]
    numbered = [_NUMBERED.match(line[:_LONGEST_LINE]) for line in lines]
    written = [line[match.end() :].strip() if match else line for line, match in zip(lines, numbered, strict=True)]
    numbers = [int(match[1]) for match in numbered if match]
    known = {label.casefold(): label for label in classes} | dict(spellings or {})
    names = tuple(known.get(name.casefold(), name) for name in written)
    if sorted(names) != sorted(classes) or numbers not in ([], list(range(len(names)))):
        found = short(", ".join(lines))
        raise InputError(f"{path} gives the classes {found}; expected {', '.join(classes)} in any order, one a line.")
    if names != tuple(written):
        findings.note(f"{path.parent.name}/classes.txt: {', '.join(written)} read as {', '.join(names)}")
    return names


def _whole(word: str) -> int:
    """Return a class number; numpy.savetxt writes 1.0 or 1.000000000000000000e+00 for 1.

    Raises:
        ValueError: It is no whole number.
    """
    try:
        return int(word)
    except ValueError:
        number = float(word)
        if not number.is_integer():
            raise
        return int(number)


def _box(words: list[str], where: str, size: tuple[int, int], findings: Findings, classes: Sequence[str]) -> Box | None:
    if len(words) != 5:
        text = " ".join(words)[:80]
        findings.problem("annotation", f"{where}: expected `class x y width height`, got {text!r}.")
        return None
    try:
        number = _whole(words[0])
        x, y, width, height = (float(word) for word in words[1:])
    except ValueError:
        text = " ".join(words)[:80]
        findings.problem("annotation", f"{where}: expected a class number and four numbers, got {text!r}.")
        return None
    if not 0 <= number < len(classes):
        known = ", ".join(f"{known} {label}" for known, label in enumerate(classes))
        findings.problem("unknown class", f"{where}: unknown class {words[0][:80]}; known: {known}.")
        return None
    edges = (
        (x - width / 2) * size[0],
        (y - height / 2) * size[1],
        (x + width / 2) * size[0],
        (y + height / 2) * size[1],
    )
    return fitted(edges, classes[number], False, size, where, findings)
