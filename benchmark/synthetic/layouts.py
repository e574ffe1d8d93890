"""The embedded data set: synthetic street scenes, written in the layout of any of the official data sets.

What the scenes show is in `scenes`. They let every part of the benchmark run without a download, through the
same loaders as the real data sets; scores on them say nothing about the real ones.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import numpy as np

from benchmark.datasets.base import Box
from benchmark.datasets.findings import quoted, short
from benchmark.datasets.pairing import content
from benchmark.synthetic.scenes import Scene, TwoWheeler, scene
from metrics import images
from metrics.errors import InputError
from metrics.files import write_bytes
from metrics.images import ImageArray
from metrics.opencv import cv2

__all__ = ["LAYOUTS", "SETTINGS", "Scene", "record", "scene", "write"]

SETTINGS = "synthetic.json"
SMALLEST_SIDE, LARGEST_SIDE = 96, 2048  # at the largest a scene takes half a GiB; the largest real set has 1280x1024
MOST_PAIRS = 100_000  # of a part; the largest real data set has 15,488 in all
LARGEST_SEED = 2**32 - 1
_ADVICE = "Remove it, or choose another folder."
_PART_SEEDS = 1_000_000  # scenes that a part of one `seed` may have before it would meet the next part's


@dataclass(frozen=True)
class _Layout:
    """How a data set lies on disk.

    Attributes:
        put: Writes one scene: folder, part, number in the whole set, scene, boxes.
        labels: The data set's name for each kind of object; others are in the images without a box.
        version: Raised whenever the same settings would give other files.
        two_wheeler: The kind that the data set annotates.
        finish: Writes what lists the scenes: folder, names by part.
    """

    put: Callable[[Path, str, int, Scene, tuple[Box, ...]], str]
    labels: Mapping[str, str]
    version: int = 1
    two_wheeler: TwoWheeler = "bicycle"
    finish: Callable[[Path, Mapping[str, list[str]]], None] = lambda folder, names: None


def write(
    folder: str | Path,
    /,
    *,
    layout: str = "m3fd",
    train: int = 24,
    test: int = 12,
    seed: int = 0,
    size: tuple[int, int] = (320, 240),
) -> None:
    """Write a synthetic data set into a folder; it appears whole or not at all.

    A folder that holds the same set already is left as it is; one whose record is damaged is drawn again, unless it
    has files that the set has not. No scene is in both parts, and no scene of one `seed` is in another's sets.

    Args:
        folder: Where to; it must be new or empty, or hold the same set.
        layout: One of `LAYOUTS`.
        train: Number of training pairs, `MOST_PAIRS` at most.
        test: Number of test pairs, as many at most.
        seed: Chooses the scenes; `LARGEST_SEED` at most.
        size: Width and height of the images, in pixels, from `SMALLEST_SIDE` to `LARGEST_SIDE`.

    Raises:
        InputError: A setting is of the wrong type or out of range, or the folder holds something else.
    """
    folder = Path(folder)
    settings = _settings(layout, train, test, seed, size)
    if _stands(folder, settings):
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name[:40]}.", suffix=".tmp"))
    except OSError as error:
        raise InputError(f"{folder} cannot be made ({error.strerror}); choose another folder.") from error
    try:
        _fill(temporary, LAYOUTS[layout], {"train": train, "test": test}, seed, size)
        write_bytes(temporary / SETTINGS, (json.dumps(settings, indent=2) + "\n").encode())
        temporary.chmod(0o755)
        try:
            _put(temporary, folder)
        except OSError as error:
            if not _stands(folder, settings):  # another process may have been faster
                raise InputError(f"{folder} cannot be made ({error.strerror}); choose another folder.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def record(folder: Path) -> dict[str, Any] | None:
    """Return the settings that a folder's record gives; None when it is not there, or damaged."""
    try:
        found = json.loads(content(folder / SETTINGS))
    except (ValueError, RecursionError):  # of which InputError is one
        return None
    return found if isinstance(found, dict) else None


