"""Where the time of a fusion and of a training step goes."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.profiler import record_function
from torch.profiler import ProfilerActivity, profile

from moefusion.checkpoints import trained_weights
from moefusion.data import Batch
from moefusion.experts import Gate, GlobalExpert, LocalExpert
from moefusion.model import MoEFusion
from moefusion.network import Encoder
from moefusion.recipe import TrainingConfig

_KINDS = {Encoder: "encoders", Gate: "gates", LocalExpert: "local experts", GlobalExpert: "global experts"}
_DETECTOR_PARTS = {"backbone": "backbones", "rpn": "proposals", "roi_heads": "boxes"}
_ATTENTION, _OPTIMISER, _REST = "attention", "optimiser", "all else"
_PREFIX = "moefusion: "
_BACKWARD = "autograd::engine::evaluate_function"


@dataclass(frozen=True)
class TimeShare:
    """The time of one part of the model.

    Attributes:
        part: "backbones", "attention", "proposals" (RPN) and "boxes" (RoI heads) of the detectors; "encoders",
            "gates", "local experts", "global experts" (or the decoder in their place); "optimiser" with the
            clipping; "all else": losses, masks, sums.
        forward, backward: Seconds; backward is 0 outside training.
        share: Of the time of all parts, 0 to 1.
    """

    part: str
    forward: float
    backward: float
    share: float


def time_fusion(model: MoEFusion, infrared: Tensor, visible: Tensor) -> list[TimeShare]:
    """Return where the time of fusing a batch goes, on the CPU, the longest part first.

    Args:
        model: Its mode is left as it was.
        infrared, visible: (N, 1, H, W), luma on the scale [0, 1].

    Raises:
        ValueError: The model is on another device, or the shapes do not fit.
    """
    training = model.training

    def fuse() -> None:
        with torch.no_grad():
            model(infrared, visible)

    model.eval()
    try:
        return _measured(model, fuse)
    finally:
        model.train(training)


def time_training_step(model: MoEFusion, batch: Batch, config: TrainingConfig | None = None) -> list[TimeShare]:
    """Return where the time of a training step goes, on the CPU, the longest part first.

    The model takes two steps, the first of them to warm up: measure a model that is not needed any more.

    Args:
        model: In training mode.
        batch: As `MoEFusion.training_losses` takes it.
        config: The optimiser's settings; the paper's without.

    Raises:
        ValueError: The model is on another device or in evaluation mode, or the batch does not fit.
    """
    config = config or TrainingConfig.paper()
    weights = list(trained_weights(model).values())
    optimiser = torch.optim.Adam(weights, lr=config.learning_rate, weight_decay=config.weight_decay)

    def step() -> None:
        losses = model.training_losses(batch)
        optimiser.zero_grad(set_to_none=True)
        losses.total.backward()
        with record_function(_PREFIX + _OPTIMISER):
            nn.utils.clip_grad_norm_(weights, config.gradient_norm)
            optimiser.step()

    return _measured(model, step)


def _measured(model: MoEFusion, work: Callable[[], None]) -> list[TimeShare]:
    device = next(model.parameters()).device
    if device.type != "cpu":
        raise ValueError(f"the model is on {device}; times are measured on the CPU. Call model.cpu() first.")
    with _marked(model):
        work()
        with profile(activities=[ProfilerActivity.CPU]) as profiler, record_function(_PREFIX + _REST):
            work()
    forward, backward = _times(profiler.events() or [])
    whole = sum(forward.values()) + sum(backward.values())
    rows = [
        TimeShare(part, forward[part], backward[part], (forward[part] + backward[part]) / whole)
        for part in {**forward, **backward}
    ]
    return sorted(rows, key=lambda row: -row.share)


@contextmanager
def _marked(model: MoEFusion) -> Iterator[None]:
    """Mark the model's parts for the profiler."""
    hooks = []
    for name, module in model.named_modules():
        part = _part(name, module)
        if part is None:
            continue
        open_marks: list[Any] = []

        def enter(_: nn.Module, __: object, part: str = part, marks: list[Any] = open_marks) -> None:
            marks.append(record_function(_PREFIX + part))
            marks[-1].__enter__()

        def leave(_: nn.Module, __: object, ___: object, marks: list[Any] = open_marks) -> None:
            marks.pop().__exit__(None, None, None)

        hooks += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _part(name: str, module: nn.Module) -> str | None:
    above, _, last = name.rpartition(".")
    if name == "detectors.exchange" or above == "detectors.heads":
        return _ATTENTION
    if above.rpartition(".")[0] == "detectors.detectors":
        return _DETECTOR_PARTS.get(last)
    return _KINDS.get(type(module))


def _times(events: Any) -> tuple[dict[str, float], dict[str, float]]:
    """Return the seconds of each part, forward and backward.

    An operation's backward belongs to the part that its forward was in; the profiler numbers both alike.
    """
    forward: dict[str, float] = defaultdict(float)
    backward: dict[str, float] = defaultdict(float)
    part_of: dict[int, str] = {}
    for event in events:
        part, seconds = _part_around(event), event.cpu_time_total / 1e6
        if event.name.startswith(_PREFIX):
            forward[event.name.removeprefix(_PREFIX)] += seconds
            if part is not None:
                forward[part] -= seconds
        elif part is not None and event.name.startswith(_BACKWARD):
            backward[part_of.get(event.sequence_nr, _REST)] += seconds
            forward[part] -= seconds
        elif part is not None and event.sequence_nr >= 0:
            # What leaves nothing for backward has the number of the next operation that does: the last one counts.
            part_of[event.sequence_nr] = part
    return forward, backward


def _part_around(event: Any) -> str | None:
    above = event.cpu_parent
    while above is not None and not above.name.startswith(_PREFIX):
        if above.name.startswith(_BACKWARD):
            return None
        above = above.cpu_parent
    return None if above is None else above.name.removeprefix(_PREFIX)
