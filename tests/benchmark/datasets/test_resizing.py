"""Pairs of unlike size, and data sets whose boxes are missing where no boxes are needed."""

from pathlib import Path

import numpy as np
import pytest

from benchmark import datasets
from benchmark.datasets import Box
from metrics import images
from metrics.errors import InputError
from metrics.opencv import cv2
from tests.benchmark.datasets.trees import image, item, text, xml


@pytest.fixture
def unlike(m3fd: Path) -> Path:
    """M3FD with a visible image of twice the width and height, whose annotation states that size."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    images.write(m3fd / "Vis" / "00002.png", pixels)
    xml(m3fd / "Annotation" / "00002.xml", item("Car", (11, 13, 40, 50)), size=(80, 60))
    return m3fd


def test_pairs_of_unlike_size_are_refused_by_default(unlike: Path) -> None:
    with pytest.raises(InputError, match=r"is 40x30 but .* is 80x60; a pair has one size.*--resize-pairs visible"):
        datasets.load("m3fd", unlike)


@pytest.mark.parametrize(
    ("band", "size", "box"), [("infrared", (40, 30), (5, 6, 20, 25)), ("visible", (80, 60), (10, 12, 40, 50))]
)
def test_one_image_is_scaled_to_the_other(
    band: str, size: tuple[int, int], box: tuple[int, ...], unlike: Path, tmp_path: Path
) -> None:
    dataset = datasets.load("m3fd", unlike, resize_pairs=band, resized_into=tmp_path / "resized")
    (pair,) = dataset.test
    assert images.size(pair.infrared) == images.size(pair.visible) == size
    assert pair.boxes == (Box(*box, "Car"),)
    assert dataset.split.endswith(f" images of 1 pairs scaled bilinearly to the {band} image's size")
    if band == "infrared":
        whole = images.read(unlike / "Vis" / "00002.png")
        assert np.array_equal(images.read(pair.visible), cv2.resize(whole, (40, 30), interpolation=cv2.INTER_LINEAR))
    assert all(one.infrared.parent == unlike / "Ir" for one in dataset.train)
    again = datasets.load("m3fd", unlike, resize_pairs=band, resized_into=tmp_path / "resized").test[0]
    assert (again, again.stamps) == (pair, pair.stamps)  # not written again
    report = datasets.check("m3fd", unlike, resize_pairs=band)
    assert report.problems == {}
    assert report.parts[1].fingerprint == datasets.fingerprint(dataset.test)


def test_fractions_need_no_frame(tardal: Path, tmp_path: Path) -> None:
    image(tardal / "vi" / "00001.png", size=(80, 60), mode="RGB")
    dataset = datasets.load("m3fd", tardal, resize_pairs="visible", resized_into=tmp_path / "resized")
    assert dataset.test[0].boxes == (Box(30, 24, 50, 36, "Car"),)


def test_what_cannot_be_resized(unlike: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown band whose size pairs take 'both'; known: infrared, visible"):
        datasets.load("m3fd", unlike, resize_pairs="both", resized_into=tmp_path)
    with pytest.raises(InputError, match="expected resized_into as well"):
        datasets.load("m3fd", unlike, resize_pairs="visible")


@pytest.mark.parametrize("name", ["m3fd", "flir", "msrs"])
def test_missing_annotations_matter_only_where_boxes_do(name: str, request: pytest.FixtureRequest) -> None:
    root: Path = request.getfixturevalue(name)
    file = {
        "m3fd": "Annotation/00002.xml",
        "flir": "align/Annotations/FLIR_08864_PreviewData.xml",
        "msrs": "labels/fusion/test/00004N.txt",
    }[name]
    (root / file).unlink()
    with pytest.raises(InputError, match="annotation file"):
        datasets.load(name, root)
    dataset = datasets.load(name, root, needs_boxes=False)
    assert [pair.boxes for pair in dataset.test] == [()]
    assert dataset.notes[-1].startswith("annotation files that are missing, which Tables 2 and 3 need: 1, first: ")
    text(root / file, "damaged")
    with pytest.raises(InputError, match="cannot be read as XML|expected `class x y"):
        datasets.load(name, root, needs_boxes=False)
