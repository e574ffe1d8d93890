"""Training data: samples from any data set, resized to one size, in an order that the seed fixes."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, Protocol, TypedDict, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from metrics.errors import InputError

Item = TypeVar("Item")
Collated = TypeVar("Collated")


class Sample(NamedTuple):
    """A pair of images and its objects.

    Attributes:
        infrared, visible: (1, H, W), float, luma on the scale [0, 1].
        boxes: (K, 4), x0 y0 x1 y1 in pixels, x0 < x1 and y0 < y1; K may be 0.
        labels: (K,), whole numbers from 1 to the number of classes; 0 is the background's.
    """

    infrared: Tensor
    visible: Tensor
    boxes: Tensor
    labels: Tensor


class Target(TypedDict):
    """The objects of one image, as torchvision's detectors take them.

    Attributes:
        boxes: (K, 4), x0 y0 x1 y1 in pixels, x0 < x1 and y0 < y1.
        labels: (K,), int64, from 1 to the number of classes; 0 is the background's.
    """

    boxes: Tensor
    labels: Tensor


class DetectedObjects(TypedDict):
    """The objects that a detector finds in one image: boxes (K, 4), labels (K,) and scores (K,), best first."""

    boxes: Tensor
    labels: Tensor
    scores: Tensor


class Samples(Protocol):
    """Any data set with a length whose items are `Sample`s: a torch `Dataset`, or a list."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Sample: ...


