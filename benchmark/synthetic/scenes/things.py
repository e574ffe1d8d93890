"""Place objects in a street so that each is visible in at least one band, and many in only one."""

from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmark.synthetic.scenes import figures
from benchmark.synthetic.scenes.canvas import Crown, Thing
from benchmark.synthetic.scenes.sensors import transmission
from benchmark.synthetic.scenes.street import Floats, Street

_TRIES = 8  # places that are tried for an object before it is left out
_COLD = 0.1  # of its own difference in temperature that an object at thermal crossover keeps
_ALIKE = 0.15  # of its own colours that an object keeps that is dressed like its surroundings


@dataclass
class _Placing:
    """The things placed so far."""

    rng: Generator
    street: Street
    density: Floats
    veil: Floats
    things: list[Thing] = field(default_factory=list)
    taken: list[tuple[float, float, float, float]] = field(default_factory=list)
    lamps: list[NDArray[np.float64]] = field(default_factory=list)

    def take(self, x: float, z: float, wide: float, tall: float) -> bool:
        """Return whether a place is in the image and mostly clear of those taken; it is then taken too."""
        camera = self.street.camera
        (left, bottom), (right, top) = camera.pixel(x - wide / 2, 0.0, z), camera.pixel(x + wide / 2, tall, z)
        if min(right, camera.width) - max(left, 0.0) < 0.6 * (right - left) or bottom > 1.1 * camera.height:
            return False
        for other in self.taken:
            across, down = min(right, other[2]) - max(left, other[0]), min(bottom, other[3]) - max(top, other[1])
            smaller = min((right - left) * (bottom - top), (other[2] - other[0]) * (other[3] - other[1]))
            if across > 0.0 and down > 0.0 and across * down > 0.45 * smaller:
                return False
        self.taken.append((left, top, right, bottom))
        return True

    def somewhere(self, nearest: float, farthest: float) -> tuple[float, float]:
        """Return a place in the image, (x, z) in metres, the inverse of its distance even."""
        camera = self.street.camera
        z = 1.0 / self.rng.uniform(1.0 / farthest, 1.0 / nearest)
        return (self.rng.uniform(0.03, 0.97) * camera.width - camera.centre) * z / camera.focal, z

    def bands(self, x: float, z: float, tall: float) -> tuple[float, float]:
        """Return `warm` and `dressed` for a place: heat must show what light does not."""
        if self._clear(x, z, tall) < 0.5:
            return 1.0, 1.0
        chance = self.rng.random()
        if chance < 0.62:
            return _COLD, 1.0
        return 1.0, _ALIKE if chance < 0.75 and not self.street.night else 1.0

    def _clear(self, x: float, z: float, tall: float) -> float:
        """Return how well the visible camera sees a place, 0 to 1."""
        street, camera = self.street, self.street.camera
        pixel = camera.pixel(x, 0.5 * tall, z)
        row = int(np.clip(pixel[1], 0, camera.height - 1))
        column = int(np.clip(pixel[0], 0, camera.width - 1))
        seen = min(street.light_at(x, z) * street.exposure / 0.16, 1.0) if street.night else 1.0
        if any(np.hypot(*(pixel - lamp)) < 0.16 * camera.height for lamp in self.lamps):
            seen *= 0.3
        through = transmission(self.density[row : row + 1, column], np.array([z], np.float32))[0]
        return seen * float(through) / (1.0 + 1.5 * float(self.veil[row, column]))


def things(
    rng: Generator, street: Street, density: Floats, veil: Floats, two_wheeler: figures.TwoWheeler
) -> list[Thing]:
    """Return everything that stands in a street, from far to near.

    Args:
        rng: Where chance comes from.
        street: The street.
        density: Of the smoke, (H, W).
        veil: Of the sun's glare, (H, W).
        two_wheeler: Which kind there is.
    """
    placing = _Placing(rng, street, density, veil)
    _place_cars(placing)
    _place_two_wheelers(placing, two_wheeler)
    _place_people(placing)
    return sorted(placing.things + _furniture(rng, street), key=lambda thing: -thing.z)


