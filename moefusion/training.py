"""Training: one optimiser for fusion network and detectors, on one device or on several."""

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from moefusion.checkpoints import (
    fill_model,
    fill_optimiser,
    model_settings,
    read_checkpoint,
    save_checkpoint,
    trained_weights,
)
from moefusion.data import Batch, PreparedSamples, Samples, collate, epoch_order, load_batches
from moefusion.distributed import mean_over_processes, processes, rank, usable_device, world_size
from moefusion.journal import Journal
from moefusion.model import MoEFusion, TrainingLosses
from moefusion.recipe import TrainingConfig

_CHECKPOINT, _MODEL = "checkpoint.safetensors", "model.safetensors"
_WITHOUT_EFFECT = ("checkpoint_steps", "workers", "tensorboard")  # on what is learned


def train(
    model: MoEFusion,
    data: Samples,
    folder: str | Path,
    config: TrainingConfig | None = None,
    *,
    resume: bool = False,
    device: str = "auto",
    progress: bool = True,
) -> Path:
    """Train a model in place and return the file of the trained model, for `load_checkpoint`.

    The folder gets checkpoint.safetensors with all that going on takes, train.csv with a row of losses, gradient
    norm and expert loads for each step, and in the end model.safetensors. Interrupted at any time, the last
    checkpoint stays. Each step's draws follow from seed and step alone, so that a resumed run takes the same steps
    as an uninterrupted one: on a CPU bit for bit, on a GPU as far as its kernels repeat themselves.

    Under torchrun the processes share each batch. The draws for the gates, the load-balancing loss and the
    attention's batch statistics are then those of the whole batch; only which proposals the detectors sample
    differs from a run in one process.

    Args:
        model: What to train; seed torch's generator before building it where its first weights shall repeat.
        data: Gives a `Sample` for each index.
        folder: Made where it is missing.
        config: The settings; the paper's without.
        resume: Go on from the folder's checkpoint, if there is one. Without, a folder with one is refused.
        device: "auto", a GPU where there is one; or any of torch's names.
        progress: Show a progress bar.

    Raises:
        ValueError: Settings, samples or the folder's checkpoint do not fit, or a loss or gradient is not finite;
            then the message names the step and the terms.
    """
    config = config or TrainingConfig.paper()
    if len(data) == 0:
        raise ValueError("data: expected at least one sample, got none.")
    target = usable_device(device)
    with processes(target):
        if config.batch % world_size():
            raise ValueError(
                f"TrainingConfig.batch: expected a multiple of the {world_size()} processes, got {config.batch}."
            )
        return _Run(model.to(target).train(), data, Path(folder), config, target).run(resume, progress)


