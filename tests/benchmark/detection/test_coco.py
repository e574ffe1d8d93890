"""COCO files: ids, boxes at the border, difficult boxes, and files that are damaged or another's."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from benchmark.datasets.base import Box, Pair
from benchmark.detection import coco
from benchmark.detection.detections import Detections
from metrics import images
from metrics.errors import InputError

CLASSES = ("car", "person")


@pytest.fixture
def pairs(tmp_path: Path) -> list[Pair]:
    """Two images of 40x30: a car that fills the right half and a difficult person; nothing."""
    path = tmp_path / "image.png"
    images.write(path, np.zeros((30, 40), np.uint8))
    boxes = (Box(20, 0, 40, 30, "car"), Box(1, 2, 4, 8, "person", difficult=True))
    return [Pair("a.b", path, path, boxes), Pair("empty", path, path)]


@pytest.fixture
def truth(pairs: list[Pair]) -> coco.GroundTruth:
    return coco.ground_truth(pairs, CLASSES)


def detections(name: str = "a.b", **fields: Any) -> Detections:
    found = Detections(name, np.array([[20.0, 0, 40, 30], [1.5, 2, 4, 7]]), np.array([1, 2]), np.array([0.9, 0.25]))
    return replace(found, **fields)


def test_ground_truth_has_ids_from_one_and_sizes_from_the_images(truth: coco.GroundTruth) -> None:
    assert truth["images"] == [
        {"id": 1, "file_name": "a.b.png", "width": 40, "height": 30},
        {"id": 2, "file_name": "empty.png", "width": 40, "height": 30},
    ]
    assert truth["categories"] == [{"id": 1, "name": "car"}, {"id": 2, "name": "person"}]
    car, person = truth["annotations"]
    assert car == {"id": 1, "image_id": 1, "category_id": 1, "bbox": [20, 0, 20, 30], "area": 600, "iscrowd": 0}
    assert (person["id"], person["bbox"], person["iscrowd"]) == (2, [1, 2, 3, 6], 1)
    assert coco.image_ids(truth) == {"a.b": 1, "empty": 2}


def test_a_box_up_to_a_pixel_outside_ends_at_the_border(pairs: list[Pair]) -> None:
    pair = replace(pairs[0], boxes=(Box(-0.5, -1, 40.75, 30.25, "car"),))
    assert coco.ground_truth([pair], CLASSES)["annotations"][0]["bbox"] == [0, 0, 40, 30]


@pytest.mark.parametrize(
    "edges",
    [(-2, 0, 5, 5), (30, 0, 45, 5), (5, 5, 5, 9), (9, 5, 5, 9), (float("nan"), 0, 5, 5), (0, 0, 5, float("nan"))],
)
def test_a_box_elsewhere_is_refused(pairs: list[Pair], edges: tuple[float, float, float, float]) -> None:
    pair = replace(pairs[0], boxes=(Box(*edges, "car"),))
    with pytest.raises(InputError, match="a.b: car box .* 40x30"):
        coco.ground_truth([pair], CLASSES)


def test_an_unknown_class_and_a_repeated_name_are_refused(pairs: list[Pair]) -> None:
    with pytest.raises(InputError, match="'car'; known: person"):
        coco.ground_truth(pairs, ("person",))
    with pytest.raises(InputError, match="two images are called 'a.b'"):
        coco.ground_truth([pairs[0], pairs[0]], CLASSES)


def test_results_give_width_and_height(truth: coco.GroundTruth) -> None:
    found = coco.results([detections()], coco.image_ids(truth))
    assert found[1] == {"image_id": 1, "category_id": 2, "bbox": [1.5, 2, 2.5, 5], "score": 0.25}


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (detections("other"), "'other', which is no image"),
        (detections(boxes=np.array([[5.0, 0, 4, 1], [0, 0, 1, 1]])), "a.b is inverted"),
        (detections(scores=np.array([np.nan, 0.5])), "not finite"),
    ],
)
def test_results_that_cannot_be_are_refused(truth: coco.GroundTruth, one: Detections, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        coco.results([one], coco.image_ids(truth))


def test_files_give_back_what_was_written(truth: coco.GroundTruth, tmp_path: Path) -> None:
    found = coco.results([detections()], coco.image_ids(truth))
    coco.write_json(tmp_path / "truth.json", truth)
    coco.write_json(tmp_path / "found.json", found)
    assert coco.read_ground_truth(tmp_path / "truth.json") == truth
    read = coco.read_results(tmp_path / "found.json", truth)
    first, empty = coco.detections(read, truth)
    assert (first.name, first.boxes.tolist()) == ("a.b", detections().boxes.tolist())
    assert (first.labels.tolist(), first.scores.tolist()) == ([1, 2], [0.9, 0.25])
    assert (empty.name, empty.boxes.shape, empty.scores.shape) == ("empty", (0, 4), (0,))


def test_pycocotools_reads_the_files_itself(
    truth: coco.GroundTruth, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coco.write_json(tmp_path / "truth.json", truth)
    coco.write_json(tmp_path / "found.json", coco.results([detections()], coco.image_ids(truth)))
    read = COCO(str(tmp_path / "truth.json"))
    assert len(read.loadRes(str(tmp_path / "found.json")).getAnnIds()) == 2
    assert read.getAnnIds(iscrowd=True) == [2]
    capsys.readouterr()


def test_no_detection_at_all_is_a_file_too(truth: coco.GroundTruth, tmp_path: Path) -> None:
    coco.write_json(tmp_path / "found.json", [])
    assert coco.read_results(tmp_path / "found.json", truth) == []
    assert [one.scores.size for one in coco.detections([], truth)] == [0, 0]


def test_what_other_tools_add_is_left_out(truth: coco.GroundTruth, tmp_path: Path) -> None:
    coco.write_json(tmp_path / "truth.json", truth | {"info": {"year": 2014}, "licenses": []})
    assert coco.read_ground_truth(tmp_path / "truth.json") == truth


def changed(truth: coco.GroundTruth, part: str, place: int, **fields: Any) -> coco.GroundTruth:
    entries = [dict(entry) for entry in truth[part]]
    entries[place] |= fields
    return truth | {part: entries}


@pytest.mark.parametrize(
    ("part", "place", "fields", "reason"),
    [
        ("annotations", 0, {"id": 0}, "annotations.0.id"),
        ("annotations", 1, {"id": 1}, "two annotations have the same id"),
        ("annotations", 1, {"image_id": 7}, "image_id 7 is not in the ground truth"),
        ("annotations", 1, {"category_id": 7}, "category_id 7 is not in the ground truth"),
        ("annotations", 0, {"bbox": [1, 2, 3]}, "annotations.0.bbox"),
        ("annotations", 0, {"bbox": [1, 2, -3, 4]}, "annotations.0.bbox"),
        ("annotations", 0, {"iscrowd": 2}, "annotations.0.iscrowd"),
        ("images", 1, {"file_name": "a.b.png"}, "two images have the same name"),
        ("images", 0, {"width": "40"}, "images.0.width"),
        ("categories", 1, {"name": "car"}, "two categories have the same name"),
    ],
)
def test_ground_truth_that_cannot_be_is_refused(
    truth: coco.GroundTruth, tmp_path: Path, part: str, place: int, fields: dict[str, Any], reason: str
) -> None:
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(changed(truth, part, place, **fields)))
    with pytest.raises(InputError, match=reason) as raised:
        coco.read_ground_truth(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


RESULT = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.5}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "no list of COCO results"),
        ('[{"image_id": 1, "categ', "no list of COCO results"),
        ("{}", "the whole file"),
        (b"\xff\xfe\x00", "no list of COCO results"),
        (json.dumps([RESULT | {"score": float("nan")}]), "0.score"),
        (json.dumps([RESULT | {"bbox": [0, 0, float("inf"), 1]}]), "0.bbox"),
        (json.dumps([RESULT | {"bbox": [1e308, 0, 1e308, 1]}]), "0.bbox.0"),
        (json.dumps([RESULT | {"bbox": [0, 0, 1e200, 1e200]}]), "0.bbox.2"),
        (json.dumps([RESULT | {"image_id": 3}]), "image_id 3 .* other data"),
        (json.dumps([RESULT | {"category_id": 3}]), "category_id 3 .* other data"),
        (json.dumps([{"image_id": 1}]), "0.category_id"),
    ],
)
def test_results_files_that_cannot_be_are_refused(
    truth: coco.GroundTruth, tmp_path: Path, content: str | bytes, reason: str
) -> None:
    path = tmp_path / "found.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=reason) as raised:
        coco.read_results(path, truth)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.json cannot be read \(No such file"):
        coco.read_ground_truth(tmp_path / "none.json")
