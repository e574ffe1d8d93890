"""The figures of Table 3: detections in fused images, and precision-recall curves."""

from pathlib import Path

from benchmark.detection import coco, drawing
from benchmark.engine.cells import Cell, slug
from benchmark.engine.run_record import Part
from benchmark.engine.stages.detect import read_detections
from benchmark.tables import detection_table as table
from metrics import images
from metrics.images import ImageArray

_WIDTH = 480  # pixels of an image on a sheet


def illustrate(part: Part, block: table.DatasetPrecision, out: Path) -> list[Path]:
    """Write a sheet of detections and the curves of a data set's methods into figures/; return the files.

    Args:
        part: The pairs; the four with most boxes are shown.
        block: The rows of Table 3; one without numbers is left out.
        out: The run's folder.
    """
    precisions = {row.method: row.precision for row in block.rows if row.precision is not None}
    if not any(value is not None for one in precisions.values() for value in one.classes.values()):
        return []
    sheet = out / "figures" / f"detections_{slug(part.title)}.png"
    curves = out / "figures" / f"curves_{slug(part.title)}.png"
    sheet.parent.mkdir(parents=True, exist_ok=True)
    scenes = drawing.scenes(part.pairs)
    columns = {label: _column(part, label, [pair.name for pair in scenes], out) for label in precisions}
    drawing.sheet([pair.name for pair in scenes], columns, sheet)
    drawing.curves(precisions, curves)
    return [sheet, curves, curves.with_suffix(".pdf")]


def _column(part: Part, label: str, names: list[str], out: Path) -> list[ImageArray | None]:
    cell = Cell(out, part.title, label, "detect")
    truth, results = read_detections(cell)
    found = {one.name: one for one in coco.detections(results, truth)}
    pairs = {pair.name: pair for pair in part.pairs}
    fused = Cell(out, part.title, label, "fuse").folder
    return [
        drawing.draw(images.read(fused / f"{name}.png"), pairs[name].boxes, found.get(name), part.classes, width=_WIDTH)
        for name in names
    ]
