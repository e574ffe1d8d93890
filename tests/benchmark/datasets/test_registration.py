"""How far the images of a pair are shifted, and what `check` says of it."""

from pathlib import Path

import numpy as np
import pytest

from benchmark import datasets
from benchmark.datasets.registration import estimate_shift
from benchmark.synthetic import scenes
from metrics import images


@pytest.mark.parametrize(("x", "y"), [(0, 0), (3, 0), (0, -4), (-7, 5), (12, 9)])
def test_a_known_shift_is_measured(x: int, y: int) -> None:
    scene = scenes.scene(4, (320, 240)).visible
    margin = 16
    whole = scene[margin:-margin, margin:-margin]
    moved = scene[margin - y : scene.shape[0] - margin - y, margin - x : scene.shape[1] - margin - x]
    shift = estimate_shift(255 - images.grey(whole), moved)  # contrast is reversed, as it often is between the bands
    assert (shift.x, shift.y) == (pytest.approx(x, abs=0.5), pytest.approx(y, abs=0.5))
    assert shift.response > 0.5


def test_check_reports_shifted_pairs(tmp_path: Path) -> None:
    for band in ("ir", "vi"):
        (tmp_path / band).mkdir()
    for name, shift in (("a", 0), ("b", 6)):
        scene = images.grey(scenes.scene(8, (320, 240)).visible)
        images.write(tmp_path / "ir" / f"{name}.png", scene[:, 20:-20])
        images.write(tmp_path / "vi" / f"{name}.png", 255 - scene[:, 20 - shift : scene.shape[1] - 20 - shift])
    (remark,) = datasets.check("folders", tmp_path).remarks
    assert remark.startswith("pairs that look shifted by more than 2 pixels: 1 of 2 that can be measured (b by (+6.")


def test_check_remarks_on_odd_images(two_folders: Path, m3fd: Path) -> None:
    rng = np.random.default_rng(0)
    same = rng.integers(0, 256, (30, 40), dtype=np.uint8)
    images.write(two_folders / "ir" / "01.png", same)
    (two_folders / "vi" / "01.bmp").unlink()
    images.write(two_folders / "vi" / "01.png", same)
    images.write(two_folders / "ir" / "03.png", same // 128)
    report = datasets.check("tno", two_folders)
    assert report.problems == {}
    assert report.remarks == (
        "visible: 1 image equal to the infrared image, level by level (01)",
        "infrared: 1 image almost black (no level above 1): were levels from 0 to 1 saved as 8 bits? (03)",
    )
    twins = "test pairs whose images are in the training part under another name: 1 (00002 is 00000)"
    assert twins in datasets.check("m3fd", m3fd).remarks
