"""The objects of a synthetic street: people, cars, two-wheelers and clutter as coloured polygons in metres.

A figure is a list of parts, painted in order. Axes: x to the right (a vehicle's forward), y up from the
ground, z away from the viewer. Heat is 0 at the temperature of the air and 1 at that of skin.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Colour = tuple[float, float, float]
Points = NDArray[np.float64]
TwoWheeler = Literal["bicycle", "motorcycle"]

DARK: Colour = (0.02, 0.02, 0.022)
RUBBER: Colour = (0.025, 0.025, 0.028)
STEEL: Colour = (0.25, 0.26, 0.28)
GLASS: Colour = (0.05, 0.06, 0.075)
NO_GLOW: Colour = (0.0, 0.0, 0.0)
_CLOTHES: tuple[Colour, ...] = (
    (0.03, 0.03, 0.04),
    (0.05, 0.07, 0.16),
    (0.45, 0.05, 0.05),
    (0.60, 0.58, 0.55),
    (0.62, 0.50, 0.08),
    (0.06, 0.22, 0.10),
    (0.30, 0.20, 0.12),
    (0.12, 0.28, 0.50),
    (0.75, 0.75, 0.75),
)
_SKIN: tuple[Colour, ...] = ((0.55, 0.36, 0.27), (0.40, 0.24, 0.16), (0.20, 0.11, 0.07))
_HAIR: Colour = (0.03, 0.02, 0.015)
_PAINT: tuple[Colour, ...] = (
    (0.70, 0.70, 0.70),
    (0.38, 0.39, 0.41),
    (0.03, 0.03, 0.035),
    (0.42, 0.03, 0.03),
    (0.04, 0.08, 0.28),
    (0.10, 0.11, 0.12),
    (0.50, 0.42, 0.28),
    (0.60, 0.38, 0.03),
)
_TURN = np.linspace(0.0, 2.0 * np.pi, 16, endpoint=False)
_CIRCLE = np.column_stack([np.cos(_TURN), np.sin(_TURN), np.zeros(16)])


@dataclass(frozen=True)
class Part:
    """One flat polygon of a figure.

    Attributes:
        outline: (N, 3) corners in metres.
        colour: Reflectance, linear RGB.
        heat: Temperature above the air's, 1 at skin.
        texture: Strength of the pattern on it, relative to its colour.
        glow: Light that it gives by itself, linear RGB.
        normal: Where it faces; a part that faces away is not painted. None faces everywhere.
        hole: (M, 3) corners of an opening.
    """

    outline: Points
    colour: Colour
    heat: float = 0.0
    texture: float = 0.0
    glow: Colour = NO_GLOW
    normal: tuple[float, float, float] | None = None
    hole: Points | None = None


@dataclass(frozen=True)
class _Pose:
    """Joints of a body in its plane; a leg is hip, knee, foot, an arm is shoulder, elbow, hand."""

    hip: Points
    shoulder: Points
    half: float
    legs: tuple[tuple[Points, Points, Points], ...]
    arms: tuple[tuple[Points, Points, Points], ...]


def person(rng: Generator, *, seated: bool = False) -> list[Part]:
    """Return someone who walks or stands, 1.5 to 1.9 m tall, or who sits on a two-wheeler's saddle."""
    pose = _riding() if seated else _walking(rng)
    cloth, trousers, skin = _pick(rng, _CLOTHES), _pick(rng, _CLOTHES), _pick(rng, _SKIN)
    heat = rng.uniform(0.45, 0.8)
    parts = []
    for hip, knee, foot in pose.legs:
        parts.append(_limb(hip, knee, 0.17, trousers, 0.85 * heat, texture=0.15))
        parts.append(_limb(knee, foot, 0.13, trousers, 0.8 * heat, texture=0.15))
        parts.append(_limb(_by(foot, -0.05, 0.02), _by(foot, 0.13, 0.0), 0.09, DARK, 0.25))
    parts += _arm(pose.arms[0], cloth, skin, heat)
    hip, shoulder, half = pose.hip, pose.shoulder, pose.half
    torso = [
        _by(hip, -0.85 * half, -0.04),
        _by(hip, 0.85 * half, -0.04),
        _by(shoulder, half, 0.0),
        _by(shoulder, 0.5 * half, 0.07),
        _by(shoulder, -0.5 * half, 0.07),
        _by(shoulder, -half, 0.0),
    ]
    parts.append(Part(_flat(torso), cloth, heat, rng.uniform(0.1, 0.5)))
    if rng.random() < 0.3:
        bag = _ellipse(_by((hip + shoulder) / 2.0, -0.8 * half, 0.08), 0.12, 0.2)
        parts.append(Part(bag, _pick(rng, _CLOTHES), 0.15, 0.2))
    parts += _arm(pose.arms[1], cloth, skin, heat)
    head = _by(shoulder, 0.05, 0.2)
    parts.append(_limb(shoulder, head, 0.1, skin, 0.95))
    parts.append(Part(_ellipse(head, 0.095, 0.125), skin, 1.0))
    hair = _HAIR if rng.random() < 0.7 else _pick(rng, _CLOTHES)
    parts.append(Part(_ellipse(_by(head, -0.02, 0.045), 0.1, 0.09), hair, 0.75))
    return parts if seated else _scaled(parts, rng.uniform(0.87, 1.08))


