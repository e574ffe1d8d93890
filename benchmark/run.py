"""One run: every data set, every method, stage after stage; what fails says why and stops nothing else."""

import os
import traceback
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import pandas as pd
from filelock import FileLock, Timeout
from rich.console import Console

import methods
import metrics
from benchmark import parts, plan, record, rows, stages, studies, tables
from benchmark.board import Board, Task
from benchmark.cluster import workers_on
from benchmark.experiment import DatasetSettings, Experiment, MethodSettings
from benchmark.experiment import method as parse
from benchmark.parts import Loaded
from benchmark.record import Part
from benchmark.store import Cell
from metrics.errors import InputError, unknown
from metrics.pictures import write_bytes

STAGES = ("train", "fuse", "score", "detect")
MODEL = "model.safetensors"
_ALONE = {3: "detect"}  # the table that a stage writes when it is run by itself
MEASURED, DETECTED = frozenset({"fuse", "score"}), frozenset({"fuse", "detect"})


@dataclass(frozen=True)
class Options:
    """How a run goes about it; nothing here changes a number.

    Attributes:
        out: The run's folder.
        data_root: The folder that holds the data sets' folders.
        limit: Only the first pairs of each data set; None for all.
        workers: Processes that fuse and score; None for one a core.
        device: Where networks run: "auto", "cpu", "cuda".
        redo: Make again what is there already.
        cluster: Address of a Dask scheduler whose workers fuse and score; None for this machine's cores.
    """

    out: Path
    data_root: Path = Path("data")
    limit: int | None = None
    workers: int | None = None
    device: str = "auto"
    redo: bool = False
    cluster: str | None = None


@dataclass
class Outcome:
    """What a run came to: the tables and figures that were written, and why what failed has failed."""

    tables: list[Path] = field(default_factory=list)
    figures: list[Path] = field(default_factory=list)  # and whatever else is no table for the screen
    refused: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def status(self) -> int:
        """The process's exit status: 2 when input was refused, else 1 when a method broke, else 0."""
        return 2 if self.refused else 1 if self.broken else 0

    @property
    def reasons(self) -> list[str]:
        """What went wrong, each reason once: a damaged picture fails every method alike."""
        return list(dict.fromkeys(self.refused + self.broken))


