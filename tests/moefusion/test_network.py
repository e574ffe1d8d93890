from dataclasses import replace

import pytest
import torch
from torch import Tensor

from moefusion import FusionConfig, FusionNetwork, foreground_mask, fusion_loss

SMALL = FusionConfig(local_gate_grid=(8, 10), global_gate_grid=(4, 5))
ABLATIONS = [(local, whole) for local in (True, False, "attention") for whole in (True, False)]


def batch(height: int, width: int, samples: int = 1) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Infrared, visible and their attention maps at a quarter of the size, rounded up."""
    generator = torch.Generator().manual_seed(height * width)
    images = torch.rand(2, samples, 1, height, width, generator=generator)
    maps = torch.rand(2, samples, 1, -(-height // 4), -(-width // 4), generator=generator)
    return images[0], images[1], maps[0], maps[1]


@pytest.mark.parametrize("preset", [FusionConfig.paper(), FusionConfig.public()])
def test_published_size_has_the_published_gates(preset):
    with torch.device("meta"):
        weights = FusionNetwork(preset).state_dict()
    assert weights["local_experts.foreground.gate.weight"].shape == (614400, 4)
    assert weights["local_experts.background.gate.noise_weight"].shape == (614400, 4)
    assert weights["global_experts.gate.weight"].shape == (768000, 4)


@pytest.mark.parametrize(
    ("size", "config"),
    [
        ((480, 640), FusionConfig.paper()),
        ((768, 1024), FusionConfig(local_gate_grid=(60, 80), global_gate_grid=(30, 40))),
        ((286, 517), FusionConfig(local_gate_grid=(60, 80), global_gate_grid=(30, 40))),
        ((512, 640), FusionConfig(local_gate_grid=(60, 80), global_gate_grid=(30, 40))),
        ((33, 35), SMALL),
    ],
)
def test_fused_image_has_the_sources_size(size, config):
    infrared, visible, *maps = batch(*size)
    network = FusionNetwork(config).eval()
    if min(size) > 100:
        # The global experts are nine tenths of the cost, and the smallest image shows that they keep its size.
        network.global_experts.experts = torch.nn.ModuleList(torch.nn.Conv2d(160, 1, 1) for _ in range(4))
    with torch.inference_mode():
        output = network(infrared, visible, *maps)
    assert output.fused.shape == infrared.shape
    assert output.attention.shape == infrared.shape
    assert output.fused.isfinite().all()


@pytest.mark.parametrize(("local", "whole"), ABLATIONS)
def test_every_ablation_trains_all_that_was_picked(local, whole):
    torch.manual_seed(0)
    config = replace(SMALL, local_experts=local, global_experts=whole)
    network = FusionNetwork(config).train()
    infrared, visible, *maps = batch(32, 40, samples=2)
    output = network(infrared, visible, *maps)
    mask = foreground_mask([torch.tensor([[4.0, 4.0, 20.0, 30.0]]), torch.zeros(0, 4)], (32, 40))
    fusion_loss(output.fused, infrared, visible, mask, output.load_loss, alpha=config.alpha).total.backward()
    assert set(output.gates) == set(network.gate_names)
    assert len(network.gate_names) == 2 * (local is True) + whole
    for name, parameter in network.named_parameters():
        mixture, _, inner = name.partition(".experts.")
        if inner and not output.gates[mixture.replace("_experts", "").replace(".", "_")][:, int(inner[0])].any():
            assert parameter.grad is None
        else:
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name


def test_ablations_keep_the_channels_that_the_paper_gives():
    def widths(**ablation):
        weights = FusionNetwork(replace(SMALL, **ablation)).state_dict()
        return weights["global_experts.experts.0.conv1.weight"].shape[1]

    assert widths() == widths(local_experts="attention") == 64 + 64 + 16 + 16
    assert widths(local_experts=False) == 64 + 64
    assert FusionNetwork(replace(SMALL, global_experts=False)).decoder.conv1.in_channels == 160
    assert FusionNetwork(replace(SMALL, local_experts="attention")).local_attention.weight.shape == (32, 32, 1, 1)


def test_without_local_experts_no_attention_is_needed():
    network = FusionNetwork(replace(SMALL, local_experts=False)).eval()
    infrared, visible, *_ = batch(32, 40)
    output = network(infrared, visible)
    assert output.attention is None
    assert not any("attention" in name for name in network.state_dict())


def test_without_gates_there_is_nothing_to_balance():
    network = FusionNetwork(replace(SMALL, local_experts=False, global_experts=False))
    output = network(*batch(32, 40))
    assert output.gates == {}
    assert output.load_loss.item() == 0


@pytest.mark.parametrize("merge", ["convolution", "maximum"])
def test_merged_attention_stays_in_its_range(merge):
    network = FusionNetwork(replace(SMALL, attention_merge=merge)).eval()
    infrared, visible, *maps = batch(32, 40)
    attention = network(infrared, visible, *maps).attention
    assert attention.min() >= 0
    assert attention.max() <= 1
    if merge == "maximum":
        # align_corners=True keeps the corners.
        assert attention[0, 0, 0, 0] == torch.maximum(*maps)[0, 0, 0, 0]
        assert attention[0, 0, -1, -1] == torch.maximum(*maps)[0, 0, -1, -1]


def test_attention_at_the_images_size_is_taken_as_it_is():
    network = FusionNetwork(replace(SMALL, attention_merge="maximum")).eval()
    infrared, visible, *_ = batch(32, 40)
    assert torch.equal(network(infrared, visible, infrared, visible).attention, torch.maximum(infrared, visible))


@pytest.mark.parametrize(("experts", "top_k"), [(2, 2), (6, 2), (8, 2), (4, 1), (4, 3), (4, 4)])
def test_numbers_of_experts_of_the_papers_figure_7(experts, top_k):
    network = FusionNetwork(replace(SMALL, experts=experts, top_k=top_k)).train()
    output = network(*batch(32, 40, samples=3))
    assert output.load_loss.isfinite()
    for gates in output.gates.values():
        assert gates.shape == (3, experts)
        assert ((gates > 0).sum(1) == top_k).all()


def test_noise_makes_training_repeatable():
    network = FusionNetwork(SMALL).train()
    noise = {name: torch.randn(2, 4) for name in network.gate_names}
    pair = batch(32, 40, samples=2)
    first, second = network(*pair, noise=noise), network(*pair, noise=noise)
    assert torch.equal(first.fused, second.fused)
    # A fresh gate's logits are all 0, so the largest draws are picked.
    assert torch.equal(first.gates["global"].argmax(1), noise["global"].argmax(1))


def test_samples_do_not_look_at_each_other():
    torch.manual_seed(0)
    network = FusionNetwork(SMALL).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    pairs = batch(32, 40, samples=4)
    together = network(*pairs)
    assert len(together.gates["global"].gt(0).unique(dim=0)) > 1, "all samples take one way; the test shows nothing"
    alone = torch.cat([network(*(part[i : i + 1] for part in pairs)).fused for i in range(4)])
    assert torch.allclose(together.fused, alone, atol=1e-5)


def test_training_in_mixed_precision_runs():
    network = FusionNetwork(SMALL).train()
    with torch.autocast("cpu", torch.bfloat16):
        output = network(*batch(32, 40, samples=2))
    (output.fused.float().mean() + output.load_loss).backward()
    assert network.global_experts.gate.weight.grad.isfinite().all()


def test_local_expert_features_are_those_that_the_mixture_combines():
    network = FusionNetwork(SMALL).train()
    pair = batch(32, 40, samples=2)
    mixed = {}
    for part, mixture in network.local_experts.items():
        mixture.register_forward_hook(lambda _, __, result, part=part: mixed.__setitem__(part, result))
    network(*pair)
    features = network.local_expert_features(*pair)
    assert list(features) == ["foreground", "background"]
    for part, each in features.items():
        assert each.shape == (2, 4, 16, 32, 40)
        combined = (mixed[part].routing.gates[:, :, None, None, None] * each).sum(1)
        assert torch.allclose(combined, mixed[part].features, atol=1e-6)


INFRARED, VISIBLE, MAP, _ = batch(32, 40)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((INFRARED[0], VISIBLE[0], MAP, MAP), r"infrared: expected shape \(N, 1, H, W\)"),
        ((INFRARED, VISIBLE.repeat(1, 3, 1, 1), MAP, MAP), r"visible: expected shape .* got \(1, 3, 32, 40\)"),
        ((INFRARED[:0], VISIBLE[:0], MAP[:0], MAP[:0]), "none of them 0"),
        ((INFRARED, VISIBLE[..., :-1], MAP, MAP), "registered images of one size"),
        ((INFRARED, VISIBLE), "attention maps are missing"),
        ((INFRARED, VISIBLE, MAP), "attention maps are missing"),
        ((INFRARED, VISIBLE, MAP, MAP[..., :-1]), r"attention_visible: expected shape \(1, 1, h, w\)"),
        ((INFRARED, VISIBLE, MAP.repeat(2, 1, 1, 1), MAP), "attention_infrared: expected shape"),
    ],
)
def test_images_and_maps_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message) as refusal:
        FusionNetwork(SMALL)(*arguments)
    assert "\n" not in str(refusal.value)


def test_noise_that_does_not_fit_is_refused():
    network = FusionNetwork(SMALL)
    noise = {name: torch.zeros(1, 4) for name in network.gate_names}
    pair = (INFRARED, VISIBLE, MAP, MAP)
    with pytest.raises(ValueError, match="expected draws for local_foreground, local_background, global, got global"):
        network.train()(*pair, noise={"global": noise["global"]})
    with pytest.raises(ValueError, match=r"noise of global: expected shape \(1, 4\), got \(1, 3\)"):
        network.train()(*pair, noise={**noise, "global": torch.zeros(1, 3)})
    with pytest.raises(ValueError, match="evaluation mode"):
        network.eval()(*pair, noise=noise)


def test_local_expert_features_need_local_experts():
    with pytest.raises(ValueError, match="local_experts is 'attention', not True"):
        FusionNetwork(replace(SMALL, local_experts="attention")).local_expert_features(INFRARED, VISIBLE, MAP, MAP)
