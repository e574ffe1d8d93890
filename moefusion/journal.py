"""What a training run tells while it runs: a CSV file, a progress bar and, where asked for, TensorBoard."""

import csv
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from moefusion.files import written

_LEADING = ("step", "epoch")


class Journal:
    """One row of values for each training step.

    A run that goes on from an earlier step drops the rows after it, and a last row that was cut short.

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
        path = folder / "train.csv"
        _keep_rows(path, first_step)
        self._new = not path.exists()
        self._file = path.open("a", newline="", encoding="utf-8")
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
        """Add a row; the names, "step" and "epoch" first, must be the same at every step."""
        writer = csv.writer(self._file, lineterminator="\n")
        if self._new:
            writer.writerow(values)
            self._new = False
        writer.writerow(values.values())
        self._file.flush()
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
        self._file.close()
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


def _keep_rows(path: Path, last_step: int) -> None:
    if not path.exists():
        return
    head, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True) or [""]
    steps = [row.partition(",")[0] for row in rows]
    kept = [
        row
        for row, step in zip(rows, steps, strict=True)
        if row.endswith("\n") and step.isdecimal() and int(step) <= last_step
    ]
    if not kept:
        path.unlink()
        return
    text = "".join([head, *kept])
    written(path, lambda name: Path(name).write_text(text, encoding="utf-8", newline=""))


def _tensorboard(folder: Path, first_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError("TrainingConfig.tensorboard needs the package tensorboard, which is not installed.") from error
    return SummaryWriter(str(folder), purge_step=first_step + 1)
