"""Rows of Table 3, read from finished cells: what a cell lacks, the row says."""

from collections.abc import Iterable
from pathlib import Path

from benchmark.datasets.base import Pair, fingerprint
from benchmark.detection import average_precision, coco
from benchmark.detection.settings import DetectionSettings
from benchmark.engine.cells import Cell
from benchmark.engine.experiment import MethodSettings
from benchmark.engine.run_record import Part
from benchmark.tables import detection_table as table
from benchmark.tables import metric_rows as rows
from metrics.errors import InputError
from metrics.files import digest_all

TRUTH, FOUND = "ground_truth.json", "detections.json"
SHARED = "infrared+visible"  # what the detector of the protocol "paper" learns from
DETECTOR = "detector"


def detector_cell(out: Path, dataset: str, method: str = SHARED) -> Cell:
    """Return the cell of the detector that all methods share, or of a method's own."""
    return Cell(out, dataset, method, DETECTOR)


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
    found = [_row(part, label, method, settings, out) for label, method in methods]
    about = _about(part, [label for label, _ in methods], settings, out)
    return table.DatasetPrecision(part.title, len(part.pairs), part.fingerprint, part.classes, about, part.split, found)


def items(pairs: Iterable[Pair], images: Path) -> dict[str, str]:
    """Return the fingerprint of what each image's detections are made from: the fused image, the pair, its boxes.

    Args:
        pairs: The pairs.
        images: The folder with a fused image NAME.png for each.
    """
    return {pair.name: digest_all([images / f"{pair.name}.png"]) + fingerprint([pair]) for pair in pairs}


def _row(
    part: Part, label: str, method: MethodSettings, settings: DetectionSettings, out: Path
) -> table.MethodPrecision:
    row = table.MethodPrecision(label, None, ranked=method.name not in rows.SOURCES)
    cell = Cell(out, part.title, label, "detect")
    manifest = cell.manifest()
    reason = rows.unfused(part, label, out)
    if reason:
        row.status = reason
    elif manifest is None:
        row.status = "not detected"
    elif manifest.status != "done":
        row.status = manifest.reason or "not finished"
    elif manifest.recipe.get("protocol") != settings.protocol or manifest.recipe.get("detector") != settings.detector:
        row.status = "detected by another protocol or detector; run detect again"
    else:
        try:
            cell.require_unchanged()
            now = items(part.pairs, Cell(out, part.title, label, "fuse").folder)
            truth = coco.read_ground_truth(cell.folder / TRUTH)
            found = coco.read_results(cell.folder / FOUND, truth)
        except InputError as error:
            row.status = str(error)
            return row
        if coco.image_ids(truth).keys() != {pair.name for pair in part.pairs}:
            row.status = "detected on other images; run detect again"
        elif not now.items() <= manifest.items.items():
            row.status = "detected in other images, or with other boxes, than are here now; run detect again"
        else:
            row.precision, row.interval = (
                average_precision.evaluate(truth, found),
                average_precision.interval(truth, found),
            )
            row.notes = rows.notes(part, label, out)
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
