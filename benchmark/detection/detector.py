"""The interface of detectors: losses from (images, targets), detections from images."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from moefusion.data import DetectedObjects, Target


class Detector(nn.Module, ABC):
    """A network that finds objects in images, of whatever family.

    Attributes:
        predictor: How the names of the weights begin that depend on the number of classes: weights trained on other
            classes leave them as they are.
        origin: In words, where its weights come from.
    """

    predictor: ClassVar[tuple[str, ...]] = ()
    origin: str = "random weights"

    @abstractmethod
    def losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """Return the terms whose sum training minimises, scalars; the same names for every batch.

        Called in training mode, on a GPU under autocast in bfloat16: a detector decides itself what is computed so.
        Draws come from torch's own generator, which is seeded before each step.

        Args:
            images: (3, H, W), float32 in [0, 1]; their sizes may differ.
            targets: The objects of each image; there may be none.
        """

    @abstractmethod
    def detections(self, images: list[Tensor], *, score_threshold: float, boxes: int) -> list[DetectedObjects]:
        """Return the objects found in each image, best first. Called in evaluation mode, without gradients.

        Args:
            images: As for `losses`.
            score_threshold: Only objects above it are kept.
            boxes: The most that are kept of an image.

        Returns:
            For each image: boxes (n, 4), x0 y0 x1 y1 in its pixels; labels (n,), from 1; scores (n,), in [0, 1].
        """
