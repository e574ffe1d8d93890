"""Average precision: cases computed by hand, a second evaluator on random boxes, the bootstrap."""

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmark.detection import average_precision
from benchmark.detection.average_precision import ENGINES, SUMMARY, evaluate, interval
from benchmark.detection.coco import GroundTruth, Results
from metrics.errors import InputError

needs_faster = pytest.mark.skipif(
    importlib.util.find_spec("faster_coco_eval") is None, reason="the extra fast-coco is not installed"
)
Object = tuple[int, int, tuple[float, float, float, float]]  # image, class, x y width height
BOX = (10.0, 10.0, 10.0, 10.0)


def truth_of(*objects: Object, images: int = 3, classes: int = 1, difficult: tuple[Object, ...] = ()) -> GroundTruth:
    annotations = [
        {"id": number, "image_id": image, "category_id": label, "bbox": list(box), "area": box[2] * box[3]}
        | {"iscrowd": int(number > len(objects))}
        for number, (image, label, box) in enumerate((*objects, *difficult), start=1)
    ]
    return {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 100, "height": 100} for n in range(1, images + 1)],
        "categories": [{"id": n, "name": f"class {n}"} for n in range(1, classes + 1)],
        "annotations": annotations,
    }


def found_of(*objects: tuple[Object, float]) -> Results:
    return [
        {"image_id": image, "category_id": label, "bbox": list(box), "score": score}
        for (image, label, box), score in objects
    ]


def moved(by: float) -> tuple[float, float, float, float]:
    return (BOX[0] + by, *BOX[1:])


def mean(truth: GroundTruth, found: Results) -> float | None:
    return evaluate(truth, found).mean


def test_perfect_detections_have_an_ap_of_one() -> None:
    objects: list[Object] = [(1, 1, BOX), (1, 1, (50, 50, 40, 40)), (2, 1, BOX)]
    result = evaluate(truth_of(*objects), found_of(*((one, 0.5 + 0.1 * n) for n, one in enumerate(objects))))
    assert result.mean == 1
    assert result.curves["class 1"].tolist() == [1] * 101
    assert result.summary["AP"] == 1
    assert result.summary["AR_1"] == pytest.approx(2 / 3)  # the best of each image finds two of the three
    assert (result.summary["AP_medium"], result.summary["AP_large"]) == (1, None)  # 40² < 96²


def test_a_box_shifted_below_half_is_wrong() -> None:
    truth = truth_of((1, 1, BOX))
    assert mean(truth, found_of(((1, 1, moved(4)), 0.9))) == 0  # 4 of 10 pixels: IoU 60 / 140 = 0.43
    shifted = evaluate(truth, found_of(((1, 1, moved(3)), 0.9)))  # IoU 70 / 130 = 0.54
    assert shifted.mean == 1
    assert shifted.summary["AP75"] == 0
    assert shifted.summary["AP"] == pytest.approx(0.1)  # right at 0.5, wrong at the nine higher thresholds


def test_a_duplicate_is_wrong() -> None:
    """Right, duplicate, right of 2: precision 1 up to recall 0.50 (51 of 101 points), 2/3 at the other 50."""
    other = (60.0, 60.0, 10.0, 10.0)
    truth = truth_of((1, 1, BOX), (1, 1, other))
    found = found_of(((1, 1, BOX), 0.9), ((1, 1, moved(1)), 0.8), ((1, 1, other), 0.7))
    assert mean(truth, found) == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_a_detection_on_a_image_without_boxes_is_wrong() -> None:
    """Wrong before right: precision 1/2 at every recall."""
    assert mean(truth_of((1, 1, BOX)), found_of(((2, 1, BOX), 0.9), ((1, 1, BOX), 0.8))) == pytest.approx(0.5)


