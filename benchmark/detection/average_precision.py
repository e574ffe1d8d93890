"""Average precision by COCO's rules, and its bootstrap interval over test images."""

import importlib
import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.detection.coco import GroundTruth, Results, check
from metrics.errors import InputError, unknown

ENGINES = ("pycocotools", "faster-coco-eval")
IOU = 0.5
RECALLS = np.linspace(0.0, 1.0, 101)
LEVEL = 0.95
_DIGITS = 12  # beyond them the two engines round differently
# COCO's summary, in its order; AP over IoU 0.50:0.95, small < 32² <= medium < 96² <= large, in square pixels.
SUMMARY = (
    "AP",
    "AP50",
    "AP75",
    "AP_small",
    "AP_medium",
    "AP_large",
    "AR_1",
    "AR_10",
    "AR_100",
    "AR_small",
    "AR_medium",
    "AR_large",
)


@dataclass(frozen=True)
class Precision:
    """What an evaluation gave; every number is in [0, 1].

    Attributes:
        classes: AP at IoU 0.5 of each class, in the data set's order; None for a class that is absent from the
            ground truth or there only as difficult boxes.
        mean: Over the classes that are present: the paper's mAP. None when none is.
        summary: COCO's twelve numbers, by the names in `SUMMARY`; None where there is nothing to find.
        curves: (101,) precision at the recalls in `RECALLS`, at IoU 0.5, of each class; None as in `classes`.
    """

    classes: Mapping[str, float | None]
    mean: float | None
    summary: Mapping[str, float | None]
    curves: Mapping[str, NDArray[np.float64] | None]

    @property
    def absent(self) -> tuple[str, ...]:
        """The classes that have no AP."""
        return tuple(label for label, value in self.classes.items() if value is None)


def evaluate(truth: GroundTruth, results: Results, *, engine: str = "pycocotools") -> Precision:
    """Return average precision of detections, of all sizes, at most 100 an image.

    AP is the mean over 101 recalls of the best precision at that recall or a higher one.

    Args:
        truth: COCO ground truth.
        results: COCO results; may be empty, which is an AP of 0 for every class that is present.
        engine: One of `ENGINES`; they give the same numbers, the second faster and with the extra `fast-coco`.

    Raises:
        InputError: The detections belong to other data, or the engine is unknown or not installed.

    Reference: Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014; pycocotools' COCOeval.
    """
    run = _evaluator(truth, results, engine)
    with redirect_stdout(io.StringIO()):
        run.evaluate()
        run.accumulate()
        run.summarize()
    at_half = np.round(run.eval["precision"][0, :, :, 0, -1], _DIGITS)  # (recalls, classes)
    names = _names(truth)
    curves = {name: curve if (curve >= 0).all() else None for name, curve in zip(names, at_half.T, strict=True)}
    classes = {name: None if curve is None else round(float(curve.mean()), _DIGITS) for name, curve in curves.items()}
    present = [value for value in classes.values() if value is not None]
    mean = round(float(np.mean(present)), _DIGITS) if present else None
    summary = {
        name: round(float(value), _DIGITS) if value >= 0 else None
        for name, value in zip(SUMMARY, run.stats, strict=True)
    }
    return Precision(classes, mean, summary, curves)


