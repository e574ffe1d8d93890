"""From a scene to its images: smoke, glare, and the two cameras."""

from typing import cast

import numpy as np
from numpy.random import Generator

from benchmark.synthetic.scenes.canvas import DEPTH, HEAT, LIGHT, rgb
from benchmark.synthetic.scenes.street import Camera, Floats, Street, noise
from metrics.images import ImageArray
from metrics.opencv import cv2


def smoke(rng: Generator, street: Street) -> Floats:
    """Return the smoke's density in each direction, (H, W), 0 where the air is clear."""
    camera = street.camera
    shape = (camera.height, camera.width)
    if "smoke" not in street.conditions:
        return np.zeros(shape, np.float32)
    plume = noise(rng, shape, 0.4 * camera.width, 5)
    x = (np.arange(camera.width, dtype=np.float32) / camera.width - np.float32(rng.uniform(0.3, 0.7)))[None]
    y = np.clip(np.float32(camera.horizon) - np.arange(camera.height, dtype=np.float32), 0.0, None)[:, None]
    density: Floats = np.clip(1.9 + 0.8 * plume - 12.0 * x * x - y * np.float32(4.0 / camera.height), 0.0, 3.5)
    return density


def transmission(density: Floats, depth: Floats) -> Floats:
    """Return the share of visible light that comes through the smoke from a distance in metres."""
    path: Floats = np.clip((depth - np.float32(8.0)) / np.float32(9.0), 0.0, 1.6)
    return np.exp(-density * path)


def sun(rng: Generator, street: Street) -> Floats:
    """Return the light that a low sun throws straight into the visible camera, (H, W)."""
    camera = street.camera
    if street.night or "glare" not in street.conditions:
        return np.zeros((camera.height, camera.width), np.float32)
    x = np.arange(camera.width, dtype=np.float32)[None] - np.float32(camera.width * rng.uniform(0.25, 0.75))
    y = np.arange(camera.height, dtype=np.float32)[:, None] - np.float32(camera.horizon - 0.06 * camera.height)
    squared = (x * x + y * y) / np.float32(camera.height**2)
    return 1.6 / (1.0 + squared / np.float32(0.025)) + 30.0 * (squared < 0.0012)


def visible(rng: Generator, layers: Floats, street: Street, density: Floats, veil: Floats) -> ImageArray:
    """Return the colour image, (H, W, 3): light through smoke and lens, glare, shot noise, tone curve."""
    camera = street.camera
    light = layers[LIGHT]
    if "smoke" in street.conditions:
        through = transmission(density, layers[DEPTH])
        air = rgb(0.07, 0.06, 0.05) if street.night else rgb(0.52, 0.52, 0.53)
        light = air + through * (light - air)
    if street.night:
        light = light + _halo(light, camera)
    if veil.any():
        light = light + veil * rgb(1.0, 0.95, 0.82)
    light = _blurred(light, 0.45) * (_vignette(camera, 0.35) * np.float32(street.exposure))
    light = np.clip(light, 0.0, 1.0)
    gain = np.float32(2.0 if street.night else 1.0)
    deviation = np.sqrt(np.float32(1.6e-4) * gain * light + np.float32(4e-6) * gain)
    light += deviation * rng.standard_normal(light.shape, dtype=np.float32)
    return np.ascontiguousarray(np.moveaxis(_levels(255.0 * np.sqrt(np.clip(light, 0.0, 1.0))), 0, 2))


def infrared(rng: Generator, layers: Floats, street: Street, density: Floats) -> ImageArray:
    """Return the thermal image, (H, W): optics, smoke, automatic gain, detail enhancement, detector noise."""
    camera = street.camera
    heat = layers[HEAT]
    if "smoke" in street.conditions:
        through = np.clip(1.0 - 0.12 * density * (layers[DEPTH] > 10.0), 0.5, 1.0)
        mean = np.float32(street.air + 1.0)
        heat = mean + through * (heat - mean)
    heat = _blurred(heat, max(camera.height * 0.0025, 0.4))
    heat = heat + 0.7 * (heat - _blurred(heat, camera.height * 0.012))
    low, high = np.percentile(heat[::2, ::2], (6.0, 99.3))
    span = max(float(high - low), 10.0)
    level = np.float32(24.0) + (heat - np.float32(low)) * np.float32(165.0 / span)
    level *= _vignette(camera, 0.2)
    level += 1.5 * rng.standard_normal(level.shape, dtype=np.float32)
    level += 0.9 * rng.standard_normal((1, camera.width), dtype=np.float32)
    level += 0.5 * rng.standard_normal((camera.height, 1), dtype=np.float32)
    return _levels(level)


def _halo(light: Floats, camera: Camera) -> Floats:
    """Return what the lens spreads around lamps, which are brighter than white."""
    full = (camera.width, camera.height)
    quarter = (max(camera.width // 4, 8), max(camera.height // 4, 8))
    lamps = _resized(np.maximum(light - np.float32(1.0), 0.0), quarter, cv2.INTER_AREA)
    halo = 0.25 * _blurred(lamps, quarter[1] * 0.025) + 0.10 * _blurred(lamps, quarter[1] * 0.09)
    return _resized(halo, full, cv2.INTER_LINEAR)


def _resized(planes: Floats, size: tuple[int, int], interpolation: int) -> Floats:
    return np.stack([cast(Floats, cv2.resize(plane, size, interpolation=interpolation)) for plane in planes])


def _blurred(planes: Floats, deviation: float) -> Floats:
    """Return one plane, (H, W), or several, (N, H, W), each blurred."""
    if planes.ndim == 3:
        return np.stack([_blurred(plane, deviation) for plane in planes])
    return cast(Floats, cv2.GaussianBlur(planes, (0, 0), deviation))


def _levels(values: Floats) -> ImageArray:
    levels: ImageArray = np.rint(np.clip(values, 0.0, 255.0)).astype(np.uint8)
    return levels


def _vignette(camera: Camera, strength: float) -> Floats:
    """Return how much of the light reaches each pixel, 1 in the middle, less towards the corners."""
    x = (np.arange(camera.width, dtype=np.float32) / camera.width - np.float32(0.5))[None]
    y = (np.arange(camera.height, dtype=np.float32) / camera.height - np.float32(0.5))[:, None]
    return 1.0 - np.float32(2.0 * strength) * (x * x + y * y)
