"""Run an experiment: every stage of its methods, then its tables."""

from collections.abc import Sequence
from typing import Any, Literal

from rich.console import Console

from benchmark.engine.cells import is_first_process
from benchmark.engine.experiment import Experiment, MethodSettings, check_names
from benchmark.engine.loading import LoadedPart
from benchmark.engine.references import write_references
from benchmark.engine.runner import MethodRun, Options, Outcome, Run, columns, start_run
from benchmark.tables import metric_rows, metric_table
from metrics.errors import InputError

MEASURED, DETECTED = frozenset({"fuse", "score"}), frozenset({"fuse", "detect"})
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
        InputError: A name of the experiment is unknown, or another run works in the same folder.
    """
    check_names(experiment)
    methods = methods_of(experiment)
    with start_run(experiment, options, columns(methods, stage), console) as run:
        parts = run.load()
        run.show_plan(parts, methods)
        for loaded in parts:
            run.make(loaded, methods)
        numbers = [number for number in sorted(set(experiment.tables)) if stage in (None, "table", _ALONE.get(number))]
        for number in numbers if parts else []:
            write_table(number, parts, run)
        if run.outcome.tables and is_first_process() and (references := write_references(experiment, options.out)):
            run.outcome.figures.append(references)
    return run.outcome


def ablations() -> list[MethodSettings]:
    """Return the four rows of Table 2, the whole model last; the run trains them.

    Reference: Cao et al., "Multi-modal Gated Mixture of Local-to-Global Experts for Dynamic Image Fusion",
        ICCV 2023, section 4.5.
    """
    changes: dict[str, dict[str, Any]] = {
        "w/o MoLE": {"local_experts": False},
        "w/o MoGE": {"global_experts": False},
        "Att-Local": {"local_experts": "attention"},
    }
    rows = [MethodSettings(name="moefusion", label=label, fusion=fusion) for label, fusion in changes.items()]
    return [*rows, MethodSettings(name="moefusion")]


def methods_of(experiment: Experiment) -> list[MethodRun]:
    """Return every method of the tables once, with the stages that it goes through.

    Raises:
        InputError: There is no method, or two have one label.
    """
    if not experiment.methods:
        raise InputError(f"experiment {experiment.name!r} names no methods; see `run_benchmark.py list methods`")
    labels = [method.label_or_title for method in experiment.methods]
    for label in labels:
        if labels.count(label) > 1:
            raise _two_called(label)
        if not label.isprintable():
            raise InputError(f"method label {label!r}: expected printable characters, in one line")
    tables = set(experiment.tables)
    runs: dict[str, MethodRun] = {}
    for method in experiment.methods if tables & {1, 3} else []:
        _add(runs, method, (MEASURED if 1 in tables else frozenset()) | (DETECTED if 3 in tables else frozenset()))
    for method in ablations() if 2 in tables else []:
        _add(runs, method, MEASURED)
    return list(runs.values())


def _add(runs: dict[str, MethodRun], method: MethodSettings, stages: frozenset[str]) -> None:
    label = method.label_or_title
    before = runs.get(label)
    if before and before.settings != method:
        raise _two_called(label)
    if method.trained:
        stages |= {"train"}
    runs[label] = MethodRun(method, stages | (before.stages if before else frozenset()))


def _two_called(name: str) -> InputError:
    return InputError(f"two methods are called {name!r}; give one of them another label, as LABEL=NAME")


def write_table(number: Literal[1, 2, 3], parts: Sequence[LoadedPart], run: Run) -> None:
    """Write one of the tables; the run's outcome gets its path, and why rows lack their numbers."""
    if number == 3:
        _write_detection_table(parts, run)
    else:
        _write_metric_table(number, parts, run)
    run.outcome.tables.append(run.options.out / f"table{number}.csv")


def _write_metric_table(number: Literal[1, 2], parts: Sequence[LoadedPart], run: Run) -> None:
    experiment, out = run.experiment, run.options.out
    methods = _labelled(experiment.methods if number == 1 else ablations())
    blocks = [metric_rows.block(loaded.part, methods, experiment.score, out) for loaded in parts]
    for block in blocks:
        for row in block.rows:
            run.outcome.report_gap(block.dataset, row.method, row.status)
    table = metric_table.table(blocks, experiment.score, number=number)
    metric_table.write(out, table, experiment.title, metric_table.significance(blocks), number=number)


def _labelled(methods: Sequence[MethodSettings]) -> list[tuple[str, MethodSettings]]:
    return [(method.label_or_title, method) for method in methods]


def _write_detection_table(parts: Sequence[LoadedPart], run: Run) -> None:
    from benchmark.figures.detection_figures import illustrate  # not above: torch takes seconds to load
    from benchmark.tables import detection_rows, detection_table

    experiment, out = run.experiment, run.options.out
    methods = _labelled(experiment.methods)
    blocks = [detection_rows.block(loaded.part, methods, experiment.detection, out) for loaded in parts]
    for block in blocks:
        for row in block.rows:
            run.outcome.report_gap(block.dataset, row.method, row.status)
    detection_table.write(out, detection_table.table3(blocks), experiment.title)
    for loaded, block in zip(parts, blocks, strict=True):
        run.outcome.figures += illustrate(loaded.part, block, out)
