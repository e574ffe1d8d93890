"""Scores of one fused image: from arrays and from files."""

import math
from pathlib import Path

import numpy as np

from metrics.checks import require_one_size
from metrics.conventions import convention_of
from metrics.errors import InputError
from metrics.images import ImageArray, grey, read
from metrics.opencv import cv2
from metrics.registry import METRICS, Selection, is_everything, select
from metrics.sharing import sharing

_SAME_PROPORTION = 0.01  # of width over height, between a resized image and its source
LONGEST_SIDE = 8192  # pixels of a size to score at; larger ones are slips of the finger that cost all memory


def evaluate(
    infrared: ImageArray,
    visible: ImageArray,
    fused: ImageArray,
    *,
    convention: str = "tang2022",
    metrics: Selection = "paper",
) -> dict[str, float]:
    """Return the metrics of a fused image by id, in the tables' order.

    A metric that the convention lacks is NaN, and so is one that is undefined for the images, as SCD for a fused
    image that equals a source, or that "all" includes but that needs larger images. `metrics.describe()` gives each
    one's scale and direction and says where it is undefined.

    Args:
        infrared, visible, fused: uint8 images of one size, (H, W) grey or (H, W, 3) RGB, which is turned to grey
            or scored channel by channel as the convention's program does.
        convention: A key of `metrics.CONVENTIONS`.
        metrics: Which, as `metrics.select` takes it: "paper", "all", or ids.

    Raises:
        InputError: The images cannot be scored, or the convention or an id is unknown.
    """
    record = convention_of(convention)
    selection = metrics if isinstance(metrics, str) else tuple(metrics)
    wanted = select(selection, convention)
    given = {"infrared": infrared, "visible": visible, "fused": fused}
    for band, image in given.items():
        _require_image(band, image)
    require_one_size({band: image.shape for band, image in given.items()})
    channels = _split_channels(record.prepare(infrared, visible, fused))
    computable = [name for name in wanted if name in record.rules]
    if is_everything(selection):
        computable = [name for name in computable if _is_large_enough(fused, name, convention)]
    _require_large_enough(fused, computable, convention)
    with sharing():
        return {name: _compute(name, convention, channels) if name in computable else math.nan for name in wanted}


def _split_channels(images: tuple[ImageArray, ...]) -> list[list[ImageArray]]:
    """Return one triple of grey images where the fused one is grey, else one for each of its channels."""
    if images[-1].ndim == 2:
        return [[np.ascontiguousarray(image) for image in images]]
    by_image = [[image] * 3 if image.ndim == 2 else [image[:, :, channel] for channel in range(3)] for image in images]
    return [[np.ascontiguousarray(image) for image in triple] for triple in zip(*by_image, strict=True)]


def _compute(name: str, convention: str, channels: list[list[ImageArray]]) -> float:
    metric = METRICS[name]
    if metric.rules[convention].side_by_side and len(channels) > 1:
        infrared, visible, fused = (np.hstack(images) for images in zip(*channels, strict=True))
        return metric.compute(convention, infrared, visible, fused)
    return sum(metric.compute(convention, *triple) for triple in channels) / len(channels)


def evaluate_files(
    infrared_path: str | Path,
    visible_path: str | Path,
    fused_path: str | Path,
    *,
    convention: str = "tang2022",
    size: tuple[int, int] | None = None,
    metrics: Selection = "paper",
) -> dict[str, float]:
    """Return the metrics of a fused image file by id; see `evaluate`.

    Args:
        infrared_path, visible_path, fused_path: Image files, 8-bit, grey or RGB.
        convention: A key of `metrics.CONVENTIONS`.
        size: (width, height) to which all three are resized, bilinearly, after they became grey; None scores the
            files' own size, which must be one. SF, AG and VIF depend on the size scored.
        metrics: Which, as `metrics.select` takes it.

    Raises:
        InputError: A file cannot be read or scored, or the convention is unknown.
    """
    images = _read_triple(infrared_path, visible_path, fused_path, convention, size)
    try:
        return evaluate(*images, convention=convention, metrics=metrics)
    except InputError as error:
        raise InputError(f"{fused_path}: {error}") from None


