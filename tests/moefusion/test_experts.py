from functools import partial

import pytest
import torch
from torch import Tensor, nn

from moefusion.experts import Gate, LocalExpert, Mixture, Routing, Standardisation, load_estimate, top_k_gates


class Constant(nn.Module):
    """An expert whose output is its level everywhere."""

    def __init__(self, level: float) -> None:
        super().__init__()
        self.level = level

    def forward(self, features: Tensor) -> Tensor:
        return torch.full_like(features, self.level)


class Sign(nn.Module):
    """A gate that gives samples of positive mean to experts 0 and 1, and the others to expert 3 alone."""

    def forward(self, sources: list[Tensor], noise: Tensor | None = None) -> Routing:
        positive = torch.tensor([0.25, 0.75, 0.0, 0.0])
        negative = torch.tensor([0.0, 0.0, 0.0, 1.0])
        gates = torch.stack([positive if sample.mean() > 0 else negative for sample in sources[0]])
        return Routing(gates, (gates > 0).sum(0).float())


def constant_mixture(levels: list[float], combine: str) -> Mixture:
    remaining = iter(levels)
    mixture = Mixture(1, (1, 1), lambda: Constant(next(remaining)), experts=len(levels), top_k=2, combine=combine)
    mixture.gate = Sign()
    return mixture


@pytest.mark.parametrize("top_k", [1, 2, 3, 4])
def test_top_k_gates_share_one_among_the_largest(top_k):
    logits = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    gates = top_k_gates(logits, top_k)
    assert torch.allclose(gates.sum(1), torch.ones(50))
    assert ((gates > 0).sum(1) == top_k).all()
    assert torch.equal(gates.argmax(1), logits.argmax(1))


def test_top_k_gates_by_hand():
    # softmax(2, 1) = e/(e + 1), 1/(e + 1).
    gates = top_k_gates(torch.tensor([[1.0, -5.0, 2.0, 0.5]]), 2)
    assert gates[0].tolist() == pytest.approx([0.2689414, 0, 0.7310586, 0])


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_load_estimate_is_the_chance_that_a_new_draw_of_ones_own_noise_is_picked(top_k):
    generator = torch.Generator().manual_seed(top_k)
    logits = torch.randn(1, 4, generator=generator)
    deviation = torch.rand(1, 4, generator=generator) + 0.3
    noisy = logits + deviation * torch.randn(1, 4, generator=generator)
    draws = 100_000
    estimate = load_estimate(logits, noisy, deviation, top_k)
    for expert in range(4):
        again = noisy.repeat(draws, 1)
        again[:, expert] = logits[0, expert] + deviation[0, expert] * torch.randn(draws, generator=generator)
        frequency = (top_k_gates(again, top_k)[:, expert] > 0).float().mean().item()
        # Four standard errors of a frequency near one half: 4·sqrt(0.25 / 100000) = 0.0063.
        assert estimate[expert].item() == pytest.approx(frequency, abs=0.0063)


def test_load_estimate_when_everyone_is_picked_is_the_number_of_samples():
    logits = torch.randn(3, 4)
    assert load_estimate(logits, logits, torch.ones(3, 4), 4).tolist() == [3, 3, 3, 3]


def test_a_fresh_gate_is_fair_and_its_noise_moves_it():
    gate = Gate(2, (3, 4), experts=4, top_k=2)
    assert gate.weight.shape == gate.noise_weight.shape == (24, 4)
    assert not gate.weight.any()
    assert not gate.noise_weight.any()
    source = torch.rand(200, 2, 6, 8)
    torch.manual_seed(0)
    gates, load = gate.train()([source])
    # Each of 4 experts is among the 2 with chance 1/2: 100 of 200, give or take 4·sqrt(200/4) = 28.
    assert ((gates > 0).sum(0) - 100).abs().max() <= 28
    # The smooth estimate of the same counts, drawn once: its spread is smaller still.
    assert (load - 100).abs().max() <= 28
    again = [gate.eval()([source]).gates for _ in range(2)]
    assert torch.equal(*again)


def test_gate_keeps_its_input_at_the_grids_size_as_it_is():
    gate = Gate(2, (3, 4), experts=2, top_k=2).eval()
    nn.init.normal_(gate.weight)
    first, second = torch.rand(2, 5, 1, 3, 4)
    logits = torch.cat([first, second], 1).flatten(1) @ gate.weight
    assert torch.equal(gate([first, second]).gates, logits.softmax(1))


def test_gates_of_the_published_size_have_the_published_inputs():
    with torch.device("meta"):
        # Section 3 and 4 of the network's description: 32·120·160 and 160·60·80.
        assert Gate(32, (120, 160), 4, 2).weight.shape == (614400, 4)
        assert Gate(160, (60, 80), 4, 2).weight.shape == (768000, 4)


def test_linear_combination_by_hand():
    mixture = constant_mixture([1.0, 2.0, 50.0, -3.0], "linear")
    source = torch.stack([torch.ones(1, 2, 2), -torch.ones(1, 2, 2)])
    # 0.25·1 + 0.75·2 = 1.75 for the first sample, 1·(-3) for the second.
    assert mixture([source, source]).features.mean((1, 2, 3)).tolist() == [1.75, -3.0]


def test_logsumexp_combination_by_hand():
    mixture = constant_mixture([1.0, 2.0, 50.0, -3.0], "logsumexp")
    source = torch.stack([torch.ones(1, 2, 2), -torch.ones(1, 2, 2)])
    # log(0.25·e + 0.75·e²) = log(6.2213624) = 1.8279884; log(1·e^-3) = -3.
    assert mixture([source, source]).features.mean((1, 2, 3)).tolist() == pytest.approx([1.8279884, -3.0])