class Batch(NamedTuple):
    """Samples of one size, (N, 1, H, W); boxes and labels are one tensor an image."""

    infrared: Tensor
    visible: Tensor
    boxes: list[Tensor]
    labels: list[Tensor]

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device."""
        return Batch(
            self.infrared.to(device, non_blocking=True),
            self.visible.to(device, non_blocking=True),
            [boxes.to(device) for boxes in self.boxes],
            [labels.to(device) for labels in self.labels],
        )


class PreparedSamples(Dataset[Sample]):
    """A data set whose samples are checked and brought to one size."""

    def __init__(self, data: Samples, classes: int, size: tuple[int, int] | None) -> None:
        """Wrap a data set; size is (H, W), None leaves the images as they are."""
        self.data = data
        self.classes = classes
        self.size = size

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Sample:
        """Return a sample.

        Raises:
            InputError: It cannot be trained on.
        """
        sample = self.data[index]
        wrong = _wrong(sample, self.classes)
        if wrong:
            raise InputError(f"sample {index}: {wrong}")
        infrared, visible, boxes, labels = sample
        sample = Sample(infrared.float(), visible.float(), boxes.float(), labels.long())
        return sample if self.size is None else resize(sample, self.size)


def resize(sample: Sample, size: tuple[int, int]) -> Sample:
    """Return the sample with images of another size (H, W), bilinear with antialiasing, and its boxes moved along."""
    height, width = sample.infrared.shape[1:]
    if (height, width) == size:
        return sample
    infrared, visible = (
        F.interpolate(image[None], size, mode="bilinear", align_corners=False, antialias=True)[0]
        for image in (sample.infrared, sample.visible)
    )
    scale = sample.boxes.new_tensor([size[1] / width, size[0] / height] * 2)
    return Sample(infrared, visible, sample.boxes * scale, sample.labels)


def augment(sample: Sample, crop: tuple[int, int] | None, flip: float, generator: torch.Generator) -> Sample:
    """Return a window of a sample, mirrored at random; boxes that the window does not touch are left out.

    Args:
        sample: Any size.
        crop: (height, width) of the window; None takes the whole. A sample that is smaller is enlarged first.
        flip: Probability of a mirrored sample.
        generator: Of the draws.
    """
    top, left, mirrored = torch.rand(3, generator=generator).tolist()
    if crop is not None:
        sample = _window(_holding(sample, crop), crop, top, left)
    if mirrored >= flip:
        return sample
    infrared, visible, boxes, labels = sample
    x0, y0, x1, y1 = boxes.unbind(1)
    width = infrared.shape[2]
    return Sample(infrared.flip(2), visible.flip(2), torch.stack([width - x1, y0, width - x0, y1], dim=1), labels)


def _holding(sample: Sample, size: tuple[int, int]) -> Sample:
    """Return the sample enlarged until it holds a window of a size; its sides keep their ratio."""
    height, width = sample.infrared.shape[1:]
    scale = max(size[0] / height, size[1] / width)
    return resize(sample, (math.ceil(height * scale), math.ceil(width * scale))) if scale > 1 else sample


def _window(sample: Sample, size: tuple[int, int], top: float, left: float) -> Sample:
    """Return a window of a sample that holds it; top and left are in [0, 1), shares of where it may begin."""
    height, width = size
    y = int(top * (sample.infrared.shape[1] - height + 1))
    x = int(left * (sample.infrared.shape[2] - width + 1))
    infrared, visible = (image[:, y : y + height, x : x + width] for image in (sample.infrared, sample.visible))
    corner, far = sample.boxes.new_tensor([x, y, x, y]), sample.boxes.new_tensor([width, height, width, height])
    boxes = (sample.boxes - corner).clamp(min=0).minimum(far)
    seen = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    return Sample(infrared, visible, boxes[seen], sample.labels[seen])


def collate(samples: Sequence[Sample]) -> Batch:
    """Return samples as one batch.

    Raises:
        InputError: Their sizes differ.
    """
    sizes = {tuple(sample.infrared.shape[1:]) for sample in samples}
    if len(sizes) > 1:
        raise InputError(
            f"images of one batch: expected one size, got {sorted(sizes)}. Set TrainingConfig.resize or crop"
        )
    return Batch(
        torch.stack([sample.infrared for sample in samples]),
        torch.stack([sample.visible for sample in samples]),
        [sample.boxes for sample in samples],
        [sample.labels for sample in samples],
    )


def load_batches(
    data: Dataset[Item],
    batches: list[list[int]],
    collate: Callable[[list[Item]], Collated],
    *,
    workers: int,
    pin_memory: bool,
) -> Iterator[Collated]:
    """Yield batches in their order.

    Args:
        data: The items.
        batches: The indices of each batch's items.
        collate: Makes a batch of them.
        workers: Processes that load; 0 loads in this one.
        pin_memory: Put the batches where a GPU fetches them faster.

    Raises:
        InputError: As the data or `collate` raises it, from a worker as well.
    """
    # From a worker a raised error would come with its whole traceback as the message, and in a reference cycle with
    # the loader's iterator, which waits five seconds for its workers when the garbage collector finds it.
    loader: DataLoader[Item | ValueError] = DataLoader(
        _Caught(data),
        batch_sampler=batches,
        collate_fn=partial(_collated, collate),
        num_workers=workers,
        pin_memory=pin_memory,
    )
    for batch in loader:
        if isinstance(batch, ValueError):
            raise batch
        yield batch


class _Caught(Dataset[Item | ValueError]):
    """A data set with the ValueErrors that items raise in their place."""

    def __init__(self, data: Dataset[Item]) -> None:
        self.data = data

    def __getitem__(self, index: int) -> Item | ValueError:
        try:
            return self.data[index]
        except ValueError as error:
            return _bare(error)


def _collated(collate: Callable[[list[Item]], Collated], items: list[Item | ValueError]) -> Collated | ValueError:
    for item in items:
        if isinstance(item, ValueError):
            return item
    try:
        return collate(items)  # type: ignore[arg-type]  # no error is among them
    except ValueError as error:
        return _bare(error)


def _bare(error: ValueError) -> ValueError:
    """Return the error without its tracebacks.

    Where tblib is in use, as Dask does, tracebacks travel with an error, and once read back they hold the frames that
    read them: those of the loader's iterator, which would then live as long as the error.
    """
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def epoch_order(samples: int, batch: int, *, repeat: int, seed: int) -> Tensor:
    """Return the indices of each batch of an epoch, (steps, batch).

    Every sample comes `repeat` times; the last batch is filled up from the epoch's start.
    """
    order = torch.randperm(samples * repeat, generator=torch.Generator().manual_seed(seed)) % samples
    steps = -(-len(order) // batch)
    return order.repeat(-(-steps * batch // len(order)))[: steps * batch].view(steps, batch)


def _wrong(sample: Sample, classes: int) -> str | None:
    """Return what is wrong with a sample, or None."""
    infrared, visible, boxes, labels = sample
    for name, image in (("infrared", infrared), ("visible", visible)):
        if image.ndim != 3 or image.shape[0] != 1 or image.numel() == 0 or not image.is_floating_point():
            return f"{name}: expected a float image (1, H, W), got {tuple(image.shape)} of {image.dtype}."
        # Written so that a NaN is refused as well.
        if not bool(((image >= 0) & (image <= 1)).all()):
            return f"{name}: expected values in [0, 1], got {image.min().item():g} to {image.max().item():g}."
    if infrared.shape != visible.shape:
        return f"infrared is {tuple(infrared.shape)} but visible is {tuple(visible.shape)}; expected one size"
    if boxes.ndim != 2 or boxes.shape[1] != 4 or labels.shape != boxes.shape[:1]:
        return f"expected boxes (K, 4) and labels (K,), got {tuple(boxes.shape)} and {tuple(labels.shape)}"
    if not bool((boxes[:, 2:] > boxes[:, :2]).all()) or not bool(boxes.isfinite().all()):
        return f"boxes: expected x0 < x1 and y0 < y1 in all, got {boxes.tolist()}"
    if labels.is_floating_point() or not bool(((labels >= 1) & (labels <= classes)).all()):
        return f"labels: expected whole numbers from 1 to {classes}, got {labels.tolist()}"
    return None
