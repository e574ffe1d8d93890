"""The background of a scene: sky, skyline, ground and houses."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from benchmark.synthetic.scenes.canvas import DEPTH, HEAT, LAYERS, LIGHT, Canvas, rgb
from benchmark.synthetic.scenes.street import Floats, Street, noise
from metrics.opencv import cv2


@dataclass(frozen=True)
class _House:
    """One house: from `near` to `far` along the street, in metres, and how its fronts look."""

    near: float
    far: float
    tall: float
    wall: Floats
    pitch: float
    storey: float
    wide: float
    high: float
    rooms: Floats
    heat: float


def backdrop(rng: Generator, street: Street) -> Canvas:
    """Return a canvas with all of it."""
    camera = street.camera
    shape = (camera.height, camera.width)
    canvas = Canvas(np.zeros((LAYERS, *shape), np.float32), np.zeros(shape, np.uint16), noise(rng, shape, 5.0, 3))
    _sky(rng, canvas, street)
    _ground(rng, canvas, street)
    for side in (-1, 1):
        if side != street.park:
            for house in reversed(_row(rng, street)):
                _house(canvas, street, house, side)
    return canvas


def _band(distance: Floats, half: float, footprint: Floats) -> Floats:
    """Return how much of each pixel a stripe covers, from the distance to its middle and the pixel's size."""
    return np.clip((half - np.abs(distance)) / footprint + 0.5, 0.0, 1.0)


def _sky(rng: Generator, canvas: Canvas, street: Street) -> None:
    """Paint sky with clouds, then distant roofs and trees."""
    camera = street.camera
    height = int(camera.horizon) + 4
    rows = np.arange(height, dtype=np.float32)[:, None]
    up = np.clip(1.0 - rows / np.float32(camera.horizon), 0.0, 1.0)
    cloud = noise(rng, (height, camera.width), 0.35 * camera.width, 5)
    cloud = np.clip(0.5 + 0.5 * cloud - np.float32(0.3 * rng.random()), 0.0, 1.0)
    low, high = rgb(0.78, 0.82, 0.86), rgb(0.30, 0.48, 0.78)
    colour = low + up * (high - low)
    colour = colour + 0.7 * cloud * (np.float32(0.85) - colour)
    sky = canvas.layers[:, :height]
    sky[LIGHT] = colour * np.float32(0.012 if street.night else 0.8)
    sky[HEAT] = street.air - 4.0 - 9.0 * up + 3.0 * cloud
    sky[DEPTH] = 300.0
    steps = np.repeat(rng.uniform(0.0, 0.07, 40), rng.integers(3, 14, 40))
    roofs = np.interp(np.linspace(0.0, len(steps) - 1.0, camera.width), np.arange(len(steps)), steps)
    trees = np.clip(0.035 + 0.012 * noise(rng, (1, camera.width), 0.08 * camera.width, 5)[0], 0.01, 0.1)
    for top, shade, texture, warmth in (
        (roofs, rgb(0.22, 0.23, 0.25), 0.1, -0.5),
        (trees, rgb(0.10, 0.14, 0.09), 0.35, -1.5),
    ):
        alpha = np.clip(rows - (camera.horizon - camera.height * top).astype(np.float32) + 0.5, 0.0, 1.0)
        grain = canvas.grain[:height]
        value = np.empty((LAYERS, *alpha.shape), np.float32)
        light = np.float32(0.02 if street.night else 0.8)
        value[LIGHT] = np.clip(1.0 + texture * grain, 0.2, 2.0) * light * shade
        value[HEAT] = np.float32(street.air + warmth) + texture * grain
        value[DEPTH] = 150.0
        canvas.blend((slice(0, height), slice(0, camera.width)), alpha, value)


