"""Inspect a trained model: its gates' choices and its experts' responses."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from metrics.errors import InputError
from moefusion.data import PreparedSamples, Samples
from moefusion.model import MoEFusion


def gate_shares(model: MoEFusion, data: Samples, size: tuple[int, int] | None = None) -> dict[str, Tensor]:
    """Return each sample's shares, (samples, experts), under the name of each gate; in evaluation, one by one.

    Args:
        model: Its mode is left as it was.
        data: Any samples; an index of theirs is a row.
        size: (height, width) that the images are brought to; None leaves them as they are.

    Raises:
        InputError: There is no sample, or one does not fit.
    """
    if len(data) == 0:
        raise InputError("data: expected at least one sample, got none")
    prepared = PreparedSamples(data, model.classes, size)
    device = next(model.parameters()).device
    rows: dict[str, list[Tensor]] = {name: [] for name in model.fusion.gate_names}
    with _evaluation(model):
        for index in range(len(data)):
            sample = prepared[index]
            gates = model(sample.infrared[None].to(device), sample.visible[None].to(device)).gates
            for name, shares in gates.items():
                rows[name].append(shares[0].cpu())
    return {name: torch.stack(shares) for name, shares in rows.items()}


def gate_report(model: MoEFusion, data: Samples, size: tuple[int, int] | None = None) -> dict[str, list[float]]:
    """Return how often each gate picks each of its experts, as parts of the samples; arguments as `gate_shares`."""
    return {name: (shares > 0).float().mean(dim=0).tolist() for name, shares in gate_shares(model, data, size).items()}


def expert_responses(model: MoEFusion, infrared: Tensor, visible: Tensor) -> dict[str, Tensor]:
    """Return every local expert's response to one pair, picked or not, as images: the paper's figure 6.

    Args:
        model: Its mode is left as it was.
        infrared, visible: (1, H, W), luma on the scale [0, 1].

    Returns:
        (experts, H, W), from 0, under "foreground" and "background": the mean over the expert's 16 channels of
        the absolute answer. The first half of the experts sees the visible features, the second half the infrared.

    Raises:
        InputError: The shapes do not fit, or the model has no local experts.
    """
    device = next(model.parameters()).device
    pair = infrared[None].to(device), visible[None].to(device)
    with _evaluation(model):
        # Without detectors there are no local experts either, and `local_expert_features` says so.
        maps = (pair[0], pair[1]) if model.detectors is None else model.detectors.attention(*pair)
        features = model.fusion.local_expert_features(*pair, *maps)
    return {part: responses[0].abs().mean(dim=1).cpu() for part, responses in features.items()}


@contextmanager
def _evaluation(model: MoEFusion) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)