def _settings(layout: object, train: object, test: object, seed: object, size: object) -> dict[str, Any]:
    """Return what decides the files' content, checked: an experiment may give values of any type."""
    pairs = f"a whole number from 1 to {MOST_PAIRS:,}"
    checks = {
        "layout": (layout, isinstance(layout, str) and layout in LAYOUTS, f"one of {', '.join(LAYOUTS)}"),
        "train": (train, _whole(train, 1, MOST_PAIRS), pairs),
        "test": (test, _whole(test, 1, MOST_PAIRS), pairs),
        "seed": (seed, _whole(seed, 0, LARGEST_SEED), f"a whole number from 0 to {LARGEST_SEED:,}"),
        "size": (
            size,
            isinstance(size, list | tuple)
            and len(size) == 2
            and all(_whole(side, SMALLEST_SIDE, LARGEST_SIDE) for side in size),
            f"width and height, whole numbers from {SMALLEST_SIDE} to {LARGEST_SIDE:,}",
        ),
    }
    for name, (value, right, expected) in checks.items():
        if not right:
            raise InputError(f"synthetic data set: {name} is {quoted(value)}; expected {expected}.")
    given = {name: list(value) if isinstance(value, tuple) else value for name, (value, *_) in checks.items()}
    return {"generator": LAYOUTS[str(layout)].version, **given}


def _whole(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most  # not isinstance: True is an int


def _stands(folder: Path, settings: dict[str, Any]) -> bool:
    """Return whether a folder holds the set of these settings; False where it is to be drawn.

    That is a folder that is new, empty, or has a damaged record.
    """
    if not folder.exists() and not folder.is_symlink():
        return False
    if folder.is_dir() and not any(folder.iterdir()):
        return False
    found = record(folder)
    if found is None:
        if not (folder / SETTINGS).is_file():
            raise InputError(f"{folder} is there and is no synthetic data set (no {SETTINGS}). {_ADVICE}")
        return False
    if found != settings:
        differing = [name for name in settings if found.get(name) != settings[name]]
        raise InputError(
            f"{folder} holds another synthetic data set: it differs in {', '.join(differing) or SETTINGS}. {_ADVICE}"
        )
    return True


def _put(drawn: Path, folder: Path) -> None:
    """Give a drawn set its place, where there is nothing, or the remains of the same set."""
    if folder.is_symlink() or not (folder / SETTINGS).is_file() or record(folder) is not None:
        drawn.replace(folder)
        return
    foreign = sorted(_files(folder) - _files(drawn))
    if foreign:
        raise InputError(
            f"{folder} has a damaged {SETTINGS}, and files that are not of the synthetic data set, such as "
            f"{short(foreign[0])}. {_ADVICE}"
        )
    old = drawn.with_suffix(".old.tmp")  # moved first, so that a kill leaves the old set, the new one or none
    folder.replace(old)
    drawn.replace(folder)
    shutil.rmtree(old, ignore_errors=True)


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}


def _fill(folder: Path, layout: _Layout, counts: Mapping[str, int], seed: int, size: tuple[int, int]) -> None:
    names: dict[str, list[str]] = {part: [] for part in counts}
    number = 0
    for half, (part, count) in enumerate(counts.items()):
        first = (2 * seed + half) * _PART_SEEDS
        for index in range(count):
            rendered = scene(first + index, size, two_wheeler=layout.two_wheeler)
            boxes = tuple(
                replace(box, label=layout.labels[box.label]) for box in rendered.boxes if box.label in layout.labels
            )
            names[part].append(layout.put(folder, part, number, rendered, boxes))
            number += 1
    layout.finish(folder, names)


def _m3fd(folder: Path, part: str, number: int, rendered: Scene, boxes: tuple[Box, ...]) -> str:
    name = f"{number:05d}"
    _png(folder / "Ir" / f"{name}.png", np.repeat(rendered.infrared[..., None], 3, axis=2))
    _png(folder / "Vis" / f"{name}.png", rendered.visible)
    _voc(folder / "Annotation" / f"{name}.xml", f"{name}.png", rendered.visible, boxes)
    return name


def _flir(folder: Path, part: str, number: int, rendered: Scene, boxes: tuple[Box, ...]) -> str:
    name = f"FLIR_{number + 1:05d}_PreviewData"
    files = folder / "align" / "JPEGImages"
    _jpeg(files / f"{name}.jpeg", rendered.infrared)
    _jpeg(files / f"FLIR_{number + 1:05d}_RGB.jpg", rendered.visible)
    _voc(folder / "align" / "Annotations" / f"{name}.xml", f"{name}.jpeg", rendered.infrared, boxes, first_pixel=0)
    return name


