"""A run: the stages of every data set and method in order; a failure is recorded, and the run continues."""

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from rich.console import Console

from benchmark import datasets
from benchmark.datasets.base import Pair
from benchmark.engine import plan
from benchmark.engine import run_record as record
from benchmark.engine.cells import ERROR, MODEL, Cell, is_first_process
from benchmark.engine.experiment import DatasetSettings, Experiment, MethodSettings
from benchmark.engine.loading import LoadedPart, TrainingPairs, load_part, load_training
from benchmark.engine.progress import Board, Task
from benchmark.engine.run_record import Part
from benchmark.engine.stage import Stage, bring_up_to_date
from benchmark.engine.stages.colour import Colour
from benchmark.engine.stages.detect import Detect
from benchmark.engine.stages.fuse import Fuse, MethodError, one_line
from benchmark.engine.stages.score import Score
from benchmark.engine.stages.train_detector import (
    SHARED,
    TrainDetector,
    detector_cell,
    fused_examples,
    source_examples,
)
from metrics.errors import InputError
from metrics.files import remove_leftovers
from metrics.workers import Workers, open_workers

if TYPE_CHECKING:
    from benchmark.detection.samples import Example

STAGES = ("train", "fuse", "score", "detect")  # the columns of a run
FUSE_TRAINING = "fuse_training"


@dataclass(frozen=True)
class Options:
    """How a run proceeds; nothing here changes a number.

    Attributes:
        out: The run's folder.
        data_root: The folder that holds the data sets' folders.
        limit: Only the first pairs of each data set; None for all.
        workers: Processes that fuse and score; None for one a core.
        device: Where networks run: "auto", "cpu", "cuda".
        redo: Make again what is there already.
        colour: Write a colour image beside every fused one.
        cluster: Address of a Dask scheduler whose workers fuse and score; None for this machine's cores.
    """

    out: Path
    data_root: Path = Path("data")
    limit: int | None = None
    workers: int | None = None
    device: str = "auto"
    redo: bool = False
    colour: bool = False
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

    def report_gap(self, dataset: str, method: str, status: str) -> None:
        """Say why a row of a table has no numbers, unless that was said already."""
        if status != "done" and not any(status in reason for reason in self.refused + self.broken):
            self.refused.append(f"{dataset}, {method}: {status}")


@dataclass(frozen=True)
class MethodRun:
    """A method of a run, and the stages that it goes through."""

    settings: MethodSettings
    stages: frozenset[str]

    @property
    def label(self) -> str:
        """Its row in the tables, and its folder in the results."""
        return self.settings.label_or_title


@dataclass
class Step:
    """One cell of a run.

    Attributes:
        task: What shows it; the steps of one column share it.
        cell: Where to.
        create: Builds the stage at its turn, when the steps before it are done.
        needs: Steps that must have succeeded, each with the reason why this one is skipped otherwise.
        last: Whether the task ends with it.
        serves: Steps of which at least one must have succeeded, or there is nothing to make it for.
    """

    task: Task
    cell: Cell
    create: Callable[[], Stage]
    needs: Sequence[tuple["Step", str]] = ()
    last: bool = True
    serves: Sequence["Step"] = ()

    @property
    def failed(self) -> bool:
        """Whether it failed or was skipped."""
        return self.task.state in ("failed", "skipped")


