"""One run: every data set, every method, stage after stage; what fails says why and stops nothing else."""

import inspect
import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from rich.console import Console

import methods
import metrics
from benchmark import datasets, stages, tables
from benchmark.board import Board, Task
from benchmark.datasets import synthetic
from benchmark.datasets.base import Pair, fingerprint
from benchmark.experiment import DatasetSettings, Experiment, MethodSettings, ScoreSettings
from benchmark.experiment import method as parse
from benchmark.store import Cell, slug
from metrics.errors import InputError, unknown

STAGES = ("fuse", "score")
SOURCES = ("infrared", "visible")


@dataclass(frozen=True)
class Options:
    """How a run goes about it; nothing here changes a number.

    Attributes:
        out: The run's folder.
        data_root: The folder that holds the data sets' folders.
        limit: Only the first pairs of each data set; None for all.
        workers: Processes that score; None for one a core.
        device: Where networks run: "auto", "cpu", "cuda".
        redo: Make again what is there already.
    """

    out: Path
    data_root: Path = Path("data")
    limit: int | None = None
    workers: int | None = None
    device: str = "auto"
    redo: bool = False


@dataclass
class Outcome:
    """What a run came to: the table when there is one, and why what failed has failed."""

    table: Path | None = None
    refused: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def status(self) -> int:
        """The process's exit status: 2 when input was refused, else 1 when a method broke, else 0."""
        return 2 if self.refused else 1 if self.broken else 0


def run(
    experiment: Experiment, options: Options, *, stage: str | None = None, console: Console | None = None
) -> Outcome:
    """Fuse, score and tabulate an experiment, or do one of the three alone.

    Args:
        experiment: What to do.
        options: How.
        stage: "fuse", "score" or "table"; None for all three.
        console: Where the state of the run is shown.

    Raises:
        InputError: The experiment names something that nobody knows, or another run works in the same folder.
    """
    labels = _labels(experiment)
    _check_names(experiment)
    options.out.mkdir(parents=True, exist_ok=True)
    with _locked(options.out):
        return _run(experiment, labels, options, stage, console or Console())


def train(experiment: Experiment, options: Options) -> list[Path]:
    """Train MoE-Fusion on each data set's training part; return the models' files.

    Raises:
        InputError: A data set, a setting or an earlier checkpoint cannot be used.
    """
    from benchmark import training  # not above: it takes torch seconds to load, which the other stages need not

    _check_names(experiment)
    options.out.mkdir(parents=True, exist_ok=True)
    models = []
    with _locked(options.out):
        for wanted in experiment.datasets:
            dataset = _loaded(wanted, options)
            folder = options.out / "moefusion" / slug(wanted.title or dataset.title)
            models.append(
                training.train(
                    dataset.train[: options.limit],
                    dataset.classes,
                    experiment.train,
                    folder,
                    device=options.device,
                    redo=options.redo,
                )
            )
    return models


def _run(
    experiment: Experiment, labels: Sequence[str], options: Options, stage: str | None, console: Console
) -> Outcome:
    outcome = Outcome()
    working = [name for name in STAGES if stage in (None, name)]
    with Board(working, console) as board:
        parts = [part for wanted in experiment.datasets if (part := _pairs(wanted, options, board, outcome))]
        rows = [
            (part, method, {name: _Work(board, outcome, board.add(part.title, label, name)) for name in working})
            for part in parts
            for label, method in zip(labels, experiment.methods, strict=True)
        ]
        for part, method, work in rows:
            fused = _fuse(part, method, options, work["fuse"]) if "fuse" in work else True
            if "score" in work:
                _score(part, experiment.score, options, work["score"], fused=fused)
    if stage in (None, "table") and parts:
        blocks = [_block(part, labels, experiment, options) for part in parts]
        unscored = [(block.dataset, row) for block in blocks for row in block.rows if row.scores is None]
        for title, row in unscored:
            if not any(row.status in reason for reason in outcome.refused + outcome.broken):
                outcome.refused.append(f"{title}, {row.method}: {row.status}")
        table = tables.table1(blocks, experiment.score)
        tables.write(options.out, table, experiment.title)
        outcome.table = options.out / "table1.csv"
    return outcome