def _ground(rng: Generator, canvas: Canvas, street: Street) -> None:
    """Paint carriageway, marks, kerbs, pavement and grass by the place on the ground that each pixel sees."""
    camera, road = street.camera, street.road
    first = int(camera.horizon) + 2
    rows = np.arange(first, camera.height, dtype=np.float32)[:, None] + np.float32(0.5)
    z = np.float32(camera.focal * camera.above) / (rows - np.float32(camera.horizon))
    foot = z / np.float32(camera.focal)
    x = (np.arange(camera.width, dtype=np.float32)[None] + np.float32(0.5 - camera.centre)) * foot
    away = np.abs(x)
    tile = noise(rng, (256, 256), 20.0, 4)
    along = np.broadcast_to(z * np.float32(9.0), x.shape)
    texture = cv2.remap(tile, x * np.float32(18.0), along, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    texture = 0.45 * texture + 0.45 * canvas.grain[first:]
    on_road = _band(away, road, foot)
    joints = np.maximum(_band(x % 1.0 - 0.5, 0.02, foot), _band(z % 1.0 - 0.5, 0.02, foot * z)) * (z < 22.0)
    pavement = (0.30 - 0.1 * joints) * (1.0 + 0.12 * texture)
    asphalt = np.float32(rng.uniform(0.09, 0.15)) * (1.0 + 0.22 * texture)
    shade = pavement + on_road * (asphalt - pavement)
    marks = np.maximum(_band(x, 0.07, foot) * ((z + 2.0) % 6.0 < 3.5), _band(away - road + 0.35, 0.06, foot))
    crossing = np.float32(rng.uniform(9.0, 26.0))
    if rng.random() < 0.6:
        stripes = _band(x % 1.1 - 0.55, 0.28, foot) * (away < road - 0.3)
        marks = np.maximum(marks, stripes * _band(z - crossing, 1.6, foot * 6.0))
    kerb = _band(away - road - 0.12, 0.12, foot)
    shade += marks * (np.float32(0.62) - shade) * (1.0 - 0.15 * np.clip(texture, 0.0, 2.0))
    shade += kerb * (np.float32(0.42) - shade)
    tracks = np.maximum(_band(away - 0.95, 0.22, foot + 0.2), _band(away - 2.6, 0.22, foot + 0.2))
    light = street.light(x, z)
    heat = np.float32(street.air + 1.5) + 1.5 * on_road + 0.5 * texture
    heat += 0.9 * tracks - 0.8 * kerb - 0.5 * marks
    if not street.night:
        heat += 5.0 * np.clip(light - 0.3, 0.0, 1.0) * on_road
    colour = shade * rgb(1.0, 0.99, 0.95)
    if street.park:
        grass = np.clip((x * street.park - np.float32(road + 2.0)) / foot + 0.5, 0.0, 1.0)
        blades = np.clip(1.0 + 0.45 * texture, 0.2, 2.5) * rgb(0.08, 0.14, 0.04)
        colour += grass * (blades - colour)
        heat += grass * (np.float32(street.air - 1.0) + 0.7 * texture - heat)
    layers = canvas.layers[:, first:]
    layers[LIGHT] = colour * light * rgb(*street.tint)
    layers[HEAT], layers[DEPTH] = heat, z


def _row(rng: Generator, street: Street) -> list[_House]:
    """Return the houses of one side, from near to far."""
    houses = []
    near = rng.uniform(5.0, 9.0)
    while near < 70.0:
        end = near + rng.uniform(9.0, 22.0)
        houses.append(
            _House(
                near=near,
                far=end - (rng.uniform(1.5, 5.0) if rng.random() < 0.5 else 0.0),
                tall=rng.uniform(5.0, 19.0),
                wall=rgb(1.0, rng.uniform(0.82, 1.0), rng.uniform(0.6, 0.95)) * np.float32(rng.uniform(0.12, 0.5)),
                pitch=rng.uniform(1.8, 3.2),
                storey=rng.uniform(2.7, 3.4),
                wide=rng.uniform(0.45, 0.75),
                high=rng.uniform(0.4, 0.6),
                rooms=rng.random((8, 16), dtype=np.float32),
                heat=street.air + rng.uniform(-1.5, 3.0),
            )
        )
        near = end
    return houses


def _house(canvas: Canvas, street: Street, house: _House, side: int) -> None:
    """Paint the two walls of a house that the camera sees."""
    camera = street.camera
    outward = (np.arange(camera.width, dtype=np.float32) + np.float32(0.5 - camera.centre)) * side
    z = np.float32(camera.focal * street.front) / np.maximum(outward, 1e-3)
    beyond = outward * np.float32(house.near / camera.focal) - np.float32(street.front)
    for columns, gable in (((z >= house.near) & (z < house.far), False), ((beyond > 0.0) & (beyond < 10.0), True)):
        picked = np.flatnonzero(columns)
        if not len(picked):
            continue
        depth = np.full(len(picked), house.near, np.float32) if gable else z[picked]
        across = outward[picked] * np.float32(house.near / camera.focal) if gable else depth
        _wall(canvas, street, house, side, int(picked[0]), depth, across, 0.75 if gable else 1.0)


def _wall(
    canvas: Canvas, street: Street, house: _House, side: int, left: int, depth: Floats, across: Floats, lit: float
) -> None:
    """Paint a wall with rows of windows over adjoining columns, given each one's distance and place on the wall."""
    camera = street.camera
    nearest = camera.focal / float(depth.min())
    top = max(int(camera.horizon - (house.tall - camera.above) * nearest) - 1, 0)
    bottom = min(int(camera.horizon + camera.above * nearest) + 2, camera.height)
    if bottom <= top:
        return
    here = (slice(top, bottom), slice(left, left + len(depth)))
    grain = canvas.grain[here]
    foot = depth / np.float32(camera.focal)
    rows = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5)
    up = np.float32(camera.above) - (rows - np.float32(camera.horizon)) * foot
    alpha = np.clip(up / foot + 0.5, 0.0, 1.0) * np.clip((np.float32(house.tall) - up) / foot + 0.5, 0.0, 1.0)
    step = np.abs(np.gradient(across)) if len(across) > 1 else foot
    floor, place = np.floor(up / np.float32(house.storey)), np.floor(across / np.float32(house.pitch))
    beside = across - (place + 0.5) * np.float32(house.pitch)
    window = _band(beside, 0.5 * house.wide * house.pitch, np.maximum(step, foot))
    window = window * np.clip(1.6 - 2.0 * step / np.float32(house.pitch), 0.25, 1.0)  # fine rows blur with distance
    over = up - (floor + np.float32(0.55)) * np.float32(house.storey)
    window = window * _band(over, 0.5 * house.high * house.storey, foot)
    room = house.rooms[floor.astype(np.intp) % 8, place.astype(np.intp) % 16]
    light = street.light(np.full_like(depth, side * (street.front - 1.0)), depth) * np.float32(lit)
    if street.night:
        light = light * np.clip(1.3 - up / 9.0, 0.25, 1.0)
    brick = np.clip(1.0 + 0.16 * grain - 0.25 * (up < 0.7), 0.3, 2.0) * house.wall
    pane = (0.04 + 0.22 * room) * rgb(0.85, 0.95, 1.1)
    value = np.empty((LAYERS, *alpha.shape), np.float32)
    value[LIGHT] = (brick + window * (pane - brick)) * light * rgb(*street.tint)
    if street.night:
        glow = window * (room > 0.72) * (0.05 + 0.25 * (room - 0.72))
        value[LIGHT] += glow * rgb(1.0, 0.8, 0.45)
    value[HEAT] = np.float32(house.heat) + 0.4 * grain + window * (5.0 * room - 3.0) + 0.04 * up
    value[DEPTH] = depth
    canvas.blend(here, alpha, value)
