"""The common form of all data sets: pairs of image files with boxes, split into train and test."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from metrics.files import Stamps, digest_all, require_unchanged, stamp_files


@dataclass(frozen=True)
class Box:
    """One annotated object.

    Attributes:
        x0, y0, x1, y1: Edges in pixels of the pair's images, origin at the top left corner of the top left
            pixel; x1 and y1 are exclusive, so that x1 - x0 is the width (COCO's convention).
        label: One of the data set's classes.
        difficult: Marked as hard or as a crowd; its detection counts neither as true nor as false positive.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    label: str
    difficult: bool = False


@dataclass(frozen=True)
class Pair:
    """An infrared and a visible image of one scene, and what is in it.

    Attributes:
        name: Unique in its data set; the stem of every file that the benchmark writes for this pair.
        infrared, visible: Image files.
        boxes: Annotated objects; empty for an image without objects and for a data set without annotations.
    """

    name: str
    infrared: Path
    visible: Path
    boxes: tuple[Box, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The class of each box."""
        return tuple(box.label for box in self.boxes)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the bytes of both image files: what a fused image of this pair is made from."""
        self.stamps  # noqa: B018 - before the bytes, so that a change while they are read is seen as well
        return digest_all((self.infrared, self.visible))

    @cached_property
    def stamps(self) -> Stamps:
        """What the file system said of both files when the fingerprint was taken."""
        return stamp_files((self.infrared, self.visible))

    def require_unchanged(self) -> None:
        """Raise when an image file is another one than that of the fingerprint; to be called after its use."""
        require_unchanged(self.stamps)


@dataclass(frozen=True)
class Dataset:
    """Pairs of one data set, by part.

    Attributes:
        name: As `run_benchmark.py list datasets` gives it.
        title: As tables print it.
        classes: The evaluated classes, in the data set's order.
        train, test: The parts, in the order of their lists.
        split: Where the parts come from, in words.
        notes: What was left out or corrected while reading, with counts; manifests repeat it.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    train: tuple[Pair, ...]
    test: tuple[Pair, ...]
    split: str
    notes: tuple[str, ...] = ()


def fingerprint(pairs: Iterable[Pair]) -> str:
    """Return a SHA-256 over names, image bytes and boxes, whatever folder they lie in.

    Two people with equal fingerprints scored the same images with the same annotations.
    """
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(f"{pair.name}\n{pair.fingerprint}\n{pair.boxes!r}\n".encode())
    return digest.hexdigest()