def _place_cars(placing: _Placing) -> None:
    rng, street = placing.rng, placing.street
    for index in range(int(rng.integers(3, 6))):
        dazzling = street.dazzling and index == 0
        for _ in range(_TRIES):
            side = -1.0 if dazzling else float(rng.choice((-1.0, 1.0)))
            parked, crossing = rng.random() < 0.45, rng.random() < 0.15
            z = rng.uniform(11.0, 20.0) if dazzling else 1.0 / rng.uniform(1.0 / 34.0, 1.0 / 10.0)
            turn = side * np.pi / 2.0 + rng.normal(0.0, 0.06)
            x = side * (street.road - 1.2 if parked and not dazzling else 0.45 * street.road)
            if crossing and not street.dazzling:
                parked, turn = False, float(rng.choice((0.0, np.pi)))
                x = rng.uniform(-0.8, 0.8) * street.road
            if not placing.take(x, z, 2.2 if abs(np.sin(turn)) > 0.5 else 4.2, 1.5):
                continue
            lamps = 0.0 if parked or not street.night else 5.0
            if dazzling:
                lamps = 60.0
                placing.lamps.append(street.camera.pixel(x, 0.7, z - 2.0))
            warm, dressed = placing.bands(x, z, 1.5)
            if lamps:
                warm = 1.0
            car = figures.car(rng, lamps=lamps)
            placing.things.append(Thing(tuple(car), x, z, turn, "car", warm, dressed))
            break


def _place_two_wheelers(placing: _Placing, kind: figures.TwoWheeler) -> None:
    rng, street = placing.rng, placing.street
    make = figures.bicycle if kind == "bicycle" else figures.motorcycle
    for _ in range(int(rng.integers(2, 5))):
        for _ in range(_TRIES):
            x, z = placing.somewhere(6.5, 18.0)
            wanted = abs(x) < street.front - 0.5 and (abs(x) > 0.5 * street.road or rng.random() < 0.3)
            if not wanted or not placing.take(x, z, 1.7, 1.3):
                continue
            warm, dressed = placing.bands(x, z, 1.0)
            ridden = warm == 1.0 or rng.random() < 0.5
            turn = rng.uniform(-0.9, 0.9) + np.pi * float(rng.integers(2))
            machine = make(rng, pixel=z / street.camera.focal)
            placing.things.append(Thing(tuple(machine), x, z, turn, kind, warm, dressed))
            if ridden:
                rider = figures.person(rng, seated=True)
                placing.things.append(Thing(tuple(rider), x, z - 0.02, turn, "person", warm, dressed))
            break


def _place_people(placing: _Placing) -> None:
    rng, street = placing.rng, placing.street
    for _ in range(int(rng.integers(3, 8))):
        for _ in range(_TRIES):
            x, z = placing.somewhere(6.5, 22.0)
            wanted = abs(x) < street.front - 0.3 and (abs(x) > street.road or rng.random() < 0.35)
            if not wanted or not placing.take(x, z, 0.7, 1.75):
                continue
            warm, dressed = placing.bands(x, z, 1.7)
            turn = np.pi * float(rng.integers(2)) + rng.uniform(-0.5, 0.5)
            placing.things.append(Thing(tuple(figures.person(rng)), x, z, turn, "person", warm, dressed))
            break


def _furniture(rng: Generator, street: Street) -> list[Thing]:
    """Return lamps, trees, bushes, and clutter that resembles objects in one band or the other."""
    edge = street.road + 0.7
    glow = 14.0 if street.night else 0.0
    found = [Thing(tuple(figures.street_lamp(rng, glow=glow)), x, z) for x, z in street.lamps]
    for side in (-1, 1):
        if side == street.park:
            spots = [(rng.uniform(street.road + 2.0, street.front + 8.0), rng.uniform(9.0, 60.0)) for _ in range(14)]
        else:
            spots = [(edge + 0.3, rng.uniform(11.0, 50.0)) for _ in range(int(rng.integers(4)))]
        for x, z in spots:
            size = rng.uniform(0.8, 1.4)
            crown = Crown(3.6 * size, 1.6 * size, 1.7 * size)
            found.append(Thing((figures.trunk(),), side * x, z, crown=crown))
        for _ in range(int(rng.integers(4))):
            low = rng.uniform(0.3, 0.6)
            x = side * (edge + rng.uniform(0.6, 1.8))
            found.append(Thing((), x, rng.uniform(8.0, 30.0), crown=Crown(low, 1.6 * low, low)))
    for make in (figures.box, figures.poster, figures.statue, figures.sign, figures.box):
        if rng.random() < 0.6:
            x = float(rng.choice((-1.0, 1.0))) * (edge + rng.uniform(0.0, street.front - edge - 0.8))
            found.append(Thing(tuple(make(rng)), x, 1.0 / rng.uniform(1.0 / 30.0, 1.0 / 9.0)))
    return found
