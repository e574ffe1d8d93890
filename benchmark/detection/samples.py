"""A detector's input: images as tensors, by one colour rule for training and inference, and their targets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.utils.data
from torch import Tensor

from benchmark.datasets.base import Box, Pair
from metrics import images
from metrics.errors import InputError, unknown
from metrics.files import require_unchanged, stamp_files
from metrics.images import ImageArray
from moefusion.data import Target

Colour = Literal["luma", "chroma"]


@dataclass(frozen=True)
class Example:
    """An image with annotated objects.

    Attributes:
        name: The image's name in its data set.
        image: Its file: an infrared, a visible or a fused image.
        visible: The visible image whose chroma it may get; itself for a visible image, None for infrared.
        boxes: Its objects, for training.
    """

    name: str
    image: Path
    visible: Path | None = None
    boxes: tuple[Box, ...] = ()


_LEAST = 0.01  # pixels: scaled in float32, a thinner box may have no extent left
Sample = tuple[Tensor, Target]


def infrared_examples(pairs: Iterable[Pair]) -> list[Example]:
    """Return the infrared images of pairs."""
    return [Example(pair.name, pair.infrared, None, pair.boxes) for pair in pairs]


def visible_examples(pairs: Iterable[Pair]) -> list[Example]:
    """Return the visible images of pairs."""
    return [Example(pair.name, pair.visible, pair.visible, pair.boxes) for pair in pairs]


def fused_examples(pairs: Iterable[Pair], folder: Path) -> list[Example]:
    """Return the fused images of pairs, NAME.png in a folder."""
    return [Example(pair.name, folder / f"{pair.name}.png", pair.visible, pair.boxes) for pair in pairs]


def recolour(source: ImageArray, visible: ImageArray | None, colour: Colour) -> ImageArray:
    """Return a detector's view of an image, uint8 (H, W, 3) RGB.

    Args:
        source: An infrared, visible or fused image, uint8, (H, W) or (H, W, 3) RGB.
        visible: The visible image of the scene; for a visible image itself, for an infrared one None.
        colour: "luma", the grey image three times; "chroma", its luma with the visible image's Cb and Cr (ITU-R
            601), so that a visible image keeps its own colours. Without a visible image both are the same.

    Raises:
        InputError: The two differ in size.
    """
    grey = images.grey(source)
    if colour == "luma" or visible is None or visible.ndim == 2:
        return np.repeat(grey[..., None], 3, axis=2)
    if visible.shape[:2] != grey.shape:
        raise InputError(
            f"the image is {grey.shape[1]}x{grey.shape[0]} but the visible one is "
            f"{visible.shape[1]}x{visible.shape[0]}; its chroma needs one size."
        )
    return images.with_luma(visible, grey)


def read_input(example: Example, colour: Colour) -> ImageArray:
    """Return a detector's view of an example, uint8 (H, W, 3) RGB.

    Raises:
        InputError: An image cannot be read, or the sizes differ.
    """
    source = images.read(example.image)
    visible = images.read(example.visible) if example.visible is not None and colour == "chroma" else None
    try:
        return recolour(source, visible, colour)
    except InputError as error:
        raise InputError(f"{example.image}: {error}") from error


def files(example: Example) -> list[Path]:
    """Return the files that an example is read from."""
    return [path for path in (example.image, example.visible) if path is not None]


def to_tensor(shown: ImageArray) -> Tensor:
    """Return an image, uint8 (H, W, 3), as a detector takes it: float32 (3, H, W) in [0, 1]."""
    return torch.from_numpy(shown).permute(2, 0, 1).float() / 255


def label_boxes(boxes: Sequence[Box], classes: Sequence[str]) -> Target:
    """Return boxes and the numbers of their classes as tensors.

    Args:
        boxes: The objects.
        classes: The data set's, which count from 1.

    Raises:
        InputError: A box is of another class.
    """
    for box in boxes:
        if box.label not in classes:
            raise unknown("class of a box", box.label, tuple(classes))
    edges = [(box.x0, box.y0, box.x1, box.y1) for box in boxes]
    labels = [classes.index(box.label) + 1 for box in boxes]
    return Target(
        boxes=torch.tensor(edges, dtype=torch.float32).reshape(-1, 4), labels=torch.tensor(labels, dtype=torch.int64)
    )


def build_target(boxes: Sequence[Box], classes: Sequence[str], size: tuple[int, int]) -> Target:
    """Return the objects to train on: boxes clipped to the image, without difficult ones and without empty ones.

    Args:
        boxes: The objects.
        classes: The data set's, which count from 1.
        size: Width and height of the image.

    Raises:
        InputError: A box is of another class.
    """
    objects = label_boxes(boxes, classes)
    edges = torch.minimum(objects["boxes"].clamp(min=0), torch.tensor([*size, *size]))
    extents, difficult = edges[:, 2:] - edges[:, :2], torch.tensor([box.difficult for box in boxes], dtype=torch.bool)
    kept = (extents > _LEAST).all(dim=1) & ~difficult
    return Target(boxes=edges[kept], labels=objects["labels"][kept])


class Samples(torch.utils.data.Dataset[Sample]):
    """Examples as a detector trains on them; images without boxes stay, as negatives."""

    def __init__(self, examples: Sequence[Example], classes: Sequence[str], colour: Colour) -> None:
        self.examples, self.classes, self.colour = examples, tuple(classes), colour
        self.stamps = [stamp_files(files(example)) for example in examples]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Sample:
        """Return an image, float32 (3, H, W) in [0, 1], and its target.

        Raises:
            InputError: As `read_input` and `build_target` raise it, or an image changed since the start.
        """
        example = self.examples[index]
        shown = to_tensor(read_input(example, self.colour))
        require_unchanged(self.stamps[index])
        return shown, build_target(example.boxes, self.classes, (shown.shape[2], shown.shape[1]))