@dataclass(frozen=True)
class _Work:
    """One cell to be made, and who is told how it ends."""

    board: Board
    outcome: Outcome
    task: Task

    def cell(self, out: Path, stage: str) -> Cell:
        """Return a cell of the same data set and method."""
        return Cell(out, self.task.dataset, self.task.method, stage)


def _fuse(part: "_Part", method: MethodSettings, options: Options, work: _Work) -> bool:
    """Fuse a part's pairs; return whether it succeeded."""
    cell = work.cell(options.out, "fuse")
    with _ending(work, cell):
        made = stages.fuse(
            part.name,
            part.pairs,
            method,
            cell,
            notes=(part.split, *part.notes),
            device=options.device,
            redo=options.redo,
            progress=_progress(work.task),
        )
        work.task.state = "done" if made else "kept"
    return work.task.state != "failed"


def _score(part: "_Part", score: ScoreSettings, options: Options, work: _Work, *, fused: bool) -> None:
    """Score a part's fused pictures, if they were fused."""
    cell = work.cell(options.out, "score")
    if not fused:
        cell.fail("not fused")  # or an earlier run's rows would pass for this one's
        work.board.end(work.task, "skipped", "not fused")
        return
    with _ending(work, cell):
        made = stages.score(
            part.pairs,
            work.cell(options.out, "fuse").folder,
            score,
            cell,
            workers=options.workers,
            redo=options.redo,
            progress=_progress(work.task),
        )
        work.task.state = "done" if made else "kept"


@dataclass(frozen=True)
class _Part:
    """The pairs of one data set that a run works on, and what is to be said of them."""

    name: str
    title: str
    pairs: tuple[Pair, ...]
    split: str
    notes: tuple[str, ...]


def _pairs(wanted: DatasetSettings, options: Options, board: Board, outcome: Outcome) -> _Part | None:
    title = wanted.title or datasets.record(wanted.name).title
    try:
        dataset = _loaded(wanted, options)
        pairs: tuple[Pair, ...] = {"train": dataset.train, "test": dataset.test}[wanted.part][: options.limit]
        if not pairs:
            raise InputError(f"the {wanted.part} part of {title} is empty")
        for pair in pairs:
            pair.fingerprint  # noqa: B018  (reads the files, so that one that is gone is met here)
    except InputError as error:
        board.end(board.add(title, "", "data"), "failed", str(error))
        outcome.refused.append(str(error))
        return None
    return _Part(wanted.name, title, pairs, f"{wanted.part} part of {dataset.split}", dataset.notes)


def _loaded(wanted: DatasetSettings, options: Options) -> datasets.Dataset:
    folder = wanted.root or datasets.record(wanted.name).folder
    if wanted.name == "synthetic":
        return datasets.load(wanted.name, _rendered(options.out / "data" / folder, wanted.options))
    return datasets.load(wanted.name, options.data_root / folder, **wanted.options)


def _rendered(root: Path, settings: dict[str, Any]) -> Path:
    """Write the synthetic scenes unless they are there; return their folder."""
    try:
        inspect.signature(synthetic.write).bind(root, **settings)
    except TypeError as error:
        raise InputError(f"options of the synthetic data set: {error}") from error
    synthetic.write(root, **settings)
    return root


@contextmanager
def _ending(work: _Work, cell: Cell) -> Iterator[None]:
    """Run one cell; what goes wrong in it ends here, with its reason."""
    task, outcome = work.task, work.outcome
    task.state = "running"
    try:
        yield
    except InputError as error:
        reason = str(error)
        outcome.refused.append(reason)
    except Exception as error:  # a method of somebody's own may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        cell.folder.mkdir(parents=True, exist_ok=True)
        (cell.folder / "error.txt").write_text(traceback.format_exc())
        outcome.broken.append(f"{cell.dataset}, {cell.method}: {reason}; see {cell.folder / 'error.txt'}")
    else:
        work.board.end(task, task.state)
        return
    cell.fail(reason)
    work.board.end(task, "failed", reason)


