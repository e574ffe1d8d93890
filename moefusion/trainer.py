"""The trainer behind every training here: seeds, steps, checkpoints, exact resuming, journal, several processes.

A `Task` says what one kind of training adds: its batches, losses, optimiser, schedule and settings.
"""

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Dataset

from metrics.errors import InputError
from moefusion.checkpoint_file import (
    Format,
    fill_model,
    fill_optimiser,
    read_checkpoint,
    trained_weights,
    write_checkpoint,
)
from moefusion.data import epoch_order, load_batches
from moefusion.distributed import computes_bfloat16, mean_over_processes, processes, rank, world_size
from moefusion.journal import Journal

CHECKPOINT, MODEL, LOG = "checkpoint.safetensors", "model.safetensors", "train.csv"
_SCRATCH = "remove it to train from scratch"
Item = TypeVar("Item")
Batch = TypeVar("Batch")


class _Settings(Protocol):
    """The settings that every training has; `moefusion.TrainingConfig` explains them."""

    @property
    def epochs(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def gradient_norm(self) -> float: ...
    @property
    def seed(self) -> int: ...
    @property
    def checkpoint_steps(self) -> int: ...
    @property
    def workers(self) -> int: ...


class StepLosses(NamedTuple):
    """The losses of a batch.

    Attributes:
        total: The sum to minimise, a scalar.
        terms: Its terms by name, scalars; must be finite, and go to train.csv.
        shares: Other scalars for train.csv.
    """

    total: Tensor
    terms: Mapping[str, Tensor]
    shares: Mapping[str, Tensor]


class Task(ABC, Generic[Item, Batch]):
    """One kind of training.

    Attributes:
        form: Of the checkpoint files.
        without_effect: Settings that may differ between a checkpoint and the run that resumes from it.
        model: The model to train.
        data: Its samples.
        settings: How.
        repeat: How often an epoch has each sample.
        mixed_precision: Whether the losses are computed under autocast in bfloat16, on a device that has its
            arithmetic; None: on a GPU.
        tensorboard: Write TensorBoard's files.
    """

    form: ClassVar[Format]
    without_effect: ClassVar[tuple[str, ...]]
    repeat: int = 1
    mixed_precision: bool | None = None
    tensorboard: bool = False

    def __init__(self, model: nn.Module, data: Dataset[Item], samples: int, settings: _Settings) -> None:
        self.model, self.data, self.samples, self.settings = model, data, samples, settings
        self.epoch_steps = -(-samples * self.repeat // settings.batch)
        self.steps = settings.epochs * self.epoch_steps

    @property
    @abstractmethod
    def collate(self) -> Callable[[list[Item]], Batch]:
        """Return the function that makes a batch of samples; loading processes run it."""

    @abstractmethod
    def optimiser(self, weights: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the optimiser of the weights that train."""

    @abstractmethod
    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""

    @abstractmethod
    def losses(self, batch: Batch, step: int, device: torch.device) -> StepLosses:
        """Return the losses of a batch; every draw must follow from the seed and the step alone."""

    @abstractmethod
    def record(self, step: int) -> dict[str, Any]:
        """Return the settings of a checkpoint after so many steps, as plain values."""

    def compared(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return what a record holds to compare before resuming, with "step"; the record itself by default."""
        return record


def train(
    task: Task[Item, Batch],
    folder: Path,
    *,
    resume: bool,
    device: torch.device,
    report: Callable[[int, int], None] = lambda done, of: None,
    progress: bool = True,
    bar: bool = True,
) -> Path:
    """Train a task's model in place and return the file of the trained model.

    The folder gets checkpoint.safetensors, from which an interrupted training resumes, train.csv with a row for each
    step, and in the end model.safetensors. A resumed run takes the same steps as an uninterrupted one: on a CPU bit
    for bit, on a GPU as far as its kernels repeat themselves. Under torchrun the processes share each batch.

    Args:
        task: What to train.
        folder: Created where it is missing.
        resume: Resume from the folder's checkpoint, if there is one. Without, a folder with one is refused.
        device: Where to train, as `usable_device` gives it.
        report: Called with (steps done, all) after each step.
        progress: Print a line every few seconds where standard output is no terminal.
        bar: Show a progress bar where it is one.

    Raises:
        InputError: Settings, samples or the folder's checkpoint do not fit, or a loss or gradient is not finite.
    """
    with processes(device):
        if task.settings.batch % world_size():
            raise InputError(f"batch: expected a multiple of the {world_size()} processes, got {task.settings.batch}")
        task.model.to(device).train()
        return _Run(task, folder, device).run(resume, report, progress=progress, bar=bar)


def derive_seed(*parts: object) -> int:
    """Return a seed that follows from its parts, such as the run's seed and the step."""
    return random.Random(" ".join(map(str, parts))).getrandbits(63)


class _Run(Generic[Item, Batch]):
    """A training run in one process."""

    def __init__(self, task: Task[Item, Batch], folder: Path, device: torch.device) -> None:
        self.task, self.folder, self.device = task, folder, device
        self.weights = trained_weights(task.model)
        self.optimiser = task.optimiser(list(self.weights.values()))
        self.step = 0
        wanted = device.type == "cuda" if task.mixed_precision is None else task.mixed_precision
        self.mixed = wanted and computes_bfloat16(device)
        if self.mixed != wanted and rank() == 0:
            print("mixed precision: this processor has no arithmetic in bfloat16; trains in float32", flush=True)

    def run(self, resume: bool, report: Callable[[int, int], None], *, progress: bool, bar: bool) -> Path:
        task = self.task
        self._start(resume)
        learner = _distributed(_Learner(task, self.device))
        report(self.step, task.steps)
        with self._journal(progress, bar) as journal:
            for batch in self._batches():
                values = self._take_step(learner, batch)
                if journal is not None:
                    journal.write(values)
                if self.step % task.settings.checkpoint_steps == 0 or self.step % task.epoch_steps == 0:
                    self._save(CHECKPOINT, self.optimiser)
                report(self.step, task.steps)
        self._save(MODEL)
        return self.folder / MODEL

    def _take_step(self, learner: nn.Module, batch: Batch) -> dict[str, float]:
        started = time.perf_counter()
        task = self.task
        rate = task.learning_rate(self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
            losses: StepLosses = learner(batch, self.step)
        measured = _average({"total": losses.total, **losses.terms, **losses.shares})
        self._require_finite({name: measured[name] for name in (*losses.terms, "total")})
        self.optimiser.zero_grad(set_to_none=True)
        losses.total.backward()
        norm = nn.utils.clip_grad_norm_(self.weights.values(), task.settings.gradient_norm).item()
        self._require_finite({"gradient_norm": norm})
        self.optimiser.step()
        self.step += 1
        return {
            "step": self.step,
            "epoch": (self.step - 1) // task.epoch_steps + 1,
            "learning_rate": rate,
            **measured,
            "gradient_norm": norm,
            "seconds": round(time.perf_counter() - started, 4),
        }

    def _batches(self) -> Iterator[Batch]:
        """Return this process's share of the remaining batches; each epoch is a shuffle of its own."""
        task, settings = self.task, self.task.settings
        orders = [
            epoch_order(
                task.samples, settings.batch, repeat=task.repeat, seed=derive_seed(settings.seed, "order", epoch)
            )
            for epoch in range(settings.epochs)
        ]
        left = torch.cat(orders)[self.step :].chunk(world_size(), dim=1)[rank()]
        return load_batches(
            task.data,
            left.tolist(),
            task.collate,
            workers=settings.workers,
            pin_memory=self.device.type == "cuda",
        )

    def _require_finite(self, values: Mapping[str, float]) -> None:
        if not torch.tensor(list(values.values())).isfinite().all():
            listed = ", ".join(f"{name} {value:g}" for name, value in values.items())
            raise InputError(
                f"training stopped at step {self.step + 1} (epoch {self.step // self.task.epoch_steps + 1}): not all "
                f"is finite: {listed}; the last checkpoint in {self.folder} stays; set a lower learning_rate"
            )

    def _start(self, resume: bool) -> None:
        """Resume from the folder's checkpoint where there is one."""
        path = self.folder / CHECKPOINT
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            return
        if not resume:
            raise InputError(f"{path} is there already; pass resume=True to resume from it, or take another folder")
        task = self.task
        checkpoint = read_checkpoint(path, task.form)
        saved = task.compared(checkpoint.settings)
        for name, value in task.compared(task.record(0)).items():
            if name != "step":
                self._compare(path, name, saved.get(name), value)
        step = saved.get("step")
        if type(step) is not int or not 0 <= step <= task.steps:
            raise InputError(
                f"{path} is damaged: expected its step, a whole number from 0 to {task.steps}, got {step!r:.40}; "
                f"{_SCRATCH}"
            )
        fill_model(task.model, checkpoint.weights, path)
        fill_optimiser(task.model, self.optimiser, checkpoint.optimiser, path)
        self.step = step

    def _compare(self, path: Path, name: str, before: Any, now: Any) -> None:
        """Raise where a setting of the checkpoint differs from this run's."""
        if isinstance(before, dict) and isinstance(now, dict):
            for field in {**before, **now}:
                if field not in self.task.without_effect:
                    self._compare(path, field, before.get(field), now.get(field))
        elif before != now:
            raise InputError(
                f"{path} was made with {name} {before!r}, but this run has {now!r}; resuming needs the same settings: "
                f"take them, or another folder, or {_SCRATCH}"
            )

    def _save(self, name: str, optimiser: torch.optim.Optimizer | None = None) -> None:
        if rank() == 0:
            path = self.folder / name
            write_checkpoint(path, self.task.form, self.task.record(self.step), self.task.model, optimiser)

    @contextmanager
    def _journal(self, progress: bool, bar: bool) -> Iterator[Journal | None]:
        if rank() != 0:
            yield None
            return
        with Journal(
            self.folder,
            first_step=self.step,
            steps=self.task.steps,
            progress=progress,
            bar=bar,
            tensorboard=self.task.tensorboard,
        ) as journal:
            yield journal


class _Learner(nn.Module):
    """A task's losses as a module's `forward`, which DistributedDataParallel wraps."""

    def __init__(self, task: Task[Any, Any], device: torch.device) -> None:
        super().__init__()
        self.model, self.task, self.device = task.model, task, device

    def forward(self, batch: Any, step: int) -> StepLosses:
        return self.task.losses(batch, step, self.device)


def _distributed(learner: nn.Module) -> nn.Module:
    if world_size() == 1:
        return learner
    # A group of its own: its collectives come as gradients get ready, which depends on the experts that were
    # picked; the batch statistics' come in between, and must not be mistaken for them.
    return DistributedDataParallel(learner, process_group=dist.new_group(), find_unused_parameters=True)


def _average(values: Mapping[str, Tensor]) -> dict[str, float]:
    """Return scalars by name, means over all processes."""
    means = mean_over_processes(torch.stack([value.detach().float() for value in values.values()])).tolist()
    return dict(zip(values, means, strict=True))