def interval(
    truth: GroundTruth, results: Results, *, resamples: int = 1000, seed: int = 0, level: float = LEVEL
) -> tuple[float, float] | None:
    """Return the percentile bootstrap interval of mAP at IoU 0.5 over images, or None when no class is present.

    Images are drawn with replacement; a class that a draw lacks is left out of that draw's mean. Every image is
    matched once, and each draw weighs the matches by how often it has their image.

    Args:
        truth: COCO ground truth.
        results: COCO results.
        resamples: Number of draws.
        seed: Of the draws.
        level: Coverage, in (0, 1).

    Raises:
        InputError: The detections belong to other data, or an argument is out of its range.

    Reference: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    if resamples < 1 or not 0 < level < 1:
        raise InputError(f"got {resamples} resamples at level {level}; expected at least 1, and a level within 0 to 1.")
    matches, number = _matches(truth, results), len(truth["images"])
    random = np.random.default_rng(seed)
    means = []
    for _ in range(resamples if matches else 0):
        counts = np.bincount(random.integers(number, size=number), minlength=number)
        values = [value for match in matches if (value := _average(match, counts)) is not None]
        if values:
            means.append(np.mean(values))
    if not means:
        return None
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class _Matches:
    """One class at IoU 0.5: for each detection that counts, best first, its image and whether it is right."""

    image: NDArray[np.int64]
    right: NDArray[np.bool_]
    boxes: NDArray[np.int64]  # to find, per image


def _matches(truth: GroundTruth, results: Results) -> list[_Matches]:
    """Return the matches of every class that is present."""
    run = _evaluator(truth, results, "pycocotools")
    run.params.iouThrs = np.array([IOU])
    run.params.areaRng, run.params.areaRngLbl = run.params.areaRng[:1], run.params.areaRngLbl[:1]
    run.params.maxDets = run.params.maxDets[-1:]
    with redirect_stdout(io.StringIO()):
        run.evaluate()
    number = len(run.params.imgIds)
    matches = []
    for place in range(len(run.params.catIds)):
        boxes = np.zeros(number, np.int64)
        images, scores, right = [np.zeros(0, np.int64)], [np.zeros(0)], [np.zeros(0, bool)]
        for image, one in enumerate(run.evalImgs[place * number : (place + 1) * number]):
            if one is None:
                continue
            boxes[image] = np.count_nonzero(one["gtIgnore"] == 0)
            counts = ~one["dtIgnore"][0].astype(bool)
            images.append(np.full(np.count_nonzero(counts), image))
            scores.append(np.array(one["dtScores"], dtype=float)[counts])
            right.append(one["dtMatches"][0][counts] > 0)
        if boxes.any():
            order = np.argsort(-np.concatenate(scores), kind="stable")
            matches.append(_Matches(np.concatenate(images)[order], np.concatenate(right)[order], boxes))
    return matches


def _average(match: _Matches, counts: NDArray[np.int64]) -> float | None:
    """Return AP when each image occurs as often as `counts` says; None without boxes to find."""
    boxes = int(counts @ match.boxes)
    if boxes == 0:
        return None
    weights = counts[match.image]
    right, all_found = np.cumsum(weights * match.right), np.cumsum(weights)
    precision = right / np.maximum(all_found, 1)
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)  # 0 where a recall is never reached
    return float(best[np.searchsorted(right / boxes, RECALLS)].mean())


def _evaluator(truth: GroundTruth, results: Results, engine: str) -> Any:
    """Return an engine's COCOeval for boxes, on copies, as it writes into what it is given."""
    check(results, truth)
    if engine not in ENGINES:
        raise unknown("evaluation engine", engine, ENGINES)
    if engine == "pycocotools":
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    else:
        try:
            faster = importlib.import_module("faster_coco_eval")
        except ImportError:
            raise InputError(f"{engine} is not installed; run `pip install faster-coco-eval`.") from None
        COCO, COCOeval = faster.COCO, faster.COCOeval_faster  # noqa: N806  (classes)
    # Not by loadRes, which fails on an empty list; the fields below are those that it fills in.
    annotations = [
        entry | {"id": number, "area": entry["bbox"][2] * entry["bbox"][3], "iscrowd": 0}
        for number, entry in enumerate(results, start=1)
    ]
    sides = []
    with redirect_stdout(io.StringIO()):
        for entries in ([dict(entry) for entry in truth["annotations"]], annotations):
            side = COCO()
            side.dataset = truth | {"annotations": entries}
            side.createIndex()
            sides.append(side)
        return COCOeval(*sides, "bbox")


def _names(truth: GroundTruth) -> list[str]:
    """Return the classes in the order of their ids, which is the evaluators'."""
    return [category["name"] for category in sorted(truth["categories"], key=lambda category: int(category["id"]))]