def _walking(rng: Generator) -> _Pose:
    """Return the pose of someone on foot, seen from the side or from the front."""
    side = rng.random() < 0.6
    swing = rng.uniform(0.08, 0.5) if side else rng.uniform(0.02, 0.1)
    hip, shoulder = np.array([0.0, 0.9]), np.array([0.0, 1.43])
    legs, arms = [], []
    for sign in (-1.0, 1.0):
        top = _by(hip, sign * (0.02 if side else 0.09), 0.02)
        knee = _by(top, sign * 0.45 * np.sin(swing), -0.45 * np.cos(swing))
        legs.append((top, knee, _by(knee, 0.44 * np.sin(sign * swing - 0.25 * side), -0.43)))
        top = _by(shoulder, sign * (0.02 if side else 0.21), -0.03)
        elbow = _by(top, sign * (0.06 - 0.2 * swing * side), -0.29)
        arms.append((top, elbow, _by(elbow, 0.1 * side + 0.02 * sign, -0.25)))
    return _Pose(hip, shoulder, 0.13 if side else 0.2, tuple(legs), tuple(arms))


def _riding() -> _Pose:
    """Return the pose of someone on a saddle, hands on the bar, feet on the pedals."""
    hip, shoulder = np.array([-0.25, 0.98]), np.array([0.02, 1.5])
    legs = tuple(
        (hip, _by(hip, *knee), _by(hip, *foot))
        for knee, foot in (((0.36, -0.13), (0.30, -0.58)), ((0.40, -0.22), (0.18, -0.70)))
    )
    arm = (shoulder, _by(shoulder, 0.18, -0.26), _by(shoulder, 0.42, -0.36))
    return _Pose(hip, shoulder, 0.13, legs, (arm, arm))


