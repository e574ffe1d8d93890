"""Remarks on unusual image files whose scores are nevertheless correct, each reported once."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from metrics import images
from metrics.images import ImageArray

TURNED = "turned or mirrored, as the EXIF orientation says"
PAGES = "files of several pages or frames, of which the first is taken"
BLACK = "almost black (no level above 1): were levels from 0 to 1 saved as 8 bits?"
ROUNDING = "with flat areas, where the value rests on rounding errors"
_HIGHEST_BLACK = 1  # the highest level of an image that held 0-1
_NAMED = 3

Remark = tuple[str, str]  # of which image, and what


def remarks_on(files: Mapping[str, Path]) -> list[Remark]:
    """Return what is odd about the files of one scene, as (role, remark).

    Args:
        files: By role: "infrared", "visible", and "fused" where there is one.

    Raises:
        InputError: A file cannot be read.
    """
    headers = {role: images.header(path) for role, path in files.items()}
    turned = [(role, TURNED) for role, header in headers.items() if header.turned]
    pages = [(role, PAGES) for role, header in headers.items() if header.pages > 1]
    return turned + pages + remarks_on_pixels({role: images.read(path) for role, path in files.items()})


def remarks_on_pixels(pixels: Mapping[str, ImageArray]) -> list[Remark]:
    """Return what is odd about the images of one scene, by role; see `remarks_on`."""
    found = [(role, BLACK) for role, image in pixels.items() if image.max(initial=0) <= _HIGHEST_BLACK]
    roles = list(pixels)
    for number, role in enumerate(roles):
        for other in roles[:number]:
            if np.array_equal(images.grey(pixels[role]), images.grey(pixels[other])):
                found.append((role, f"equal to the {other} image, level by level"))
    return found


def unread_files(folders: Iterable[Path]) -> list[str]:
    """Return a line for each folder with images of formats that nothing here reads: they would be missed in silence."""
    lines = []
    for folder in dict.fromkeys(map(Path, folders)):
        if unread := images.passed_over(folder):
            formats = ", ".join(images.SUFFIXES)
            number = f"{len(unread):,} file{'s' * (len(unread) > 1)}"
            lines.append(f"{folder}: {number} passed over, such as {unread[0].name}; expected {formats}")
    return lines


def summarise(remarks: Iterable[tuple[str, Remark]]) -> list[str]:
    """Return remarks on many scenes, a line for each kind, with the number of images and the first names.

    Args:
        remarks: (name, remark) of each image.

    Examples:
        >>> summarise([("1", ("fused", "equal to the visible image, level by level"))])
        ['fused: 1 image equal to the visible image, level by level (1)']
    """
    names: dict[Remark, list[str]] = {}
    for name, remark in remarks:
        names.setdefault(remark, []).append(name)
    lines = []
    for (role, what), listed in names.items():
        shown = ", ".join(listed[:_NAMED]) + ", ..." * (len(listed) > _NAMED)
        noun = "" if what == PAGES else f" image{'s' * (len(listed) > 1)}"
        lines.append(f"{role}: {len(listed):,}{noun} {what} ({shown})")
    return lines
