"""One self-contained HTML page from a run's folder: tables, gallery, distributions, ranks, figures, provenance."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from benchmark.engine import run_record as record
from benchmark.engine.cells import Cell
from benchmark.engine.stages.score import SCORES, read_scores
from benchmark.report import cards, figures, gallery, plots, provenance, sheets
from benchmark.tables import paper, ranking
from metrics.errors import InputError
from metrics.files import write_bytes

FILE = "report.html"
MEGABYTES = 18.0
_HERE = Path(__file__).parent / "templates"
_SLACK = 20_000, 0.02  # bytes, and of the budget: what the scenes add to the page besides their images

Scores = dict[tuple[str, str], pd.DataFrame]


def write(
    folder: Path,
    *,
    boxes: Path | None = None,
    scenes: int | None = None,
    width: int | None = None,
    megabytes: float = MEGABYTES,
) -> Path:
    """Write `report.html` into a run's folder and return its path.

    It has everything inline and asks no network. The same folder gives the same bytes.

    Args:
        folder: The run's: `run.json`, and whatever else there is of tables, cells and figures.
        boxes: CSV file of the places that the gallery enlarges: image, x0, y0, x1, y1 in pixels, and dataset where
            the run has several; the first of an image is green, the second red, and its scene is shown before
            others. None to choose from the annotations.
        scenes: How many scenes of each data set the gallery shows at most; None for 24 together.
        width: Pixels that the gallery's images are reduced to; None to choose what fits.
        megabytes: Size of the report at most, as far as images decide it.

    Raises:
        InputError: The folder holds no run, a file in it is damaged, or the boxes cannot be used.
    """
    _check(scenes, width, megabytes)
    run = record.read(folder)
    budget = int(megabytes * 1e6)
    scores = _scores(folder, run)
    content = _content(folder, run, scores)
    content["figures"] = figures.embed_figures(folder, run, room=budget // 3)
    empty = gallery.Gallery((), 0, 0)
    room = budget - len(_page(content, run, scores, empty).encode()) - _SLACK[0] - int(_SLACK[1] * budget)
    made = gallery.gallery(folder, run, room=room, scenes=scenes, width=width, boxes=boxes)
    content["given"] = boxes is not None
    path = folder / FILE
    write_bytes(path, _page(content, run, scores, gallery.with_scores(made, scores)).encode())
    return path


def _check(scenes: int | None, width: int | None, megabytes: float) -> None:
    if scenes is not None and scenes < 0:
        raise InputError(f"scenes {scenes}: expected 0 or more")
    if width is not None and not 64 <= width <= 8192:
        raise InputError(f"width {width}: expected 64 to 8192 pixels")
    if not 0 < megabytes <= 500:
        raise InputError(f"megabytes {megabytes}: expected more than 0 and at most 500")


def _content(folder: Path, run: record.Record, scores: Scores) -> dict[str, Any]:
    """Return what the page shows besides images."""
    stored = sheets.read_tables(folder, run)
    tables = sheets.show_tables(stored)
    lines = [(group, sheet, line) for group in tables for sheet in group.sheets for line in sheet.lines]
    labels = tuple(dict.fromkeys((*run.labels, *(line.label for *_, line in lines if line.origin == sheets.MEASURED))))
    origins, environments = provenance.provenance(folder, run.parts, labels)
    failures: dict[tuple[str, str], list[str]] = {}  # by method and reason, where
    for group, sheet, line in lines:
        if line.reason:
            failures.setdefault((line.label, line.reason), []).append(f"{group.title}, {sheet.dataset}")
    return {
        "run": run,
        "tables": tables,
        "ranks": sheets.show_ranks(stored),
        "sweeps": sheets.show_sweeps(stored),
        "comparison": paper.compare(stored.tables, folder) if stored.tables else [],
        "plots": [(part.title, _plots(part.title, run, scores)) for part in run.parts],
        "provenance": origins,
        "environments": environments,
        "cards": cards.collect_cards(folder, run),
        "failures": failures,
        "given": False,
    }


def _page(content: Mapping[str, Any], run: record.Record, scores: Scores, made: gallery.Gallery) -> str:
    environment = Environment(
        loader=PackageLoader("benchmark.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}  # the metrics in their order, not sorted
    environment.filters["short"] = provenance.short
    environment.filters["link"] = cards.link
    environment.filters["heading"] = ranking.heading
    style, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    return environment.get_template("report.html.j2").render(
        **content,
        gallery=made,
        shown={(scene.dataset, scene.image): index for index, scene in enumerate(made.scenes)},
        scenes=[asdict(scene) for scene in made.scenes],
        origins=sheets.ORIGINS,
        higher_is_better=ranking.higher_is_better,
        geometry=plots,
        style=Markup(style),
        script=Markup(script),
        style_hash=_source(style),
        script_hash=_source(script),
    )


def _scores(folder: Path, run: record.Record) -> Scores:
    """Return the per-image scores of every cell that is done for all pairs, by the run's convention and size."""
    score = run.experiment.score
    found = {}
    for part in run.parts:
        names = {pair.name for pair in part.pairs}
        for label in run.labels:
            cell = Cell(folder, part.title, label, "score")
            manifest = cell.manifest()
            if manifest is None or manifest.status != "done" or not names <= set(manifest.items):
                continue
            if (manifest.recipe.get("convention"), manifest.recipe.get("size")) != (score.convention, score.size):
                continue
            try:
                frame = read_scores(cell, part.pairs)
            except (KeyError, ValueError) as error:
                table = cell.folder / SCORES
                raise InputError(f"{table}: {error!r} where a score was expected; run score again") from error
            if set(score.ids) <= set(frame):  # else scored by fewer metrics than the run has now
                found[part.title, label] = frame[list(score.ids)]
    return found


def _plots(dataset: str, run: record.Record, scores: Scores) -> dict[str, list[plots.BoxPlot]]:
    """Return the box plots of a data set in the parts that its metrics are split into."""
    by_method = {label: scores[dataset, label] for label in run.labels if (dataset, label) in scores}
    return {
        part: [
            plots.draw_box_plot(name, {label: frame[name] for label, frame in by_method.items()}) for name in columns
        ]
        for part, columns in ranking.split_columns(run.experiment.score.ids).items()
        if by_method
    }


def _source(text: str) -> str:
    """Return what allows an inline text in a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
