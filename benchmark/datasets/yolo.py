"""YOLO annotation files: lines of `class x y width height`, as fractions of the image's size."""

from collections.abc import Sequence
from pathlib import Path

from benchmark.datasets.base import Box
from benchmark.datasets.boxes import fitted
from benchmark.datasets.findings import Findings, short
from benchmark.datasets.pairing import content
from metrics.errors import InputError


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


def class_names(folder: Path, classes: tuple[str, ...], findings: Findings) -> tuple[str, ...]:
    """Return the class of each number: the folder's own `classes.txt` if it has one, else the order given.

    Args:
        folder: Where `classes.txt` may lie: a class a line, with or without its number in front.
        classes: The data set's classes.
        findings: Takes the note that the order is the benchmark's.

    Raises:
        InputError: `classes.txt` names other classes.
    """
    path = folder / "classes.txt"
    if not path.is_file():
        order = ", ".join(f"{number} {label}" for number, label in enumerate(classes))
        findings.note(f"no {folder.name}/classes.txt: class numbers read as {order}")
        return classes
    lines = content(path).decode(errors="replace").splitlines()
    words = [line.split() for line in lines if line.strip()]
    names = tuple(word[-1] for word in words)
    numbers = [word[0] for word in words if len(word) > 1]
    if sorted(names) != sorted(classes) or numbers not in ([], [str(number) for number in range(len(names))]):
        found = short(", ".join(names))
        raise InputError(f"{path} gives the classes {found}; expected {', '.join(classes)} in any order.")
    return names


def _box(words: list[str], where: str, size: tuple[int, int], findings: Findings, classes: Sequence[str]) -> Box | None:
    if len(words) != 5:
        text = " ".join(words)[:80]
        findings.problem("annotation", f"{where}: expected `class x y width height`, got {text!r}.")
        return None
    try:
        number, (x, y, width, height) = int(words[0]), (float(word) for word in words[1:])
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
