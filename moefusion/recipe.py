"""How a model is trained: one field a choice."""

from dataclasses import dataclass
from typing import Self

_DECAYS = (16 / 24, 22 / 24)  # of all epochs, after which the learning rate falls to a tenth


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Settings of a training run; the defaults are those of the paper, and where it is silent the public code's.

    Attributes:
        epochs: How often the data are seen (times `repeat`); the learning rate falls to a tenth after 2/3 and
            again after 11/12 of them, 16 and 22 of 24.
        batch: Samples a step, over all processes together.
        repeat: How often each sample comes in an epoch; the public code has 3.
        resize: (height, width) that all images are brought to; None leaves them as they are.
        learning_rate, weight_decay: Of Adam.
        gradient_norm: What the gradient's norm is clipped to.
        seed: Of the order of the samples and of every draw in a step. Not of the model's first weights.
        mixed_precision: The detectors' backbones and attention in bfloat16; None: where there is a GPU.
        checkpoint_steps: A checkpoint is written after so many steps, and after each epoch.
        workers: Processes that load samples.
        tensorboard: Write TensorBoard's files.

    Raises:
        ValueError: A value is out of its range.
    """

    epochs: int = 24
    batch: int = 4
    repeat: int = 1
    resize: tuple[int, int] | None = (480, 640)
    learning_rate: float = 1e-4
    weight_decay: float = 1e-4
    gradient_norm: float = 35.0
    seed: int = 0
    mixed_precision: bool | None = None
    checkpoint_steps: int = 1000
    workers: int = 2
    tensorboard: bool = False

    def __post_init__(self) -> None:
        least = {"epochs": 1, "batch": 1, "repeat": 1, "seed": 0, "checkpoint_steps": 1, "workers": 0}
        for name, bound in least.items():
            value = getattr(self, name)
            if type(value) is not int or value < bound:
                raise ValueError(f"TrainingConfig.{name}: expected a whole number from {bound}, got {value!r}.")
        if not (self.learning_rate > 0 and self.weight_decay >= 0 and self.gradient_norm > 0):
            raise ValueError(
                "TrainingConfig: expected learning_rate and gradient_norm above 0 and weight_decay from 0, got "
                f"{self.learning_rate!r}, {self.gradient_norm!r} and {self.weight_decay!r}."
            )
        sides = self.resize if self.resize is not None else (1, 1)
        if len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
            raise ValueError(f"TrainingConfig.resize: expected (height, width) or None, got {self.resize!r}.")

    @classmethod
    def paper(cls) -> Self:
        """Return the recipe of the paper; the default."""
        return cls()

    @classmethod
    def public(cls) -> Self:
        """Return the recipe of the public reference code."""
        return cls(repeat=3)

    def learning_rate_at(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0."""
        return self.learning_rate / 10.0 ** sum(epoch >= round(part * self.epochs) for part in _DECAYS)
