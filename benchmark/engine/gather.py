"""What a run's cells come to: Tables 1 to 3, and the values along a sweep."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import pandas as pd

from benchmark.engine.entries import label
from benchmark.engine.parts import Loaded
from benchmark.engine.work import Outcome, Work
from benchmark.studies import settings as studies
from benchmark.tables import metric_rows as rows
from benchmark.tables import metric_table as tables


def tabulate(number: Literal[1, 2, 3], loaded: Sequence[Loaded], work: Work) -> None:
    """Write one of the tables; the run's outcome gets its path, and why rows lack their numbers."""
    if number == 3:
        _detection(loaded, work)
    else:
        _metrics(number, loaded, work)
    work.outcome.tables.append(work.options.out / f"table{number}.csv")


def _metrics(number: Literal[1, 2], loaded: Sequence[Loaded], work: Work) -> None:
    experiment, out = work.experiment, work.options.out
    wanted = experiment.methods if number == 1 else studies.ablations()
    methods = [(label(method), method) for method in wanted]
    blocks = [rows.block(each.part, methods, experiment.score, out) for each in loaded]
    _report_gaps(work.outcome, ((block.dataset, row.method, row.status) for block in blocks for row in block.rows))
    table = tables.table(blocks, experiment.score, number=number)
    tables.write(out, table, experiment.title, tables.significance(blocks), number=number)


def _detection(loaded: Sequence[Loaded], work: Work) -> None:
    from benchmark.figures.detection_figures import illustrate
    from benchmark.tables import detection_rows as detected  # not above: torch takes seconds to load
    from benchmark.tables import detection_table as table

    experiment, out = work.experiment, work.options.out
    methods = [(label(method), method) for method in experiment.methods]
    blocks = [detected.block(each.part, methods, experiment.detection, out) for each in loaded]
    _report_gaps(work.outcome, ((block.dataset, row.method, row.status) for block in blocks for row in block.rows))
    table.write(out, table.table3(blocks), experiment.title)
    for each, block in zip(loaded, blocks, strict=True):
        work.outcome.figures += illustrate(each.part, block, out)


def swept(points: Sequence[studies.Setting], loaded: Sequence[Loaded], work: Work) -> pd.DataFrame:
    """Return a sweep's means over images: a row a data set and point; the outcome gets why a row lacks them."""
    score, found = work.experiment.score, []
    for each in loaded:
        methods = [(label(point.method), point.method) for point in points]
        block = rows.block(each.part, methods, score, work.options.out)
        _report_gaps(work.outcome, ((block.dataset, row.method, row.status) for row in block.rows))
        for point, row in zip(points, block.rows, strict=True):
            means: dict[str, Any] = {} if row.scores is None else dict(row.scores[list(score.ids)].mean())
            about = {"images": block.images, "convention": score.convention}
            about |= {"size": score.size, "notes": "; ".join(row.notes), "status": row.status}
            found.append({"dataset": block.dataset, "setting": point.name, **point.fields, **means, **about})
    return pd.DataFrame(found)


def _report_gaps(outcome: Outcome, rows_: Iterable[tuple[str, str, str]]) -> None:
    """Say which rows have no numbers, unless that was said already."""
    said = outcome.refused + outcome.broken
    for dataset, method, status in rows_:
        if status != "done" and not any(status in reason for reason in said):
            outcome.refused.append(f"{dataset}, {method}: {status}")
