"""Picture files: read strictly, write atomically, match by name.

Everything in this project that touches a picture file goes through here, so that a truncated, 16-bit or
transparent file gives the same plain message wherever it is met.
"""

import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from metrics.errors import InputError
from metrics.opencv import cv2

Picture = NDArray[np.uint8]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
MATLAB_LUMA = np.array([0.298936021293775, 0.587043074451121, 0.114020904255103])
_ROWS = 32  # rows treated at a time, so that intermediate arrays stay in the cache
_DEEP = ("I", "F")  # Pillow's modes of more than eight bits all begin so: I, I;16, I;16B, F


def read(path: str | Path) -> Picture:
    """Return the picture in a file: uint8, (H, W) when it is grey, (H, W, 3) RGB when it has colour.

    Decoding is Pillow's, which refuses truncated files where OpenCV pads them in silence.

    Raises:
        InputError: The file is missing, damaged, not 8-bit, or has an alpha channel.
    """
    path = Path(path)
    with _opened(path) as image:
        if image.mode.startswith(_DEEP):
            raise InputError(
                f"{path} has more than 8 bits a pixel (mode {image.mode}); the benchmark's metrics and methods are "
                "defined on 8-bit levels. Convert it with the tone mapping that your data set prescribes."
            )
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            raise InputError(
                f"{path} has an alpha channel (mode {image.mode}); expected grey or RGB. Save it without transparency."
            )
        if image.mode not in ("L", "RGB"):
            if image.mode not in ("1", "P"):
                raise InputError(f"{path} has mode {image.mode}; expected 8-bit grey or RGB. Convert it first.")
            image = image.convert("L" if image.mode == "1" else "RGB")
        try:
            return np.array(image)
        except (OSError, SyntaxError, ValueError) as error:
            raise InputError(f"{path} cannot be decoded ({error}); the file is damaged. Fetch it again.") from error


def size(path: str | Path) -> tuple[int, int]:
    """Return (width, height) in pixels from a picture file's header, without decoding it.

    Raises:
        InputError: The file is missing or is no picture.
    """
    with _opened(Path(path)) as image:
        return image.size


def _opened(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(path)
    except FileNotFoundError:
        raise InputError(f"{path} is not there; expected a picture file.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"{path} claims an unreasonable size ({error}).") from None
    except UnidentifiedImageError:
        raise InputError(f"{path} is not a picture that can be read; expected {', '.join(SUFFIXES)}.") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}).") from error


def grey(picture: Picture) -> Picture:
    """Return a picture as (H, W) luma: ITU-R 601 as MATLAB's rgb2gray has it, rounded half away from zero.

    Args:
        picture: uint8, (H, W) or (H, W, 3) RGB; grey is returned as it is.
    """
    if picture.ndim == 2:
        return picture
    luma = np.empty(picture.shape[:2], np.uint8)
    for top in range(0, len(picture), _ROWS):
        # No colour comes near enough to a half for the order of summation to matter; the cast cuts downwards.
        luma[top : top + _ROWS] = picture[top : top + _ROWS] @ MATLAB_LUMA + 0.5
    return luma


def write(path: str | Path, picture: Picture) -> None:
    """Write a picture as PNG; the file appears whole or not at all.

    Args:
        path: Where to; its folder must exist.
        picture: uint8, (H, W) or (H, W, 3) RGB.
    """
    path = Path(path)
    pixels = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    encoded, data = cv2.imencode(".png", pixels)
    if not encoded:
        raise InputError(f"{path}: a picture of shape {picture.shape} and type {picture.dtype} cannot be PNG.")
    write_bytes(path, data.tobytes())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file under a temporary name and rename it, so that no reader ever sees half of it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def index(folder: str | Path) -> dict[str, Path]:
    """Return the picture files of a folder by name without extension, in sorted order.

    Raises:
        InputError: The folder is missing, holds no picture, or holds two files of one name.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; expected one with picture files ({', '.join(SUFFIXES)}).")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in found:
            raise InputError(f"{folder} holds both {found[path.stem].name} and {path.name}; keep one of them.")
        found[path.stem] = path
    if not found:
        raise InputError(f"{folder} holds no picture files ({', '.join(SUFFIXES)}).")
    return found