class _Run:
    """A training run in one process."""

    def __init__(
        self, model: MoEFusion, data: Samples, folder: Path, config: TrainingConfig, device: torch.device
    ) -> None:
        self.model = model
        self.data = PreparedSamples(data, model.classes, config.resize)
        self.folder = folder
        self.config = config
        self.device = device
        self.weights = trained_weights(model)
        self.optimiser = torch.optim.Adam(
            self.weights.values(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.epoch_steps = -(-len(data) * config.repeat // config.batch)
        self.steps = config.epochs * self.epoch_steps
        self.step = 0

    def run(self, resume: bool, progress: bool) -> Path:
        self._start(resume)
        self.learner = _distributed(_Learner(self.model))
        with self._journal(progress) as journal:
            for epoch in range(self.step // self.epoch_steps, self.config.epochs):
                for group in self.optimiser.param_groups:
                    group["lr"] = self.config.learning_rate_at(epoch)
                for batch in self._batches(epoch):
                    values = self._take_step(batch.to(self.device), epoch)
                    if journal is not None:
                        journal.write(values)
                    if self.step % self.config.checkpoint_steps == 0 or self.step % self.epoch_steps == 0:
                        self._save()
        path = self.folder / _MODEL
        if rank() == 0:
            save_checkpoint(path, self.model, training=self._settings())
        return path

    def _take_step(self, batch: Batch, epoch: int) -> dict[str, float]:
        started = time.perf_counter()
        config = self.config
        noise = self._noise()
        torch.manual_seed(_seed(config.seed, "step", self.step, rank()))
        mixed = self.device.type == "cuda" if config.mixed_precision is None else config.mixed_precision
        with torch.autocast(self.device.type, torch.bfloat16, enabled=mixed):
            losses: TrainingLosses = self.learner(batch, noise)
        measured = _measured(losses)
        self._check({name: measured[name] for name in losses.terms}, epoch)
        self.optimiser.zero_grad(set_to_none=True)
        losses.total.backward()
        norm = nn.utils.clip_grad_norm_(self.weights.values(), config.gradient_norm).item()
        self._check({"gradient_norm": norm}, epoch)
        self.optimiser.step()
        self.step += 1
        return {
            "step": self.step,
            "epoch": epoch + 1,
            "learning_rate": config.learning_rate_at(epoch),
            **measured,
            "gradient_norm": norm,
            "seconds": round(time.perf_counter() - started, 4),
        }

    def _noise(self) -> dict[str, Tensor]:
        """Return this process's share of the draws that the gates get for the whole batch."""
        config, fusion = self.config, self.model.fusion
        generator = torch.Generator().manual_seed(_seed(config.seed, "noise", self.step))
        draws = {
            name: torch.randn(config.batch, fusion.config.experts, generator=generator) for name in fusion.gate_names
        }
        return {name: each.chunk(world_size())[rank()].to(self.device) for name, each in draws.items()}

    def _batches(self, epoch: int) -> Iterator[Batch]:
        config = self.config
        order = epoch_order(len(self.data), config.batch, repeat=config.repeat, seed=_seed(config.seed, "order", epoch))
        left = order[self.step - epoch * self.epoch_steps :].chunk(world_size(), dim=1)[rank()]
        return load_batches(
            self.data, left.tolist(), collate, workers=config.workers, pin_memory=self.device.type == "cuda"
        )

    def _check(self, values: Mapping[str, float], epoch: int) -> None:
        if not torch.tensor(list(values.values())).isfinite().all():
            said = ", ".join(f"{name} {value:g}" for name, value in values.items())
            raise ValueError(
                f"training stopped at step {self.step + 1} (epoch {epoch + 1}): not all is finite: {said}. "
                f"The last checkpoint in {self.folder} stays; a lower learning_rate may help."
            )

    def _start(self, resume: bool) -> None:
        """Take up the folder's checkpoint, or begin."""
        path = self.folder / _CHECKPOINT
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            return
        if not resume:
            raise ValueError(f"{path} is there already. Pass resume=True to go on from it, or take another folder.")
        checkpoint = read_checkpoint(path)
        saved, now = checkpoint.settings.get("training"), self._settings()
        if not isinstance(saved, dict):
            raise ValueError(f"{path} does not say what training it is of; remove it, and training begins anew.")
        self._compare(path, {**checkpoint.settings, **saved}, {**model_settings(self.model), **now})
        step = saved.get("step")
        if type(step) is not int or not 0 <= step <= self.steps:
            raise ValueError(
                f"{path} is damaged: expected its step, a whole number from 0 to {self.steps}, got {step!r:.40}. "
                "Remove it, and training begins anew."
            )
        fill_model(self.model, checkpoint.weights, path)
        fill_optimiser(self.model, self.optimiser, checkpoint.optimiser)
        self.step = step

    def _compare(self, path: Path, saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        for name in ("fusion", "detector", "classes", "config", "samples"):
            if saved.get(name) == now[name]:
                continue
            before, after = (each.get(name) for each in (saved, now))
            if isinstance(before, dict) and isinstance(after, dict):
                name, before, after = next(
                    (n, before.get(n), after.get(n)) for n in {**before, **after} if before.get(n) != after.get(n)
                )
            raise ValueError(
                f"{path} was made with {name} {before!r}, but this run has {after!r}; "
                "resuming needs the same settings. Take them, or another folder."
            )

    def _save(self) -> None:
        if rank() == 0:
            save_checkpoint(self.folder / _CHECKPOINT, self.model, self.optimiser, self._settings())

    def _settings(self) -> dict[str, Any]:
        config = {name: value for name, value in asdict(self.config).items() if name not in _WITHOUT_EFFECT}
        config["resize"] = list(self.config.resize) if self.config.resize else None
        return {"step": self.step, "samples": len(self.data), "config": config}

    @contextmanager
    def _journal(self, progress: bool) -> Iterator[Journal | None]:
        if rank() != 0:
            yield None
            return
        with Journal(
            self.folder, first_step=self.step, steps=self.steps, progress=progress, tensorboard=self.config.tensorboard
        ) as journal:
            yield journal


class _Learner(nn.Module):
    """The training pass as a module's `forward`, which is what DistributedDataParallel wraps."""

    def __init__(self, model: MoEFusion) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, noise: Mapping[str, Tensor]) -> TrainingLosses:
        return self.model.training_losses(batch, noise=noise)


def _distributed(learner: nn.Module) -> nn.Module:
    if world_size() == 1:
        return learner
    # A group of its own: its collectives come as gradients get ready, which depends on the experts that were
    # picked; the batch statistics' come in between, and must not be mistaken for them.
    return DistributedDataParallel(learner, process_group=dist.new_group(), find_unused_parameters=True)


def _measured(losses: TrainingLosses) -> dict[str, float]:
    """Return the losses and each expert's share of the samples, means over all processes."""
    values = {"total": losses.total.detach(), **losses.terms}
    for gate, gates in losses.gates.items():
        shares = (gates > 0).float().mean(dim=0)
        values |= {f"{gate}_expert_{number}": share for number, share in enumerate(shares)}
    means = mean_over_processes(torch.stack([value.float() for value in values.values()])).tolist()
    return dict(zip(values, means, strict=True))


def _seed(*parts: object) -> int:
    return random.Random(" ".join(map(str, parts))).getrandbits(63)
