"""Image files: read strictly, write atomically, match by name.

Everything in this project that touches an image file goes through here, so that a truncated, 16-bit or
transparent file gives the same plain message wherever it is met.
"""

import unicodedata
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from metrics.errors import InputError
from metrics.files import remove_leftovers as remove_leftovers
from metrics.files import write_bytes as write_bytes
from metrics.opencv import cv2

ImageArray = NDArray[np.uint8]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
MATLAB_LUMA = np.array([0.298936021293775, 0.587043074451121, 0.114020904255103])
_SCAN, _MOST_SCANS = b"\xff\xda", 64  # JPEG: each takes a pass over all pixels; progressive files have about ten
_ROWS = 32  # rows treated at a time, so that intermediate arrays stay in the cache
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")  # those of SUFFIXES, whatever else Pillow could open by another name
_DEEP = ("I", "F")  # Pillow's modes of more than eight bits all begin so: I, I;16, I;16B, F


def read(path: str | Path) -> ImageArray:
    """Return the image in a file: uint8, (H, W) when it is grey, (H, W, 3) RGB when it has colour.

    Decoding is Pillow's, which refuses truncated files where OpenCV pads them in silence. PNG's checksums are
    verified besides; the other formats have none.

    Raises:
        InputError: The file is missing, damaged, not 8-bit, or has an alpha channel.
    """
    path = Path(path)
    with _opened(path) as image:
        if image.mode.startswith(_DEEP) or ";16" in _packed(image):
            raise InputError(
                f"{path} has more than 8 bits a channel (mode {_packed(image) or image.mode}); the benchmark's metrics "
                "and methods are defined on 8-bit levels. Convert it by the tone mapping that your data set prescribes."
            )
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            raise InputError(
                f"{path} has an alpha channel (mode {image.mode}); expected grey or RGB. Save it without transparency."
            )
        if image.mode not in ("L", "RGB", "1", "P"):
            raise InputError(f"{path} has mode {image.mode}; expected 8-bit grey or RGB. Convert it first.")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if image.format == "PNG":
                    with _opened(path) as whole:
                        whole.verify()
                elif image.format in ("JPEG", "MPO") and path.read_bytes().count(_SCAN) > _MOST_SCANS:
                    raise ValueError(f"more than {_MOST_SCANS} scans")
                kept = {"1": "L", "P": "RGB"}.get(image.mode, image.mode)
                return np.array(image if kept == image.mode else image.convert(kept))
        except InputError:
            raise
        except Exception as error:  # on damaged files Pillow raises whatever its parsing ran into
            raise InputError(
                f"{path} cannot be decoded ({_said(error)}); the file is damaged. Fetch it again."
            ) from error


def size(path: str | Path) -> tuple[int, int]:
    """Return (width, height) in pixels from an image file's header, without decoding it.

    Raises:
        InputError: The file is missing or is no image.
    """
    with _opened(Path(path)) as image:
        return image.size


def _opened(path: Path) -> ImageFile:
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise InputError(f"{path} is not a file; expected an image file.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on metadata, which nobody uses
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(path, formats=_FORMATS)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path} is not there; expected an image file.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"{path} claims an unreasonable size ({error}).") from None
    except UnidentifiedImageError:
        raise InputError(f"{path} is not an image that can be read; expected {', '.join(SUFFIXES)}.") from None
    except Exception as error:
        raise InputError(f"{path} cannot be read ({_said(error)}).") from error


def _packed(image: ImageFile) -> str:
    """Return how the file packs its pixels, such as "RGB;16B", which Pillow cuts to 8 bits in silence."""
    packed = [tile.args if isinstance(tile.args, str) else (tile.args or ("",))[0] for tile in image.tile]
    return next((text for text in packed if isinstance(text, str)), "")


def _said(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error) or type(error).__name__


def grey(image: ImageArray) -> ImageArray:
    """Return an image as (H, W) luma: ITU-R 601 as MATLAB's rgb2gray has it, rounded half away from zero.

    Args:
        image: uint8, (H, W) or (H, W, 3) RGB; grey is returned as it is.
    """
    if image.ndim == 2:
        return image
    luma = np.empty(image.shape[:2], np.uint8)
    for top in range(0, len(image), _ROWS):
        # No colour comes near enough to a half for the order of summation to matter; the cast cuts downwards.
        luma[top : top + _ROWS] = image[top : top + _ROWS] @ MATLAB_LUMA + 0.5
    return luma


def write(path: str | Path, image: ImageArray) -> None:
    """Write an image as PNG; the file appears whole or not at all.

    Args:
        path: Where to; its folder must exist.
        image: uint8, (H, W) or (H, W, 3) RGB.
    """
    path = Path(path)
    pixels = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    encoded, data = cv2.imencode(".png", pixels)
    if not encoded:
        raise InputError(f"{path}: an image of shape {image.shape} and type {image.dtype} cannot be PNG.")
    write_bytes(path, data.tobytes())


def name_of(path: Path) -> str:
    """Return the name by which a file is matched with others: without extension, in Unicode's composed form.

    Raises:
        InputError: The name holds control characters or is no text; no table or list could hold it.
    """
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in path.name):
        raise InputError(f"{path} has a name with control characters or unreadable bytes; rename it.")
    return unicodedata.normalize("NFC", path.stem)


def index(folder: str | Path) -> dict[str, Path]:
    """Return the image files of a folder by `name_of`, in sorted order.

    Raises:
        InputError: The folder is missing, holds no image, holds two files of one name, or one of a name that
            cannot be used.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; expected one with image files ({', '.join(SUFFIXES)}).")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        name = name_of(path)
        if name in found:
            raise InputError(f"{folder} holds both {found[name].name} and {path.name}; keep one of them.")
        found[name] = path
    if not found:
        raise InputError(f"{folder} holds no image files ({', '.join(SUFFIXES)}).")
    return found
