"""Resuming from damaged files: a damaged journal costs only rows, and a file that cannot be written is named."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.datasets.base import Pair
from benchmark.detection.detections import Detections
from benchmark.engine.stages import detect as stage
from benchmark.engine.stages.train_detector import fused_examples
from metrics import images
from metrics.errors import InputError
from metrics.files import append_text, write_file
from moefusion.checkpoint_file import save_tensors
from moefusion.journal import Journal, kept_rows

NAMES = ("step", "epoch", "total")
ROW = "2,1,0.5\n"


def read(path: Path, content: bytes) -> list[list[str]]:
    path.write_bytes(content)
    return kept_rows(path, NAMES, last_step=3)


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe,1,0.5\n",
        b"9" * 5000 + b",1,0.5\n",
        b"1,1," + b"x" * 200_000 + b"\n",
        b"1,1," + b"9" * 200_000 + b"\n",
        b'"1,1,0.5\n',
        b"1,1\n",
        b"1,1,0.5,7\n",
        b"1,1,\n",
        b"1,1,nan\n",
        b"-1,1,0.5\n",
        b"0,1,0.5\n",
        b"1.5,1,0.5\n",
        b"\0\n",
        b"\n",
        b"4,2,0.5\n",  # comes again
    ],
    ids=range(15),
)
def test_a_line_that_is_no_row_is_left_out(line: bytes, tmp_path: Path) -> None:
    content = b"step,epoch,total\n1,1,0.75\n" + line + ROW.encode()
    assert read(tmp_path / "train.csv", content) == [["1", "1", "0.75"], ["2", "1", "0.5"]]


@pytest.mark.parametrize("content", ["", "step,epoch,total", "step,total\n" + ROW, "st\0p,epoch,total\n" + ROW, ROW])
def test_a_journal_of_other_columns_has_no_rows(content: str, tmp_path: Path) -> None:
    assert read(tmp_path / "train.csv", content.encode()) == []


@pytest.mark.parametrize("content", [None, b"\xff\n" + ROW.encode(), b"step,epoch,total\n2,1,0.5\n3,1,0.2"])
def test_a_journal_goes_on_behind_whatever_is_there(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    if content is not None:
        path.write_bytes(content)
    losses = dict.fromkeys(("total", "pixel", "gradient", "load"), 0.25)
    names = ["step", "epoch", *losses]
    with Journal(tmp_path, first_step=2, steps=4, progress=False, tensorboard=False) as journal:
        for step in (3, 4):
            journal.write({"step": step, "epoch": 2, **losses})
    assert path.read_text() == ",".join(names) + "\n3,2,0.25,0.25,0.25,0.25\n4,2,0.25,0.25,0.25,0.25\n"


FOUND = {"name": "a", "boxes": [[1.0, 2.0, 5.0, 9.0]], "labels": [2], "scores": [0.5]}


@pytest.mark.parametrize(
    "change",
    [
        {"labels": [99]},
        {"labels": [0]},
        {"labels": [10**30]},
        {"labels": [1.5]},
        {"labels": [True]},
        {"labels": [1, 2]},
        {"scores": []},
        {"scores": [float("nan")]},
        {"scores": ["0.5"]},
        {"boxes": []},
        {"boxes": [[1.0, 2.0, 5.0]]},
        {"boxes": [1.0, 2.0, 5.0, 9.0]},
        {"boxes": [[5.0, 2.0, 1.0, 9.0]]},
        {"boxes": [[1.0, 2.0, 5.0, float("nan")]]},
        {"boxes": [[1.0, 2.0, 5.0, float("inf")]]},
        {"boxes": [[-1e308, 2.0, 1e308, 9.0]]},
        {"name": [1]},
        {"name": None},
        {"boxes": None},
    ],
    ids=str,
)
def test_a_damaged_line_means_to_detect_again(change: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "detections.jsonl"
    lines = [json.dumps(FOUND | change), json.dumps(FOUND | {"name": "b"})]
    path.write_text("\n".join(lines) + "\n")
    assert list(stage.read_journal(path, classes=2)) == ["b"]


@pytest.mark.parametrize("line", [b"[" * 200_000, b"null", b"3", b"\xff\xfe", b'{"name": "a', b"9" * 5000, b""])
def test_lines_that_are_none(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "detections.jsonl"
    path.write_bytes(line + b"\n" + json.dumps(FOUND).encode())
    assert list(stage.read_journal(path, classes=2)) == ["a"]


def test_what_was_found_comes_back(tmp_path: Path) -> None:
    some = Detections("\u00e9 \u2028x", np.array([[0, 1e-30, 640.25, 480]]), np.array([2]), np.array([1 / 3]))
    none = Detections("none", np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0))
    path = tmp_path / "detections.jsonl"
    for one in (some, none):
        append_text(path, stage.journal_line(one))
    for one, again in zip((some, none), stage.read_journal(path, classes=2).values(), strict=True):
        assert one.name == again.name
        for ours, theirs in zip(
            (one.boxes, one.labels, one.scores), (again.boxes, again.labels, again.scores), strict=True
        ):
            assert np.array_equal(ours, theirs)
            assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)


@pytest.mark.parametrize("grey", [True, False])
def test_a_fused_image_of_another_size_is_refused(grey: bool, tmp_path: Path) -> None:
    """Its boxes would be elsewhere."""
    images.write(tmp_path / "source.png", np.zeros((96, 128), np.uint8))
    pair = Pair("a", tmp_path / "source.png", tmp_path / "source.png")
    with pytest.raises(InputError, match="a.png is not there; every pair needs its fused image"):
        fused_examples([pair], tmp_path, grey=grey)
    images.write(tmp_path / "a.png", np.zeros((48, 64), np.uint8))
    with pytest.raises(InputError, match=r"a.png is 64x48 but its sources are 128x96; .* delete it"):
        fused_examples([pair], tmp_path, grey=grey)
    images.write(tmp_path / "a.png", np.zeros((96, 128), np.uint8))
    assert [example.name for example in fused_examples([pair], tmp_path, grey=grey)] == ["a"]


def journalled(path: Path) -> None:
    with Journal(path.parent, first_step=0, steps=1, progress=False, tensorboard=False) as journal:
        journal.write({"step": 1, "epoch": 1, "total": 1.0, "pixel": 1.0, "gradient": 1.0, "load": 1.0})


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_file(path, lambda name: name.write_text("x")),
        lambda path: append_text(path, "x"),
        lambda path: save_tensors(path, {"a": torch.ones(1)}, {}),
        journalled,
    ],
)
def test_a_folder_in_place_of_a_file_is_named(write: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    (path / "mine").mkdir(parents=True)
    with pytest.raises(InputError, match=r"cannot be written \(Is a directory\); make room or correct") as refusal:
        write(path)
    assert str(refusal.value).startswith(f"{path} ")
    assert [each.name for each in tmp_path.iterdir()] == ["train.csv"], "temporary files are left"


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    said = r"cannot be written \(No space left on device\); make room or correct the folder's rights, and run again\.$"
    with pytest.raises(InputError, match="/dev/full " + said):
        append_text(Path("/dev/full"), "x")
    with pytest.raises(InputError, match="a.safetensors " + said):
        write_file(tmp_path / "a.safetensors", lambda name: Path("/dev/full").write_text("x"))
    assert list(tmp_path.iterdir()) == []