def test_an_absent_class_has_no_ap_and_no_part_in_the_mean() -> None:
    result = evaluate(truth_of((1, 1, BOX), classes=2), found_of(((1, 1, BOX), 0.9), ((1, 2, BOX), 0.9)))
    assert result.classes == {"class 1": 1, "class 2": None}
    assert result.mean == 1
    assert (result.absent, result.curves["class 2"]) == (("class 2",), None)


def test_a_class_of_difficult_boxes_alone_is_absent() -> None:
    truth = truth_of((1, 1, BOX), classes=2, difficult=((1, 2, BOX),))
    assert evaluate(truth, found_of(((1, 2, BOX), 0.9))).classes == {"class 1": 0, "class 2": None}


INSIDE = (62.0, 62.0, 5.0, 5.0)


@pytest.mark.parametrize("box", [(60.0, 60.0, 20.0, 20.0), (58.0, 60.0, 22.0, 20.0), INSIDE])
def test_a_detection_of_a_difficult_box_is_neither_right_nor_wrong(box: tuple[float, float, float, float]) -> None:
    truth = truth_of((1, 1, BOX), difficult=((1, 1, (60, 60, 20, 20)),))
    found = found_of(((1, 1, box), 0.9), ((1, 1, box), 0.85), ((1, 1, BOX), 0.8))
    assert mean(truth, found) == 1
    assert mean(truth, found[:2]) == 0


def test_a_difficult_box_excuses_its_own_class_alone() -> None:
    truth = truth_of((1, 1, BOX), classes=2, difficult=((1, 2, (60, 60, 20, 20)),))
    found = found_of(((1, 1, (60, 60, 20, 20)), 0.9), ((1, 1, BOX), 0.8))
    assert mean(truth, found) == pytest.approx(0.5)


def test_nothing_found_is_zero_for_what_is_there() -> None:
    result = evaluate(truth_of((1, 1, BOX), classes=2), [])
    assert (result.classes, result.mean) == ({"class 1": 0, "class 2": None}, 0)
    assert (result.summary["AP50"], result.summary["AR_100"], result.summary["AP_large"]) == (0, 0, None)
    assert not result.curves["class 1"].any()


def test_nothing_there_is_no_number() -> None:
    for truth in (truth_of(classes=1), truth_of(images=0)):
        result = evaluate(truth, [])
        assert (result.mean, set(result.summary.values())) == (None, {None})
        assert interval(truth, []) is None
    assert interval(truth_of(), found_of(((1, 1, BOX), 0.9))) is None


def test_boxes_at_the_border_are_found() -> None:
    """A box over a whole side, and a detection that ends at the other three borders: IoU 80 * 100 / 100² = 0.8."""
    truth = truth_of((1, 1, (20, 0, 80, 100)), (2, 1, (0, 0, 100, 100)))
    found = found_of(((1, 1, (0, 0, 100, 100)), 0.9), ((2, 1, (0, 0, 100, 100)), 0.8))
    result = evaluate(truth, found)
    assert result.mean == 1
    assert result.summary["AP_small"] is None


def test_only_the_best_hundred_of_a_image_count() -> None:
    wrong = [((1, 1, (60.0, 60.0, 10.0, 10.0)), 0.9)] * 100
    assert mean(truth_of((1, 1, BOX)), found_of(*wrong, ((1, 1, BOX), 0.1))) == 0
    assert mean(truth_of((1, 1, BOX)), found_of(*wrong[1:], ((1, 1, BOX), 0.1))) == pytest.approx(0.01)


def test_what_is_given_stays_as_it_is() -> None:
    truth, found = truth_of((1, 1, BOX)), found_of(((1, 1, BOX), 0.9))
    before = repr((truth, found))
    evaluate(truth, found)
    interval(truth, found, resamples=2)
    assert repr((truth, found)) == before


