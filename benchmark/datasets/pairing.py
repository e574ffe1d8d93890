"""Match the files of folders into pairs; shared by all readers."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmark.datasets.base import Box, Pair
from benchmark.datasets.findings import Findings
from benchmark.datasets.resizing import Resizing, Size, scale_box
from metrics import images
from metrics.errors import InputError
from metrics.remarks import unread_files

MISSING_ANNOTATION = "missing annotation"  # the kind of problem that Table 1, which needs no boxes, can do with
TURNED = "images turned or mirrored, as their EXIF orientation says"
_MOST = 16 << 20  # bytes of a list or an annotation file; the largest real list has 0.2 MB


class Parse(Protocol):
    """A reader of annotation files: `voc.boxes` or `yolo.boxes` with its classes filled in."""

    def __call__(self, data: bytes, path: Path, size: tuple[int, int], findings: Findings, /) -> tuple[Box, ...]:
        """Return the boxes of a file's content; path and size are those of the file and of its image."""


@dataclass(frozen=True)
class Annotations:
    """Annotation files by pair name.

    Attributes:
        folder: Where they lie, in words, for messages.
        files: File of each pair.
        parse: Reads one.
        optional: A pair without a file is an image without objects, counted in the notes, not a problem; unless no
            pair of the part has one, or a file is there that is almost named so.
        frame: Returns which of a pair's two sizes, where they differ, a file's boxes are measured in; None for boxes in
            fractions of the image.
    """

    folder: str
    files: Mapping[str, Path]
    parse: Parse
    optional: bool = False
    frame: Callable[[bytes, Sequence[Size]], Size] | None = None


@dataclass(frozen=True)
class Source:
    """Files by pair name; `annotations` is None where there are none for any pair."""

    infrared: Mapping[str, Path]
    visible: Mapping[str, Path]
    annotations: Annotations | None = None

    @property
    def names(self) -> list[str]:
        """Every name that has an image in either band, sorted."""
        return sorted(self.infrared.keys() | self.visible.keys())


def pairs(source: Source, names: Iterable[str], findings: Findings) -> tuple[Pair, ...]:
    """Return the pairs of these names, without those whose images cannot be used.

    Args:
        source: The files.
        names: In the order wanted; each has an image in at least one band.
        findings: Takes every missing partner, size that differs, and annotation that cannot be used.
    """
    names = list(names)
    folders = {path.parent for band in (source.infrared, source.visible) for path in band.values()}
    for line in unread_files(sorted(folders)):
        findings.note(line)
    if source.annotations and _lacks_all(source.annotations, names):
        folder = source.annotations.folder
        findings.problem(
            MISSING_ANNOTATION,
            f"none of the images ({len(names):,}) has an annotation file in {folder}, from {names[0]} to {names[-1]}; "
            f"found there: {_summary(source.annotations)}. Put the annotations there, or take the data set `folders`, "
            "which reads images without boxes.",
        )
        source = Source(source.infrared, source.visible)
    read = (_pair(source, name, findings) for name in names)
    return tuple(pair for pair in read if pair)


def _lacks_all(annotations: Annotations, names: Sequence[str]) -> bool:
    """Return whether no image of a part has an annotation file, so that the folder rather than an image is wrong."""
    least = 1 if annotations.optional else 2
    return len(names) >= least and not any(name in annotations.files for name in names)


