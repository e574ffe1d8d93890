"""The public preset against what the public reference code gave for the same inputs and weights."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from moefusion import FusionConfig, FusionNetwork, foreground_mask, gradient_loss, pixel_loss

pytestmark = pytest.mark.shared
Golden = dict[str, Tensor]
close = partial(torch.testing.assert_close, rtol=0, atol=1e-5)


@pytest.fixture
def golden(shared: Path, device: str) -> Golden:
    with np.load(shared / "golden" / "moefusion_public.npz") as stored:
        return {name: torch.from_numpy(stored[name]).to(device) for name in stored}


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    """Without TF32, to which cuDNN rounds on a GPU."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


@pytest.fixture
def network(golden: Golden, device: str) -> FusionNetwork:
    # The golden images are 64x80; their gates' grids are a quarter and an eighth of that.
    config = replace(FusionConfig.public(), local_gate_grid=(16, 20), global_gate_grid=(8, 10))
    network = FusionNetwork(config).to(device)
    prefix = "weight/"
    network.load_state_dict({name.removeprefix(prefix): golden[name] for name in golden if name.startswith(prefix)})
    return network


@pytest.fixture
def pair(golden: Golden) -> tuple[Tensor, ...]:
    return tuple(golden[name] for name in ("infrared", "visible", "attention_infrared", "attention_visible"))


def features_of(module: nn.Module) -> list[Tensor]:
    """A list that fills with the module's features as it runs."""
    seen: list[Tensor] = []
    module.register_forward_hook(lambda _, __, mixed: seen.append(mixed.features))
    return seen


def test_evaluation(network, pair, golden):
    parts = {
        "local_foreground": features_of(network.local_experts["foreground"]),
        "local_background": features_of(network.local_experts["background"]),
        "global": features_of(network.global_experts),
    }
    output = network.eval()(*pair)
    close(output.fused, golden["fused_eval"])
    close(output.load_loss, golden["load_loss_eval"])
    assert list(output.gates) == list(parts)
    for name, seen in parts.items():
        close(seen[0], golden[f"{name}_out"])
        close(output.gates[name], golden[f"{name}_gates"])
        close(output.load_losses[name], golden[f"{name}_loss"])


def test_training_with_given_noise(network, pair, golden):
    noise = {name: golden[f"noise_{name}"] for name in network.gate_names}
    output = network.train()(*pair, noise=noise)
    close(output.fused, golden["fused_train"])
    close(output.load_loss, golden["load_loss_train"])


def test_losses_of_the_fused_image(pair, golden):
    infrared, visible, *_ = pair
    fused = golden["fused_eval"]
    mask = foreground_mask([golden["boxes_0"], golden["boxes_1"]], (64, 80))
    close(pixel_loss(fused, infrared, visible, mask), golden["pixel_loss"])
    close(gradient_loss(fused, infrared, visible), golden["gradient_loss"])
