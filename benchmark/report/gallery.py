"""The gallery: which scenes are shown, which two places of each are enlarged, all within a byte budget."""

import base64
import io
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from PIL import Image

from benchmark.datasets.base import Box, Pair
from benchmark.datasets.findings import quoted
from benchmark.engine.cells import Cell
from benchmark.engine.run_record import Part, Record
from benchmark.engine.stages.colour import find_image
from benchmark.tables import csv_files
from benchmark.tables.ranking import heading
from metrics import images
from metrics.errors import InputError
from metrics.opencv import cv2

WIDTHS = (1024, 800, 640, 480)
SCENES = 24
SOURCES = ("infrared", "visible")
_PEOPLE = ("person", "people", "pedestrian")
_QUALITY = 80
_EFFORT = 2  # of 6: the files are 5 % larger than at 4 and made in half the time
_ASPECT = 4 / 3
_EDGES = ("x0", "y0", "x1", "y1")
_BOXES = "expected CSV with the columns image,x0,y0,x1,y1, and dataset where a run has several, and a line for each box"

Rectangle = tuple[float, float, float, float]


@dataclass(frozen=True)
class SceneImage:
    """One image of a scene: WebP in base64, or why there is none; and the same image with the visible one's chroma."""

    label: str
    data: str = ""
    colour: str = ""
    missing: str = ""
    scores: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class GalleryScene:
    """One pair: its images and the two enlarged places, in pixels of the originals as (x0, y0, x1, y1)."""

    dataset: str
    image: str
    width: int
    height: int
    zooms: tuple[Rectangle, ...]
    images: tuple[SceneImage, ...]

    @property
    def size(self) -> int:
        """About how many bytes it takes in the report."""
        return sum(len(image.data) + len(image.colour) + 300 for image in self.images)


@dataclass(frozen=True)
class Gallery:
    """The scenes shown, in the tables' order of data sets and by name; how wide the images are at most."""

    scenes: tuple[GalleryScene, ...]
    width: int
    asked: int

    @property
    def has_colour(self) -> bool:
        """Whether any fused image is there in colour as well."""
        return any(image.colour for scene in self.scenes for image in scene.images)

    def shown(self, dataset: str) -> int:
        """Return how many scenes of a data set are shown."""
        return sum(scene.dataset == dataset for scene in self.scenes)


@dataclass(frozen=True)
class _Files:
    """What a scene is made from: labels and files of a run's folder, and the places to enlarge if they are given."""

    folder: Path
    part: Part
    pair: Pair
    files: tuple[tuple[str, Path], ...]
    zooms: tuple[Rectangle, ...] = ()


def gallery(
    folder: Path,
    record: Record,
    *,
    room: int,
    scenes: int | None = None,
    width: int | None = None,
    boxes: Path | None = None,
) -> Gallery:
    """Return the gallery of a run, of at most so many bytes.

    The scenes are spread evenly over each data set's names, those with given places first and those without
    annotated objects last. The first scene of each data set is encoded in each width to find the largest at which
    all that are asked for will fit; then scenes are added as long as there is room. The same folder gives the same.

    Args:
        folder: The run's.
        record: What it worked on.
        room: Bytes in the report.
        scenes: How many of each data set at most; None for 24 together.
        width: Pixels that images are reduced to; None to choose among `WIDTHS`.
        boxes: CSV file of places to enlarge: image, x0, y0, x1, y1, and dataset where the run has several; the first
            of an image is green, the second red. None, or an image that it does not have: see `places`.

    Raises:
        InputError: The file of boxes cannot be used, or a pair's name leads out of its folder.
    """
    given = _given(boxes, folder, record) if boxes else {}
    order = _order([_ranked(folder, record, part, given)[:scenes] for part in record.parts])
    wanted = order[:SCENES] if scenes is None else order
    if not wanted:
        return Gallery((), width or WIDTHS[0], 0)
    with Parallel(n_jobs=-1, backend="threading") as parallel:
        width = width or _width(parallel, wanted, room)
        made: list[GalleryScene] = []
        spent = 0
        for files in wanted:
            scene = _scene(parallel, files, width)
            if spent + scene.size > room:
                break
            spent += scene.size
            made.append(scene)
    titles = [part.title for part in record.parts]
    made.sort(key=lambda scene: (titles.index(scene.dataset), scene.image))
    return Gallery(tuple(made), width, len(wanted))


