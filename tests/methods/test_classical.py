"""The methods without weights, on images small enough to work out by hand."""

import numpy as np
import pytest

import methods

CLASSICAL = ["infrared", "visible", "average", "maximum", "laplacian"]
INFRARED = np.array([[0, 10], [200, 255]], dtype=np.uint8)
VISIBLE = np.array([[0, 30], [101, 0]], dtype=np.uint8)


def test_pixel_rules_by_hand() -> None:
    # (200 + 101) / 2 = 150.5 and (255 + 0) / 2 = 127.5 round half to even: 150 and 128.
    expected = {
        "infrared": INFRARED,
        "visible": VISIBLE,
        "average": np.array([[0, 20], [150, 128]]),
        "maximum": np.array([[0, 30], [200, 255]]),
    }
    for name, fused in expected.items():
        np.testing.assert_array_equal(methods.create(name).fuse(INFRARED, VISIBLE), fused)


def test_raw_is_not_rounded() -> None:
    raw = methods.create("average").raw(INFRARED, VISIBLE)
    assert raw.dtype == np.float32
    assert raw[1].tolist() == [150.5, 127.5]


@pytest.mark.parametrize("name", CLASSICAL)
def test_fusing_a_image_with_itself_gives_it_back(name: str) -> None:
    image = np.random.default_rng(6).integers(0, 256, (65, 90), dtype=np.uint8)
    np.testing.assert_array_equal(methods.create(name).fuse(image, image), image)


def test_laplacian_keeps_detail_that_the_average_halves() -> None:
    """A fine texture in the visible image only keeps its full contrast."""
    texture = (128 + 40 * (-1.0) ** np.add.outer(np.arange(64), np.arange(64))).astype(np.uint8)
    flat = np.full((64, 64), 128, np.uint8)
    inside = (slice(8, -8), slice(8, -8))
    laplacian = methods.create("laplacian").raw(flat, texture)[inside]
    average = methods.create("average").raw(flat, texture)[inside]
    assert average.std() == pytest.approx(20, abs=0.01)
    assert laplacian.std() == pytest.approx(40, abs=0.5)
