"""Synthetic street scenes: an infrared and a visible image of the same objects, with boxes.

A scene is painted from far to near as light, temperature and distance in each direction, of which two cameras
then take their images. Both see the same shapes; what shows in which band follows from light, smoke, glare and
temperature, so that neither image alone holds every object.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import PCG64, Generator
from numpy.typing import NDArray

from benchmark.datasets.base import Box
from benchmark.synthetic.scenes import sensors
from benchmark.synthetic.scenes.backdrop import backdrop
from benchmark.synthetic.scenes.canvas import Canvas, Thing
from benchmark.synthetic.scenes.figures import TwoWheeler
from benchmark.synthetic.scenes.street import CONDITIONS, street
from benchmark.synthetic.scenes.things import things
from metrics.images import ImageArray

__all__ = ["CONDITIONS", "Scene", "TwoWheeler", "scene"]

_LOWEST, _NARROWEST = 0.045, 0.016  # of the image's height: what is smaller is painted, but gets no box
_HIDDEN = 0.7  # the share of an object behind nearer things from which on it gets no box


@dataclass(frozen=True)
class Scene:
    """A rendered scene.

    Attributes:
        infrared: uint8, (H, W).
        visible: uint8, (H, W, 3) RGB.
        boxes: Tight around what can be seen of each object; labels are person, car and bicycle or motorcycle.
        conditions: "day" or "night", then "smoke" or "glare" where there is any.
        owner: uint16, (H, W): 1 + the index of the box whose object a pixel shows, 0 elsewhere.
    """

    infrared: ImageArray
    visible: ImageArray
    boxes: tuple[Box, ...]
    conditions: tuple[str, ...]
    owner: NDArray[np.uint16]


def scene(seed: int, size: tuple[int, int] = (320, 240), *, two_wheeler: TwoWheeler = "bicycle") -> Scene:
    """Return the street scene of a seed: the same pixels whenever the same versions of the libraries run.

    Seeds go round in fours: clear day, clear night, smoke, glare; the latter two by day and by night in turn.

    Args:
        seed: Not negative.
        size: Width and height in pixels.
        two_wheeler: Which kind is ridden and parked.
    """
    rng = Generator(PCG64(seed))
    place = street(rng, seed, size)
    canvas = backdrop(rng, place)
    density, veil = sensors.smoke(rng, place), sensors.sun(rng, place)
    placed = things(rng, place, density, veil, two_wheeler)
    for number, thing in enumerate(placed, 1):
        canvas.paint(rng, place, thing, number)
    visible = sensors.visible(rng, canvas.layers, place, density, veil)
    infrared = sensors.infrared(rng, canvas.layers, place, density)
    boxes, owner = _annotated(placed, canvas)
    return Scene(infrared, visible, boxes, place.conditions, owner)


def _annotated(placed: list[Thing], canvas: Canvas) -> tuple[tuple[Box, ...], NDArray[np.uint16]]:
    """Return the boxes of the objects that are large enough and not hidden, and the map of their pixels."""
    boxes: list[Box] = []
    owner = np.zeros_like(canvas.owner)
    height = owner.shape[0]
    for number, area in canvas.areas.items():
        mine = canvas.owner == number
        if not area or mine.sum() <= (1.0 - _HIDDEN) * area:
            continue
        rows, columns = np.flatnonzero(mine.any(axis=1)), np.flatnonzero(mine.any(axis=0))
        x0, y0, x1, y1 = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        if y1 - y0 < max(_LOWEST * height, 6.0) or x1 - x0 < max(_NARROWEST * height, 3.0):
            continue
        boxes.append(Box(float(x0), float(y0), float(x1), float(y1), placed[number - 1].label))
        owner[mine] = len(boxes)
    return tuple(boxes), owner