def places(pair: Pair, infrared: images.ImageArray, visible: images.ImageArray) -> tuple[Rectangle, ...]:
    """Return the two places of a scene that are enlarged, green and red; none where the two images differ in size.

    Green is around the largest person, else the largest object; red around the largest object of another class that
    the green one does not touch, else of any class. Objects above half the image's height or width, and difficult
    ones, are passed over. What annotations do not give is where the two bands' gradients differ most.
    """
    height, width = infrared.shape[:2]
    if visible.shape[:2] != (height, width):
        return ()
    objects = [
        box
        for box in sorted(pair.boxes, key=lambda box: (-_area(box), box.x0, box.y0))
        if not box.difficult and 2 * (box.x1 - box.x0) <= width and 2 * (box.y1 - box.y0) <= height
    ]
    people = [box for box in objects if box.label.lower() in _PEOPLE]
    found: list[Rectangle] = []
    if objects:
        green = (people or objects)[0]
        found.append(_around(green, width, height))
        apart = [box for box in objects if not _touch(_around(box, width, height), found[0])]
        if apart:
            red = next((box for box in apart if box.label != green.label), apart[0])
            found.append(_around(red, width, height))
    return (*found, *_differing(infrared, visible, found))[:2]


def _given(path: Path, folder: Path, record: Record) -> dict[tuple[str, str], list[Rectangle]]:
    """Return the boxes in a person's file by data set and image."""
    known = {part.title: (part, {pair.name: pair for pair in part.pairs}) for part in record.parts}
    columns, rows = csv_files.read(path, _BOXES, whole=False)
    needed = ("image", *_EDGES) if len(known) == 1 else ("dataset", "image", *_EDGES)
    if missing := [name for name in needed if name not in columns]:
        raise InputError(f"{path} has no column {missing[0]}, only {quoted(', '.join(columns))}; {_BOXES}")
    if not rows:
        raise InputError(f"{path} holds no box; {_BOXES}")
    found: dict[tuple[str, str], list[Rectangle]] = {}
    for line, row in rows.items():
        where, image = f"{path}, line {line}", row["image"]
        dataset = row["dataset"] if "dataset" in row else next(iter(known))
        if dataset not in known:
            raise InputError(f"{where}: unknown data set {quoted(dataset)}; known: {', '.join(known)}")
        part, pairs = known[dataset]
        if image not in pairs:
            raise InputError(f"{where}: the run has no pair {quoted(image)} of {dataset}; see run.json for names")
        x0, y0, x1, y1 = (_edge(row[name], where, name) for name in _EDGES)
        if not (0 <= x0 < x1 and 0 <= y0 < y1):  # also refuses what is not a number
            raise InputError(f"{where}: expected 0 <= x0 < x1 and 0 <= y0 < y1, got {x0}, {y0}, {x1}, {y1}")
        size = _size(_files(folder, record, part, pairs[image]))
        if size and not _clipped((x0, y0, x1, y1), *size):
            raise InputError(
                f"{where}: the box {x0}, {y0}, {x1}, {y1} lies outside {image}, which has {size[0]} x {size[1]} "
                "pixels; give one inside it"
            )
        if len(found.setdefault((dataset, image), [])) == 2:
            raise InputError(f"{where}: a third box of {image}; two are shown, the first green, the second red")
        found[dataset, image].append((x0, y0, x1, y1))
    return found


def _edge(text: str, where: str, column: str) -> float:
    value = csv_files.number(text, where, column, "give pixels")
    return np.nan if value is None else value


def _size(files: Sequence[tuple[str, Path]]) -> tuple[int, int] | None:
    """Return (width, height) of the first of a scene's images that there is."""
    for _, path in files:
        with suppress(InputError):  # the image's place will say why
            return images.size(path)
    return None


