"""The stages of Table 3: train a detector, run it over fused images. Each makes only what is missing."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from benchmark.datasets.base import Pair, fingerprint
from benchmark.detection import coco, inference, training
from benchmark.detection.detections import Detections
from benchmark.detection.detectors import build
from benchmark.detection.registry import load_builder
from benchmark.detection.samples import Example, files, fused_examples, infrared_examples, visible_examples
from benchmark.detection.settings import WITHOUT_EFFECT, DetectionSettings
from benchmark.engine.cells import Cell
from benchmark.engine.run_record import Part
from benchmark.tables import detection_rows as rows
from benchmark.tables.detection_rows import FOUND, TRUTH
from metrics.code import code_digest
from metrics.errors import InputError
from metrics.files import append_text, digest, digest_all, require_there, require_unchanged, stamp_files
from metrics.images import size, write_bytes

Progress = Callable[[int, int], None]
FUSE_TRAINING = "fuse_training"
_JOURNAL = "detections.jsonl"  # a line an image, so that a killed run keeps what it found
_Edge = Annotated[FiniteFloat, Field(ge=0, le=coco.LARGEST)]


class _Entry(BaseModel):
    """A line of the journal."""

    model_config = ConfigDict(strict=True)

    name: str
    boxes: list[tuple[_Edge, _Edge, _Edge, _Edge]]
    labels: list[Annotated[int, Field(ge=1)]]
    scores: list[FiniteFloat]


def sources(pairs: Sequence[Pair]) -> list[Example]:
    """Return what the detector of the protocol "paper" learns from: both bands of the training pairs."""
    return [*infrared_examples(pairs), *visible_examples(pairs)]


def fused(pairs: Sequence[Pair], folder: Path, *, grey: bool) -> list[Example]:
    """Return fused images as examples; `grey` ones never get the visible image's chroma.

    Raises:
        InputError: An image is missing, is none, or is of another size than its sources, whose boxes it has.
    """
    examples = fused_examples(pairs, folder)
    for pair, example in zip(pairs, examples, strict=True):
        _require_size(example.image, pair)
    return [Example(each.name, each.image, None, each.boxes) for each in examples] if grey else examples


def train(
    examples: Sequence[Example],
    pairs: Sequence[Pair],
    classes: tuple[str, ...],
    settings: DetectionSettings,
    cell: Cell,
    *,
    device: str = "auto",
    redo: bool = False,
    progress: Progress = lambda done, of: None,
) -> bool:
    """Write a trained detector as the cell's model.safetensors; return whether there was anything to do.

    As with MoE-Fusion's training, the code is no part of what decides the cell.

    Args:
        examples: What to train on.
        pairs: The pairs that the examples are images of.
        classes: The data set's.
        settings: How.
        cell: Where to; a training that was stopped goes on.
        device: Where to train.
        redo: Remove an earlier training first.
        progress: Called with (steps done, all).

    Raises:
        InputError: Settings, images or an earlier training do not fit.
    """
    recipe: dict[str, Any] = {
        "settings": {name: value for name, value in asdict(settings).items() if name not in WITHOUT_EFFECT},
        "protocol": settings.protocol,
        "classes": list(classes),
        "images": len(examples),
        "data": fingerprint(pairs),
        "files": digest_all(example.image for example in examples),
    }
    if Path(settings.weights).is_file():
        recipe["weights"] = digest(Path(settings.weights))
    if not redo:
        cell.refuse_other(recipe)
        if cell.holds(recipe, {}) and (cell.folder / training.MODEL).is_file():
            return False
    model = build(settings, len(classes))  # before the cell is opened: the weights may not be there
    cell.open(recipe, {}, discard=lambda names: None, redo=redo)
    training.train(model, examples, classes, cell.folder, settings, device=device, progress=progress)
    cell.close(notes=[f"{settings.detector} from {model.origin}"], files=[cell.folder / training.MODEL])
    return True


def detect(
    part: Part,
    images: Path,
    detector: Cell,
    settings: DetectionSettings,
    cell: Cell,
    *,
    grey: bool = False,
    device: str = "auto",
    redo: bool = False,
    progress: Progress = lambda done, of: None,
) -> int:
    """Write what a detector finds in a part's fused images as COCO JSON; return how many it was run on.

    The cell gets ground_truth.json and detections.json, which any COCO tool takes.

    Args:
        part: The pairs.
        images: The folder with a fused image NAME.png for each pair.
        detector: The cell of the trained detector.
        settings: Colour rule, least score, most boxes.
        cell: Where to; what was found already and still holds is kept.
        grey: The images are infrared ones, which never get the visible image's chroma.
        device: Where the detector runs.
        redo: Run it over every image again.
        progress: Called with (finished, all).

    Raises:
        InputError: An image, a box or the detector cannot be used.
    """
    model = detector.folder / training.MODEL
    recipe = {
        "protocol": settings.protocol,
        "detector": settings.detector,
        "weights": digest(model),
        "seen": {"colour": settings.colour, "grey": grey},
        "score_threshold": settings.score_threshold,
        "boxes": settings.boxes,
        "code": _code(settings.detector),
    }
    examples = fused(part.pairs, images, grey=grey)
    stamps = {example.name: stamp_files(files(example)) for example in examples}
    items = rows.items(part.pairs, images)
    if not redo and cell.holds(recipe, items) and _complete(cell, part):
        return 0
    truth = coco.ground_truth(part.pairs, part.classes)
    network = training.load(model).model  # before the cell is opened: a damaged one would cost what was found
    journal = cell.folder / _JOURNAL
    found = _read(journal, len(part.classes))

    def discard(names: list[str]) -> None:
        for name in names:
            found.pop(name, None)
        write_bytes(journal, "".join(map(_line, found.values())).encode())

    cell.open(recipe, items, discard=discard, redo=redo)
    if not journal.is_file():  # opening emptied the cell
        found.clear()
    else:
        discard([])  # a killed run may have left half a line
    missing = [example for example in examples if example.name not in found]
    if missing:
        results = inference.detect(network, missing, settings, device=device)
        for done, one in enumerate(results, start=len(examples) - len(missing) + 1):
            require_unchanged(stamps[one.name])
            found[one.name] = one
            append_text(journal, _line(one))
            progress(done, len(examples))
    coco.write_json(cell.folder / TRUTH, truth)
    boxes = coco.results((found[example.name] for example in examples), coco.image_ids(truth))
    coco.write_json(cell.folder / FOUND, boxes)
    cell.close(files=[cell.folder / TRUTH, cell.folder / FOUND])
    return len(missing)


@cache
def _code(detector: str) -> str:
    """Return the hash of what this process detects with, even if the files change while it runs."""
    return code_digest(load_builder(detector), inference.detect, coco.ground_truth, coco.results)


def _require_size(image: Path, pair: Pair) -> None:
    require_there(image)
    (width, height), own = size(image), size(pair.visible)
    if (width, height) != own:
        raise InputError(
            f"{image} is {width}x{height} but its sources are {own[0]}x{own[1]}; a fused image keeps its sources' "
            "size. Re-run the method; if a run fused it, delete it: the next run fuses it anew."
        )


def _complete(cell: Cell, part: Part) -> bool:
    """Return whether the cell's files are of just these pairs: an earlier run may have had fewer or more."""
    try:
        truth = coco.read_ground_truth(cell.folder / TRUTH)
        coco.read_results(cell.folder / FOUND, truth)
    except InputError:
        return False
    return list(coco.image_ids(truth)) == [pair.name for pair in part.pairs]


def _line(found: Detections) -> str:
    values = {"boxes": found.boxes.tolist(), "labels": found.labels.tolist(), "scores": found.scores.tolist()}
    return json.dumps({"name": found.name} | values) + "\n"


def _read(journal: Path, classes: int) -> dict[str, Detections]:
    """Return what is in a journal; a line that is damaged, as one that was cut short, is not.

    Args:
        journal: The file, which need not be there.
        classes: How many there are.
    """
    if not journal.is_file():
        return {}
    found = {}
    for line in journal.read_bytes().splitlines():
        try:
            entry = _Entry.model_validate_json(line)
        except ValueError:
            continue
        boxes = np.array(entry.boxes, np.float64).reshape(-1, 4)
        sound = len(boxes) == len(entry.labels) == len(entry.scores) and (boxes[:, :2] <= boxes[:, 2:]).all()
        if sound and max(entry.labels, default=0) <= classes:
            labels, scores = np.array(entry.labels, np.int64), np.array(entry.scores, np.float64)
            found[entry.name] = Detections(entry.name, boxes, labels, scores)
    return found
