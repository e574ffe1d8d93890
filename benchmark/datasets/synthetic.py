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
from benchmark.datasets.scenes import Scene, TwoWheeler, scene
from metrics import pictures
from metrics.errors import InputError, unknown
from metrics.opencv import cv2
from metrics.pictures import Picture

__all__ = ["LAYOUTS", "SETTINGS", "VERSION", "Scene", "scene", "write"]

VERSION = 1  # of the generator: raised whenever the same settings would give other files
SETTINGS = "synthetic.json"
SMALLEST_SIDE = 96
_PART_SEEDS = 1_000_000  # scenes that a part of one `seed` may have before it would meet the next part's


@dataclass(frozen=True)
class _Layout:
    """How a data set lies on disk.

    Attributes:
        put: Writes one scene: folder, part, number in the whole set, scene, boxes.
        labels: The data set's name for each kind of object; others are in the pictures without a box.
        two_wheeler: The kind that the data set annotates.
        finish: Writes what lists the scenes: folder, names by part.
    """

    put: Callable[[Path, str, int, Scene, tuple[Box, ...]], str]
    labels: Mapping[str, str]
    two_wheeler: TwoWheeler = "bicycle"
    finish: Callable[[Path, Mapping[str, list[str]]], None] = lambda folder, names: None


def write(
    folder: str | Path,
    *,
    layout: str = "m3fd",
    train: int = 24,
    test: int = 12,
    seed: int = 0,
    size: tuple[int, int] = (320, 240),
) -> None:
    """Write a synthetic data set into a folder; it appears whole or not at all.

    A folder that holds the same set already is left as it is. No scene is in both parts, and no scene of one
    `seed` is in another's sets.

    Args:
        folder: Where to; it must be new or empty, or hold the same set.
        layout: One of `LAYOUTS`.
        train: Number of training pairs.
        test: Number of test pairs.
        seed: Chooses the scenes.
        size: Width and height of the pictures, in pixels.

    Raises:
        InputError: The layout is unknown, a number is out of range, or the folder holds something else.
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
        pictures.write_bytes(temporary / SETTINGS, (json.dumps(settings, indent=2) + "\n").encode())
        temporary.chmod(0o755)
        try:
            temporary.replace(folder)
        except OSError as error:
            if not _stands(folder, settings):  # another process may have been faster
                raise InputError(f"{folder} cannot be made ({error.strerror}); choose another folder.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _settings(layout: str, train: int, test: int, seed: int, size: tuple[int, int]) -> dict[str, Any]:
    """Return what decides the files' content, checked."""
    if layout not in LAYOUTS:
        raise unknown("layout of a synthetic data set", layout, tuple(LAYOUTS))
    for name, count in (("train", train), ("test", test)):
        if not 1 <= count <= _PART_SEEDS:
            raise InputError(f"synthetic data set: {name} is {count}; expected 1 to {_PART_SEEDS} pairs.")
    if seed < 0:
        raise InputError(f"synthetic data set: seed is {seed}; expected a number that is not negative.")
    if min(size) < SMALLEST_SIDE:
        raise InputError(
            f"synthetic data set: size is {size[0]}x{size[1]}; expected at least {SMALLEST_SIDE}x{SMALLEST_SIDE}."
        )
    return {
        "generator": VERSION,
        "layout": layout,
        "train": train,
        "test": test,
        "seed": seed,
        "size": list(size),
    }


def _stands(folder: Path, settings: dict[str, Any]) -> bool:
    """Return whether a folder holds the set of these settings; False for a new or empty one."""
    if not folder.exists() and not folder.is_symlink():
        return False
    if folder.is_dir() and not any(folder.iterdir()):
        return False
    advice = "Remove it, or choose another folder."
    try:
        found = json.loads((folder / SETTINGS).read_text())
    except (OSError, ValueError):
        raise InputError(f"{folder} is there and is no synthetic data set (no readable {SETTINGS}). {advice}") from None
    if found != settings:
        differing = [name for name in settings if not isinstance(found, dict) or found.get(name) != settings[name]]
        raise InputError(
            f"{folder} holds another synthetic data set: it differs in {', '.join(differing) or SETTINGS}. {advice}"
        )
    return True


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
    _voc(folder / "align" / "Annotations" / f"{name}.xml", f"{name}.jpeg", rendered.infrared, boxes)
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
    "flir": _Layout(_flir, {label: label for label in ("car", "person", "bicycle")}, finish=_flir_lists),
    "llvip": _Layout(_llvip, {"person": "person"}),
    "msrs": _Layout(_msrs, {label: label for label in _MSRS_CLASSES}, finish=_msrs_classes),
}


def _voc(path: Path, filename: str, picture: Picture, boxes: tuple[Box, ...]) -> None:
    """Write boxes as Pascal VOC does: pixels counted from 1, the last one included."""
    root = Xml.Element("annotation")
    Xml.SubElement(root, "filename").text = filename
    size = Xml.SubElement(root, "size")
    for name, value in (
        ("width", picture.shape[1]),
        ("height", picture.shape[0]),
        ("depth", picture.shape[2] if picture.ndim == 3 else 1),
    ):
        Xml.SubElement(size, name).text = str(value)
    for box in boxes:
        item = Xml.SubElement(root, "object")
        Xml.SubElement(item, "name").text = box.label
        Xml.SubElement(item, "difficult").text = "0"
        edges = Xml.SubElement(item, "bndbox")
        for name, edge in (("xmin", box.x0 + 1), ("ymin", box.y0 + 1), ("xmax", box.x1), ("ymax", box.y1)):
            Xml.SubElement(edges, name).text = str(int(edge))
    Xml.indent(root)
    _bytes(path, Xml.tostring(root) + b"\n")


def _png(path: Path, picture: Picture) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures.write(path, picture)


def _jpeg(path: Path, picture: Picture) -> None:
    pixels = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    encoded, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])
    if not encoded:
        raise InputError(f"{path}: a picture of shape {picture.shape} cannot be JPEG.")
    _bytes(path, data.tobytes())


def _text(path: Path, text: str) -> None:
    _bytes(path, text.encode())


def _bytes(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures.write_bytes(path, data)
