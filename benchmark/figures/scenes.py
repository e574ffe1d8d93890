"""The qualitative sheet: the same scenes by every method, with two zoomed regions, as in the paper's Figures 3-5."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from benchmark.datasets.base import Box
from benchmark.figures.sheet import GREEN, PAGE, RED, blank, save, styled
from metrics.errors import InputError
from metrics.images import ImageArray

_PERSONS = ("person", "people", "pedestrian")
_MARGIN = 1.3  # a region's side over its box's
_SMALLEST, _LARGEST = 0.15, 0.6  # of a region's side over the image's
_GAP = 0.03  # inches between images
_LETTER = 0.05  # inches that a letter of a title takes


class Region(NamedTuple):
    """A part of an image in pixels; x1 and y1 are exclusive."""

    x0: int
    y0: int
    x1: int
    y1: int


@dataclass(frozen=True)
class Scene:
    """One row of the sheet.

    Attributes:
        images: By method, in the order of the columns: uint8, (H, W) or (H, W, 3) RGB, all of one size.
        regions: What is zoomed, framed in green and in red.
    """

    images: Mapping[str, ImageArray]
    regions: tuple[Region, Region]


def regions(boxes: Iterable[Box], size: tuple[int, int]) -> tuple[Region, Region]:
    """Return the two regions of an image that are worth a zoom: the first around a person, the second around another.

    These are the largest box of a person, and the largest of anything else, of those whose middle is not within the
    first region if there are any. Where there is no such box, the largest that is left stands in, and then a quarter
    of the image to the left or right of its middle. Boxes marked as difficult do not count. Both regions have the
    image's proportions.

    Args:
        boxes: Annotated objects.
        size: (width, height) of the image.
    """
    left = sorted((box for box in boxes if not box.difficult), key=_by_area)
    width, height = size
    middles = [(0.3 * width, 0.5 * height), (0.7 * width, 0.5 * height)]
    found: list[Region] = []
    for middle, person in zip(middles, (True, False), strict=True):
        alike = [box for box in left if (box.label.casefold() in _PERSONS) == person]
        # The first takes from the others only what does not leave the second without any.
        spare = left if not person or len(left) > 1 else []
        chosen = min(alike or spare, key=lambda box: any(_holds(region, box) for region in found), default=None)
        if chosen is None:
            found.append(_region(middle, 0.25, size))
        else:
            left.remove(chosen)
            share = max((chosen.x1 - chosen.x0) / width, (chosen.y1 - chosen.y0) / height)
            found.append(_region(((chosen.x0 + chosen.x1) / 2, (chosen.y0 + chosen.y1) / 2), share * _MARGIN, size))
    return found[0], found[1]


@styled
def qualitative(scenes: Sequence[Scene], path_stem: Path) -> list[Path]:
    """Write a sheet with a row a scene and a column a method, and return the files.

    Under each image stand its two regions, enlarged to half its width, in a green and a red frame. A method that
    lacks a scene leaves its place empty.

    Args:
        scenes: The rows.
        path_stem: Folder and name of the files without extension.

    Raises:
        InputError: There is no image, a scene's images differ in size, or a region is not within them.
    """
    for scene in scenes:
        _require_regions(scene, path_stem)
    methods = list(dict.fromkeys(method for scene in scenes for method in scene.images))
    if not methods:
        raise InputError(f"{path_stem}: there are no images; a sheet needs at least one scene and one method")
    width = (PAGE - _GAP * (len(methods) + 1)) / len(methods)
    titles = [textwrap.fill(name, max(4, int(width / _LETTER))) for name in methods]
    head = 0.1 * max(title.count("\n") + 1 for title in titles) + 0.05
    tall = [width * shape[0] / shape[1] for shape in map(_shape, scenes)]
    total = head + sum(1.5 * height + 3 * _GAP for height in tall)
    figure = blank(PAGE, total)
    figure.set_layout_engine("none")
    for column, title in enumerate(titles):
        x = _GAP + column * (width + _GAP)
        figure.text((x + width / 2) / PAGE, 1 - (head - 0.04) / total, title, ha="center", va="bottom", fontsize=5.5)
        top = head
        for scene, height in zip(scenes, tall, strict=True):
            if methods[column] in scene.images:
                _draw(figure, scene, scene.images[methods[column]], (x, top), (width, height))
            top += 1.5 * height + 3 * _GAP
    return save(figure, path_stem)


def _draw(
    figure: Figure, scene: Scene, image: ImageArray, corner: tuple[float, float], size: tuple[float, float]
) -> None:
    """Draw an image and its regions; corner and size in inches, from the sheet's top left."""
    (x, y), (width, height) = corner, size
    axes = _panel(figure, image, (x, y, width, height))
    half, low = (width - _GAP) / 2, y + height + _GAP
    for number, (region, colour) in enumerate(zip(scene.regions, (GREEN, RED), strict=True)):
        x0, y0, x1, y1 = region
        axes.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=0.8))
        part = image[y0:y1, x0:x1]
        zoom = _panel(figure, part, (x + number * (half + _GAP), low, half, height / 2))
        for spine in zoom.spines.values():
            spine.set(visible=True, edgecolor=colour, linewidth=1.2)


def _panel(figure: Figure, image: ImageArray, place: tuple[float, float, float, float]) -> Axes:
    width, height = figure.get_size_inches()
    x, y, across, down = place
    axes = figure.add_axes((x / width, 1 - (y + down) / height, across / width, down / height))
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, aspect="auto")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def _holds(region: Region, box: Box) -> bool:
    x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    return region.x0 <= x < region.x1 and region.y0 <= y < region.y1


def _by_area(box: Box) -> tuple[float, float, float, str]:
    return -(box.x1 - box.x0) * (box.y1 - box.y0), box.x0, box.y0, box.label


def _region(middle: tuple[float, float], share: float, size: tuple[int, int]) -> Region:
    """Return the region of a share of the image's sides around a point, moved to lie within the image."""
    share = min(max(share, _SMALLEST), _LARGEST)
    sides = [max(1, round(share * side)) for side in size]
    x0, y0 = (
        min(max(round(place - side / 2), 0), whole - side)
        for place, side, whole in zip(middle, sides, size, strict=True)
    )
    return Region(x0, y0, x0 + sides[0], y0 + sides[1])


def _shape(scene: Scene) -> tuple[int, int]:
    shape = next(iter(scene.images.values())).shape
    return shape[0], shape[1]


def _require_regions(scene: Scene, path_stem: Path) -> None:
    shapes = {image.shape[:2] for image in scene.images.values()}
    if len(shapes) != 1:
        sizes = ", ".join(f"{width}x{height}" for height, width in sorted(shapes)) or "none"
        raise InputError(f"{path_stem}: the images of a scene must be of one size, but there are {sizes}")
    height, width = _shape(scene)
    for x0, y0, x1, y1 in scene.regions:
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise InputError(
                f"{path_stem}: region ({x0}, {y0}, {x1}, {y1}) is not within the images of {width}x{height}"
            )
