"""Image files that are damaged, hostile, or something else than they claim to be."""

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from metrics import images
from metrics.errors import InputError
from tests.faults.cases import answer, damaged, fuzz

SIDE = 100_000
PIXELS = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
PIXELS[:12] = PIXELS[0]


def encoded(kind: str, mode: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


PNGS = [encoded("PNG", mode) for mode in ("L", "RGB", "P", "1")]
OTHERS = [
    *((".jpg", encoded("JPEG", mode, progressive=progressive)) for mode in ("L", "RGB") for progressive in (0, 1)),
    *((".bmp", encoded("BMP", mode)) for mode in ("L", "RGB", "P", "1")),
    *(
        (".tif", encoded("TIFF", mode, compression=compression))
        for mode in ("L", "RGB")
        for compression in (None, "tiff_lzw", "packbits", "tiff_adobe_deflate", "jpeg")
    ),
    *((".tif", encoded("TIFF", mode)) for mode in ("P", "1")),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@fuzz()
@given(data=st.data())
def test_a_damaged_png_is_refused_or_is_the_same_image(data: st.DataObject, folder: Path) -> None:
    """PNG has checksums: no damage may change a level. A new file size, and so on, is damage to the header."""
    whole = data.draw(st.sampled_from(PNGS))
    path = folder / "whole.png"
    path.write_bytes(whole)
    expected = images.read(path)
    path.write_bytes(data.draw(damaged(whole)))
    answer(lambda: images.size(path))
    found = answer(lambda: images.read(path))
    assert found is None or np.array_equal(found, expected)


@fuzz(2)
@given(data=st.data())
def test_other_damaged_images_are_refused_or_are_images(data: st.DataObject, folder: Path) -> None:
    suffix, whole = data.draw(st.sampled_from(OTHERS))
    path = folder / f"damaged{suffix}"
    path.write_bytes(data.draw(damaged(whole)))
    size = answer(lambda: images.size(path))
    found = answer(lambda: images.read(path))
    if found is not None:
        assert found.dtype == np.uint8
        assert (found.shape[1], found.shape[0]) == size
        assert found.ndim == 2 or found.shape[2:] == (3,)


@fuzz(0.5)
@given(content=st.binary(max_size=80), start=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"BM", b"II*\0"]))
def test_any_bytes(content: bytes, start: bytes, folder: Path) -> None:
    path = folder / "any.png"
    path.write_bytes(start + content)
    answer(lambda: images.size(path))
    answer(lambda: images.read(path))


