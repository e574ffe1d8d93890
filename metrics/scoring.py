"""Scores of one fused picture: from arrays and from files."""

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from metrics.checks import require_one_size
from metrics.conventions import METRICS, chosen, convention_of
from metrics.errors import InputError
from metrics.opencv import cv2
from metrics.pictures import Picture, read

LONGEST_SIDE = 8192  # pixels of a size to score at; larger ones are slips of the finger that cost all memory


def evaluate(
    infrared: Picture,
    visible: Picture,
    fused: Picture,
    *,
    convention: str = "tang2022",
    only: Iterable[str] | None = None,
) -> dict[str, float]:
    """Return the metrics of a fused picture by id, in the order EN SF SD MI VIF AG SCD Q_abf.

    A metric that the convention lacks is NaN, and so is one that its program leaves undefined, as SCD for a fused
    picture that equals a source. Higher is better in all; `metrics.describe()` gives each one's scale.

    Args:
        infrared, visible, fused: uint8 pictures of one size, (H, W) grey or (H, W, 3) RGB, which is turned to grey
            as the convention's program does.
        convention: "tang2022", "tang2023", "cddfuse" or "vifb".
        only: Ids of the metrics to compute; None computes all.

    Raises:
        InputError: The pictures cannot be scored, or the convention or an id is unknown.
    """
    record = convention_of(convention)
    wanted = chosen(only)
    given = {"infrared": infrared, "visible": visible, "fused": fused}
    for band, picture in given.items():
        _require_picture(band, picture)
    require_one_size({band: picture.shape for band, picture in given.items()})
    pictures = [np.ascontiguousarray(record.grey(picture)) for picture in given.values()]
    _require_large_enough(pictures[2], [name for name in wanted if name in record.rules])
    return {
        name: (
            METRICS[name].function(*(pictures if METRICS[name].sources else pictures[2:]), **record.rules[name].options)
            if name in record.rules
            else math.nan
        )
        for name in wanted
    }


def evaluate_files(
    infrared_path: str | Path,
    visible_path: str | Path,
    fused_path: str | Path,
    *,
    convention: str = "tang2022",
    size: tuple[int, int] | None = None,
) -> dict[str, float]:
    """Return the metrics of a fused picture file by id; see `evaluate`.

    Args:
        infrared_path, visible_path, fused_path: Picture files, 8-bit, grey or RGB.
        convention: "tang2022", "tang2023", "cddfuse" or "vifb".
        size: (width, height) to which all three are resized, bilinearly, after they became grey; None scores the
            files' own size, which must be one. SF, AG and VIF depend on the size scored.

    Raises:
        InputError: A file cannot be read or scored, or the convention is unknown.
    """
    to_grey = convention_of(convention).grey
    paths = [Path(path) for path in (infrared_path, visible_path, fused_path)]
    infrared, visible, fused = (to_grey(read(path)) for path in paths)
    if size is not None:
        require_size(size)
        infrared, visible, fused = (
            np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), np.uint8)
            for picture in (infrared, visible, fused)
        )
    elif infrared.shape != visible.shape:
        raise InputError(
            f"{paths[0]} is {_size(infrared)} but {paths[1]} is {_size(visible)}; expected registered sources of one "
            "size. Register them, or score resized pictures: --size WxH."
        )
    elif fused.shape != visible.shape:
        raise InputError(
            f"{paths[2]} is {_size(fused)} but its sources are {_size(visible)}; a fused image keeps its sources' "
            "size. Re-run the method, or score resized pictures: --size WxH."
        )
    try:
        return evaluate(infrared, visible, fused, convention=convention)
    except InputError as error:
        raise InputError(f"{paths[2]}: {error}") from None


def require_size(size: tuple[int, int]) -> None:
    """Raise unless a size to score at is a pair of positive whole numbers."""
    if len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
        raise InputError(f"size {size!r}: expected (width, height) in pixels, such as (640, 480), or None.")
    if max(size) > LONGEST_SIDE:
        raise InputError(f"size {size[0]}x{size[1]}: expected no side over {LONGEST_SIDE} pixels.")


def _require_picture(band: str, picture: Picture) -> None:
    found = f"{picture.dtype} {picture.shape}" if isinstance(picture, np.ndarray) else type(picture).__name__
    if found.startswith("uint8 ") and picture.size and (picture.ndim == 2 or picture.shape[2:] == (3,)):
        return
    raise InputError(f"{band} picture: expected a uint8 array (H, W) or (H, W, 3) of levels 0-255, got {found}.")


def _require_large_enough(picture: Picture, wanted: list[str]) -> None:
    for name in wanted:
        smallest = METRICS[name].smallest
        if min(picture.shape) < smallest:
            raise InputError(
                f"the pictures are {_size(picture)} but {name} needs at least {smallest}x{smallest} pixels; score "
                "larger ones, or only the other metrics."
            )


def _size(picture: Picture) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"
