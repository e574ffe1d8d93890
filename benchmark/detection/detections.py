"""The detections of an image; importable without torch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Detections:
    """The objects that a detector finds in one image, best first.

    Attributes:
        name: The image's name in its data set.
        boxes: (n, 4), x0 y0 x1 y1 in pixels of the image, x1 and y1 exclusive.
        labels: (n,), from 1, in the order of the data set's classes.
        scores: (n,), in [0, 1].
    """

    name: str
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]
