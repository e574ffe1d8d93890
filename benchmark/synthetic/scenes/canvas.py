"""The canvas of both cameras: light, temperature and distance in each direction, painted from far to near."""

from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmark.synthetic.scenes.figures import Part
from benchmark.synthetic.scenes.street import Floats, Street, noise
from metrics.opencv import cv2

Region = tuple[slice, slice]

LIGHT, HEAT, DEPTH = slice(0, 3), 3, 4
LAYERS = 5


def rgb(red: float, green: float, blue: float) -> Floats:
    """Return a colour as (3, 1, 1), to be spread over a region."""
    return np.array([red, green, blue], np.float32)[:, None, None]


@dataclass(frozen=True)
class Crown:
    """Foliage: height of its middle, half its width and half its height, in metres."""

    middle: float
    wide: float
    tall: float


@dataclass(frozen=True)
class Thing:
    """A figure and where it stands.

    Attributes:
        parts: The figure.
        x, z: Its place, in metres.
        turn: About its vertical axis, in radians; at 0 its forward is to the right, at a half pi it is ahead.
        label: Of an object; clutter has none.
        warm: 1 for the figure's own temperature, towards 0 for that of what is behind it.
        dressed: 1 for the figure's own colours, towards 0 for those of what is behind it.
        crown: Foliage on top.
    """

    parts: tuple[Part, ...]
    x: float
    z: float
    turn: float = 0.0
    label: str = ""
    warm: float = 1.0
    dressed: float = 1.0
    crown: Crown | None = None


