"""What a training run tells while it runs: a CSV file, a progress bar and, where asked for, TensorBoard."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from moefusion.files import appended, written

_LEADING = ("step", "epoch")


class Journal:
    """One row of values for each training step.

    A run that goes on from an earlier step drops the rows after it, and what is no row, as one that was cut short.

    Raises:
        ValueError: TensorBoard is asked for and not installed.
    """

    def __init__(self, folder: Path, *, first_step: int, steps: int, progress: bool, tensorboard: bool) -> None:
        """Open the journal.

        Args:
            folder: Gets train.csv, and tensorboard/ where that is asked for.
            first_step: How many steps are done already.
            steps: How many there will be.
            progress: Show a progress bar.
            tensorboard: Write TensorBoard's files as well.
        """
        self._writer = _tensorboard(folder / "tensorboard", first_step) if tensorboard else None
        self._path, self._first_step, self._begun = folder / "train.csv", first_step, False
        self._progress = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            disable=not progress,
        )
        self._task = self._progress.add_task("", total=steps, completed=first_step, epoch="")

    def write(self, values: Mapping[str, float]) -> None:
        """Add a row; the names, "step" and "epoch" first, must be the same at every step.

        Raises:
            InputError: The disk is full, say.
        """
        if not self._begun:
            text = "".join(map(_line, [list(values), *kept_rows(self._path, list(values), self._first_step)]))
            written(self._path, lambda name: Path(name).write_text(text, encoding="utf-8", newline=""))
            self._begun = True
        appended(self._path, _line(list(map(str, values.values()))))
        self._progress.update(
            self._task, completed=values["step"], epoch=f"{values['epoch']:g}", description=_summary(values)
        )
        if self._writer is not None:
            for name, value in values.items():
                if name not in _LEADING:
                    self._writer.add_scalar(name, value, values["step"])

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        if self._writer is not None:
            self._writer.close()


def _summary(values: Mapping[str, float]) -> str:
    """Return the losses, and below them the samples that each gate's experts got in this step, in percent."""
    gates: dict[str, list[str]] = {}
    for name, value in values.items():
        gate, expert, _ = name.partition("_expert_")
        if expert:
            gates.setdefault(gate, []).append(f"{100 * value:.0f}")
    losses = " ".join(f"{name} {values[name]:.2f}" for name in ("total", "pixel", "gradient", "load"))
    return "\n".join([losses, *(f"{gate} experts {'/'.join(shares)}%" for gate, shares in gates.items())])


def kept_rows(path: Path, names: Sequence[str], last_step: int) -> list[list[str]]:
    """Return a journal's rows up to a step, as texts.

    What was made of the steps does not depend on them, so a damaged journal stops nobody: a line that is no row is
    left out, and a journal of other columns has none.

    Args:
        path: A CSV file, which need not be there.
        names: Its columns, "step" first.
        last_step: Rows of later steps come again, and are left out.
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
        raise ValueError("TrainingConfig.tensorboard needs the package tensorboard, which is not installed.") from error
    return SummaryWriter(str(folder), purge_step=first_step + 1)