def files(folder: Path, *suffixes: str) -> dict[str, Path]:
    """Return the files of a folder that end so, in upper or lower case, by name without that ending.

    Args:
        folder: The folder.
        suffixes: Endings such as `_PreviewData.xml`, the longest first.

    Raises:
        InputError: Two files have one name, as `1.xml` and `1.XML`.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        ending = next((suffix for suffix in suffixes if path.name.lower().endswith(suffix.lower())), None)
        if ending is None or path.name.startswith("."):
            continue
        name = images.name_of(path.with_name(path.name[: -len(ending)] + ".x"))
        if name in found:
            raise InputError(f"{folder} holds both {found[name].name} and {path.name}; keep one of them.")
        found[name] = path
    return found


def content(path: Path) -> bytes:
    """Return what a list or an annotation file holds.

    Raises:
        InputError: It cannot be read, is no file (a pipe would be waited for), or is far too large.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path} cannot be read (it is not a file).")
        with path.open("rb") as file:
            data = file.read(_MOST + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    if len(data) > _MOST:
        raise InputError(f"{path} cannot be read (it has more than {_MOST >> 20} MiB of text); fetch it again.")
    return data


def listing(folder: Path, limit: int = 8) -> str:
    """Return what a folder holds, in words, for a message."""
    entries = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
    more = f" and {len(entries) - limit:,} more" if len(entries) > limit else ""
    return ", ".join(entries[:limit]) + more or "nothing"


def unlike_sizes(infrared: Path, size: tuple[int, int], visible: Path, other: tuple[int, int]) -> str:
    """Return the message on a pair whose two images differ in size."""
    return (
        f"{infrared} is {size[0]}x{size[1]} but {visible} is {other[0]}x{other[1]}; a pair has one size. "
        "Use the aligned version of the data set, or let one be scaled to the other: --resize-pairs visible."
    )


def _summary(annotations: Annotations, limit: int = 3) -> str:
    """Return which annotation files there are, in words, for a message."""
    there = [path.name for path in annotations.files.values()]
    return ", ".join(there[:limit]) + f" and {len(there) - limit:,} more" * (len(there) > limit) or "no annotation file"


def safe(name: str) -> bool:
    """Return whether a name from a data file stays in the folder that it is looked up in."""
    return bool(name) and ".." not in name and "/" not in name and "\\" not in name and "\0" not in name


def _pair(source: Source, name: str, findings: Findings) -> Pair | None:
    infrared, visible = source.infrared.get(name), source.visible.get(name)
    if infrared is None or visible is None:
        present, band, others = (
            (visible, "infrared", source.infrared) if infrared is None else (infrared, "visible", source.visible)
        )
        folders = sorted({str(path.parent) for path in others.values()})
        findings.problem("missing partner", f"{present} has no {band} partner in {' or '.join(folders)}.")
        return None
    try:
        if _is_same(infrared, visible):
            findings.problem("same file", f"{infrared} is both the infrared and the visible image of {name}.")
            return None
        headers = images.header(infrared), images.header(visible)
    except InputError as error:
        findings.problem("unreadable file", str(error))
        return None
    findings.count(TURNED, sum(header.turned for header in headers))
    size, other = (header.size for header in headers)
    target = size
    if size != other:
        if findings.resizing is None:
            findings.problem("size", unlike_sizes(infrared, size, visible, other))
            return None
        try:
            infrared, visible, target = _resized(findings.resizing, name, infrared, size, visible, other)
        except InputError as error:
            findings.problem("unreadable file", str(error))
            return None
        findings.resized += 1
    boxes = _boxes(source.annotations, name, infrared, (size, other), findings) if source.annotations else ()
    return Pair(
        name, infrared, visible, tuple(scale_box(box, size, target) for box in boxes) if size != target else boxes
    )


def _resized(
    resizing: Resizing, name: str, infrared: Path, size: Size, visible: Path, other: Size
) -> tuple[Path, Path, Size]:
    """Return a pair's images after one was scaled to the size of the other, and that size."""
    if resizing.band == "infrared":
        return infrared, resizing.resize(visible, name, size), size
    return resizing.resize(infrared, name, other), visible, other


def _is_same(infrared: Path, visible: Path) -> bool:
    try:
        return infrared.samefile(visible)
    except OSError:
        return False  # one of them is not there, which reading it says


def _boxes(
    annotations: Annotations, name: str, image: Path, sizes: tuple[Size, Size], findings: Findings
) -> tuple[Box, ...]:
    """Return a pair's boxes in the pixels of the first of its two sizes."""
    path = annotations.files.get(name)
    if path is None:
        near = next((file.name for other, file in annotations.files.items() if name in other), None)
        if annotations.optional and near is None:
            findings.count("images without an annotation file, taken as images without objects")
        else:
            instead = f"; {near} is there, which names another image" if near else ""
            findings.problem(MISSING_ANNOTATION, f"{image} has no annotation file in {annotations.folder}{instead}.")
        return ()
    try:
        data = content(path)
    except InputError as error:
        findings.problem("unreadable file", str(error))
        return ()
    findings.annotations[name] = hashlib.sha256(data).hexdigest()
    size = annotations.frame(data, sizes) if annotations.frame and sizes[0] != sizes[1] else sizes[0]
    return tuple(scale_box(box, size, sizes[0]) for box in annotations.parse(data, path, size, findings))
