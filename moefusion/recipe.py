"""The settings of a training run; importable without torch."""

from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, FiniteFloat
from pydantic.dataclasses import dataclass

from metrics.validation import one_line_errors
from moefusion.config import plain_values

_Count = Annotated[int, Field(ge=1, description="a whole number from 1")]
_Whole = Annotated[int, Field(ge=0, description="a whole number from 0")]
_Positive = Annotated[FiniteFloat, Field(gt=0, description="a finite number above 0")]
_Size = Annotated[
    tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None,
    Field(description="(height, width) or None"),
]

_LATER = ("crop", "flip", "warmup", "gradient_start")  # settings that the first checkpoints do not have
_DECAYS = (16 / 24, 22 / 24)  # of all epochs, after which the learning rate falls to a tenth


@one_line_errors
@dataclass(config=ConfigDict(extra="forbid", strict=True), frozen=True, kw_only=True)
class TrainingConfig:
    """Settings of a training run; the defaults are those of the paper, and where it is silent the public code's.

    Attributes:
        epochs: How often the data are seen (times `repeat`); the learning rate falls to a tenth after 2/3 and
            again after 11/12 of them, 16 and 22 of 24.
        batch: Samples a step, over all processes together.
        repeat: How often each sample comes in an epoch; the public code has 3.
        resize: (height, width) that all images are brought to; None leaves them as they are.
        crop: (height, width) of a window that is cut from each image wherever it falls, after `resize`; an image that
            is too small for it is enlarged until it holds one. None takes whole images, as the paper does. A window
            keeps the texture that a smaller image has lost.
        flip: Probability of a mirrored pair; 0 in the paper.
        learning_rate, weight_decay: Of Adam.
        warmup: Over so many steps the learning rate grows to its value; 0 in the paper, whose rate is small. At rates
            of 1e-3 and above Adam's first steps would leave many of the network's units at zero for good.
        gradient_start: Steps before the gradient loss counts; 0 in the paper. That loss compares absolute gradients, so
            that it cannot tell an image from its negative, and at ten times the pixel loss's weight it may pull a
            fresh network to the negative for good: its image is then black.
        gradient_norm: What the gradient's norm is clipped to.
        seed: Of the order of the samples and of every draw in a step. Not of the model's first weights.
        mixed_precision: The detectors' backbones and attention, and the first two of the four convolutions of the
            global experts, in bfloat16; None: where there is a GPU. A CPU that has no arithmetic in bfloat16 and
            would have to emulate it trains in float32 all the same.
        checkpoint_steps: A checkpoint is written after so many steps, and after each epoch.
        workers: Processes that load samples.
        tensorboard: Write TensorBoard's files.

    Raises:
        InputError: A value is of the wrong kind or out of its range.
    """

    epochs: _Count = 24
    batch: _Count = 4
    repeat: _Count = 1
    resize: _Size = (480, 640)
    crop: _Size = None
    flip: Annotated[FiniteFloat, Field(ge=0, le=1, description="a probability from 0 to 1")] = 0.0
    learning_rate: _Positive = 1e-4
    weight_decay: Annotated[FiniteFloat, Field(ge=0, description="a finite number from 0")] = 1e-4
    warmup: _Whole = 0
    gradient_start: _Whole = 0
    gradient_norm: _Positive = 35.0
    seed: _Whole = 0
    mixed_precision: Annotated[bool | None, Field(description="True, False or None")] = None
    checkpoint_steps: _Count = 1000
    workers: _Whole = 2
    tensorboard: Annotated[bool, Field(description="True or False")] = False

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values for JSON; those newer than the first files only where set.

        So a training from before these settings existed still has the settings that decided it.
        """
        return {name: value for name, value in plain_values(self).items() if value or name not in _LATER}

    @classmethod
    def paper(cls) -> Self:
        """Return the recipe of the paper; the default."""
        return cls()

    @classmethod
    def public(cls) -> Self:
        """Return the recipe of the public reference code."""
        return cls(repeat=3)

    def learning_rate_at(self, epoch: int, step: int | None = None) -> float:
        """Return the learning rate of an epoch and a step of the whole training, both counted from 0.

        Without a step it is the rate after the warm-up.
        """
        grown = 1.0 if step is None or step >= self.warmup else (step + 1) / self.warmup
        return grown * self.learning_rate / 10.0 ** sum(epoch >= round(part * self.epochs) for part in _DECAYS)
