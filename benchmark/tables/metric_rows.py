"""Rows of the tables, read from finished cells: what a cell lacks, the row says."""

from collections.abc import Iterable
from pathlib import Path

from benchmark.engine import stages
from benchmark.engine.cells import Cell
from benchmark.engine.experiment import MethodSettings, ScoreSettings
from benchmark.engine.run_record import Part
from benchmark.tables import metric_table as tables
from benchmark.tables.origins import OTHER_WEIGHTS
from metrics.errors import InputError

SOURCES = ("infrared", "visible")


def block(
    part: Part, methods: Iterable[tuple[str, MethodSettings]], score: ScoreSettings, out: Path
) -> tables.DatasetScores:
    """Return a data set's rows of Table 1 or 2.

    Args:
        part: The pairs.
        methods: Labels and methods, in the table's order.
        score: How they should have been scored.
        out: The run's folder.
    """
    found = tables.DatasetScores(part.title, len(part.pairs), part.fingerprint, part.split)
    recipe, names = stages.score_recipe(score), {pair.name for pair in part.pairs}
    for label, method in methods:
        cell = Cell(out, part.title, label, "score")
        row = tables.MethodScores(label, None, ranked=method.name not in SOURCES)
        manifest = cell.manifest()
        reason = unfused(part, label, out)
        if reason:
            row.status = reason
        elif manifest is None:
            row.status = "not scored"
        elif manifest.status != "done":
            row.status = manifest.reason or "not finished"
        elif manifest.recipe != recipe:
            row.status = "scored by another convention, size, selection of metrics or version; run score again"
        elif not names <= set(manifest.items):
            row.status = "scored on fewer images; run score again"
        else:
            try:
                now = stages.score_items(part.pairs, Cell(out, part.title, label, "fuse").folder)
                scores = stages.read_scores(cell, part.pairs, score.ids)
            except InputError as error:
                row.status = str(error)
                found.rows.append(row)
                continue
            if now.items() <= manifest.items.items():
                row.scores, row.notes = scores, [*manifest.notes, *notes(part, label, out)]
            else:
                row.status = "scored on other images than are here now; run score again"
        found.rows.append(row)
    return found


def unfused(part: Part, label: str, out: Path) -> str | None:
    """Return why a method's images failed; None when they did not."""
    fuse = Cell(out, part.title, label, "fuse").manifest()
    return (fuse.reason or "not fused") if fuse and fuse.status == "failed" else None


def notes(part: Part, label: str, out: Path) -> list[str]:
    """Return what is to be said of a method's weights."""
    said = []
    train, fuse = (Cell(out, part.title, label, stage).manifest() for stage in ("train", "fuse"))
    if train and train.status == "done":
        said += train.notes
    settings = fuse.recipe.get("settings", {}) if fuse else {}
    if not isinstance(settings, dict):
        said.append("its manifest does not say by which settings it was fused; run fuse again")
    elif settings.get("official weights") is False:
        said.append(OTHER_WEIGHTS)
    return said