def _llvip(folder: Path, part: str, number: int, rendered: Scene, boxes: tuple[Box, ...]) -> str:
    name = f"{(10_001 if part == 'train' else 190_001) + number:06d}"
    _jpeg(folder / "infrared" / part / f"{name}.jpg", np.repeat(rendered.infrared[..., None], 3, axis=2))
    _jpeg(folder / "visible" / part / f"{name}.jpg", rendered.visible)
    _voc(folder / "Annotations" / f"{name}.xml", f"{name}.jpg", rendered.infrared, boxes)
    return name


_MSRS_CLASSES = ("person", "bicycle", "car")


def _msrs(folder: Path, part: str, number: int, rendered: Scene, boxes: tuple[Box, ...]) -> str:
    name = f"{number + 1:05d}{'N' if rendered.conditions[0] == 'night' else 'D'}"
    _png(folder / part / "ir" / f"{name}.png", rendered.infrared)
    _png(folder / part / "vi" / f"{name}.png", rendered.visible)
    height, width = rendered.infrared.shape
    lines = [
        f"{_MSRS_CLASSES.index(box.label)} {(box.x0 + box.x1) / 2 / width:.10f} {(box.y0 + box.y1) / 2 / height:.10f} "
        f"{(box.x1 - box.x0) / width:.10f} {(box.y1 - box.y0) / height:.10f}\n"
        for box in boxes
    ]
    _text(folder / "labels" / "fusion" / part / f"{name}.txt", "".join(lines))
    return name


def _m3fd_lists(folder: Path, names: Mapping[str, list[str]]) -> None:
    for part, listed in names.items():
        _text(folder / f"{part}.txt", "".join(f"{name}\n" for name in listed))


def _flir_lists(folder: Path, names: Mapping[str, list[str]]) -> None:
    for part, file in (("train", "align_train.txt"), ("test", "align_validation.txt")):
        _text(folder / "align" / file, "".join(f"{name}\n" for name in names[part]))


def _msrs_classes(folder: Path, names: Mapping[str, list[str]]) -> None:
    _text(folder / "labels" / "classes.txt", "".join(f"{label}\n" for label in _MSRS_CLASSES))


LAYOUTS: Mapping[str, _Layout] = {
    "m3fd": _Layout(
        _m3fd,
        {"person": "People", "car": "Car", "motorcycle": "Motorcycle"},
        two_wheeler="motorcycle",
        finish=_m3fd_lists,
    ),
    "flir": _Layout(_flir, {label: label for label in ("car", "person", "bicycle")}, version=2, finish=_flir_lists),
    "llvip": _Layout(_llvip, {"person": "person"}),
    "msrs": _Layout(_msrs, {label: label for label in _MSRS_CLASSES}, finish=_msrs_classes),
}


def _voc(path: Path, filename: str, image: ImageArray, boxes: tuple[Box, ...], *, first_pixel: int = 1) -> None:
    """Write boxes as Pascal VOC does, the last pixel included; `first_pixel` is 0 in FLIR and 1 elsewhere."""
    root = Xml.Element("annotation")
    Xml.SubElement(root, "filename").text = filename
    size = Xml.SubElement(root, "size")
    for name, value in (
        ("width", image.shape[1]),
        ("height", image.shape[0]),
        ("depth", image.shape[2] if image.ndim == 3 else 1),
    ):
        Xml.SubElement(size, name).text = str(value)
    for box in boxes:
        item = Xml.SubElement(root, "object")
        Xml.SubElement(item, "name").text = box.label
        Xml.SubElement(item, "difficult").text = "0"
        edges = Xml.SubElement(item, "bndbox")
        for name, edge in (("xmin", box.x0), ("ymin", box.y0), ("xmax", box.x1 - 1), ("ymax", box.y1 - 1)):
            Xml.SubElement(edges, name).text = str(int(edge) + first_pixel)
    Xml.indent(root)
    _bytes(path, Xml.tostring(root) + b"\n")


def _png(path: Path, image: ImageArray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, image)


def _jpeg(path: Path, image: ImageArray) -> None:
    pixels = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    encoded, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])
    if not encoded:
        raise InputError(f"{path}: an image of shape {image.shape} cannot be JPEG.")
    _bytes(path, data.tobytes())


def _text(path: Path, text: str) -> None:
    _bytes(path, text.encode())


def _bytes(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, data)
