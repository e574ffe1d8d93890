"""Rows of Tables 1 and 2, read from finished cells; a row states why its cell is incomplete."""

from collections.abc import Iterable
from pathlib import Path

from benchmark import datasets
from benchmark.engine.cells import MODEL, Cell
from benchmark.engine.experiment import TRAINING, MethodSettings, ScoreSettings
from benchmark.engine.run_record import Part
from benchmark.engine.stage import why_outdated
from benchmark.engine.stages.score import Score, count_undefined, read_scores
from benchmark.tables import metric_table as tables
from benchmark.tables.origins import OTHER_WEIGHTS, has_known_weights
from metrics.files import combine_digests


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
    rows = [_row(part, label, method, score, out) for label, method in methods]
    return tables.DatasetScores(part.title, len(part.pairs), part.fingerprint, part.split, rows)


def _row(part: Part, label: str, method: MethodSettings, score: ScoreSettings, out: Path) -> tables.MethodScores:
    row = tables.MethodScores(label, None, ranked=not method.is_source)
    cell = Cell(out, part.title, label, Score.name)
    stage = Score(part.pairs, Cell(out, part.title, label, "fuse").folder, score)
    reason = unfused(part, label, out) or why_outdated(stage, cell)
    if reason:
        row.status = reason
        return row
    row.scores = read_scores(cell, part.pairs, score.ids)
    row.notes = [*count_undefined(row.scores), *notes(part, label, method, out)]
    return row


def unfused(part: Part, label: str, out: Path) -> str | None:
    """Return why a method's images failed; None when they did not."""
    fuse = Cell(out, part.title, label, "fuse").manifest()
    return (fuse.reason or "not fused") if fuse and fuse.status == "failed" else None


def notes(part: Part, label: str, method: MethodSettings, out: Path) -> list[str]:
    """Return what a reader should know of a method's weights."""
    fuse = Cell(out, part.title, label, "fuse").manifest()
    settings = fuse.recipe.get("settings", {}) if fuse else {}
    lines = _training_notes(part, label, settings, out)
    if not isinstance(settings, dict):
        lines.append("its manifest does not say by which settings it was fused; run fuse again")
    elif settings.get("official weights") is False:
        lines.append(OTHER_WEIGHTS)
    elif has_known_weights(settings) and method.kind:
        title = datasets.titles().get(part.name, part.title)
        lines += filter(None, [method.kind.leakage(method.variant, title)])
    return lines


def _training_notes(part: Part, label: str, settings: object, out: Path) -> list[str]:
    """Return how the run trained the model that fused; nothing where it was fused by another one."""
    weights = settings.get("weights") if isinstance(settings, dict) else None
    try:
        model = combine_digests([weights])  # type: ignore[list-item]  # anything may stand in a damaged manifest
    except (TypeError, ValueError):
        return []
    for place in (part.title, TRAINING):
        train = Cell(out, place, label, "train").manifest()
        if train and train.status == "done" and train.files.get(MODEL) == model:
            return train.notes
    return []