def car(rng: Generator, *, lamps: float = 0.0) -> list[Part]:
    """Return a car, about 4.3 m long, whose bonnet, wheels and exhaust are warm.

    Args:
        rng: Where shape and colour come from.
        lamps: Light of its headlamps, linear; tail lamps are a small part of it.
    """
    paint = _pick(rng, _PAINT)
    roof, length, half = rng.uniform(1.38, 1.72), rng.uniform(0.93, 1.07), 0.88
    boot = rng.random() < 0.55
    rear = [(-2.1, 0.28), (-2.16, 0.62), (-2.1, 0.92)]
    rear += [(-1.45, 0.98), (-0.85, roof)] if boot else [(-2.05, 1.0), (-1.75, roof)]
    front = [(0.35, roof), (1.05, 0.97), (1.95, 0.82), (2.12, 0.6), (2.08, 0.28)]
    profile = np.array(rear + front) * (length, 1.0)
    shades = (0.75, 0.85, 1.0, 0.8, 1.15, 0.8, 1.1, 0.9, 0.75)
    heats = (0.55, 0.25, 0.12, -0.15, 0.05, -0.1, 0.75, 0.85, 0.8)
    parts = []
    for index, (start, end) in enumerate(pairwise(profile)):
        step = end - start
        normal = (-step[1], step[0], 0.0)
        parts.append(Part(_across(start, end, half), _shade(paint, shades[index]), heats[index], 0.06, normal=normal))
        if index in (3, 5):
            pane = _across(start + 0.12 * step, end - 0.1 * step, half - 0.12)
            parts.append(Part(pane, GLASS, -0.3, normal=normal))
    for sign in (-1.0, 1.0):
        parts += _car_side(profile, sign * half, paint, roof)
    for at, normal, glow, colour in (
        (profile[-2], (1.0, 0.0, 0.0), (lamps, 0.92 * lamps, 0.75 * lamps), (0.7, 0.7, 0.65)),
        (profile[1], (-1.0, 0.0, 0.0), (0.06 * lamps, 0.004 * lamps, 0.003 * lamps), (0.45, 0.02, 0.02)),
    ):
        for sign in (-1.0, 1.0):
            lamp = _ellipse((0.0, 0.68), 0.17, 0.09)
            lamp = np.column_stack([np.full(len(lamp), at[0]), lamp[:, 1], lamp[:, 0] + sign * 0.64])
            parts.append(Part(lamp, colour, 0.5, glow=glow, normal=normal))
        plate = np.array([(at[0], y, z) for y, z in ((0.42, -0.26), (0.54, -0.26), (0.54, 0.26), (0.42, 0.26))])
        parts.append(Part(plate, (0.6, 0.6, 0.5), 0.3, normal=normal))
    return parts


def bicycle(rng: Generator, *, pixel: float) -> list[Part]:
    """Return a bicycle seen from its side, as warm as one that is ridden.

    Args:
        rng: Where its colour comes from.
        pixel: Metres that a pixel covers at its distance: the thinnest that a tube gets.
    """
    paint = _pick(rng, _PAINT)
    tube = max(0.05, 1.1 * pixel)
    rear, front, pedal = np.array([-0.52, 0.34]), np.array([0.54, 0.34]), np.array([-0.06, 0.3])
    saddle, head = np.array([-0.24, 0.86]), np.array([0.36, 0.84])
    parts = [_wheel(at, 0.345, max(0.05, pixel), 0.22) for at in (rear, front)]
    for start, end in ((rear, pedal), (rear, saddle), (pedal, saddle), (pedal, head), (saddle, head), (head, front)):
        parts.append(_limb(start, end, tube, paint, 0.12))
    parts.append(_limb(_by(saddle, -0.12, 0.08), _by(saddle, 0.13, 0.08), max(0.07, pixel), DARK, 0.3))
    parts.append(_limb(head, _by(head, 0.0, 0.17), tube, STEEL, 0.12))
    parts.append(_limb(_by(head, -0.02, 0.17), _by(head, 0.14, 0.2), tube, DARK, 0.3))
    return parts


def motorcycle(rng: Generator, *, pixel: float) -> list[Part]:
    """Return a motorcycle seen from its side, engine and exhaust hot; `pixel` as for `bicycle`."""
    paint = _pick(rng, _PAINT)
    rear, front = np.array([-0.66, 0.31]), np.array([0.68, 0.31])
    parts = [_wheel(at, 0.32, 0.12, 0.35) for at in (rear, front)]
    parts.append(_limb(front, (0.42, 0.95), max(0.08, pixel), STEEL, 0.1))
    parts.append(Part(_flat([(-0.35, 0.22), (0.36, 0.22), (0.42, 0.6), (-0.3, 0.62)]), (0.1, 0.1, 0.11), 1.1, 0.3))
    parts.append(_limb((-0.85, 0.3), (-0.1, 0.28), max(0.1, pixel), STEEL, 1.3))
    parts.append(Part(_flat([(-0.95, 0.66), (0.0, 0.6), (-0.05, 0.8), (-0.9, 0.86)]), DARK, 0.2, 0.1))
    parts.append(Part(_flat([(-0.1, 0.58), (0.48, 0.62), (0.5, 0.92), (0.3, 1.0), (-0.1, 0.82)]), paint, 0.35))
    parts.append(_limb((0.36, 1.08), (0.52, 1.06), max(0.07, pixel), DARK, 0.1))
    return parts


