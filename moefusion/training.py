"""Training MoE-Fusion: one optimiser for fusion network and detectors, on one device or on several."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metrics.errors import InputError
from moefusion import trainer
from moefusion.checkpoints import FORMAT, model_settings, updated_settings
from moefusion.data import PreparedSamples, Sample, Samples, augment, collate
from moefusion.distributed import rank, usable_device, world_size
from moefusion.model import MoEFusion, TrainingLosses
from moefusion.recipe import TrainingConfig
from moefusion.trainer import StepLosses, derive_seed


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

    Files, resuming and several processes are those of `trainer.train`; train.csv has losses, gradient norm and
    expert loads. Under torchrun the draws for the gates, the load-balancing loss and the attention's batch
    statistics are those of the whole batch; only which proposals the detectors sample differs from a run in one
    process.

    Args:
        model: The model to train; seed torch's generator before building it where its first weights shall repeat.
        data: Gives a `Sample` for each index.
        folder: Created where it is missing.
        config: The settings; the paper's without.
        resume: Resume from the folder's checkpoint, if there is one. Without, a folder with one is refused.
        device: "auto", a GPU where there is one; or any of torch's names.
        progress: Show a progress bar, or, where standard output is no terminal, print a line every few seconds.

    Raises:
        InputError: Settings, samples or the folder's checkpoint do not fit, or a loss or gradient is not finite;
            then the message names the step and the terms.
    """
    if len(data) == 0:
        raise InputError("data: expected at least one sample, got none")
    task = _MoEFusionTask(model, data, config or TrainingConfig.paper())
    return trainer.train(
        task, Path(folder), resume=resume, device=usable_device(device), progress=progress, bar=progress
    )


class _MoEFusionTask(trainer.Task[Sample, list[Sample]]):
    form = FORMAT
    without_effect = ("checkpoint_steps", "workers", "tensorboard")

    def __init__(self, model: MoEFusion, data: Samples, config: TrainingConfig) -> None:
        self.repeat, self.tensorboard, self.mixed_precision = config.repeat, config.tensorboard, config.mixed_precision
        super().__init__(model, PreparedSamples(data, model.classes, config.resize), len(data), config)
        self.network, self.config = model, config

    @property
    def collate(self) -> Callable[[list[Sample]], list[Sample]]:
        return list  # the images' sizes may differ until a window is cut from each

    def optimiser(self, weights: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(weights, lr=self.config.learning_rate, weight_decay=self.config.weight_decay)

    def learning_rate(self, step: int) -> float:
        return self.config.learning_rate_at(step // self.epoch_steps, step)

    def losses(self, batch: list[Sample], step: int, device: torch.device) -> StepLosses:
        noise = self._noise(step, device)
        torch.manual_seed(derive_seed(self.config.seed, "step", step, rank()))
        draws = torch.Generator().manual_seed(derive_seed(self.config.seed, "augment", step, rank()))
        samples = [augment(sample, self.config.crop, self.config.flip, draws) for sample in batch]
        alpha = 0.0 if step < self.config.gradient_start else None
        losses = self.network.training_losses(collate(samples).to(device), noise=noise, alpha=alpha)
        return StepLosses(losses.total, losses.terms, _expert_shares(losses))

    def record(self, step: int) -> dict[str, Any]:
        config = {name: value for name, value in self.config.to_dict().items() if name not in self.without_effect}
        training = {"step": step, "samples": self.samples, "config": config}
        return {**model_settings(self.network), "training": training}

    def compared(self, record: dict[str, Any]) -> dict[str, Any]:
        settings = dict(updated_settings(record))
        training = settings.pop("training", None)
        return settings | (training if isinstance(training, dict) else {})

    def _noise(self, step: int, device: torch.device) -> dict[str, Tensor]:
        """Return this process's share of the draws that the gates get for the whole batch."""
        fusion = self.network.fusion
        generator = torch.Generator().manual_seed(derive_seed(self.config.seed, "noise", step))
        draws = {
            name: torch.randn(self.config.batch, fusion.config.experts, generator=generator)
            for name in fusion.gate_names
        }
        return {name: draw.chunk(world_size())[rank()].to(device) for name, draw in draws.items()}


def _expert_shares(losses: TrainingLosses) -> dict[str, Tensor]:
    """Return the share of the batch that each expert got."""
    return {
        f"{gate}_expert_{number}": share
        for gate, gates in losses.gates.items()
        for number, share in enumerate((gates > 0).float().mean(dim=0))
    }
