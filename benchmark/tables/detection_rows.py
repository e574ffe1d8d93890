"""Rows of Table 3, read from finished cells; a row states why its cell is incomplete."""

from collections.abc import Iterable
from pathlib import Path

from benchmark.detection import average_precision
from benchmark.detection.settings import DetectionSettings
from benchmark.engine.cells import Cell
from benchmark.engine.experiment import MethodSettings
from benchmark.engine.run_record import Part
from benchmark.engine.stage import why_outdated
from benchmark.engine.stages.detect import Detect, read_detections
from benchmark.engine.stages.train_detector import SHARED, detector_cell
from benchmark.tables import detection_table as table
from benchmark.tables.metric_rows import notes, unfused


def block(
    part: Part, methods: Iterable[tuple[str, MethodSettings]], settings: DetectionSettings, out: Path
) -> table.DatasetPrecision:
    """Return a data set's rows of Table 3.

    Args:
        part: The pairs.
        methods: Labels and methods, in the table's order.
        settings: How objects should have been detected.
        out: The run's folder.
    """
    methods = list(methods)
    rows = [_row(part, label, method, settings, out) for label, method in methods]
    about = _about(part, [label for label, _ in methods], settings, out)
    return table.DatasetPrecision(part.title, len(part.pairs), part.fingerprint, part.classes, about, part.split, rows)


def _row(
    part: Part, label: str, method: MethodSettings, settings: DetectionSettings, out: Path
) -> table.MethodPrecision:
    row = table.MethodPrecision(label, None, ranked=not method.is_source)
    cell = Cell(out, part.title, label, Detect.name)
    detector = detector_cell(out, part.title, SHARED if settings.protocol == "paper" else label)
    images = Cell(out, part.title, label, "fuse").folder
    stage = Detect(part, images, detector, settings, grey=method.is_infrared)
    reason = unfused(part, label, out) or why_outdated(stage, cell)
    if reason:
        row.status = reason
        return row
    truth, detections = read_detections(cell)
    row.precision = average_precision.evaluate(truth, detections)
    row.interval = average_precision.interval(truth, detections)
    row.notes = notes(part, label, method, out)
    return row


def _about(part: Part, labels: list[str], settings: DetectionSettings, out: Path) -> table.About:
    """Return how the detector came to be, as its own cell says."""
    trained = [SHARED] if settings.protocol == "paper" else labels
    manifests = [manifest for name in trained if (manifest := detector_cell(out, part.title, name).manifest())]
    recipe = manifests[0].recipe if manifests else {}
    origin = manifests[0].notes[0] if manifests and manifests[0].notes else ""
    return table.About(
        protocol=settings.protocol,
        detector=settings.detector,
        weights=origin.partition(" from ")[2] or settings.weights,
        epochs=settings.epochs,
        training_images=_count(recipe.get("images")),
        colour=settings.colour,
    )


def _count(stored: object) -> int | None:
    """Return a number of images as a manifest has it; None for what cannot be one."""
    return stored if type(stored) is int and 0 <= stored < 2**31 else None