@pytest.mark.shared
@fuzz(0.25)
@given(data=st.data())
def test_damaged_real_images(data: st.DataObject, folder: Path, shared: Path) -> None:
    found = sorted(path for path in (shared / "data").rglob("*.*") if path.suffix.lower() in images.SUFFIXES)
    path = data.draw(st.sampled_from(found[:: max(len(found) // 12, 1)]))
    whole = path.read_bytes()
    copy = folder / f"real{path.suffix}"
    copy.write_bytes(data.draw(damaged(whole, head=400)))
    read = answer(lambda: images.read(copy))
    if read is not None and whole.startswith(b"\x89PNG"):
        assert np.array_equal(read, images.read(path))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *, depth: int = 8, colour: int = 0, more: bytes = b"", pixels: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + more + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def huge(suffix: str) -> bytes:
    """Return a small file whose header claims a huge image."""
    if suffix == ".png":
        return png(SIDE, SIDE, pixels=bytes(1000))
    kind = {".bmp": "BMP", ".tif": "TIFF", ".jpg": "JPEG"}[suffix]
    content = bytearray(encoded(kind, "L"))
    if suffix == ".bmp":
        content[18:26] = struct.pack("<ii", SIDE, SIDE)
    elif suffix == ".jpg":
        at = content.index(b"\xff\xc0")
        content[at + 5 : at + 9] = struct.pack(">HH", 65500, 65500)  # two bytes hold no more
    else:
        start = struct.unpack_from("<I", content, 4)[0]
        for entry in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", content, start)[0], 12):
            if struct.unpack_from("<H", content, entry)[0] in (256, 257):
                struct.pack_into("<HII", content, entry + 2, 4, 1, SIDE)
    return bytes(content)


MEASURED = """
import resource, sys, time
from metrics import images
from metrics.errors import InputError
before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
for read in (images.size, images.read):
    try:
        read(sys.argv[1])
    except InputError as error:
        print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, time.monotonic() - began)
"""


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".jpg"])
def test_a_header_that_claims_a_huge_image_costs_nothing(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"huge{suffix}"
    path.write_bytes(huge(suffix))
    done = subprocess.run([sys.executable, "-c", MEASURED, str(path)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    *said, measured = done.stdout.splitlines()
    assert [line.startswith(f"{path} claims an unreasonable size") for line in said] == [True, True]
    kilobytes, seconds = map(float, measured.split())
    assert kilobytes < 20_000  # one channel of the claimed image has 10,000,000
    assert seconds < 2


def test_text_in_a_png_that_swells_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.png"
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(200 << 20)))
    path.write_bytes(png(8, 8, more=text, pixels=bytes(72)))
    assert answer(lambda: images.read(path)) is None


def test_a_jpeg_of_endless_scans_is_refused(tmp_path: Path) -> None:
    whole = encoded("JPEG", "L", progressive=True)
    last = whole.rindex(b"\xff\xda")
    path = tmp_path / "scans.jpg"
    path.write_bytes(whole[:last] + whole[last:-2] * 100 + whole[-2:])
    with pytest.raises(InputError, match="more than 64 scans"):
        images.read(path)
    path.write_bytes(whole)
    assert images.read(path).shape == (24, 40)


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3)])
def test_sixteen_bits_are_never_cut_to_eight(colour: int, channels: int, tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    path.write_bytes(png(8, 8, depth=16, colour=colour, pixels=bytes(8 * (1 + 16 * channels))))
    with pytest.raises(InputError, match="more than 8 bits a channel"):
        images.read(path)
    deep = tmp_path / "deep.tif"
    cv2.imwrite(str(deep), np.zeros((8, 8, channels), np.uint16))
    with pytest.raises(InputError, match="more than 8 bits a channel"):
        images.read(deep)


@pytest.mark.parametrize("kind", ["GIF", "PPM", "WEBP", "ICO", "TGA", "EPS"])
def test_other_formats_by_a_image_s_name(kind: str, tmp_path: Path) -> None:
    """Pillow opens dozens of formats, and would start Ghostscript for one; an icon would come back smaller."""
    path = tmp_path / "other.png"
    Image.new("RGB", (40, 40)).save(path, kind)
    for read in (images.size, images.read):
        with pytest.raises(InputError, match="is not an image that can be read|is a (GIF|WEBP) image"):
            read(path)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "loop", "dangling"])
def test_what_is_no_file_is_not_waited_for(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.png"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "device":
            path.symlink_to("/dev/zero")
        case "loop":
            path.symlink_to(path)
        case "dangling":
            path.symlink_to(tmp_path / "nothing")
    assert answer(lambda: images.read(path)) is None
    assert answer(lambda: images.size(path)) is None


def test_names_match_in_either_unicode_form(tmp_path: Path) -> None:
    for folder, name in (("composed", "caf\u00e9"), ("decomposed", "cafe\u0301")):
        (tmp_path / folder).mkdir()
        images.write(tmp_path / folder / f"{name}.png", PIXELS)
    assert list(images.index(tmp_path / "composed")) == list(images.index(tmp_path / "decomposed")) == ["caf\u00e9"]
    images.write(tmp_path / "composed" / "cafe\u0301.png", PIXELS)
    with pytest.raises(InputError, match="holds both"):
        images.index(tmp_path / "composed")


@pytest.mark.parametrize("name", [b"a\nb.png", b"a\rb.png", b"\x1b[31mred.png", b"\xff\xfe.png", b"tab\t.png"])
def test_names_that_no_line_can_hold_are_refused(name: bytes, tmp_path: Path) -> None:
    path = Path(os.fsdecode(bytes(tmp_path) + b"/" + name))
    path.write_bytes(PNGS[0])
    with pytest.raises(InputError, match="rename it") as caught:
        images.index(tmp_path)
    assert str(caught.value).isprintable()
