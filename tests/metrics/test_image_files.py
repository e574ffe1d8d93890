"""Image files as cameras, programs and people leave them: turned by metadata, opaque alpha, another format's name."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import metrics
from metrics import images
from metrics.errors import InputError
from metrics.opencv import cv2

SCENE = np.random.default_rng(7).integers(0, 256, (48, 64, 3), dtype=np.uint8)
SCENE[:20, :30] //= 4  # not symmetric in any way
# How a stored array is turned so that it is upright, by EXIF orientation (EXIF 2.32, section 4.6.4, tag 274).
UPRIGHT = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: stored[::-1, ::-1],
    4: np.flipud,
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}


def saved(path: Path, pixels: np.ndarray, orientation: int = 1, **options: object) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif, **options)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("orientation", list(UPRIGHT))
@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
@pytest.mark.parametrize("grey", [False, True])
def test_orientation_is_obeyed(orientation: int, suffix: str, grey: bool, tmp_path: Path) -> None:
    pixels = SCENE[..., 0] if grey else SCENE
    plain = images.read(saved(tmp_path / f"plain.{suffix}", pixels))
    path = saved(tmp_path / f"a.{suffix}", pixels, orientation)
    expected = UPRIGHT[orientation](plain)
    assert np.array_equal(images.read(path), expected)
    assert images.size(path) == (expected.shape[1], expected.shape[0])
    assert images.header(path).turned == (orientation != 1)
    if suffix == "jpg" and not grey:  # an independent reader; its own JPEG decoder differs by a few levels
        seen = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        assert seen.shape == expected.shape
        assert np.abs(seen.astype(int) - expected).mean() < 3


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_orientation_that_does_not_exist_turns_nothing(orientation: int, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", SCENE, orientation)
    assert np.array_equal(images.read(path), SCENE)
    assert not images.header(path).turned


def test_a_turned_source_scores_as_the_upright_one(tmp_path: Path) -> None:
    infrared, fused = SCENE[..., 0], SCENE[..., 1]
    for name, pixels in (("infrared", infrared), ("fused", fused), ("visible", SCENE)):
        saved(tmp_path / f"{name}.png", pixels)
    saved(tmp_path / "turned.png", SCENE[::-1, ::-1].copy(), 3)
    upright, turned = (
        metrics.evaluate_files(tmp_path / "infrared.png", tmp_path / name, tmp_path / "fused.png")
        for name in ("visible.png", "turned.png")
    )
    assert turned == upright


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_an_opaque_alpha_channel_is_dropped(mode: str, tmp_path: Path) -> None:
    pixels = SCENE if mode == "RGBA" else SCENE[..., :1]
    whole = np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], axis=2)
    Image.fromarray(whole, mode).save(tmp_path / "a.png")
    assert np.array_equal(images.read(tmp_path / "a.png"), pixels.squeeze())
    whole[3, 4, -1] = 254
    Image.fromarray(whole, mode).save(tmp_path / "b.png")
    with pytest.raises(InputError, match=r"b\.png has an alpha channel \(mode .*transparent in places \(alpha 254\)"):
        images.read(tmp_path / "b.png")


def test_a_transparent_colour_counts_only_where_it_occurs(tmp_path: Path) -> None:
    pixels = np.clip(SCENE, 1, 255)
    Image.fromarray(pixels).save(tmp_path / "a.png", transparency=(0, 0, 0))
    assert np.array_equal(images.read(tmp_path / "a.png"), pixels)
    pixels[5, 6] = 0
    Image.fromarray(pixels).save(tmp_path / "b.png", transparency=(0, 0, 0))
    with pytest.raises(InputError, match="transparent in places"):
        images.read(tmp_path / "b.png")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "is a WEBP image, whatever its name says"),
        (b"GIF89a", "is a GIF image"),
        (b"\x00\x00\x00\x20ftypheic", "is a HEIC image"),
        (b"version https://git-lfs.github.com/spec/v1", "is a Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"", "is an empty file"),
        (b"nothing known", "is not an image that can be read"),
    ],
)
def test_another_format_is_named(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    for function in (images.read, images.size):
        with pytest.raises(InputError, match=said):
            function(tmp_path / "a.jpg")


def test_pages_are_counted(tmp_path: Path) -> None:
    first, second = Image.fromarray(SCENE), Image.fromarray(255 - SCENE)
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    assert images.header(tmp_path / "a.tif").pages == 2
    assert np.array_equal(images.read(tmp_path / "a.tif"), SCENE)