def street_lamp(rng: Generator, *, glow: float) -> list[Part]:
    """Return a street lamp, 5.7 m tall, its head warm; `glow` is its light."""
    arm = float(rng.choice((-1.0, 1.0)))
    light = (glow, 0.8 * glow, 0.5 * glow)
    return [
        _limb((0.0, 0.0), (0.0, 5.5), 0.13, STEEL, 0.0),
        _limb((0.0, 5.5), (0.9 * arm, 5.65), 0.09, STEEL, 0.0),
        Part(_ellipse((1.1 * arm, 5.62), 0.32, 0.1), (0.6, 0.6, 0.55), 1.1 if glow else 0.1, glow=light),
    ]


def sign(rng: Generator) -> list[Part]:
    """Return a traffic sign on its pole, cold."""
    board = _pick(rng, ((0.6, 0.04, 0.04), (0.04, 0.12, 0.5), (0.65, 0.5, 0.03)))
    middle, white = (0.0, 2.4), (0.75, 0.75, 0.75)
    return [
        _limb((0.0, 0.0), middle, 0.08, STEEL, 0.0),
        Part(_ellipse(middle, 0.36, 0.36), board, -0.05),
        Part(_ellipse(middle, 0.22, 0.22), white, -0.05, hole=_ellipse(middle, 0.1, 0.1)),
    ]


def trunk() -> Part:
    """Return the trunk of a tree."""
    return Part(_flat([(-0.14, 0.0), (0.14, 0.0), (0.1, 2.6), (-0.1, 2.6)]), (0.10, 0.07, 0.05))


def box(rng: Generator) -> list[Part]:
    """Return a litter bin, cold, or a ventilation outlet, as warm as a person and half as tall."""
    width, height = rng.uniform(0.25, 0.45), rng.uniform(0.8, 1.2)
    outlet = rng.random() < 0.4
    heat = rng.uniform(0.5, 0.9) if outlet else -0.05
    colour = STEEL if outlet else _pick(rng, ((0.03, 0.12, 0.05), (0.10, 0.10, 0.11), (0.03, 0.06, 0.2)))
    body = [(-width, 0.0), (width, 0.0), (1.1 * width, height), (-1.1 * width, height)]
    slats = [
        _limb((-0.8 * width, level * height), (0.8 * width, level * height), 0.06, DARK, 0.5 * heat)
        for level in (0.3, 0.5, 0.7)
    ]
    return [Part(_flat(body), colour, heat, 0.2), *slats]


def statue(rng: Generator) -> list[Part]:
    """Return a grey figure on a plinth: human in shape, as cold as stone."""
    stone = _pick(rng, ((0.28, 0.27, 0.25), (0.12, 0.17, 0.14)))
    plinth = Part(_flat([(-0.4, 0.0), (0.4, 0.0), (0.35, 0.6), (-0.35, 0.6)]), _shade(stone, 0.8), -0.05, 0.3)
    body = [
        Part(part.outline + np.array([0.0, 0.6, 0.0]), _shade(stone, 0.8 + 0.05 * (index % 5)), -0.05, 0.2)
        for index, part in enumerate(person(rng))
    ]
    return [plinth, *body]


def poster(rng: Generator) -> list[Part]:
    """Return an advertising board with the image of a person on it, as cold as the board."""
    back = _pick(rng, ((0.7, 0.68, 0.6), (0.1, 0.3, 0.5), (0.55, 0.2, 0.15)))
    frame = Part(_flat([(-0.65, 0.15), (0.65, 0.15), (0.65, 2.35), (-0.65, 2.35)]), (0.08, 0.08, 0.09), -0.03)
    sheet = Part(_flat([(-0.58, 0.22), (0.58, 0.22), (0.58, 2.28), (-0.58, 2.28)]), back, -0.03, 0.15)
    body = [Part(part.outline + np.array([0.0, 0.35, 0.0]), part.colour, -0.03, 0.1) for part in person(rng)]
    return [frame, sheet, *body]