def test_logsumexp_neither_overflows_nor_reaches_minus_infinity():
    mixture = constant_mixture([1000.0, 0.0, 0.0, -1000.0], "logsumexp")
    source = torch.stack([torch.ones(1, 1, 1), -torch.ones(1, 1, 1)])
    # log(0.25·e^1000) = 1000 - log 4; e^-1000 is 0 in float32, so its logarithm is that of the epsilon 2^-52.
    assert mixture([source, source]).features.flatten().tolist() == pytest.approx([998.6137, -36.04365])


def test_only_picked_experts_see_only_their_samples():
    mixture = constant_mixture([1.0, 2.0, 50.0, -3.0], "linear")
    seen: dict[int, Tensor] = {}
    for index, expert in enumerate(mixture.experts):
        expert.register_forward_hook(lambda _, inputs, __, index=index: seen.__setitem__(index, inputs[0]))
    signs = torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0])[:, None, None, None]
    visible, infrared = signs * torch.tensor([[1.0], [2.0], [3.0], [4.0], [5.0]])[..., None, None], signs * 10
    mixture([visible, infrared])
    # The first half of the experts gets the first source, the second half the second; expert 2 is never called.
    assert {index: samples.flatten().tolist() for index, samples in seen.items()} == {
        0: [1, 3, 4],
        1: [1, 3, 4],
        3: [-10, -10],
    }


@pytest.mark.parametrize(("experts", "top_k"), [(2, 2), (4, 1), (4, 2), (4, 4), (8, 2)])
def test_cost_grows_with_top_k_and_not_with_the_number_of_experts(experts, top_k):
    mixture = Mixture(32, (4, 5), LocalExpert, experts=experts, top_k=top_k, combine="linear").train()
    computed = []
    for expert in mixture.experts:
        expert.register_forward_hook(lambda _, inputs, __: computed.append(len(inputs[0])))
    visible, infrared = torch.rand(2, 6, 16, 8, 10)
    mixture([visible, infrared])
    assert sum(computed) == 6 * top_k
    assert 0 not in computed


@pytest.mark.parametrize("top_k", [2, 3])
@pytest.mark.parametrize("combine", ["linear", "logsumexp"])
def test_mixture_is_the_dense_sum_over_all_experts(combine, top_k):
    torch.manual_seed(1)
    mixture = Mixture(32, (4, 5), LocalExpert, experts=4, top_k=top_k, combine=combine).double().train()
    sources = [source.requires_grad_() for source in torch.rand(2, 5, 16, 8, 10, dtype=torch.float64)]
    features, (gates, _) = mixture(sources)
    shares, outputs = gates[:, :, None, None, None], mixture.outputs(sources)
    dense = (shares * outputs).sum(1) if combine == "linear" else (shares * outputs.exp()).sum(1).log()
    assert torch.allclose(features, dense)
    parameters = [mixture.gate.weight, mixture.experts[0].conv1.weight, mixture.experts[3].conv2.weight, *sources]
    weights = torch.rand_like(dense)
    got = torch.autograd.grad((features * weights).sum(), parameters, retain_graph=True)
    expected = torch.autograd.grad((dense * weights).sum(), parameters)
    assert all(torch.allclose(a, b) and b.any() for a, b in zip(got, expected, strict=True))


def test_a_nan_comes_out_as_a_nan():
    mixture = Mixture(16, (4, 5), partial(LocalExpert, 16), experts=2, top_k=2, combine="linear").eval()
    source = torch.rand(1, 16, 8, 10)
    source[0, 0, 0, 0] = torch.nan
    assert mixture([source]).features.isnan().any()


def test_standardisation_follows_the_mean_and_deviation_of_all_samples():
    standardise = Standardisation(600).train()
    generator = torch.Generator().manual_seed(0)
    offset = 5 * torch.rand(600, generator=generator)

    def scenes(count: int) -> Tensor:
        return offset + 2 * torch.randn(count, 600, generator=generator)

    for _ in range(60):
        standardise(scenes(8))
    # With a momentum m the mean of batches of n has the variance m/(2 - m)/n of a sample's: here 4·0.1/1.9/8,
    # a deviation of 0.16; and the samples' deviation of 2 is measured from a mean that errs by so much.
    assert (standardise.mean - offset).square().mean().sqrt() < 0.2
    assert standardise.variance.sqrt().item() == pytest.approx(2, rel=0.03)
    before = {name: value.clone() for name, value in standardise.state_dict().items()}
    lengths = standardise.eval()(scenes(500)).norm(dim=1)
    assert lengths.mean().item() == pytest.approx(1, rel=0.03)
    assert all(torch.equal(value, before[name]) for name, value in standardise.state_dict().items())


def test_standardisation_begins_with_a_batch_of_one():
    standardise = Standardisation(3).train()
    first, second = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[3.0, 2.0, 3.0]])
    assert not standardise(first).any()
    # Mean 2, 2, 3 after both; mean squares of 0 and of 1/3, that is 1/6; 1 / sqrt(1/6) / sqrt(3) = sqrt(2).
    assert standardise(second)[0].tolist() == pytest.approx([2**0.5, 0, 0], rel=1e-4)
    assert standardise.mean.tolist() == [2, 2, 3]


def test_standardisation_before_any_training_only_divides():
    scene = torch.rand(2, 4)
    assert torch.allclose(Standardisation(4).eval()(scene), scene / 2)