def _block(part: _Part, labels: Sequence[str], experiment: Experiment, options: Options) -> tables.Block:
    block = tables.Block(part.title, len(part.pairs), fingerprint(part.pairs), part.split)
    recipe, names = stages.score_recipe(experiment.score), {pair.name for pair in part.pairs}
    for label, method in zip(labels, experiment.methods, strict=True):
        cell = Cell(options.out, part.title, label, "score")
        row = tables.Row(label, None, ranked=method.name not in SOURCES)
        manifest = cell.manifest()
        fuse = Cell(options.out, part.title, label, "fuse").manifest()
        if fuse and fuse.status == "failed":
            row.status = fuse.reason or "not fused"
        elif manifest is None:
            row.status = "not scored"
        elif manifest.status != "done":
            row.status = manifest.reason or "not finished"
        elif manifest.recipe != recipe:
            row.status = "scored by another convention, size or version; run score again"
        elif not names <= set(manifest.items):
            row.status = "scored on fewer images; run score again"
        else:
            row.scores, row.notes = stages.read_scores(cell, part.pairs), list(manifest.notes)
            if fuse and fuse.recipe.get("settings", {}).get("official weights") is False:
                row.notes.append(tables.OTHER_WEIGHTS)
        block.rows.append(row)
    return block


def _labels(experiment: Experiment) -> list[str]:
    labels = [_label(method) for method in experiment.methods]
    for label in labels:
        if labels.count(label) > 1:
            raise InputError(f"two methods are called {label!r}; give one of them another label, as LABEL=NAME")
    if not labels:
        raise InputError(f"experiment {experiment.name!r} names no methods; see `run_benchmark.py list methods`")
    return labels


def _label(method: MethodSettings) -> str:
    if method.label:
        return method.label
    try:
        found = methods.find(method.name)
    except InputError:
        return method.name  # its cell will fail and say why
    title = found.title or found.__name__
    return f"{title} ({method.variant})" if method.variant else title


def _check_names(experiment: Experiment) -> None:
    for method in experiment.methods:
        if method.name not in methods.names() and not method.name.rpartition(":")[0].endswith(".py"):
            raise unknown("method", method.name, (*methods.names(), "path/to/file.py:Class"))
    titles = [dataset.title or datasets.record(dataset.name).title for dataset in experiment.datasets]
    for title in titles:
        if titles.count(title) > 1:
            raise InputError(f"two data sets are called {title!r}; give one of them another title")
    for dataset in experiment.datasets:
        if dataset.part not in ("train", "test"):
            raise unknown(f"part of data set {dataset.name}", dataset.part, ("train", "test"))
    if experiment.score.convention not in metrics.CONVENTIONS:
        raise unknown("metric convention", experiment.score.convention, tuple(metrics.CONVENTIONS))
    experiment.score.pixels  # noqa: B018  (refuses a size that is none)


def _progress(task: Task) -> Callable[[int, int], None]:
    def show(finished: int, of: int) -> None:
        task.finished, task.of = finished, of

    return show


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    if int(os.environ.get("RANK", "0")):
        yield  # one of torchrun's processes beside the first, which holds the lock for all
        return
    lock = FileLock(out / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"another run works in {out}; wait for it, or choose another folder with --out") from None
    try:
        yield
    finally:
        lock.release()


def with_overrides(
    experiment: Experiment, *, methods: Sequence[str], convention: str | None, size: str | None
) -> Experiment:
    """Return an experiment with what the command line sets in place of its own."""
    score = replace(
        experiment.score,
        convention=convention or experiment.score.convention,
        size=size or experiment.score.size,
    )
    return replace(experiment, methods=[parse(text) for text in methods] or experiment.methods, score=score)
