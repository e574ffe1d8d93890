"""The readers on real files. Expected numbers: the sample's own description and the public lists beside it."""

from pathlib import Path

import pytest

from benchmark import datasets
from benchmark.datasets.base import Pair

pytestmark = pytest.mark.shared


@pytest.mark.parametrize(
    ("name", "folder", "train", "test", "annotated"),
    [
        ("m3fd", "M3FD", 8, 4, 12),
        ("flir", "FLIR_aligned", 68, 19, 87),
        ("flir", "FLIR_aligned/align", 68, 19, 87),
        ("llvip", "LLVIP", 5, 9, 14),
        ("llvip", "LLVIP_unlabelled", 6, 0, 0),
        ("msrs", "MSRS", 148, 60, 206),  # two of the 208 label files are empty on purpose
        ("m3fd_fusion", "M3FD_Fusion", 0, 2, 0),
        ("roadscene", "RoadScene", 0, 14, 0),
        ("tno", "TNO", 0, 11, 0),
        ("folders", "RoadScene", 0, 14, 0),
    ],
)
def test_every_sample_loads(name: str, folder: str, train: int, test: int, annotated: int, shared: Path) -> None:
    dataset = datasets.load(name, shared / "data" / folder)
    assert (len(dataset.train), len(dataset.test)) == (train, test)
    assert sum(bool(pair.boxes) for pair in (*dataset.train, *dataset.test)) == annotated


@pytest.mark.parametrize("labels", ["fusion", "infrared", "visible"])
def test_every_kind_of_msrs_labels_loads(labels: str, shared: Path) -> None:
    dataset = datasets.load("msrs", shared / "data" / "MSRS", labels=labels)
    assert "dev_train.txt" in dataset.split
    assert dataset.notes == ()


def test_boxes_are_the_published_ones(shared: Path) -> None:
    dataset = datasets.load("m3fd", shared / "data" / "M3FD")
    boxes = next(pair.boxes for pair in (*dataset.train, *dataset.test) if pair.name == "00000")
    # Annotation/00000.xml of M3FD: xmin 46, ymin 372, xmax 82, ymax 478
    assert boxes[0] == datasets.Box(45, 371, 82, 478, "People")
    assert len(boxes) == 11


def test_flir_parts_agree_with_the_public_lists(shared: Path) -> None:
    dataset = datasets.load("flir", shared / "data" / "FLIR_aligned")
    lists = shared / "spec" / "splits"

    def inside(pairs: tuple[Pair, ...], name: str) -> bool:
        return {pair.name for pair in pairs} <= set((lists / name).read_text().split())

    assert inside(dataset.train, "flir_aligned_train_4129.txt")
    assert inside(dataset.test, "flir_aligned_val_1013.txt")
    assert not inside(dataset.test, "flir_aligned_train_4129.txt")


def test_a_published_list_can_be_given(shared: Path) -> None:
    lists = shared / "spec" / "splits"
    found = datasets.scan(
        "m3fd",
        shared / "data" / "M3FD",
        train_list=lists / "m3fd_damsdet_train_3368.txt",
        test_list=lists / "m3fd_damsdet_val_831.txt",
    )
    # the published list counts 4,199 names, of which the sample holds at most twelve
    missing = [problem for problem in found.findings if problem.kind == "list"]
    pairs = len(found.dataset.train) + len(found.dataset.test)
    assert len(missing) == 3368 + 831 - pairs
    assert 11 <= pairs <= 12


def test_check_of_real_images(shared: Path) -> None:
    report = datasets.check("flir", shared / "data" / "FLIR_aligned")
    # The crops' boxes were carried over from the frames by their homography, and end at the crops' borders.
    assert (report.problems, report.notes) == (
        {},
        ("boxes that reached up to one pixel outside their image, clipped: 25",),
    )
    # only four pairs of the sample have the official size; the others are crops
    assert report.sizes["640x512"] == 4
    assert [sum(part.boxes.values()) for part in report.parts] == [411, 124]
