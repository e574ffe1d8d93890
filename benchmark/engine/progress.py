"""Progress display of a run: a line for each data set and method, a column for each stage."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

State = Literal["waiting", "running", "done", "kept", "failed", "skipped"]
_COLOURS: dict[State, str] = {
    "running": "yellow",
    "done": "green",
    "kept": "green",
    "failed": "red",
    "skipped": "dim",
}
_PAUSE = 9.0  # seconds without a line after which the next look prints one
_LOOK = 1.0  # seconds between two looks: together a line at least every 10 s


@dataclass
class Task:
    """One cell as the board shows it; `reason` says why it failed or was skipped."""

    dataset: str
    method: str
    stage: str
    state: State = "waiting"
    finished: int = 0
    of: int = 0
    reason: str = ""

    @property
    def text(self) -> str:
        """The cell's state as markup."""
        count = f" {self.finished}/{self.of}" if self.state == "running" else ""
        colour = _COLOURS.get(self.state, "")
        return f"[{colour}]{self.state}{count}[/]" if colour else self.state

    @property
    def place(self) -> str:
        """Its data set, method and stage; without a method it is the reading of the data set."""
        return f"{self.dataset} · {self.method} · {self.stage}" if self.method else f"{self.dataset} · data set"


class Board:
    """A live table on a terminal; elsewhere a line for every finished cell, and for a running one every 10 s at least.

    Use as a context manager.
    """

    def __init__(self, stages: Sequence[str], console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.stages, self.console, self._clock = list(stages), console, clock
        self.tasks: list[Task] = []
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=4, transient=True)
        self._printed, self._paused, self._closed = clock(), False, threading.Event()

    def __enter__(self) -> "Board":
        if self.console.is_terminal:
            self._live.start()
        else:
            threading.Thread(target=self._look, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        if self.console.is_terminal:
            self._live.stop()
            self.console.print(self._table())

    def add(self, dataset: str, method: str, stage: str) -> Task:
        """Return a new task, waiting."""
        task = Task(dataset, method, stage)
        self.tasks.append(task)
        return task

    def end(self, task: Task, state: State, reason: str = "") -> None:
        """Set a task's last state."""
        task.state, task.reason = state, reason
        if not self.console.is_terminal:
            self._print(f"{task.place}: {state}" + (f" ({reason})" if reason else ""))

    def remove(self, task: Task) -> None:
        """Take a task off the board."""
        self.tasks.remove(task)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Give the screen to somebody else's progress bar, or lines, for a while."""
        if self.console.is_terminal:
            self._live.stop()
        self._paused = True
        try:
            yield
        finally:
            self._paused, self._printed = False, self._clock()
            if self.console.is_terminal:
                self._live.start()

    def print_progress(self) -> None:
        """Print how far the running cells are, where no line was printed for a while."""
        if self._paused or self._clock() - self._printed < _PAUSE:
            return
        for task in list(self.tasks):
            if task.state == "running":
                self._print(f"{task.place}: {task.finished}/{task.of}" if task.of else f"{task.place}: running")

    def _look(self) -> None:
        while not self._closed.wait(_LOOK):
            with suppress(OSError, ValueError):  # of a pipe that was closed: the run's own next line says so
                self.print_progress()

    def _print(self, line: str) -> None:
        self._printed = self._clock()
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)
        self.console.file.flush()  # a file or a pipe would keep the line back

    def _table(self) -> Table:
        table = Table("data set", "method", *self.stages, "reason")
        rows: dict[tuple[str, str], dict[str, Task]] = {}
        for task in self.tasks:
            rows.setdefault((task.dataset, task.method), {})[task.stage] = task
        for (dataset, method), tasks in rows.items():
            reasons = [task.reason for task in tasks.values() if task.state == "failed"]
            states = [tasks[stage].text if stage in tasks else "" for stage in self.stages]
            table.add_row(escape(dataset), escape(method), *states, escape("; ".join(reasons)))
        return table