class Run:
    """A run at work."""

    def __init__(self, experiment: Experiment, options: Options, workers: Workers, board: Board) -> None:
        self.experiment, self.options, self.workers, self.board = experiment, options, workers, board
        self.outcome = Outcome()

    def load(self) -> list[LoadedPart]:
        """Read the data sets, and record what was read."""
        parts = [loaded for dataset in self.experiment.datasets if (loaded := self._load(dataset))]
        labels = tuple(method.label_or_title for method in self.experiment.methods)
        if is_first_process():
            out, read = self.options.out, tuple(loaded.part for loaded in parts)
            record.write(out, record.Record(self.experiment, labels, read, record.read_files(out)))
        return parts

    def _load(self, dataset: DatasetSettings) -> LoadedPart | None:
        options = self.options
        title = dataset.title or datasets.record(dataset.name).title
        task = self.board.add(title, "", self.board.stages[0])
        task.state = "running"
        try:
            loaded = load_part(
                dataset,
                options.data_root,
                options.out / "data",
                limit=options.limit,
                needs_boxes=self._needs_boxes(),
                progress=show_progress(task),
            )
        except InputError as error:
            self.board.end(task, "failed", str(error))
            self.outcome.refused.append(str(error))
            return None
        self.board.remove(task)
        for note in loaded.part.notes:
            self.board.console.print(f"{title}: {note}", markup=False, highlight=False, soft_wrap=True)
        return loaded

    def _needs_boxes(self) -> bool:
        """Return whether the data sets' boxes are used: by detection, and by a training on their training parts."""
        trains = "train" in self.board.stages and not self.experiment.train.datasets
        return trains or "detect" in self.board.stages

    def show_plan(self, parts: Sequence[LoadedPart], methods: Sequence[MethodRun]) -> None:
        """Say what a long run will take; training and detection are not counted."""
        if not {"fuse", "score"} <= set(self.board.stages):
            return
        missing = [
            (loaded.part, method, number)
            for loaded in parts
            for method in methods
            if not method.settings.trained and (number := self._count_missing(loaded.part, method))
        ]
        if sum(number for *_, number in missing) < plan.WORTH:
            return
        score, device, workers = self.experiment.score, self.options.device, self.workers
        costs = [
            cost
            for part, method, number in missing
            if (cost := plan.cost(part, number, method.label, method.settings, score, device=device, workers=workers))
        ]
        if costs:
            self.board.console.print(plan.text(costs, workers), markup=False, soft_wrap=True)

    def _count_missing(self, part: Part, method: MethodRun) -> int:
        if self.options.redo:
            return len(part.pairs)
        folder = self._cell(part.title, method.label, "fuse").folder
        stored = {path.stem for path in folder.glob("*.png")}
        return sum(pair.name not in stored for pair in part.pairs)

    def make(self, loaded: LoadedPart, methods: Sequence[MethodRun]) -> None:
        """Bring a data set's cells up to date, method after method, the detectors' last."""
        tasks = {
            method.label: {
                stage: self.board.add(loaded.part.title, method.label, stage)
                for stage in self.board.stages
                if stage in method.stages
            }
            for method in methods
        }
        for step in self._steps(loaded, methods, tasks):
            if self._is_blocked(step):
                continue
            step.task.state = "running"
            with self._reporting(step):
                stage = step.create()
                with self.board.paused() if stage.shows_progress else nullcontext():
                    changed = bring_up_to_date(
                        stage, step.cell, redo=self.options.redo, progress=show_progress(step.task)
                    )
                if step.last:
                    self.board.end(step.task, "done" if changed else "kept")

    def _steps(
        self, loaded: LoadedPart, methods: Sequence[MethodRun], tasks: dict[str, dict[str, Task]]
    ) -> Iterator[Step]:
        """Yield the steps of a data set; each is asked for when those before it are done."""
        fused: dict[str, Step] = {}
        for method in methods:
            yield from self._method_steps(loaded, method, tasks[method.label], fused)
        if "detect" in self.board.stages:
            yield from self._detection_steps(loaded, methods, tasks, fused)

    def _method_steps(
        self, loaded: LoadedPart, method: MethodRun, tasks: dict[str, Task], fused: dict[str, Step]
    ) -> Iterator[Step]:
        """Yield the steps of Tables 1 and 2; `fused` gets the one that fuses."""
        part = loaded.part
        needs: list[tuple[Step, str]] = []
        if "train" in tasks:
            cell = self._training_cell(part, method)
            step = Step(tasks["train"], cell, lambda: self._train(loaded, method))
            needs = [(step, "not trained")]
            yield step
        if "fuse" in tasks:
            notes = (part.split, *part.notes)
            create = partial(self._fuse, part, part.pairs, method, notes)
            colour, task = self.options.colour, tasks["fuse"]
            step = fused[method.label] = Step(task, self._cell_of(task), create, needs, last=not colour)
            needs = [(step, "not fused")]
            yield step
            if colour:
                folder = self._cell_of(task).folder
                add_colour = partial(Colour, part.pairs, folder, workers=self.workers)
                yield Step(task, self._cell(part.title, method.label, Colour.name), add_colour, needs)
        if "score" in tasks:
            images, score = self._cell(part.title, method.label, "fuse").folder, self.experiment.score
            scoring = partial(Score, part.pairs, images, score, workers=self.workers)
            yield Step(tasks["score"], self._cell_of(tasks["score"]), scoring, needs if "fuse" in tasks else ())

    def _detection_steps(
        self,
        loaded: LoadedPart,
        methods: Sequence[MethodRun],
        tasks: dict[str, dict[str, Task]],
        fused: dict[str, Step],
    ) -> Iterator[Step]:
        """Yield the steps of Table 3: each method's detector, or the one that all share, and its detections."""
        detected = [method for method in methods if "detect" in method.stages]
        shared: Step | None = None
        if self.experiment.detection.protocol == "paper":
            task = self.board.add(loaded.part.title, SHARED, "detect")
            shared = Step(
                task,
                detector_cell(self.options.out, loaded.part.title),
                lambda: self._train_detector(loaded, source_examples(loaded.train), task),
                serves=[fused[method.label] for method in detected if method.label in fused],
            )
            yield shared
        for method in detected:
            yield from self._detect_steps(
                loaded, method, tasks[method.label]["detect"], fused.get(method.label), shared
            )

    def _detect_steps(
        self, loaded: LoadedPart, method: MethodRun, task: Task, fused: Step | None, shared: Step | None
    ) -> Iterator[Step]:
        """Yield the steps of one method's detections; without a shared detector it gets its own."""
        part, settings = loaded.part, self.experiment.detection
        grey = method.settings.is_infrared
        needs = [(fused, "not fused")] if fused else []
        if shared:
            detector = shared.cell
            needs = [*needs, (shared, "its detector was not trained")]
        else:
            detector = detector_cell(self.options.out, part.title, method.label)
            images = self._cell(part.title, method.label, FUSE_TRAINING)
            yield Step(task, images, partial(self._fuse, part, loaded.train, method), needs, last=False)

            def train() -> Stage:
                return self._train_detector(loaded, fused_examples(loaded.train, images.folder, grey=grey), task)

            yield Step(task, detector, train, needs, last=False)
        folder = self._cell(part.title, method.label, "fuse").folder
        create = partial(Detect, part, folder, detector, settings, grey=grey, device=self.options.device)
        yield Step(task, self._cell_of(task), create, needs)

    def _train(self, loaded: LoadedPart, method: MethodRun) -> Stage:
        from benchmark.engine.stages.train import Train  # not above: it takes torch seconds to load

        changes, device = method.settings.fusion, self.options.device
        pairs, classes = self._training_pairs or (loaded.train, loaded.part.classes)
        return Train(pairs, classes, self.experiment.train, changes, device=device)

    @cached_property
    def _training_pairs(self) -> TrainingPairs | None:
        """The pairs of [[train.datasets]], read once; None where each data set's own training part is trained on."""
        options, wanted = self.options, self.experiment.train.datasets
        if not wanted:
            return None
        return load_training(wanted, options.data_root, options.out / "data", limit=options.limit)

    def _training_cell(self, part: Part, method: MethodRun) -> Cell:
        return self._cell(self.experiment.train.place(part.title), method.label, "train")

    def _fuse(self, part: Part, pairs: Sequence[Pair], method: MethodRun, notes: Sequence[str] = ()) -> Stage:
        settings = method.settings
        if settings.trained:
            settings = replace(settings, weights=str(self._training_cell(part, method).folder / MODEL))
        return Fuse(part.name, pairs, settings, notes=notes, device=self.options.device, workers=self.workers)

    def _train_detector(self, loaded: LoadedPart, examples: "Sequence[Example]", task: Task) -> Stage:
        return TrainDetector(
            examples,
            loaded.train,
            loaded.part.classes,
            self.experiment.detection,
            device=self.options.device,
            progress=show_progress(task),
        )

    def _is_blocked(self, step: Step) -> bool:
        """Return whether a step it needs has failed; its task then says so."""
        task = step.task
        if step.failed:
            return True  # an earlier step of the same column
        if step.serves and all(other.failed for other in step.serves):
            task.state = "skipped"
            self.board.remove(task)
            return True
        for needed, reason in step.needs:
            if needed.failed:
                self._cell_of(task).fail(reason)  # or an earlier run's numbers would pass for this one's
                self.board.end(task, "skipped", reason)
                return True
        return False

    def _cell(self, dataset: str, method: str, stage: str) -> Cell:
        return Cell(self.options.out, dataset, method, stage)

    def _cell_of(self, task: Task) -> Cell:
        return self._cell(task.dataset, task.method, task.stage)

    @contextmanager
    def _reporting(self, step: Step) -> Iterator[None]:
        """Record the error of a step in its cell, and continue with the next step."""
        cell = step.cell
        try:
            yield
            return
        except (InputError, OSError) as error:  # OSError: of a folder that cannot be made or emptied
            reason = str(error)
            self.outcome.refused.append(reason)
        except (Exception, SystemExit) as error:  # a user's own method may raise anything
            if isinstance(error, MethodError):
                reason, trace = error.reason, error.trace
            else:
                reason, trace = one_line(error), traceback.format_exc()
            if is_first_process():
                with suppress(OSError):  # the reason counts more
                    cell.folder.mkdir(parents=True, exist_ok=True)
                    (cell.folder / ERROR).write_text(trace, encoding="utf-8", errors="backslashreplace")
            self.outcome.broken.append(f"{cell.dataset}, {cell.method}: {reason}; see {cell.folder / ERROR}")
        if is_first_process():
            cell.fail(reason)
        self.board.end(step.task, "failed", reason)


