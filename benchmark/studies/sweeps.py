"""The sweeps of the paper's Figures 7 and 8: MoE-Fusion trained with more experts, or another weight of a loss."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
from rich.console import Console

from benchmark.engine.experiment import Experiment, MethodSettings, check_names
from benchmark.engine.loading import LoadedPart
from benchmark.engine.runner import MethodRun, Options, Outcome, Run, columns, start_run
from benchmark.studies.experiment_run import MEASURED
from benchmark.tables import metric_rows
from metrics.errors import unknown
from metrics.files import write_bytes

EXPERTS = ((2, 2), (4, 2), (6, 2), (8, 2), (4, 1), (4, 3), (4, 4))
ALPHAS = (1, 5, 10, 20, 40)
SWEEPS = ("experts", "alpha")


@dataclass(frozen=True)
class Setting:
    """One point of a sweep: its name on the axis, the fields it sets, the method that has them."""

    name: str
    fields: dict[str, Any]
    method: MethodSettings


def settings_of(kind: str, base: Mapping[str, Any]) -> list[Setting]:
    """Return the points of a sweep.

    Args:
        kind: "experts", how many there are and how many a sample gets (Figure 7); "alpha", the weight of the
            gradient loss (Figure 8).
        base: The fields of the experiment's own `moefusion.FusionConfig`; the point that has them all is the
            experiment's MoE-Fusion, and is not trained twice.

    Raises:
        InputError: There is no such sweep.
    """
    if kind == "experts":
        points: dict[str, dict[str, Any]] = {
            f"E{experts}K{top_k}": {"experts": experts, "top_k": top_k} for experts, top_k in EXPERTS
        }
    elif kind == "alpha":
        points = {f"alpha {alpha}": {"alpha": float(alpha)} for alpha in ALPHAS}
    else:
        raise unknown("sweep", kind, SWEEPS)
    return [Setting(name, fields, _method(name, fields, base)) for name, fields in points.items()]


def _method(name: str, fields: dict[str, Any], base: Mapping[str, Any]) -> MethodSettings:
    if all(base[field] == value for field, value in fields.items()):
        return MethodSettings(name="moefusion")
    return MethodSettings(name="moefusion", label=f"MoE-Fusion {name}", fusion=fields)


def sweep(kind: str, experiment: Experiment, options: Options, *, console: Console | None = None) -> Outcome:
    """Train, fuse and score MoE-Fusion at each point of a sweep; write sweep_KIND.csv and its figure.

    Args:
        kind: "experts" or "alpha".
        experiment: On which data sets, how trained and how scored.
        options: How.
        console: Where the state of the run is shown.

    Raises:
        InputError: A name of the experiment is unknown, another run works in the same folder, or there is no such
            sweep.
    """
    from benchmark.engine.stages.train import configs  # not above: torch takes seconds to load
    from benchmark.figures import sweep as draw

    check_names(experiment)
    points = settings_of(kind, asdict(configs(experiment.train, {})[0]))
    methods = [MethodRun(point.method, MEASURED | {"train"}) for point in points]
    with start_run(experiment, options, columns(methods, None), console) as run:
        parts = run.load()
        for loaded in parts:
            run.make(loaded, methods)
        if parts:
            path = options.out / f"sweep_{kind}.csv"
            frame = _means(points, parts, run)
            write_bytes(path, frame.to_csv(index=False).encode())
            axis = next(iter(points[0].fields)) if kind == "alpha" else "setting"
            draw(frame, axis, options.out / "figures" / path.stem, experiment.score.ids)
            run.outcome.tables.append(path)
    return run.outcome


def _means(points: Sequence[Setting], parts: Sequence[LoadedPart], run: Run) -> pd.DataFrame:
    """Return means over images, a row a data set and point; the outcome gets why a row lacks them."""
    score, rows = run.experiment.score, []
    methods = [(point.method.label_or_title, point.method) for point in points]
    for loaded in parts:
        block = metric_rows.block(loaded.part, methods, score, run.options.out)
        for point, row in zip(points, block.rows, strict=True):
            run.outcome.report_gap(block.dataset, row.method, row.status)
            means: dict[str, Any] = {} if row.scores is None else dict(row.scores[list(score.ids)].mean())
            about = {"images": block.images, "convention": score.convention}
            about |= {"size": score.size, "notes": "; ".join(row.notes), "status": row.status}
            rows.append({"dataset": block.dataset, "setting": point.name, **point.fields, **means, **about})
    return pd.DataFrame(rows)
