"""A training run's journal: a CSV file, a progress bar or lines of text and, where asked for, TensorBoard."""

import math
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from metrics.errors import InputError
from metrics.files import append_text, write_bytes

_LEADING, _OTHERS = ("step", "epoch"), ("step", "epoch", "learning_rate", "gradient_norm", "seconds")
_SHOWN = 4  # losses
_PAUSE = 5.0  # seconds between two lines of text
_LONGEST = 9.0  # seconds of one step after which a line says that it is at work
_LOOK = 1.0  # seconds between two looks


class Journal:
    """One row of values for each training step.

    A run that resumes at an earlier step drops the rows after it, and lines that are no rows, such as one cut short.

    Raises:
        InputError: TensorBoard is asked for and not installed.
    """

    def __init__(
        self, folder: Path, *, first_step: int, steps: int, progress: bool, tensorboard: bool, bar: bool = True
    ) -> None:
        """Open the journal.

        Args:
            folder: Gets train.csv, and tensorboard/ where that is asked for.
            first_step: How many steps are done already.
            steps: How many there will be.
            progress: Print a line every few seconds where standard output is no terminal.
            tensorboard: Write TensorBoard's files as well.
            bar: Show a progress bar where it is one.
        """
        self._writer = _tensorboard(folder / "tensorboard", first_step) if tensorboard else None
        self._path, self._first_step, self._steps, self._begun = folder / "train.csv", first_step, steps, False
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        self._prints = progress and not self._bar.console.is_terminal
        self._bar.disable = not bar or self._prints
        self._task = self._bar.add_task("", total=steps, completed=first_step, epoch="")
        self._opened = self._printed = time.monotonic()
        self._step, self._closed = first_step, threading.Event()

    def write(self, values: Mapping[str, float]) -> None:
        """Add a row; the names, "step" and "epoch" first, must be the same at every step.

        Raises:
            InputError: The disk is full, say.
        """
        if not self._begun:
            text = "".join(map(_line, [list(values), *kept_rows(self._path, list(values), self._first_step)]))
            write_bytes(self._path, text.encode())
            self._begun = True
        append_text(self._path, _line(list(map(str, values.values()))))
        self._step = int(values["step"])
        self._bar.update(
            self._task, completed=values["step"], epoch=f"{values['epoch']:g}", description=_summary(values)
        )
        if self._prints and (time.monotonic() - self._printed > _PAUSE or values["step"] == self._steps):
            self._print(values)
        if self._writer is not None:
            for name, value in values.items():
                if name not in _LEADING:
                    self._writer.add_scalar(name, value, values["step"])

    def __enter__(self) -> Self:
        self._bar.start()
        if self._prints:
            threading.Thread(target=self._look, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._bar.stop()
        if self._writer is not None:
            self._writer.close()

    def print_long_step(self) -> None:
        """Print that a step is at work, where no line was printed for a while."""
        if time.monotonic() - self._printed > _LONGEST:
            self._printed = time.monotonic()
            print(f"step {self._step + 1} of {self._steps}: at work", flush=True)

    def _look(self) -> None:
        while not self._closed.wait(_LOOK):
            with suppress(OSError, ValueError):  # of a pipe that was closed: the next step's own line says so
                self.print_long_step()

    def _print(self, values: Mapping[str, float]) -> None:
        self._printed = time.monotonic()
        step, left = values["step"], self._steps - values["step"]
        seconds = (self._printed - self._opened) / (step - self._first_step) * left
        place = f"step {step:g} of {self._steps}, epoch {values['epoch']:g}, {seconds:.0f} s left"
        print(f"{place}: {_summary(values)}".replace("\n", "; "), flush=True)


def _summary(values: Mapping[str, float]) -> str:
    """Return the first losses, and below them the samples that each gate's experts got in this step, in percent."""
    gates: dict[str, list[str]] = {}
    losses: list[str] = []
    for name, value in values.items():
        gate, expert, _ = name.partition("_expert_")
        if expert:
            gates.setdefault(gate, []).append(f"{100 * value:.0f}")
        elif name not in _OTHERS and len(losses) < _SHOWN:
            losses.append(f"{name} {value:.2f}")
    return "\n".join([" ".join(losses), *(f"{gate} experts {'/'.join(shares)}%" for gate, shares in gates.items())])


def kept_rows(path: Path, names: Sequence[str], last_step: int) -> list[list[str]]:
    """Return a journal's rows up to a step, as texts.

    A damaged journal stops no training, because the model does not depend on it: a line that is no row is left out,
    and a journal of other columns has none.

    Args:
        path: A CSV file, which need not be there.
        names: Its columns, "step" first.
        last_step: Rows of later steps are left out; the run takes these steps again.
    """
    if not path.is_file():
        return []
    head, *lines = path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1] or [""]
    if head.split(",") != list(names):
        return []
    rows = [line.split(",") for line in lines]
    return [row for row in rows if len(row) == len(names) and all(map(_finite, row)) and _counts(row[0], last_step)]


def _counts(step: str, last_step: int) -> bool:
    return step.isdecimal() and 0 < float(step) <= last_step  # not int(): it refuses thousands of digits


def _finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _line(fields: Sequence[str]) -> str:
    return ",".join(fields) + "\n"


def _tensorboard(folder: Path, first_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError("tensorboard = true needs the package tensorboard, which is not installed") from error
    return SummaryWriter(str(folder), purge_step=first_step + 1)
