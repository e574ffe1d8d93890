"""Running a detector: one result an image, in the image's own pixels, always the same."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.detection.detectors import build
from benchmark.detection.inference import detect
from benchmark.detection.samples import Example
from benchmark.detection.settings import DetectionSettings
from metrics import images
from metrics.errors import InputError

# An untrained detector is sure of nothing: with a threshold of 0 it still gives its best guesses.
SETTINGS = DetectionSettings(detector="small", weights="none", min_size=64, score_threshold=0.0, boxes=7)
SIZES = {"a": (48, 64), "b": (70, 50)}


@pytest.fixture
def examples(tmp_path: Path) -> list[Example]:
    rng = np.random.default_rng(0)
    for name, size in SIZES.items():
        images.write(tmp_path / f"{name}.png", rng.integers(0, 256, size, np.uint8))
    return [Example(name, tmp_path / f"{name}.png") for name in SIZES]


def test_one_result_a_image(examples: list[Example]) -> None:
    model = build(SETTINGS, 3)
    found = list(detect(model, examples, SETTINGS, device="cpu"))
    assert [each.name for each in found] == list(SIZES)
    assert not model.training
    for each in found:
        height, width = SIZES[each.name]
        assert each.boxes.shape == (7, 4)
        assert (each.boxes.dtype, each.labels.dtype, each.scores.dtype) == (np.float64, np.int64, np.float64)
        assert (each.boxes >= 0).all()
        assert (each.boxes <= (width, height, width, height)).all()
        assert (each.boxes[:, :2] < each.boxes[:, 2:]).all()
        assert set(each.labels) <= {1, 2, 3}
        assert (np.diff(each.scores) <= 0).all()


def test_the_same_whenever_and_in_whatever_company(examples: list[Example]) -> None:
    model = build(SETTINGS, 3)
    first = list(detect(model, examples, SETTINGS, device="cpu"))
    (alone,) = detect(model, examples[1:], SETTINGS, device="cpu")
    assert (first[1].boxes == alone.boxes).all()
    assert (first[1].scores == alone.scores).all()


def test_threshold_and_number_of_boxes_are_those_of_the_settings(examples: list[Example]) -> None:
    model = build(SETTINGS, 3)
    scores = next(detect(model, examples[:1], SETTINGS, device="cpu")).scores
    middle = float((scores[2] + scores[3]) / 2)
    (fewer,) = detect(model, examples[:1], replace(SETTINGS, score_threshold=middle), device="cpu")
    assert fewer.scores.tolist() == scores[:3].tolist()
    (none,) = detect(model, examples[:1], replace(SETTINGS, score_threshold=1.0), device="cpu")
    assert none.boxes.shape == (0, 4)
    assert len(next(detect(model, examples[:1], replace(SETTINGS, boxes=2), device="cpu")).scores) == 2


def test_what_cannot_be_run(examples: list[Example], tmp_path: Path) -> None:
    model = build(SETTINGS, 3)
    with pytest.raises(InputError, match="gone.png is not there"):
        list(detect(model, [Example("gone", tmp_path / "gone.png")], SETTINGS, device="cpu"))
    with pytest.raises(InputError, match="device 'tpu9' cannot be used"):
        next(detect(model, examples, SETTINGS, device="tpu9"))
