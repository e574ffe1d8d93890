"""Detect objects in fused images: the cell holds COCO files, `ground_truth.json` and `detections.json`.

A journal beside them has a line an image, so that a killed run keeps what it found. Importable without torch.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from benchmark.datasets.base import fingerprint
from benchmark.detection import coco
from benchmark.detection.detections import Detections
from benchmark.detection.registry import detection_code
from benchmark.detection.settings import DetectionSettings
from benchmark.engine.cells import MODEL, Cell
from benchmark.engine.run_record import Part
from benchmark.engine.stage import Finished, Stage
from benchmark.engine.stages.train_detector import fused_examples
from metrics.files import append_text, digest, require_there, require_unchanged, stamp_files, write_bytes

TRUTH, FOUND = "ground_truth.json", "detections.json"
JOURNAL = "detections.jsonl"
_Edge = Annotated[FiniteFloat, Field(ge=0, le=coco.LARGEST)]


class Detect(Stage):
    """Writes what a trained detector finds in the fused images."""

    name: ClassVar[str] = "detect"
    done: ClassVar[str] = "detected"
    inputs: ClassVar[str] = "images or boxes"

    def __init__(
        self,
        part: Part,
        images: Path,
        detector: Cell,
        settings: DetectionSettings,
        *,
        grey: bool = False,
        device: str = "auto",
    ) -> None:
        """Prepare to detect.

        Args:
            part: The pairs.
            images: The folder with a fused image NAME.png for each pair.
            detector: The cell of the trained detector.
            settings: Colour rule, least score, most boxes.
            grey: The images are infrared ones, which never get the visible image's chroma.
            device: Where the detector runs.
        """
        self.part, self.images, self.detector, self.settings = part, images, detector, settings
        self.grey, self.device = grey, device

    def recipe(self) -> dict[str, Any]:
        """Return the detector, what it is shown and what is kept, and the code."""
        settings = self.settings
        manifest = self.detector.manifest()
        trained = manifest.files.get(MODEL) if manifest else None
        return {
            "protocol": settings.protocol,
            "detector": settings.detector,
            "weights": trained or digest(self.detector.folder / MODEL),
            "seen": {"colour": settings.colour, "grey": self.grey},
            "score_threshold": settings.score_threshold,
            "boxes": settings.boxes,
            "code": detection_code(settings.detector),
        }

    def items(self) -> dict[str, str]:
        """Return each pair with a hash of its images, its boxes and the fused image."""
        paths = {pair.name: self.images / f"{pair.name}.png" for pair in self.part.pairs}
        for path in paths.values():
            require_there(path)
        self._stamps = {pair.name: stamp_files((paths[pair.name], pair.visible)) for pair in self.part.pairs}
        return {pair.name: digest(paths[pair.name]) + fingerprint([pair]) for pair in self.part.pairs}

    def prepare(self, cell: Cell) -> None:
        """Load the detector: a damaged one must not cost what was found."""
        from benchmark.detection import training

        self._examples = fused_examples(self.part.pairs, self.images, grey=self.grey)
        self._truth = coco.ground_truth(self.part.pairs, self.part.classes)
        self._network = training.load(self.detector.folder / MODEL).model

    def missing(self, cell: Cell) -> list[str]:
        """Return the images that the journal lacks."""
        journal = self._journal(cell)
        return [pair.name for pair in self.part.pairs if pair.name not in journal]

    def flaw(self, cell: Cell) -> str | None:
        """Return what is wrong with the COCO files: an earlier run may have had fewer pairs or more."""
        truth, _ = read_detections(cell)
        if list(coco.image_ids(truth)) != [pair.name for pair in self.part.pairs]:
            return "detected on other images; run detect again"
        return None

    def discard(self, cell: Cell, items: list[str], layers: list[str]) -> None:
        """Remove lines of the journal, those that are damaged as well."""
        kept = (line for name, line in self._journal(cell).items() if name not in items)
        write_bytes(cell.folder / JOURNAL, "".join(map(journal_line, kept)).encode())

    def make(self, missing: list[str], cell: Cell) -> Iterator[str]:
        """Detect objects.

        Raises:
            InputError: An image cannot be read, or changed meanwhile.
        """
        from benchmark.detection import inference

        self.discard(cell, [], [])  # a killed run may have left half a line
        wanted = set(missing)
        examples = [example for example in self._examples if example.name in wanted]
        if not examples:
            return
        for detections in inference.detect(self._network, examples, self.settings, device=self.device):
            require_unchanged(self._stamps[detections.name])
            append_text(cell.folder / JOURNAL, journal_line(detections))
            yield detections.name

    def finish(self, cell: Cell) -> Finished:
        """Write the COCO files."""
        journal = self._journal(cell)
        boxes = coco.results((journal[pair.name] for pair in self.part.pairs), coco.image_ids(self._truth))
        coco.write_json(cell.folder / TRUTH, self._truth)
        coco.write_json(cell.folder / FOUND, boxes)
        return Finished([], [cell.folder / TRUTH, cell.folder / FOUND])

    def _journal(self, cell: Cell) -> dict[str, Detections]:
        return read_journal(cell.folder / JOURNAL, len(self.part.classes))


def read_detections(cell: Cell) -> tuple[Any, Any]:
    """Return the ground truth and the detections of a cell, as `coco` reads them.

    Raises:
        InputError: A file is missing or damaged.
    """
    truth = coco.read_ground_truth(cell.folder / TRUTH)
    return truth, coco.read_results(cell.folder / FOUND, truth)


class _Entry(BaseModel):
    """A line of the journal."""

    model_config = ConfigDict(strict=True)

    name: str
    boxes: list[tuple[_Edge, _Edge, _Edge, _Edge]]
    labels: list[Annotated[int, Field(ge=1)]]
    scores: list[FiniteFloat]


def journal_line(detections: Detections) -> str:
    """Return an image's line of the journal."""
    values = {
        "boxes": detections.boxes.tolist(),
        "labels": detections.labels.tolist(),
        "scores": detections.scores.tolist(),
    }
    return json.dumps({"name": detections.name} | values) + "\n"


def read_journal(path: Path, classes: int) -> dict[str, Detections]:
    """Return what is in a journal by image; a line that is damaged, as one that was cut short, is left out.

    Args:
        path: The file, which need not be there.
        classes: How many there are.
    """
    if not path.is_file():
        return {}
    journal = {}
    for line in path.read_bytes().splitlines():
        try:
            entry = _Entry.model_validate_json(line)
        except ValueError:
            continue
        boxes = np.array(entry.boxes, np.float64).reshape(-1, 4)
        sound = len(boxes) == len(entry.labels) == len(entry.scores) and (boxes[:, :2] <= boxes[:, 2:]).all()
        if sound and max(entry.labels, default=0) <= classes:
            labels, scores = np.array(entry.labels, np.int64), np.array(entry.scores, np.float64)
            journal[entry.name] = Detections(entry.name, boxes, labels, scores)
    return journal