def _ranked(
    folder: Path, record: Record, part: Part, given: Mapping[tuple[str, str], Sequence[Rectangle]]
) -> list[_Files]:
    """Return a part's scenes, the first the first to be shown."""
    groups: dict[int, list[Pair]] = {0: [], 1: [], 2: []}
    for pair in sorted(part.pairs, key=lambda pair: pair.name):
        groups[0 if (part.title, pair.name) in given else 1 if pair.boxes else 2].append(pair)
    ordered = [*groups[0], *_spread(groups[1]), *_spread(groups[2])]
    return [
        _Files(folder, part, pair, _files(folder, record, part, pair), tuple(given.get((part.title, pair.name), ())))
        for pair in ordered
    ]


def _files(folder: Path, record: Record, part: Part, pair: Pair) -> tuple[tuple[str, Path], ...]:
    infrared, visible, *methods = labels(record)
    files = [(infrared, pair.infrared), (visible, pair.visible)]
    for label in methods:
        cell = Cell(folder, part.title, label, "fuse").folder
        path = cell / f"{pair.name}.png"
        if not path.resolve().is_relative_to(cell.resolve()):
            raise InputError(f"{folder / 'run.json'}: the pair's name {pair.name!r} leaves {cell}; correct run.json")
        files.append((label, path))
    return tuple(files)


def labels(record: Record) -> tuple[str, ...]:
    """Return what a scene's images are called: the two sources, whether they were scored or not, and the methods."""
    scored = {method.name: label for label, method in zip(record.labels, record.experiment.methods, strict=False)}
    sources = tuple(scored.get(source, source.capitalize()) for source in SOURCES)
    return (*sources, *(label for label in record.labels if label not in sources))


def _spread(pairs: Sequence[Pair]) -> list[Pair]:
    """Return pairs in an order whose every beginning lies evenly among them (van der Corput's sequence)."""
    bits = max(len(pairs) - 1, 0).bit_length()
    reversed_bits = (int(f"{index:0{bits}b}"[::-1], 2) if bits else 0 for index in range(2**bits))
    return [pairs[index] for index in reversed_bits if index < len(pairs)]


def _order(parts: Sequence[Sequence[_Files]]) -> list[_Files]:
    """Return the scenes of all data sets in turn."""
    longest = max(map(len, parts), default=0)
    return [scenes[index] for index in range(longest) for scenes in parts if index < len(scenes)]


def _width(parallel: Parallel, wanted: Sequence[_Files], room: int) -> int:
    probes = list({files.part.title: files for files in reversed(wanted)}.values())
    for width in WIDTHS:
        if max(_scene(parallel, files, width).size for files in probes) * len(wanted) <= room:
            return width
    return WIDTHS[-1]


def _scene(parallel: Parallel, files: _Files, width: int) -> GalleryScene:
    """Return one scene with its images at a width."""
    sources = tuple(_decoded(path) for _, path in files.files[: len(SOURCES)])
    known = (*sources, *(None for _ in files.files[len(SOURCES) :]))
    fused = [label for label, _ in files.files[len(SOURCES) :]]
    colours = (None, None, *(find_image(files.folder, files.part.title, label, files.pair) for label in fused))
    made = parallel(
        delayed(_image)(label, path, width, decoded, colour, within=files.folder)
        for (label, path), decoded, colour in zip(files.files, known, colours, strict=True)
    )
    wide, high = next((size for _, size in made if size), (4, 3))
    zooms = tuple(clipped for zoom in files.zooms if (clipped := _clipped(zoom, wide, high)))
    infrared, visible = sources
    if not files.zooms and infrared is not None and visible is not None:
        zooms = places(files.pair, infrared, visible)
    return GalleryScene(files.part.title, files.pair.name, wide, high, zooms, tuple(image for image, _ in made))


def _decoded(path: Path) -> images.ImageArray | None:
    try:
        return images.read(path)
    except InputError:
        return None  # the image's place will say why