def _car_side(profile: Points, z: float, paint: Colour, roof: float) -> list[Part]:
    """Return one side of a car: panel, windows, sill and two wheels."""
    normal = (0.0, 0.0, float(np.sign(z)))

    def at(points: Sequence[Sequence[float]] | Points) -> Points:
        points = np.asarray(points, dtype=np.float64)
        return np.column_stack([points, np.full(len(points), z)])

    parts = [Part(at(profile), _shade(paint, 0.85), 0.12, 0.06, normal=normal)]
    low, high = profile[3:5], profile[5:7]
    base, top = 0.99, roof - 0.09
    left = float(np.interp(base, [low[0, 1], low[1, 1]], [low[0, 0], low[1, 0]])) + 0.15
    panes = ((left, -0.28, low[1, 0] + 0.08), (-0.2, high[1, 0] - 0.15, -0.2))
    first = [(panes[0][0], base), (-0.28, base), (-0.28, top), (panes[0][2], top)]
    second = [(-0.2, base), (high[1, 0] - 0.15, base), (high[0, 0] - 0.02, top), (-0.2, top)]
    parts += [Part(at(first), GLASS, -0.25, normal=normal), Part(at(second), GLASS, -0.25, normal=normal)]
    parts.append(Part(at([(-1.9, 0.26), (1.9, 0.26), (1.9, 0.36), (-1.9, 0.36)]), DARK, 0.3, normal=normal))
    for x in (-1.3, 1.32):
        parts.append(Part(at(_ellipse((x, 0.33), 0.36, 0.33)[:, :2]), RUBBER, 0.55, normal=normal))
        parts.append(Part(at(_ellipse((x, 0.33), 0.21, 0.2)[:, :2]), STEEL, 0.95, normal=normal))
    return parts


def _arm(joints: tuple[Points, Points, Points], cloth: Colour, skin: Colour, heat: float) -> list[Part]:
    shoulder, elbow, hand = joints
    sleeve = _shade(cloth, 0.85)
    return [
        _limb(shoulder, elbow, 0.11, sleeve, 0.9 * heat, texture=0.1),
        _limb(elbow, hand, 0.09, sleeve, 0.9 * heat, texture=0.1),
        Part(_ellipse(hand, 0.05, 0.06), skin, 0.85),
    ]


def _wheel(centre: Points, radius: float, tyre: float, heat: float) -> Part:
    return Part(_ellipse(centre, radius, radius), RUBBER, heat, hole=_ellipse(centre, radius - tyre, radius - tyre))


def _limb(
    start: Sequence[float] | Points,
    end: Sequence[float] | Points,
    width: float,
    colour: Colour,
    heat: float,
    *,
    texture: float = 0.0,
) -> Part:
    """Return a bar between two points of the plane z = 0, its ends pointed a little."""
    first, last = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    along = (last - first) / max(float(np.hypot(*(last - first))), 1e-9)
    aside = np.array([-along[1], along[0]]) * (width / 2)
    tip = along * (0.3 * width)
    outline = [first + aside, last + aside, last + tip, last - aside, first - aside, first - tip]
    return Part(_flat(outline), colour, heat, texture)


def _ellipse(centre: Sequence[float] | Points, across: float, up: float) -> Points:
    return _CIRCLE * (across, up, 0.0) + (centre[0], centre[1], 0.0)


def _flat(points: Sequence[Sequence[float]] | Sequence[Points]) -> Points:
    plane = np.asarray(points, dtype=np.float64)
    return np.column_stack([plane, np.zeros(len(plane))])


def _across(start: Points, end: Points, half: float) -> Points:
    """Return the rectangle that a profile's edge sweeps over a vehicle's width."""
    return np.array([(*start, -half), (*end, -half), (*end, half), (*start, half)])


def _scaled(parts: list[Part], scale: float) -> list[Part]:
    return [Part(part.outline * scale, part.colour, part.heat, part.texture) for part in parts]


def _by(point: Points, right: float, up: float) -> Points:
    return np.array([point[0] + right, point[1] + up])


def _shade(colour: Colour, by: float) -> Colour:
    return (colour[0] * by, colour[1] * by, colour[2] * by)


def _pick(rng: Generator, colours: Sequence[Colour]) -> Colour:
    return colours[int(rng.integers(len(colours)))]
