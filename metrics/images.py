"""Image files: read strictly, write atomically, match by name.

Everything in this project that touches an image file goes through here, so that a truncated, 16-bit or
transparent file gives the same plain message wherever it is met.
"""

import unicodedata
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from metrics.errors import InputError
from metrics.files import write_bytes
from metrics.opencv import cv2

ImageArray = NDArray[np.uint8]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_OTHER_SUFFIXES = (".webp", ".gif", ".jp2", ".jxl", ".avif", ".heic", ".ppm", ".pgm", ".npy", ".mat", ".raw")
MATLAB_LUMA = np.array([0.298936021293775, 0.587043074451121, 0.114020904255103])
_SCAN, _MOST_SCANS = b"\xff\xda", 64  # JPEG: each takes a pass over all pixels; progressive files have about ten
_ROWS = 32  # rows treated at a time, so that intermediate arrays stay in the cache
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")  # those of SUFFIXES, whatever else Pillow could open by another name
_MODES = ("L", "RGB", "1", "P", "RGBA", "LA", "PA")
_ORIENTATION = 0x0112  # the EXIF tag
_FIRST_SIDEWAYS = 5  # orientations from here on swap width and height
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# First bytes of files that go about under the names of images: where they stand, the bytes, what the file is.
_SIGNATURES = (
    (8, b"WEBP", "a WEBP image"),
    (0, b"GIF8", "a GIF image"),
    (4, b"ftypavif", "an AVIF image"),
    (4, b"ftyphei", "a HEIC image"),
    (4, b"ftypmif1", "a HEIC image"),
    (4, b"jP  ", "a JPEG 2000 image"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"%PDF", "a PDF file"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"MATLAB 5.0", "a MATLAB file"),
    (0, b"\x89HDF", "an HDF5 file"),
    (1, b"NUMPY", "a NumPy file"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file that it stands for"),
    (0, b"<!DOCTYPE html", "a web page"),
    (0, b"<html", "a web page"),
)
_DEEP = ("I", "F")  # Pillow's modes of more than eight bits all begin so: I, I;16, I;16B, F


def read(path: str | Path) -> ImageArray:
    """Return the image in a file: uint8, (H, W) when it is grey, (H, W, 3) RGB when it has colour.

    Decoding is Pillow's, which refuses truncated files where OpenCV pads them in silence. PNG's checksums are
    verified besides; the other formats have none. An image whose metadata say that it was taken upside down or
    sideways (EXIF orientation) is turned, as viewers and OpenCV do. An alpha channel that is opaque everywhere is
    dropped, for nothing is lost.

    Raises:
        InputError: The file is missing, damaged, not 8-bit, or partly transparent.
    """
    path = Path(path)
    with _opened(path) as image:
        if image.mode.startswith(_DEEP) or ";16" in _packed(image):
            raise InputError(
                f"{path} has more than 8 bits a channel (mode {_packed(image) or image.mode}); the benchmark's metrics "
                "and methods are defined on 8-bit levels. Convert it by the tone mapping that your data set prescribes."
            )
        if image.mode not in _MODES:
            raise InputError(f"{path} has mode {image.mode}; expected 8-bit grey or RGB. Convert it first.")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if image.format == "PNG":
                    with _opened(path) as whole:
                        whole.verify()
                elif image.format in ("JPEG", "MPO") and path.read_bytes().count(_SCAN) > _MOST_SCANS:
                    raise ValueError(f"more than {_MOST_SCANS} scans")
                orientation = _orientation(image, path)
                if image.format == "TIFF":
                    image.filename = ""  # or Pillow 13 maps an uncompressed file at its turned size and mangles it
                opaque = _without_alpha(image, path)
                if image.format == "TIFF":
                    orientation = opaque.getexif().get(_ORIENTATION, 1)  # Pillow turns a TIFF while it decodes
                return np.array(opaque.transpose(_TURNS[orientation]) if orientation in _TURNS else opaque)
        except InputError:
            raise
        except Exception as error:  # on damaged files Pillow raises whatever its parsing ran into
            raise InputError(
                f"{path} cannot be decoded ({_said(error)}); the file is damaged. Fetch it again."
            ) from error


def size(path: str | Path) -> tuple[int, int]:
    """Return (width, height) in pixels of the image that `read` gives, without decoding the file.

    Raises:
        InputError: The file is missing or is no image.
    """
    return header(path).size


@dataclass(frozen=True)
class Header:
    """What an image file says before it is decoded.

    Attributes:
        size: (width, height) in pixels of the image that `read` gives.
        turned: Whether `read` turns or mirrors the image, because its EXIF orientation says so.
        pages: Number of images in the file, a TIFF's pages or an animation's frames; `read` takes the first.
    """

    size: tuple[int, int]
    turned: bool = False
    pages: int = 1


def header(path: str | Path) -> Header:
    """Return what an image file says before it is decoded.

    Raises:
        InputError: The file is missing or is no image.
    """
    path = Path(path)
    with _opened(path) as image:
        try:
            orientation = _orientation(image, path)
            width, height = image.size
            pages = getattr(image, "n_frames", 1) if image.format in ("TIFF", "PNG") else 1
            if isinstance(image, TiffImageFile):  # some versions of Pillow give the size after turning
                width, height = (
                    int(image.tag_v2.get(tag, side)) for tag, side in zip((256, 257), image.size, strict=True)
                )
        except Exception as error:
            raise InputError(f"{path} cannot be read ({_said(error)}).") from error
        turned_size = (height, width) if orientation >= _FIRST_SIDEWAYS else (width, height)
        return Header(turned_size, orientation in _TURNS, pages)


def _orientation(image: ImageFile, path: Path) -> int:
    """Return the EXIF orientation of an image that is not decoded yet: 1 is upright, 2 to 8 are turned or mirrored."""
    if image.format == "PNG":  # Pillow would decode the whole image for it
        data = _png_chunk(path, b"eXIf")
        if data is None:
            return 1
        exif = Image.Exif()
        exif.load(data)
    else:
        exif = image.getexif()
    orientation = exif.get(_ORIENTATION, 1)
    return orientation if orientation in _TURNS else 1


def _png_chunk(path: Path, kind: bytes) -> bytes | None:
    """Return the content of a PNG file's first chunk of a kind; None when it has none."""
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length = int.from_bytes(head[:4], "big")
            if head[4:] == kind:
                return file.read(length)
            file.seek(file.tell() + length + 4)
    return None


def _without_alpha(image: ImageFile, path: Path) -> Image.Image:
    """Return an image as mode L or RGB.

    Raises:
        InputError: It is transparent somewhere, so that what it shows depends on a background.
    """
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        grey_alpha = image.mode in ("L", "LA", "1")
        *colours, alpha = image.convert("RGBA").split()
        least = alpha.getextrema()[0]
        if least != 255:
            raise InputError(
                f"{path} has an alpha channel (mode {image.mode}) and is transparent in places (alpha {least}); "
                "expected grey or RGB, or alpha 255 everywhere. Save it without transparency."
            )
        return colours[0] if grey_alpha else Image.merge("RGB", colours)
    kept = {"1": "L", "P": "RGB"}.get(image.mode, image.mode)
    if kept != image.mode:
        return image.convert(kept)
    image.load()
    return image


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
        kind = _kind(path)
        named = f"is {kind}, whatever its name says" if kind else "is not an image that can be read"
        raise InputError(f"{path} {named}; expected {', '.join(SUFFIXES)}. Convert it, or fetch it again.") from None
    except Exception as error:
        raise InputError(f"{path} cannot be read ({_said(error)}).") from error


def _kind(path: Path) -> str:
    """Return what a file is that cannot be read, by its first bytes; empty when they say nothing."""
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        return "an empty file"
    return next((kind for start, mark, kind in _SIGNATURES if head[start : start + len(mark)] == mark), "")


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


def with_luma(visible: ImageArray, luma: ImageArray) -> ImageArray:
    """Return a visible image with another luma: in YCbCr, Y is replaced and the chroma kept.

    Args:
        visible: uint8, (H, W, 3) RGB; grey has no chroma, and gives the luma in three equal channels.
        luma: uint8 (H, W), such as a fused image.

    Raises:
        InputError: The two differ in size.
    """
    if visible.shape[:2] != luma.shape:
        sizes = [f"{shape[1]}x{shape[0]}" for shape in (visible.shape, luma.shape)]
        raise InputError(f"the visible image is {sizes[0]} but the fused one is {sizes[1]}; expected one size.")
    if visible.ndim == 2:
        return np.repeat(luma[..., None], 3, axis=2)
    # The same step in all three channels moves Y by that step, and neither Cb nor Cr.
    change = luma.astype(np.int16) - grey(visible)
    return np.clip(visible + change[..., None], 0, 255).astype(np.uint8)


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


def passed_over(folder: str | Path) -> list[Path]:
    """Return the files of a folder that hold images in formats that nothing here reads, sorted."""
    return [path for path in sorted(Path(folder).iterdir()) if path.suffix.lower() in _OTHER_SUFFIXES]


def files(folder: str | Path) -> list[Path]:
    """Return the image files of a folder, sorted.

    Raises:
        InputError: The folder is missing, or holds no image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; expected one with image files ({', '.join(SUFFIXES)}).")
    found = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES and path.name[0] != "."]
    if not found:
        raise InputError(f"{folder} holds no image files ({', '.join(SUFFIXES)}).")
    return found


def index(folder: str | Path) -> dict[str, Path]:
    """Return the image files of a folder by `name_of`, in sorted order.

    Raises:
        InputError: The folder is missing, holds no image, holds two files of one name, or one of a name that
            cannot be used.
    """
    found: dict[str, Path] = {}
    for path in files(folder):
        name = name_of(path)
        if name in found:
            raise InputError(f"{folder} holds both {found[name].name} and {path.name}; keep one of them.")
        found[name] = path
    return found