@dataclass
class Canvas:
    """The image before any camera.

    Attributes:
        layers: (5, H, W): linear RGB light, temperature in degrees Celsius, distance in metres.
        owner: (H, W): number of the object that a pixel shows, 0 for all else.
        grain: (H, W): a fine pattern of deviation 1 that gives surfaces their texture.
        areas: Pixels that each object covered when it was painted, before anything nearer.
    """

    layers: Floats
    owner: NDArray[np.uint16]
    grain: Floats
    areas: dict[int, int] = field(default_factory=dict)

    def blend(self, here: Region, alpha: Floats, value: Floats) -> None:
        """Mix values, (5, h, w), into a region by `alpha`, (h, w)."""
        region = self.layers[:, *here]
        change = value - region
        change *= alpha
        region += change

    def paint(self, rng: Generator, street: Street, thing: Thing, number: int) -> None:
        """Paint a thing and its shadow; `number` is its object's, which clutter does not use."""
        light = street.light_at(thing.x, thing.z)
        if thing.parts:
            self._figure(street, thing, light, number if thing.label else 0)
        if thing.crown:
            self._foliage(rng, street, thing, thing.crown, light)

    def _figure(self, street: Street, thing: Thing, light: float, number: int) -> None:
        camera, parts = street.camera, thing.parts
        cos, sin = np.cos(thing.turn), np.sin(thing.turn)
        rotation = np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])  # of row vectors
        rings = [part.outline for part in parts] + [part.hole for part in parts if part.hole is not None]
        corners = np.concatenate(rings) @ rotation + (thing.x, 0.0, thing.z)
        pixels = camera.project(corners)
        whole = self._region(pixels.min(axis=0), pixels.max(axis=0))
        if whole is None:
            return
        self._shadow(street, corners, 0.6 if thing.label == "car" else 0.4)
        behind = self.layers[LIGHT, *whole].mean(axis=(1, 2))
        before = self.layers[HEAT, *whole].copy()
        ends = np.cumsum([len(ring) for ring in rings])
        starts = np.concatenate([[0], ends[:-1]])
        lows, highs = np.minimum.reduceat(pixels, starts), np.maximum.reduceat(pixels, starts)
        facing = np.array([0.0, camera.above, 0.0]) - corners[starts]
        holes = iter(range(len(parts), len(rings)))
        for index, part in enumerate(parts):
            outline = [pixels[starts[index] : ends[index]]]
            if part.hole is not None:
                hole = next(holes)
                outline.append(pixels[starts[hole] : ends[hole]])
            if part.normal is not None and float(np.array(part.normal) @ rotation @ facing[index]) <= 0.0:
                continue
            here = self._region(lows[index], highs[index])
            if here is None:
                continue
            own = np.multiply(part.colour, street.tint) * light
            colour = behind + thing.dressed * (own - behind) + part.glow
            value = np.array([*colour, street.air + part.heat * street.excess, thing.z], np.float32)
            self._polygon(here, outline, value, part.texture, number)
        heat = self.layers[HEAT, *whole]
        heat[:] = before + np.float32(thing.warm) * (heat - before)
        if number:
            self.areas[number] = int((self.owner[whole] == number).sum())

    def _region(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> Region | None:
        """Return what lies in the image of a box given by two corners (x, y), or None when nothing does."""
        height, width = self.owner.shape
        left, right = max(int(low[0]) - 1, 0), min(int(high[0]) + 2, width)
        top, bottom = max(int(low[1]) - 1, 0), min(int(high[1]) + 2, height)
        return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None

    def _mask(self, here: Region, rings: list[NDArray[np.float64]]) -> Floats:
        """Return how much of each pixel of a region lies inside the rings, inner ones being holes."""
        rows, columns = here
        mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
        corner = (columns.start + 0.5, rows.start + 0.5)
        fixed = [np.rint((ring - corner) * 16.0).astype(np.int32) for ring in rings]
        cv2.fillPoly(mask, fixed, 255, cv2.LINE_AA, 4)
        return mask * np.float32(1.0 / 255.0)

    def _polygon(
        self,
        here: Region,
        rings: list[NDArray[np.float64]],
        value: Floats,
        texture: float,
        number: int,
    ) -> None:
        alpha = self._mask(here, rings)
        region = self.layers[:, *here]
        change = value[:, None, None] - region
        if texture:
            pattern = np.clip(np.float32(texture) * self.grain[here], -0.8, 1.5)
            change[LIGHT] += pattern * value[LIGHT, None, None]
            change[HEAT] += 0.6 * pattern
        change *= alpha
        region += change
        self.owner[here][alpha >= 0.5] = number

    def _shadow(self, street: Street, corners: NDArray[np.float64], strength: float) -> None:
        """Darken the ground under a figure."""
        low, high = corners.min(axis=0), corners.max(axis=0)
        middle, reach = (low + high) / 2.0, (high - low) / 2.0
        turn = np.linspace(0.0, 2.0 * np.pi, 16, endpoint=False)
        for scale in (1.25, 0.85):
            ring = np.zeros((16, 3))
            ring[:, 0] = middle[0] + scale * (reach[0] + 0.08) * np.cos(turn)
            ring[:, 2] = np.maximum(middle[2] + scale * (reach[2] + 0.08) * np.sin(turn), 1.0)
            pixels = street.camera.project(ring)
            here = self._region(pixels.min(axis=0), pixels.max(axis=0))
            if here is not None:
                ground = self.layers[LIGHT, *here]
                ground *= 1.0 - np.float32(0.6 * strength) * self._mask(here, [pixels])

    def _foliage(self, rng: Generator, street: Street, thing: Thing, crown: Crown, light: float) -> None:
        """Paint an ellipse of leaves with a ragged edge, lit from above."""
        camera = street.camera
        x, y = camera.pixel(thing.x, crown.middle, thing.z)
        wide, tall = crown.wide * camera.focal / thing.z, crown.tall * camera.focal / thing.z
        middle, reach = np.array([x, y]), np.array([1.3 * wide, 1.3 * tall])
        here = self._region(middle - reach, middle + reach)
        if here is None:
            return
        rows, columns = here
        across = (np.arange(columns.start, columns.stop, dtype=np.float32)[None] - np.float32(x)) / np.float32(wide)
        down = (np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(y)) / np.float32(tall)
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        ragged, grain = noise(rng, shape, max(wide / 3.0, 2.0)), self.grain[here]
        alpha = np.clip((1.0 - across**2 - down**2 + 0.35 * ragged) * 4.0, 0.0, 1.0)
        green = rgb(0.07, 0.11, 0.035) * rgb(*street.tint) * np.float32(light * rng.uniform(0.7, 1.5))
        leaves = np.clip(1.0 - 0.45 * down + 0.45 * grain + 0.2 * ragged, 0.15, 2.5)
        value = np.empty((LAYERS, *shape), np.float32)
        value[LIGHT] = leaves * green
        value[HEAT] = street.air - 0.5 + 0.7 * ragged + 0.5 * grain
        value[DEPTH] = thing.z
        self.blend(here, alpha, value)
        self.owner[here][alpha >= 0.5] = 0
