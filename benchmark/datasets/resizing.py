"""Resize one image of a pair to the size of the other, on request."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.datasets.base import Box
from metrics import images
from metrics.errors import InputError, unknown
from metrics.opencv import cv2

Size = tuple[int, int]
BANDS = ("infrared", "visible")


@dataclass(frozen=True)
class Resizing:
    """How pairs of unlike size are made equal.

    Attributes:
        band: The band that gives the size; the image of the other band is scaled to it.
        folder: Where the scaled images are written.
    """

    band: str
    folder: Path

    def __post_init__(self) -> None:
        if self.band not in BANDS:
            raise unknown("band whose size pairs take", self.band, BANDS)

    @property
    def scaled(self) -> str:
        """The band whose images are scaled."""
        return BANDS[1 - BANDS.index(self.band)]

    def resize(self, path: Path, name: str, size: Size) -> Path:
        """Return the file of an image scaled bilinearly; it is written unless it is there.

        Args:
            path: The image.
            name: Of its pair.
            size: (width, height) in pixels.

        Raises:
            InputError: The image cannot be read, or the scaled one not be written.
        """
        try:
            digest = hashlib.sha256(path.read_bytes() + repr(size).encode()).hexdigest()
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{error.filename} cannot be used ({error.strerror}).") from error
        target = self.folder / f"{name}.{digest[:16]}.png"
        if not target.is_file():
            scaled = cv2.resize(images.read(path), size, interpolation=cv2.INTER_LINEAR)
            images.write(target, np.asarray(scaled, np.uint8))
        return target


def scale_box(box: Box, size: Size, target: Size) -> Box:
    """Return a box of an image in the same image scaled to another size."""
    x, y = target[0] / size[0], target[1] / size[1]
    return Box(box.x0 * x, box.y0 * y, box.x1 * x, box.y1 * y, box.label, box.difficult)