def find_rounding(
    infrared_path: str | Path,
    visible_path: str | Path,
    fused_path: str | Path,
    *,
    convention: str = "tang2022",
    size: tuple[int, int] | None = None,
    metrics: Selection = "paper",
) -> tuple[str, ...]:
    """Return the ids of the metrics whose value for these files rests partly on rounding errors; see `evaluate_files`.

    These metrics divide by variances without a constant that matters, and have a random value in flat areas: another
    program gives other digits there.
    """
    tests = {name: METRICS[name].rests_on_rounding for name in select(metrics, convention)}
    if not any(tests.values()):
        return ()
    images = [grey(image) for image in _read_triple(infrared_path, visible_path, fused_path, convention, size)]
    return tuple(name for name, rests_on_rounding in tests.items() if rests_on_rounding and rests_on_rounding(*images))


def _read_triple(
    infrared_path: str | Path,
    visible_path: str | Path,
    fused_path: str | Path,
    convention: str,
    size: tuple[int, int] | None,
) -> tuple[ImageArray, ImageArray, ImageArray]:
    """Return the images of three files as a convention scores them, all of one size."""
    prepare = convention_of(convention).prepare
    paths = [Path(path) for path in (infrared_path, visible_path, fused_path)]
    infrared, visible, fused = prepare(*map(read, paths))
    if size is not None:
        require_size(size)
        infrared, visible, fused = (
            np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)
            for image in (infrared, visible, fused)
        )
    elif infrared.shape[:2] != visible.shape[:2]:
        raise InputError(
            f"{paths[0]} is {_size(infrared)} but {paths[1]} is {_size(visible)}; expected registered sources of one "
            "size. Register them, or score resized images: --size WxH."
        )
    elif fused.shape[:2] != visible.shape[:2]:
        raise InputError(
            f"{paths[2]} is {_size(fused)} but its sources are {_size(visible)}; a fused image keeps its sources' "
            f"size. {_size_advice(fused, visible)}"
        )
    return infrared, visible, fused


def _size_advice(fused: ImageArray, source: ImageArray) -> str:
    """Return what to do about a fused image of another size, which depends on whether it was resized or cropped."""
    proportion = fused.shape[1] * source.shape[0] / (fused.shape[0] * source.shape[1])
    kept = abs(proportion - 1) < _SAME_PROPORTION
    likely = "It may have been resized" if kept else "Its proportions differ, as after cropping"
    return (
        f"{likely}. Fuse again at the sources' size; where the method resized, --size WxH scores all three at one "
        "size; where it cropped, --size would compare shifted images: cut the sources alike instead."
    )


def require_size(size: tuple[int, int]) -> None:
    """Raise unless a size to score at is a pair of positive whole numbers."""
    if len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
        raise InputError(f"size {size!r}: expected (width, height) in pixels, such as (640, 480), or None.")
    if max(size) > LONGEST_SIDE:
        raise InputError(f"size {size[0]}x{size[1]}: expected no side over {LONGEST_SIDE} pixels.")


def _require_image(band: str, image: ImageArray) -> None:
    found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
    if found.startswith("uint8 ") and image.size and (image.ndim == 2 or image.shape[2:] == (3,)):
        return
    raise InputError(f"{band} image: expected a uint8 array (H, W) or (H, W, 3) of levels 0-255, got {found}.")


def _require_large_enough(image: ImageArray, names: list[str], convention: str) -> None:
    for name in names:
        if not _is_large_enough(image, name, convention):
            smallest = METRICS[name].smallest_side(convention)
            raise InputError(
                f"the images are {_size(image)} but {name} needs at least {smallest}x{smallest} pixels; score "
                "larger ones, or only the other metrics."
            )


def _is_large_enough(image: ImageArray, name: str, convention: str) -> bool:
    height, width = image.shape[:2]
    return bool(min(height, width) >= METRICS[name].smallest_side(convention))


def _size(image: ImageArray) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
