"""The setting of a scene, drawn from its seed: camera, road, light, weather; metres and degrees Celsius."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmark.synthetic.scenes.figures import Colour
from metrics.opencv import cv2

Floats = NDArray[np.floating]  # float32 where it is as large as an image
CONDITIONS = ("day", "night", "smoke", "glare")


@dataclass(frozen=True)
class Camera:
    """Projects metres (x right, y up from the ground, z ahead) to pixels; both bands look through it."""

    width: int
    height: int
    focal: float
    horizon: float
    centre: float
    above: float

    def project(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the pixels, (N, 2), of points, (N, 3), in front of the camera."""
        scale = self.focal / points[:, 2]
        pixels = np.empty((len(points), 2))
        pixels[:, 0] = self.centre + points[:, 0] * scale
        pixels[:, 1] = self.horizon + (self.above - points[:, 1]) * scale
        return pixels

    def pixel(self, x: float, y: float, z: float) -> NDArray[np.float64]:
        """Return the pixel, (2,), of one point."""
        return self.project(np.array([[x, y, z]])).ravel()


@dataclass(frozen=True)
class Street:
    """A straight street that the camera looks along.

    Attributes:
        camera: Where it is seen from.
        conditions: "day" or "night", then "smoke" or "glare" where there is any.
        road: Half the carriageway's width.
        front: From the middle of the road to the house fronts.
        park: The side with trees in place of houses: -1 left, 1 right, 0 none.
        shade: The side in shadow by day.
        air: Temperature of the air.
        excess: Of skin above air.
        lamps: (x, z) of the street lamps.
        tint: Colour of the light.
        exposure: Gain of the visible camera.
    """

    camera: Camera
    conditions: tuple[str, ...]
    road: float
    front: float
    park: int
    shade: int
    air: float
    excess: float
    lamps: tuple[tuple[float, float], ...]
    tint: Colour
    exposure: float

    @property
    def night(self) -> bool:
        """Whether lamps are the only light."""
        return self.conditions[0] == "night"

    @property
    def dazzling(self) -> bool:
        """Whether an oncoming car dazzles the camera."""
        return self.night and "glare" in self.conditions

    def light(self, x: Floats, z: Floats) -> Floats:
        """Return the light that falls on places of the street, 1 in full sun."""
        if not self.night:
            if not self.shade:
                return np.ones(np.broadcast(x, z).shape, np.float32)
            shadow: Floats = np.clip(0.5 + (x * self.shade - 0.3 * self.road) / 0.4, 0.0, 1.0)
            return 1.0 - np.float32(0.72) * shadow
        ahead: Floats = np.clip(1.2 - np.abs(x) / (1.0 + 0.16 * z), 0.0, 1.0) / (1.0 + z * z / 81.0)
        total: Floats = 0.006 + 0.25 * ahead
        for lamp_x, lamp_z in self.lamps:
            away = 1.0 + ((x - 0.7 * lamp_x) ** 2 + (z - lamp_z) ** 2) / 9.0
            total = total + 0.42 / (away * away)
        return total

    def light_at(self, x: float, z: float) -> float:
        """Return the light that falls on one place."""
        return float(self.light(np.array([x], np.float32), np.array([z], np.float32))[0])


def street(rng: Generator, seed: int, size: tuple[int, int]) -> Street:
    """Return the street of a seed; the seed's remainder by four chooses the condition."""
    width, height = size
    condition = CONDITIONS[seed % 4]
    # The first smoke is by day and the first glare by night, so that a short set has both of both.
    time = condition if condition in CONDITIONS[:2] else CONDITIONS[(seed // 4 + (condition == "glare")) % 2]
    night = time == "night"
    air = rng.uniform(-2.0, 14.0) if night else rng.uniform(6.0, 27.0)
    road = rng.uniform(4.6, 6.2)
    lamps = tuple(
        (side * (road + 0.7), z + rng.uniform(-1.5, 1.5))
        for z, side in ((9.0, 1), (17.0, -1), (27.0, 1), (40.0, -1), (60.0, 1))
        if rng.random() < 0.75
    )
    return Street(
        camera=Camera(
            width,
            height,
            focal=1.2 * height,
            horizon=height * rng.uniform(0.36, 0.46),
            centre=width * rng.uniform(0.38, 0.62),
            above=rng.uniform(1.9, 2.7),
        ),
        conditions=(time,) if condition == time else (time, condition),
        road=road,
        front=road + rng.uniform(2.8, 4.6),
        park=int(rng.choice((-1, 0, 0, 1))),
        shade=int(rng.choice((-1, 0, 1))),
        air=air,
        excess=max(32.0 - air, 7.0),
        lamps=lamps,
        tint=(1.0, 0.82, 0.55) if night else (1.0, 0.985, 0.95),
        exposure=rng.uniform(1.8, 2.6) if night else rng.uniform(0.95, 1.2),
    )


def noise(rng: Generator, shape: tuple[int, int], cell: float, octaves: int = 4) -> Floats:
    """Return value noise of a standard deviation near 1: patches `cell` pixels wide, halved octave by octave."""
    total = np.zeros(shape, np.float32)
    power = 0.0
    for octave in range(octaves):
        pitch = max(cell / 2**octave, 1.0)
        values = rng.standard_normal((int(shape[0] / pitch) + 2, int(shape[1] / pitch) + 2), dtype=np.float32)
        strength = np.float32(0.6**octave)
        total += strength * cv2.resize(values, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
        power += (0.6 * float(strength)) ** 2
    return total / np.float32(np.sqrt(power))
