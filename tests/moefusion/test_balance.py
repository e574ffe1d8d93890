"""Whether the gates keep all experts in use."""

import pytest
import torch
from torch import Tensor

from moefusion import FusionConfig, FusionNetwork, fusion_loss

SIZE = (12, 16)
STEPS, BATCH = 48, 4


def scenes(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two bands of noise on grounds of any brightness."""
    generator = torch.Generator().manual_seed(seed)
    level = torch.rand(count, 2, 1, 1, generator=generator)
    images = 0.6 * level + 0.4 * torch.rand(count, 2, *SIZE, generator=generator)
    return images[:, :1], images[:, 1:]


def uses(gate_input: str) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """Train a network briefly, as the recipe has it: Adam, and the learning rate falls towards the end.

    Returns:
        How often the global gate picks each expert, in the last half of training; how often each gate does, in
        evaluation on other scenes; and the deviation of the global logits' means from each other.
    """
    torch.manual_seed(0)
    # 160 channels on the global gate's grid are 30720 inputs.
    network = FusionNetwork(FusionConfig(gate_input=gate_input, local_gate_grid=SIZE, global_gate_grid=SIZE)).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    infrared, visible = scenes(64, seed=1)
    attention, mask = torch.full((BATCH, 1, 3, 4), 0.5), torch.zeros(BATCH, 1, *SIZE)
    picked = []
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = 1e-3 if step < STEPS * 2 // 3 else 1e-4
        batch = [(BATCH * step + index) % 64 for index in range(BATCH)]
        output = network(infrared[batch], visible[batch], attention, attention)
        loss = fusion_loss(output.fused, infrared[batch], visible[batch], mask, output.load_loss).total
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        picked.append(output.gates["global"] > 0)
    training = torch.cat(picked[STEPS // 2 :]).float().mean(dim=0)

    network.eval()
    gate = network.global_experts.gate
    seen: list[Tensor] = []
    gate.standardise.register_forward_hook(lambda _, __, scene: seen.append(scene))
    infrared, visible = scenes(60, seed=2)
    attention = attention[:1].expand(60, -1, -1, -1)
    with torch.no_grad():
        gates = network(infrared, visible, attention, attention).gates
        spread = (seen[0] @ gate.weight).mean(dim=0).std()
    return training, {name: (shares > 0).float().mean(dim=0) for name, shares in gates.items()}, spread


def test_standardised_gates_use_every_expert_in_training_and_evaluation():
    training, evaluation, spread = uses("standardised")
    # More than 5 % of the samples is what the paper's mixture needs of each expert; the noise's deviation is 0.7.
    assert training.min() > 0.05
    assert set(evaluation) == {"local_foreground", "local_background", "global"}
    assert all(shares.min() > 0.05 for shares in evaluation.values())
    assert spread < 0.7


def test_raw_gates_pick_the_same_experts_for_every_scene():
    _, evaluation, spread = uses("raw")
    assert all(shares.min() < 0.05 for shares in evaluation.values())
    assert spread > 0.7


@pytest.mark.parametrize("gate_input", ["raw", "standardised"])
def test_a_fresh_network_is_the_same_with_either_input(gate_input):
    torch.manual_seed(3)
    network = FusionNetwork(FusionConfig(gate_input=gate_input, local_gate_grid=SIZE, global_gate_grid=SIZE)).eval()
    torch.manual_seed(3)
    other = FusionNetwork(FusionConfig(gate_input="raw", local_gate_grid=SIZE, global_gate_grid=SIZE)).eval()
    pair, attention = scenes(1, seed=0), torch.rand(1, 1, 3, 4)
    with torch.no_grad():
        assert torch.equal(network(*pair, attention, attention).fused, other(*pair, attention, attention).fused)