def _image(
    label: str, path: Path, width: int, decoded: images.ImageArray | None, colour: Path | None, *, within: Path
) -> tuple[SceneImage, tuple[int, int] | None]:
    """Return an image at a width at most, in colour as well where a file has it, and its own (width, height)."""
    try:
        image = Image.fromarray(images.read(path) if decoded is None else decoded)
    except InputError as error:
        return SceneImage(label, missing=str(error).replace(f"{within}{os.sep}", "")), None
    coloured = ""
    if colour is not None:
        with suppress(InputError):  # the grey image is shown in its place
            coloured = _encode(Image.fromarray(images.read(colour)), width)
    return SceneImage(label, _encode(image, width), coloured), image.size


def _encode(image: Image.Image, width: int) -> str:
    """Return an image as WebP in base64, reduced to a width at most."""
    if image.width > width:
        image = image.resize((width, max(round(image.height * width / image.width), 1)), Image.Resampling.LANCZOS)
    return base64.b64encode(webp(image)).decode()


def webp(image: Image.Image) -> bytes:
    """Return an image as WebP."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=_QUALITY, method=_EFFORT)
    return buffer.getvalue()


def with_scores(made: Gallery, scores: Mapping[tuple[str, str], pd.DataFrame]) -> Gallery:
    """Return the gallery with each image's own scores.

    Args:
        made: The gallery.
        scores: By (data set, label), a row an image and a column a metric.
    """

    def scored(scene: GalleryScene, image: SceneImage) -> SceneImage:
        frame = scores.get((scene.dataset, image.label))
        if frame is None or scene.image not in frame.index:
            return image
        values = frame.loc[scene.image]
        texts = {heading(str(name)): "–" if np.isnan(value) else f"{value:.4f}" for name, value in values.items()}
        return replace(image, scores=texts)

    scenes = (replace(scene, images=tuple(scored(scene, image) for image in scene.images)) for scene in made.scenes)
    return replace(made, scenes=tuple(scenes))


def _area(box: Box) -> float:
    return (box.x1 - box.x0) * (box.y1 - box.y0)


def _around(box: Box, width: int, height: int) -> Rectangle:
    """Return a 4:3 rectangle around an object, with some of what surrounds it."""
    wide = max(1.5 * (box.x1 - box.x0), 1.5 * (box.y1 - box.y0) * _ASPECT, width / 8)
    return _placed((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2, wide, width, height)


def _placed(x: float, y: float, wide: float, width: int, height: int) -> Rectangle:
    """Return the 4:3 rectangle about a point, moved and reduced so that it lies in the image."""
    wide = min(wide, width, height * _ASPECT)
    high = wide / _ASPECT
    left, top = min(max(x - wide / 2, 0), width - wide), min(max(y - high / 2, 0), height - high)
    return round(left, 1), round(top, 1), round(left + wide, 1), round(top + high, 1)


def _clipped(zoom: Rectangle, width: int, height: int) -> Rectangle | None:
    x0, y0, x1, y1 = zoom[0], zoom[1], min(zoom[2], width), min(zoom[3], height)
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _touch(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _differing(
    infrared: images.ImageArray, visible: images.ImageArray, taken: Sequence[Rectangle]
) -> tuple[Rectangle, ...]:
    """Return up to two rectangles, a fifth of the image wide, where detail is in one band only, off those taken."""
    height, width = infrared.shape[:2]
    scale = min(1.0, 160 / width)
    small = (max(round(width * scale), 1), max(round(height * scale), 1))
    if min(small) < 8:
        return ()
    slopes = []
    for image in (infrared, visible):
        reduced = cv2.resize(images.grey(image), small, interpolation=cv2.INTER_AREA).astype(np.float32)
        slopes.append(np.hypot(*np.gradient(reduced)))
    window = (max(small[0] // 5, 1), max(round(small[0] / 5 / _ASPECT), 1))
    detail = cv2.blur(np.abs(slopes[0] - slopes[1]), window)
    found: list[Rectangle] = []
    for index in np.argsort(-detail, axis=None, kind="stable"):
        y, x = np.unravel_index(index, detail.shape)
        place = _placed((x + 0.5) / scale, (y + 0.5) / scale, width / 5, width, height)
        if not any(_touch(place, other) for other in (*taken, *found)):
            found.append(place)
        if len(found) + len(taken) >= 2:
            break
    return tuple(found)
