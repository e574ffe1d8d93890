"""What a run shows while it works: one line a data set and method, one column a stage."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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


class Board:
    """A live table on a terminal; a line for every finished cell elsewhere. Use as a context manager."""

    def __init__(self, stages: Sequence[str], console: Console) -> None:
        self.stages, self.console = list(stages), console
        self.tasks: list[Task] = []
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=4, transient=True)

    def __enter__(self) -> "Board":
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
            line = f"{task.dataset} · {task.method} · {task.stage}: {state}" + (f" ({reason})" if reason else "")
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def remove(self, task: Task) -> None:
        """Take a task off the board."""
        self.tasks.remove(task)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Give the terminal to somebody else's progress bar for a while."""
        if not self.console.is_terminal:
            yield
            return
        self._live.stop()
        try:
            yield
        finally:
            self._live.start()

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
