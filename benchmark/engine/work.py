"""A run at work: cell after cell is made; what fails says why and stops nothing else."""

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console

from benchmark.engine import parts, plan, stages
from benchmark.engine import run_record as record
from benchmark.engine.cells import ERROR, Cell, is_first_process
from benchmark.engine.cluster import workers_on
from benchmark.engine.entries import Entry, label
from benchmark.engine.experiment import DatasetSettings, Experiment, MethodSettings
from benchmark.engine.parts import Loaded
from benchmark.engine.progress import Board, Task
from benchmark.engine.run_record import Part
from metrics.errors import InputError
from metrics.images import remove_leftovers

MODEL = "model.safetensors"


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
        """What went wrong, each reason once: a damaged image fails every method alike."""
        return list(dict.fromkeys(self.refused + self.broken))


class Work:
    """A run at work."""

    def __init__(self, experiment: Experiment, options: Options, outcome: Outcome, board: Board) -> None:
        self.experiment, self.options, self.outcome, self.board = experiment, options, outcome, board

    def load(self) -> list[Loaded]:
        """Read the data sets, and record what was found."""
        found = [loaded for wanted in self.experiment.datasets if (loaded := self._loaded(wanted))]
        labels = tuple(label(method) for method in self.experiment.methods)
        if is_first_process():
            out, read = self.options.out, tuple(each.part for each in found)
            record.write(out, record.Record(self.experiment, labels, read, record.read_files(out)))
        return found

    def _loaded(self, wanted: DatasetSettings) -> Loaded | None:
        options, task = self.options, self.board.add(parts.title(wanted), "", self.board.stages[0])
        task.state = "running"
        try:
            loaded = parts.load(
                wanted, options.data_root, options.out / "data", limit=options.limit, progress=progress(task)
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
        score, device, workers = self.experiment.score, self.options.device, self.options.workers
        costs = [
            cost
            for part, entry, number in missing
            if (cost := plan.cost(part, number, entry.label, entry.method, score, device=device, workers=workers))
        ]
        if costs:
            self.board.console.print(plan.text(costs, workers), markup=False, soft_wrap=True)

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
        from benchmark.engine import training  # not above: it takes torch seconds to load, which other stages need not

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
                progress=progress(task),
            )
            task.state = "done" if made else "kept"
        return task.state != "failed"

    def _score(self, loaded: Loaded, task: Task, *, fused: bool) -> None:
        """Score a part's fused images, if they were fused."""
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
                progress=progress(task),
            )
            task.state = "done" if made else "kept"

    def _detect(
        self, loaded: Loaded, entries: Sequence[Entry], tasks: dict[str, dict[str, Task]], fused: set[str]
    ) -> None:
        """Run each method's detector, or the one that all share, over the fused images."""
        from benchmark.engine import detection_stages as stage  # not above: it takes torch seconds to load
        from benchmark.tables import detection_rows as detected

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
                    progress=progress(task),
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
                    progress=progress(task),
                )
                task.state = "done" if number else "kept"

    def _own_detector(self, loaded: Loaded, entry: Entry, task: Task) -> Cell | None:
        """Train a detector on a method's fused training images."""
        from benchmark.engine import detection_stages as stage
        from benchmark.tables import detection_rows as detected

        options, part, title = self.options, loaded.part, loaded.part.title
        images = Cell(options.out, title, entry.label, stage.FUSE_TRAINING)
        detector = detected.detector_cell(options.out, title, entry.label)
        with self._ending(task, detector):
            stages.fuse(
                part.name,
                loaded.train,
                self._method(title, entry),
                images,
                device=options.device,
                workers=options.workers,
                redo=options.redo,
                progress=progress(task),
            )
            stage.train(
                stage.fused(loaded.train, images.folder, grey=entry.method.name == "infrared"),
                loaded.train,
                part.classes,
                self.experiment.detection,
                detector,
                device=options.device,
                redo=options.redo,
                progress=progress(task),
            )
        return None if task.state == "failed" else detector

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
        except (Exception, SystemExit) as error:  # a method of somebody's own may raise anything
            if isinstance(error, stages.MethodError):
                reason, trace = error.reason, error.trace
            else:
                reason, trace = stages.one_line(error), traceback.format_exc()
            if is_first_process():
                with suppress(OSError):  # the reason counts more
                    cell.folder.mkdir(parents=True, exist_ok=True)
                    (cell.folder / ERROR).write_text(trace, encoding="utf-8", errors="backslashreplace")
            self.outcome.broken.append(f"{cell.dataset}, {cell.method}: {reason}; see {cell.folder / ERROR}")
        else:
            if task.state != "running":
                self.board.end(task, task.state)
            return
        if is_first_process():
            cell.fail(reason)
        self.board.end(task, "failed", reason)


def progress(task: Task) -> Callable[[int, int], None]:
    """Return what shows a task's progress, called with (finished, all)."""

    def show(finished: int, of: int) -> None:
        task.finished, task.of = finished, of

    return show


@contextmanager
def working(
    experiment: Experiment, options: Options, columns: Sequence[str], console: Console | None
) -> Iterator[Work]:
    """Hold the run's folder, and show how the work goes on."""
    options.out.mkdir(parents=True, exist_ok=True)
    with _locked(options.out), workers_on(options.cluster, options.workers) as workers:
        options = replace(options, workers=workers)
        if options.cluster:  # its workers have working folders of their own
            options = replace(options, out=options.out.resolve(), data_root=options.data_root.resolve())
        with Board(columns, console or Console()) as board:
            work = Work(experiment, options, Outcome(), board)
            yield work
            if work.outcome.tables and is_first_process():
                record.add_files(options.out, work.outcome.tables)


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    if not is_first_process():
        yield  # one of torchrun's processes beside the first, which holds the lock for all
        return
    lock = FileLock(out / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"another run works in {out}; wait for it, or choose another folder with --out") from None
    try:
        remove_leftovers(out)
        yield
    finally:
        lock.release()