@dataclass(frozen=True)
class Entry:
    """One method of a run: its label and what is done with it."""

    label: str
    method: MethodSettings
    stages: frozenset[str]


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
    _check_names(experiment)
    entries = _entries(experiment)
    with _working(experiment, options, _columns(entries, stage), console) as work:
        loaded = work.load()
        work.plan(loaded, entries)
        for each in loaded:
            work.make(each, entries)
        numbers = [number for number in sorted(set(experiment.tables)) if stage in (None, "table", _ALONE.get(number))]
        for number in numbers if loaded else []:
            work.tabulate(number, loaded)
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
    from benchmark import training
    from benchmark.figures import sweep as draw

    _check_names(experiment)
    points = studies.sweep(kind, asdict(training.configs(experiment.train, {})[0]))
    entries = [Entry(label(point.method), point.method, MEASURED | {"train"}) for point in points]
    with _working(experiment, options, _columns(entries, None), console) as work:
        loaded = work.load()
        for each in loaded:
            work.make(each, entries)
        if loaded:
            path = options.out / f"sweep_{kind}.csv"
            frame = work.swept(points, loaded)
            write_bytes(path, frame.to_csv(index=False).encode())
            draw(
                frame,
                next(iter(points[0].fields)) if kind == "alpha" else "setting",
                options.out / "figures" / path.stem,
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
    from benchmark.illustrate import experts as draw

    _check_names(experiment)
    with _working(experiment, options, ["data"], console) as work:
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
    from benchmark import gaming as check

    _check_names(experiment)
    with _working(experiment, options, ["score"], console) as work:
        found = [work.gamed(each.part) for each in work.load()]
        if found:
            work.outcome.figures += check.write(options.out, pd.concat(found, ignore_index=True))
    return work.outcome


class _Run:
    """A run at work."""

    def __init__(self, experiment: Experiment, options: Options, outcome: Outcome, board: Board) -> None:
        self.experiment, self.options, self.outcome, self.board = experiment, options, outcome, board

    def load(self) -> list[Loaded]:
        """Read the data sets, and record what was found."""
        found = [loaded for wanted in self.experiment.datasets if (loaded := self._loaded(wanted))]
        labels = tuple(label(method) for method in self.experiment.methods)
        if not int(os.environ.get("RANK", "0")):  # or torchrun's first process, which writes for all
            record.write(self.options.out, record.Record(self.experiment, labels, tuple(each.part for each in found)))
        return found

    def _loaded(self, wanted: DatasetSettings) -> Loaded | None:
        options, task = self.options, self.board.add(parts.title(wanted), "", self.board.stages[0])
        task.state = "running"
        try:
            loaded = parts.load(
                wanted, options.data_root, options.out / "data", limit=options.limit, progress=_progress(task)
            )
        except InputError as error:
            self.board.end(task, "failed", str(error))
            self.outcome.refused.append(str(error))
            return None
        self.board.remove(task)
        return loaded

    def plan(self, loaded: Sequence[Loaded], entries: Sequence[Entry]) -> None:
        """Say what a long run will take; training and detection are not counted."""
        if not {"fuse", "score"} <= set(self.board.stages):
            return
        missing = [
            (each.part, entry, number)
            for each in loaded
            for entry in entries
            if not entry.method.trained and (number := self._missing(each.part, entry))
        ]
        if sum(number for *_, number in missing) < plan.WORTH:
            return
        score, device = self.experiment.score, self.options.device
        costs = [
            cost
            for part, entry, number in missing
            if (cost := plan.cost(part, number, entry.label, entry.method, score, device))
        ]
        if costs:
            self.board.console.print(plan.text(costs, self.options.workers), markup=False, soft_wrap=True)

    def _missing(self, part: Part, entry: Entry) -> int:
        if self.options.redo:
            return len(part.pairs)
        folder = Cell(self.options.out, part.title, entry.label, "fuse").folder
        there = {path.stem for path in folder.glob("*.png")}
        return sum(pair.name not in there for pair in part.pairs)

    def make(self, loaded: Loaded, entries: Sequence[Entry]) -> None:
        """Make a data set's cells, method after method, the detector's last."""
        title, columns = loaded.part.title, self.board.stages
        tasks = {
            entry.label: {
                stage: self.board.add(title, entry.label, stage) for stage in columns if stage in entry.stages
            }
            for entry in entries
        }
        fused = set()
        for entry in entries:
            own = tasks[entry.label]
            trained = self._train(loaded, entry, own["train"]) if "train" in own else True
            if "fuse" not in own or self._fuse(loaded, entry, own["fuse"], trained=trained):
                fused.add(entry.label)
            if "score" in own:
                self._score(loaded, own["score"], fused=entry.label in fused)
        if "detect" in columns:
            self._detect(loaded, entries, tasks, fused)

    def _train(self, loaded: Loaded, entry: Entry, task: Task) -> bool:
        from benchmark import training  # not above: it takes torch seconds to load, which other stages need not

        cell = self._cell(task)
        with self._ending(task, cell), self.board.paused():
            made = training.train(
                loaded.train,
                loaded.part.classes,
                self.experiment.train,
                entry.method.fusion,
                cell,
                device=self.options.device,
                redo=self.options.redo,
            )
            task.state = "done" if made else "kept"
        return task.state != "failed"

    def _fuse(self, loaded: Loaded, entry: Entry, task: Task, *, trained: bool) -> bool:
        """Fuse a part's pairs; return whether it succeeded."""
        cell, part = self._cell(task), loaded.part
        if not trained:
            self._skip(task, cell, "not trained")
            return False
        with self._ending(task, cell):
            made = stages.fuse(
                part.name,
                part.pairs,
                self._method(part.title, entry),
                cell,
                notes=(part.split, *part.notes),
                device=self.options.device,
                workers=self.options.workers,
                redo=self.options.redo,
                progress=_progress(task),
            )
            task.state = "done" if made else "kept"
        return task.state != "failed"

    def _score(self, loaded: Loaded, task: Task, *, fused: bool) -> None:
        """Score a part's fused pictures, if they were fused."""
        cell = self._cell(task)
        if not fused:
            self._skip(task, cell, "not fused")
            return
        with self._ending(task, cell):
            made = stages.score(
                loaded.part.pairs,
                Cell(self.options.out, task.dataset, task.method, "fuse").folder,
                self.experiment.score,
                cell,
                workers=self.options.workers,
                redo=self.options.redo,
                progress=_progress(task),
            )
            task.state = "done" if made else "kept"

    def _detect(
        self, loaded: Loaded, entries: Sequence[Entry], tasks: dict[str, dict[str, Task]], fused: set[str]
    ) -> None:
        """Run each method's detector, or the one that all share, over the fused pictures."""
        from benchmark.detection import rows as detected
        from benchmark.detection import stage  # not above: it takes torch seconds to load

        settings, options, title = self.experiment.detection, self.options, loaded.part.title
        wanted = [entry for entry in entries if "detect" in entry.stages]
        shared: Cell | None = None
        if settings.protocol == "paper" and any(entry.label in fused for entry in wanted):
            task = self.board.add(title, detected.SHARED, "detect")
            shared = detected.detector_cell(options.out, title)
            with self._ending(task, shared):
                made = stage.train(
                    stage.sources(loaded.train),
                    loaded.train,
                    loaded.part.classes,
                    settings,
                    shared,
                    device=options.device,
                    redo=options.redo,
                    progress=_progress(task),
                )
                task.state = "done" if made else "kept"
            if task.state == "failed":
                shared = None
        for entry in wanted:
            task = tasks[entry.label]["detect"]
            cell = self._cell(task)
            if entry.label not in fused:
                self._skip(task, cell, "not fused")
                continue
            detector = self._own_detector(loaded, entry, task) if settings.protocol == "retrain" else shared
            if task.state == "failed":
                continue
            if detector is None:
                self._skip(task, cell, "its detector was not trained")
                continue
            with self._ending(task, cell):
                number = stage.detect(
                    loaded.part,
                    Cell(options.out, title, entry.label, "fuse").folder,
                    detector,
                    settings,
                    cell,
                    grey=entry.method.name == "infrared",
                    device=options.device,
                    redo=options.redo,
                    progress=_progress(task),
                )
                task.state = "done" if number else "kept"

    def _own_detector(self, loaded: Loaded, entry: Entry, task: Task) -> Cell | None:
        """Train a detector on a method's fused training pictures."""
        from benchmark.detection import rows as detected
        from benchmark.detection import stage

        options, part, title = self.options, loaded.part, loaded.part.title
        pictures = Cell(options.out, title, entry.label, stage.FUSE_TRAINING)
        detector = detected.detector_cell(options.out, title, entry.label)
        with self._ending(task, detector):
            stages.fuse(
                part.name,
                loaded.train,
                self._method(title, entry),
                pictures,
                device=options.device,
                workers=options.workers,
                redo=options.redo,
                progress=_progress(task),
            )
            stage.train(
                stage.fused(loaded.train, pictures.folder, grey=entry.method.name == "infrared"),
                loaded.train,
                part.classes,
                self.experiment.detection,
                detector,
                device=options.device,
                redo=options.redo,
                progress=_progress(task),
            )
        return None if task.state == "failed" else detector

    def tabulate(self, number: Literal[1, 2, 3], loaded: Sequence[Loaded]) -> None:
        """Write one of the tables."""
        if number == 3:
            self._tabulate_detection(loaded)
            return
        wanted = self.experiment.methods if number == 1 else studies.ablations()
        methods_ = [(label(method), method) for method in wanted]
        blocks = [rows.block(each.part, methods_, self.experiment.score, self.options.out) for each in loaded]
        self._report_gaps((block.dataset, row.method, row.status) for block in blocks for row in block.rows)
        table = tables.table(blocks, self.experiment.score, number=number)
        tables.write(self.options.out, table, self.experiment.title, tables.significance(blocks), number=number)
        self.outcome.tables.append(self.options.out / f"table{number}.csv")

    def _tabulate_detection(self, loaded: Sequence[Loaded]) -> None:
        from benchmark.detection import rows as detected
        from benchmark.detection import table
        from benchmark.detection.illustrate import illustrate

        methods_ = [(label(method), method) for method in self.experiment.methods]
        blocks = [detected.block(each.part, methods_, self.experiment.detection, self.options.out) for each in loaded]
        self._report_gaps((block.dataset, row.method, row.status) for block in blocks for row in block.rows)
        table.write(self.options.out, table.table3(blocks), self.experiment.title)
        for each, block in zip(loaded, blocks, strict=True):
            self.outcome.figures += illustrate(each.part, block, self.options.out)
        self.outcome.tables.append(self.options.out / "table3.csv")

    def swept(self, points: Sequence[studies.Setting], loaded: Sequence[Loaded]) -> pd.DataFrame:
        """Return a sweep's means over images: a row a data set and point."""
        found = []
        for each in loaded:
            methods_ = [(label(point.method), point.method) for point in points]
            block = rows.block(each.part, methods_, self.experiment.score, self.options.out)
            self._report_gaps((block.dataset, row.method, row.status) for row in block.rows)
            for point, row in zip(points, block.rows, strict=True):
                means = {} if row.scores is None else dict(row.scores[list(metrics.IDS)].mean())
                about = {"images": block.images, "convention": self.experiment.score.convention}
                about |= {"size": self.experiment.score.size, "notes": "; ".join(row.notes), "status": row.status}
                found.append({"dataset": block.dataset, "setting": point.name, **point.fields, **means, **about})
        return pd.DataFrame(found)

    def gamed(self, part: Part) -> pd.DataFrame:
        """Return what changed pictures score on a data set."""
        from benchmark import gaming as check

        task = self.board.add(part.title, "changed pictures", "score")
        task.state = "running"
        found = check.gaming(
            part.pairs,
            self.experiment.score,
            dataset=part.title,
            workers=self.options.workers,
            progress=_progress(task),
        )
        self.board.end(task, "done")
        return found

    def _report_gaps(self, rows_: Iterable[tuple[str, str, str]]) -> None:
        """Say which rows have no numbers, unless that was said already."""
        said = self.outcome.refused + self.outcome.broken
        for dataset, method, status in rows_:
            if status != "done" and not any(status in reason for reason in said):
                self.outcome.refused.append(f"{dataset}, {method}: {status}")

    def _method(self, dataset: str, entry: Entry) -> MethodSettings:
        if not entry.method.trained:
            return entry.method
        model = Cell(self.options.out, dataset, entry.label, "train").folder / MODEL
        return replace(entry.method, weights=str(model))

    def _cell(self, task: Task) -> Cell:
        return Cell(self.options.out, task.dataset, task.method, task.stage)

    def _skip(self, task: Task, cell: Cell, reason: str) -> None:
        cell.fail(reason)  # or an earlier run's numbers would pass for this one's
        self.board.end(task, "skipped", reason)

    @contextmanager
    def _ending(self, task: Task, cell: Cell) -> Iterator[None]:
        """Run one cell; what goes wrong in it ends here, with its reason."""
        task.state = "running"
        try:
            yield
        except (InputError, OSError) as error:  # OSError: of a folder that cannot be made or emptied
            reason = str(error)
            self.outcome.refused.append(reason)
        except Exception as error:  # a method of somebody's own may raise anything
            if isinstance(error, stages.MethodError):
                reason, trace = error.reason, error.trace
            else:
                reason, trace = stages.one_line(error), traceback.format_exc()
            cell.folder.mkdir(parents=True, exist_ok=True)
            (cell.folder / "error.txt").write_text(trace)
            self.outcome.broken.append(f"{cell.dataset}, {cell.method}: {reason}; see {cell.folder / 'error.txt'}")
        else:
            if task.state != "running":
                self.board.end(task, task.state)
            return
        cell.fail(reason)
        self.board.end(task, "failed", reason)


def label(method: MethodSettings) -> str:
    """Return a method's row in the tables, and its folder in the results."""
    if method.label:
        return unicodedata.normalize("NFC", method.label)
    try:
        found = methods.find(method.name)
    except InputError:
        return method.name  # its cell will fail and say why
    title = found.title or found.__name__
    return f"{title} ({method.variant})" if method.variant else title


def _entries(experiment: Experiment) -> list[Entry]:
    """Return every method of the tables once, with what is done with it."""
    if not experiment.methods:
        raise InputError(f"experiment {experiment.name!r} names no methods; see `run_benchmark.py list methods`")
    labels = [label(method) for method in experiment.methods]
    for each in labels:
        if labels.count(each) > 1:
            raise _two_called(each)
        if not each.isprintable():
            raise InputError(f"method label {each!r}: expected printable characters, in one line")
    wanted = set(experiment.tables)
    entries: dict[str, Entry] = {}
    for method in experiment.methods if wanted & {1, 3} else []:
        work = (MEASURED if 1 in wanted else set()) | (DETECTED if 3 in wanted else set())
        _add(entries, method, frozenset(work))
    for method in studies.ablations() if 2 in wanted else []:
        _add(entries, method, MEASURED)
    return list(entries.values())


def _add(entries: dict[str, Entry], method: MethodSettings, work: frozenset[str]) -> None:
    name = label(method)
    before = entries.get(name)
    if before and before.method != method:
        raise _two_called(name)
    if method.trained:
        work |= {"train"}
    entries[name] = Entry(name, method, work | (before.stages if before else frozenset()))


def _two_called(name: str) -> InputError:
    return InputError(f"two methods are called {name!r}; give one of them another label, as LABEL=NAME")


def _columns(entries: Sequence[Entry], stage: str | None) -> list[str]:
    """Return the stages that a run shows and does."""
    used = set().union(*(entry.stages for entry in entries))
    return [name for name in STAGES if (stage is None and name in used) or name == stage] or ["data"]


def _check_names(experiment: Experiment) -> None:
    for method in experiment.methods:
        if method.name not in methods.names() and not method.name.rpartition(":")[0].endswith(".py"):
            raise unknown("method", method.name, (*methods.names(), "path/to/file.py:Class"))
    titles = [parts.title(dataset) for dataset in experiment.datasets]
    for title in titles:
        if not title.isprintable():
            raise InputError(f"data set title {title!r}: expected printable characters, in one line")
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
def _working(
    experiment: Experiment, options: Options, columns: Sequence[str], console: Console | None
) -> Iterator[_Run]:
    """Hold the run's folder, and show how the work goes on."""
    options.out.mkdir(parents=True, exist_ok=True)
    with _locked(options.out), workers_on(options.cluster, options.workers) as workers:
        options = replace(options, workers=workers)
        if options.cluster:  # its workers have working folders of their own
            options = replace(options, out=options.out.resolve(), data_root=options.data_root.resolve())
        with Board(columns, console or Console()) as board:
            yield _Run(experiment, options, Outcome(), board)


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
        for left in out.glob(".*.tmp"):  # by a run that was killed while it wrote
            if left.is_file():
                left.unlink()
        yield
    finally:
        lock.release()


def with_overrides(
    experiment: Experiment,
    *,
    methods: Sequence[str] = (),
    tables: Sequence[Literal[1, 2, 3]] = (),
    convention: str | None = None,
    size: str | None = None,
) -> Experiment:
    """Return an experiment with what the command line sets in place of its own."""
    score = replace(
        experiment.score,
        convention=convention or experiment.score.convention,
        size=size or experiment.score.size,
    )
    return replace(
        experiment,
        methods=[parse(text) for text in methods] or experiment.methods,
        tables=list(tables) or experiment.tables,
        score=score,
    )