def columns(methods: Sequence[MethodRun], stage: str | None) -> list[str]:
    """Return the stages that a run shows and does: all that its methods go through, or one."""
    used = frozenset[str]().union(*(method.stages for method in methods))
    return [name for name in STAGES if (stage is None and name in used) or name == stage] or ["data"]


def show_progress(task: Task) -> Callable[[int, int], None]:
    """Return what shows a task's progress, called with (finished, all)."""

    def show(finished: int, of: int) -> None:
        task.finished, task.of = finished, of

    return show


@contextmanager
def start_run(
    experiment: Experiment, options: Options, columns: Sequence[str], console: Console | None
) -> Iterator[Run]:
    """Hold the run's folder and its workers, and show how far it is.

    Raises:
        InputError: Another run works in the same folder, or the workers cannot be used.
    """
    options.out.mkdir(parents=True, exist_ok=True)
    with _locked(options.out), open_workers(options.workers, options.cluster) as workers:
        if workers.remote:  # they have working folders of their own
            options = replace(options, out=options.out.resolve(), data_root=options.data_root.resolve())
        with Board(columns, console or Console()) as board:
            run = Run(experiment, options, workers, board)
            yield run
            if run.outcome.tables and is_first_process():
                record.add_files(options.out, run.outcome.tables)


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
