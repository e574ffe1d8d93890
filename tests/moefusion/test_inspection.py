from dataclasses import replace

import pytest
import torch

from moefusion import (
    DetectorConfig,
    FusionConfig,
    MoEFusion,
    Sample,
    expert_responses,
    gate_report,
    gate_shares,
)

FUSION = FusionConfig(local_gate_grid=(12, 16), global_gate_grid=(6, 8))


def new_model(fusion: FusionConfig = FUSION) -> MoEFusion:
    torch.manual_seed(0)
    model = MoEFusion(fusion, DetectorConfig.small(), classes=1)
    for gate in (part.gate for part in (*model.fusion.local_experts.values(), model.fusion.global_experts)):
        torch.nn.init.normal_(gate.weight)
    return model


def samples(count: int) -> list[Sample]:
    generator = torch.Generator().manual_seed(1)
    pairs = torch.rand(count, 2, 1, 33, 41, generator=generator)
    return [
        Sample(infrared, visible, torch.zeros(0, 4), torch.zeros(0, dtype=torch.long)) for infrared, visible in pairs
    ]


def test_shares_are_those_of_each_sample_alone_in_evaluation():
    model, data = new_model(), samples(5)
    shares = gate_shares(model, data)
    assert model.training, "the mode must be as it was"
    expected = [model.eval()(sample.infrared[None], sample.visible[None]).gates for sample in data]
    assert list(shares) == list(model.fusion.gate_names)
    for name, rows in shares.items():
        assert torch.equal(rows, torch.cat([gates[name] for gates in expected]))


def test_report_counts_samples_and_not_shares():
    model, data = new_model(), samples(5)
    report = gate_report(model, data)
    for name, rows in gate_shares(model, data).items():
        assert report[name] == pytest.approx([sum(share > 0 for share in column) / 5 for column in rows.T.tolist()])
        assert sum(report[name]) == pytest.approx(2)


def test_samples_are_brought_to_the_size():
    model, sizes = new_model(), []
    model.fusion.register_forward_hook(lambda _, inputs, __: sizes.append(tuple(inputs[0].shape)))
    gate_shares(model, samples(2), (24, 32))
    assert sizes == [(1, 1, 24, 32)] * 2


def test_no_samples_no_report():
    with pytest.raises(ValueError, match="expected at least one sample"):
        gate_report(new_model(), [])


def test_responses_are_the_mean_absolute_features():
    model, sample = new_model(), samples(1)[0]
    responses = expert_responses(model, sample.infrared, sample.visible)
    assert model.training
    pair = sample.infrared[None], sample.visible[None]
    model.eval()
    with torch.no_grad():
        features = model.fusion.local_expert_features(*pair, *model.detectors.attention(*pair))
    assert list(responses) == ["foreground", "background"]
    for part, images in responses.items():
        assert images.shape == (4, 33, 41)
        assert torch.allclose(images, features[part][0].abs().sum(1) / 16)
        assert (images.flatten(1).std(dim=1) > 0).all()


def test_responses_need_local_experts():
    torch.manual_seed(0)
    model = MoEFusion(replace(FUSION, local_experts=False), classes=1)
    with pytest.raises(ValueError, match="no local experts to look at"):
        expert_responses(model, torch.rand(1, 33, 41), torch.rand(1, 33, 41))