def scene(seed: int, *, images: int = 12, classes: int = 3) -> tuple[GroundTruth, Results]:
    """Random boxes of all sizes, a tenth of them difficult, and detections: near them, doubled, and anywhere."""
    random = np.random.default_rng(seed)

    def box() -> NDArray[np.float64]:
        return np.concatenate([random.uniform(0, 300, 2), random.uniform(5, 150, 2)])

    objects: list[Object] = []
    found: list[tuple[Object, float]] = []
    for image in range(1, images + 1):
        for _ in range(random.integers(0, 6)):
            label, place = int(random.integers(1, classes + 1)), box()
            objects.append((image, label, tuple(place)))
            for _ in range(random.integers(0, 3)):
                near = place + random.normal(0, 0.12, 4) * place[[2, 3, 2, 3]]
                found.append(((image, label, tuple(np.maximum(near, 1))), float(random.random())))
        for _ in range(random.integers(0, 3)):
            found.append(((image, int(random.integers(1, classes + 1)), tuple(box())), float(random.random())))
    hard = len(objects) // 10
    truth = truth_of(*objects[hard:], images=images, classes=classes, difficult=tuple(objects[:hard]))
    return truth, found_of(*found)


def overlap(one: list[float], other: list[float], crowd: bool) -> float:
    sides = [min(one[i] + one[i + 2], other[i] + other[i + 2]) - max(one[i], other[i]) for i in (0, 1)]
    common = max(sides[0], 0) * max(sides[1], 0)
    own = one[2] * one[3]
    return common / (own if crowd else own + other[2] * other[3] - common)


def naive(truth: GroundTruth, found: Results, label: int) -> float | None:
    """AP at IoU 0.5 straight from its definition, without pycocotools."""
    boxes = [entry for entry in truth["annotations"] if entry["category_id"] == label]
    wanted = sum(not entry["iscrowd"] for entry in boxes)
    if not wanted:
        return None
    taken: set[int] = set()
    points, right, wrong = [], 0, 0
    for one in sorted((entry for entry in found if entry["category_id"] == label), key=lambda entry: -entry["score"]):
        here = [entry for entry in boxes if entry["image_id"] == one["image_id"] and entry["id"] not in taken]
        overlaps = {entry["id"]: overlap(one["bbox"], entry["bbox"], entry["iscrowd"]) for entry in here}
        plain = [entry["id"] for entry in here if not entry["iscrowd"] and overlaps[entry["id"]] >= 0.5]
        if plain:
            taken.add(max(plain, key=overlaps.__getitem__))
            right += 1
        elif any(entry["iscrowd"] and overlaps[entry["id"]] >= 0.5 for entry in here):
            continue
        else:
            wrong += 1
        points.append((right / wanted, right / (right + wrong)))
    steps = np.linspace(0, 1, 101)  # pycocotools' own: its 0.7 is a hair above 7 found of 10
    return sum(max((precision for recall, precision in points if recall >= step), default=0.0) for step in steps) / 101


@pytest.mark.parametrize("seed", range(8))
def test_a_second_evaluator_agrees_on_random_boxes(seed: int) -> None:
    truth, found = scene(seed)
    result = evaluate(truth, found)
    expected = [naive(truth, found, label) for label in (1, 2, 3)]
    assert list(result.classes.values()) == [pytest.approx(value, abs=1e-9) for value in expected]
    assert result.summary["AP50"] == pytest.approx(result.mean, abs=1e-12)
    assert 0.05 < result.mean < 0.95  # or the boxes would test nothing


@needs_faster
@pytest.mark.parametrize(
    "make", [lambda: scene(0), lambda: scene(1), lambda: (scene(2)[0], []), lambda: scene(3, classes=1)]
)
def test_both_engines_give_identical_numbers(make: Callable[[], tuple[GroundTruth, Results]]) -> None:
    truth, found = make()
    one, other = (evaluate(truth, found, engine=engine) for engine in ENGINES)
    assert one.classes == other.classes
    assert one.mean == other.mean
    assert one.summary == other.summary
    for label, curve in one.curves.items():
        np.testing.assert_array_equal(curve, other.curves[label])


