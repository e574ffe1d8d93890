"""What a user has done at once: a run, a sweep, the experts' figure, the gaming check."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

import pandas as pd
from rich.console import Console

from benchmark.engine.cells import Cell
from benchmark.engine.entries import MEASURED, Entry, check_names, columns, entries, label
from benchmark.engine.experiment import Experiment, MethodSettings
from benchmark.engine.experiment import method as parse
from benchmark.engine.gather import swept, tabulate
from benchmark.engine.run_record import Part
from benchmark.engine.work import MODEL, Options, Outcome, Work, progress, working
from benchmark.studies import settings as studies
from metrics.images import write_bytes

_ALONE = {3: "detect"}  # the table that a stage writes when it is run by itself


def run(
    experiment: Experiment, options: Options, *, stage: str | None = None, console: Console | None = None
) -> Outcome:
    """Train, fuse, score, detect and tabulate an experiment, or do one of these alone.

    Args:
        experiment: What to do.
        options: How.
        stage: "train", "fuse", "score", "detect" or "table"; None for all.
        console: Where the state of the run is shown.

    Raises:
        InputError: The experiment names something that nobody knows, or another run works in the same folder.
    """
    check_names(experiment)
    wanted = entries(experiment)
    with working(experiment, options, columns(wanted, stage), console) as work:
        loaded = work.load()
        work.plan(loaded, wanted)
        for each in loaded:
            work.make(each, wanted)
        numbers = [number for number in sorted(set(experiment.tables)) if stage in (None, "table", _ALONE.get(number))]
        for number in numbers if loaded else []:
            tabulate(number, loaded, work)
    return work.outcome


def sweep(kind: str, experiment: Experiment, options: Options, *, console: Console | None = None) -> Outcome:
    """Train, fuse and score MoE-Fusion at each point of a sweep; write sweep_KIND.csv and its figure.

    Args:
        kind: "experts" or "alpha".
        experiment: On which data sets, how trained and how scored.
        options: How.
        console: Where the state of the run is shown.

    Raises:
        InputError: As for `run`, or there is no such sweep.
    """
    from benchmark.engine import training
    from benchmark.figures import sweep as draw

    check_names(experiment)
    points = studies.sweep(kind, asdict(training.configs(experiment.train, {})[0]))
    wanted = [Entry(label(point.method), point.method, MEASURED | {"train"}) for point in points]
    with working(experiment, options, columns(wanted, None), console) as work:
        loaded = work.load()
        for each in loaded:
            work.make(each, wanted)
        if loaded:
            path = options.out / f"sweep_{kind}.csv"
            frame = swept(points, loaded, work)
            write_bytes(path, frame.to_csv(index=False).encode())
            draw(
                frame,
                next(iter(points[0].fields)) if kind == "alpha" else "setting",
                options.out / "figures" / path.stem,
                experiment.score.ids,
            )
            work.outcome.tables.append(path)
    return work.outcome


def experts(
    experiment: Experiment, options: Options, model: Path | None = None, *, console: Console | None = None
) -> Outcome:
    """Write Figure 6 of a trained MoE-Fusion: what its experts answer to, and how often each is picked.

    Args:
        experiment: On which data sets.
        options: How.
        model: Its file; None for the one that the run trained.
        console: Where the state of the run is shown.

    Raises:
        InputError: As for `run`, or the model cannot be used.
    """
    from benchmark.figures.run_figures import experts as draw

    check_names(experiment)
    with working(experiment, options, ["data"], console) as work:
        for each in work.load():
            title = each.part.title
            trained = Cell(options.out, title, label(MethodSettings(name="moefusion")), "train").folder / MODEL
            found = draw(each.part, model or trained, options.out, device=options.device)
            work.outcome.figures += found
    return work.outcome


def gaming(experiment: Experiment, options: Options, *, console: Console | None = None) -> Outcome:
    """Measure which metrics of an experiment's pairs rise without better fusion; write gaming.csv and gaming.md.

    Args:
        experiment: On which data sets, and how scored; its methods are not used.
        options: How.
        console: Where the state of the run is shown.

    Raises:
        InputError: As for `run`.
    """
    from benchmark.studies import gaming as check

    check_names(experiment)
    with working(experiment, options, ["score"], console) as work:
        found = [_gamed(work, each.part) for each in work.load()]
        if found:
            work.outcome.figures += check.write(options.out, pd.concat(found, ignore_index=True))
    return work.outcome


def _gamed(work: Work, part: Part) -> pd.DataFrame:
    from benchmark.studies import gaming as check

    task = work.board.add(part.title, "changed images", "score")
    task.state = "running"
    found = check.gaming(
        part.pairs,
        work.experiment.score,
        dataset=part.title,
        workers=work.options.workers,
        progress=progress(task),
    )
    work.board.end(task, "done")
    return found


def with_overrides(
    experiment: Experiment,
    *,
    methods: Sequence[str] = (),
    tables: Sequence[Literal[1, 2, 3]] = (),
    convention: str | None = None,
    size: str | None = None,
    metrics: str | None = None,
) -> Experiment:
    """Return an experiment with what the command line sets in place of its own."""
    score = replace(
        experiment.score,
        convention=convention or experiment.score.convention,
        size=size or experiment.score.size,
        metrics=metrics or experiment.score.metrics,
    )
    return replace(
        experiment,
        methods=[parse(text) for text in methods] or experiment.methods,
        tables=list(tables) or experiment.tables,
        score=score,
    )
