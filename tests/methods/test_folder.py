"""Images that are fused already."""

from pathlib import Path

import numpy as np
import pytest

import methods
from metrics import images
from metrics.errors import InputError

SOURCE = np.zeros((6, 8), np.uint8)
FUSED = np.arange(48, dtype=np.uint8).reshape(6, 8)


def test_images_are_found_by_data_set_and_name(tmp_path: Path) -> None:
    (tmp_path / "M3FD").mkdir()
    images.write(tmp_path / "M3FD" / "00001.png", FUSED)
    method = methods.create("folder", weights=tmp_path / "{dataset}")
    np.testing.assert_array_equal(method.fuse_named("M3FD", "00001", SOURCE, SOURCE), FUSED)
    assert method.inputs("M3FD", "00001") == (tmp_path / "M3FD" / "00001.png",)


def test_colour_becomes_luma(tmp_path: Path) -> None:
    images.write(tmp_path / "a.png", np.stack([FUSED] * 3, axis=2))
    fused = methods.create("folder", weights=tmp_path).fuse_named("x", "a", SOURCE, SOURCE)
    np.testing.assert_array_equal(fused, FUSED)


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs the folder of fused images"):
        methods.create("folder")
    with pytest.raises(InputError, match="nowhere is not a folder"):
        methods.create("folder", weights=tmp_path / "nowhere").fuse_named("x", "a", SOURCE, SOURCE)
    images.write(tmp_path / "a.png", FUSED[:5])
    method = methods.create("folder", weights=tmp_path)
    with pytest.raises(InputError, match=r"has no image named b \(of 1 there, such as a\)"):
        method.fuse_named("x", "b", SOURCE, SOURCE)
    with pytest.raises(InputError, match="a.png is 8x5 but its sources are 8x6"):
        method.fuse_named("x", "a", SOURCE, SOURCE)


@pytest.mark.parametrize(("files", "place"), [("Fuse1 Fuse2", ""), ("1_ADF 2_ADF", ""), ("x1y x2z", "x{}y.png")])
def test_names_with_a_beginning_or_an_end(files: str, place: str, tmp_path: Path) -> None:
    for level, name in enumerate(files.split(), 1):
        images.write(tmp_path / f"{name}.png", np.full(SOURCE.shape, level, np.uint8))
    method = methods.create("folder", weights=str(tmp_path / place))
    assert method.fuse_named("tno", "1", SOURCE, SOURCE)[0, 0] == 1
    if not place:
        assert method.fuse_named("tno", "2", SOURCE, SOURCE)[0, 0] == 2
    with pytest.raises(InputError, match="has no image named 3"):
        method.fuse_named("tno", "3", SOURCE, SOURCE)


def test_names_that_could_mean_two_files(tmp_path: Path) -> None:
    images.write(tmp_path / "1_2.png", SOURCE)
    method = methods.create("folder", weights=str(tmp_path))
    assert method.inputs("tno", "1") == (tmp_path / "1_2.png",)
    with pytest.raises(InputError, match="would be the image of 1 and of 2"):
        method.inputs("tno", "2")
    assert methods.create("folder", weights=str(tmp_path / "1_{}")).inputs("tno", "2") == (tmp_path / "1_2.png",)