def test_an_unknown_or_missing_engine_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = truth_of((1, 1, BOX))
    with pytest.raises(InputError, match="known: pycocotools, faster-coco-eval"):
        evaluate(truth, [], engine="mine")

    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(average_precision.importlib, "import_module", missing)
    with pytest.raises(InputError, match="pip install faster-coco-eval"):
        evaluate(truth, [], engine="faster-coco-eval")


def test_detections_of_other_data_are_refused() -> None:
    for object_ in ((9, 1, BOX), (1, 9, BOX)):
        with pytest.raises(InputError, match="9 is not in the ground truth"):
            evaluate(truth_of((1, 1, BOX)), found_of((object_, 0.9)))


def drawn(truth: GroundTruth, found: Results, counts: NDArray[np.int64]) -> tuple[GroundTruth, Results]:
    """Ground truth and detections with each image as often as `counts` says, under ids of their own."""
    copies = [image for image, count in enumerate(counts, start=1) for _ in range(count)]
    annotations = [
        entry | {"image_id": copy}
        for copy, image in enumerate(copies, 1)
        for entry in truth["annotations"]
        if entry["image_id"] == image
    ]
    return truth | {
        "images": [truth["images"][image - 1] | {"id": copy} for copy, image in enumerate(copies, start=1)],
        "annotations": [entry | {"id": number} for number, entry in enumerate(annotations, start=1)],
    }, [
        entry | {"image_id": copy}
        for copy, image in enumerate(copies, 1)
        for entry in found
        if entry["image_id"] == image
    ]


@pytest.mark.parametrize("seed", range(4))
def test_every_draw_of_the_bootstrap_is_pycocotools_on_the_drawn_images(seed: int) -> None:
    truth, found = scene(seed)
    matches = average_precision._matches(truth, found)
    random = np.random.default_rng(seed)
    for counts in (np.ones(12, int), np.bincount(random.integers(12, size=12), minlength=12)):
        values = [average_precision._average(match, counts) for match in matches]
        expected = list(evaluate(*drawn(truth, found, counts)).classes.values())
        assert values == [pytest.approx(value, abs=1e-12) for value in expected]


def test_a_class_that_a_draw_lacks_is_left_out_of_it() -> None:
    match = average_precision._matches(truth_of((1, 1, BOX)), [])[0]
    assert average_precision._average(match, np.array([1, 0, 0])) == 0
    assert average_precision._average(match, np.array([0, 2, 1])) is None


def test_the_interval_is_repeatable_and_holds_the_mean() -> None:
    truth, found = scene(5, images=40)
    low, high = interval(truth, found, resamples=200)
    assert low < mean(truth, found) < high
    assert (low, high) == interval(truth, found, resamples=200)
    assert (low, high) != interval(truth, found, resamples=200, seed=1)
    narrow = interval(truth, found, resamples=200, level=0.5)
    assert low < narrow[0] < narrow[1] < high


def test_the_interval_of_known_draws() -> None:
    """One image found, one not: AP of n draws of the first out of 2 is 0, 51/101 (recall 0 to 0.50), or 1."""
    truth = truth_of((1, 1, BOX), (2, 1, BOX), images=2)
    assert interval(truth, found_of(((1, 1, BOX), 0.9))) == (0, 1)
    assert interval(truth, found_of(((1, 1, BOX), 0.9)), level=0.4) == pytest.approx((51 / 101, 51 / 101))


@pytest.mark.parametrize("wrong", [{"resamples": 0}, {"level": 1.0}, {"level": 0.0}, {"level": float("nan")}])
def test_arguments_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="expected at least 1"):
        interval(truth_of((1, 1, BOX)), [], **wrong)


def test_the_twelve_numbers_are_named() -> None:
    result = evaluate(truth_of((1, 1, BOX)), [])
    assert tuple(result.summary) == SUMMARY
    assert len(SUMMARY) == 12
