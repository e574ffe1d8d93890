"""Run a detector on images."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch

from benchmark.detection.detections import Detections
from benchmark.detection.detector import Detector
from benchmark.detection.samples import Example, read_input, to_tensor
from benchmark.detection.settings import DetectionSettings
from methods.network import exact
from metrics.lookahead import lookahead
from moefusion.distributed import usable_device


@torch.inference_mode()
def detect(
    model: Detector,
    examples: Sequence[Example],
    settings: DetectionSettings,
    *,
    device: str = "auto",
) -> Iterator[Detections]:
    """Yield the objects that a detector finds in each image, best first; the same on every run on one machine.

    Args:
        model: A trained detector; it stays in evaluation mode.
        examples: The images, one at a time, as their sizes differ; their boxes are ignored.
        settings: Colour rule, least score and most boxes of an image.
        device: "auto", a GPU where there is one; or any of torch's names.

    Raises:
        InputError: An image cannot be read, or the device cannot be used.
    """
    target = usable_device(device)
    detector = model.to(target).eval()
    shown = lookahead(partial(read_input, colour=settings.colour), examples)
    for example, image in zip(examples, shown, strict=True):
        with exact():
            (output,) = detector.detections(
                [to_tensor(image).to(target)], score_threshold=settings.score_threshold, boxes=settings.boxes
            )
        yield Detections(
            example.name,
            boxes=output["boxes"].cpu().numpy().astype(np.float64),
            labels=output["labels"].cpu().numpy().astype(np.int64),
            scores=output["scores"].cpu().numpy().astype(np.float64),
        )
