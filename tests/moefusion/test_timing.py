import time
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from moefusion import DetectorConfig, FusionConfig, MoEFusion, time_fusion, time_training_step
from moefusion.data import Batch

FUSION = FusionConfig(local_gate_grid=(12, 16), global_gate_grid=(6, 8))
BATCH = Batch(*torch.rand(2, 2, 1, 48, 64), [torch.tensor([[8.0, 8.0, 40.0, 40.0]])] * 2, [torch.tensor([1])] * 2)
IN_FUSION = {"backbones", "attention", "encoders", "gates", "local experts", "global experts", "all else"}


class Slow(torch.autograd.Function):
    """Nothing, but it takes 0.2 s forward and 0.4 s backward."""

    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:
        time.sleep(0.2)
        return values.clone()

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        time.sleep(0.4)
        return gradients[0]


class Delayed(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, features: Tensor) -> Tensor:
        return Slow.apply(self.layer(features))


def new_model(fusion: FusionConfig = FUSION) -> MoEFusion:
    torch.manual_seed(0)
    return MoEFusion(fusion, DetectorConfig.small(), classes=1)


def test_a_fusion_runs_no_proposals_and_no_optimiser():
    model = new_model()
    rows = time_fusion(model, BATCH.infrared, BATCH.visible)
    assert model.training, "the mode must be as it was"
    assert {row.part for row in rows} == IN_FUSION
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert all(row.backward == 0 < row.forward for row in rows)
    assert [row.share for row in rows] == sorted((row.share for row in rows), reverse=True)


def test_time_goes_to_the_part_that_takes_it_forward_and_backward():
    model = new_model()
    encoder = model.fusion.encoder["visible"]
    encoder.dense3 = Delayed(encoder.dense3)
    started = time.perf_counter()
    rows = {row.part: row for row in time_training_step(model, BATCH)}
    elapsed = time.perf_counter() - started
    assert set(rows) == IN_FUSION | {"proposals", "boxes", "optimiser"}
    encoders = rows["encoders"]
    assert encoders.forward > 0.2
    assert encoders.backward > 0.4
    # What is left is a few ms for each; it was not counted twice, and the first of the two steps not at all.
    whole = sum(row.forward + row.backward for row in rows.values())
    assert encoders.forward + encoders.backward == pytest.approx(encoders.share * whole)
    assert whole < elapsed - 0.6
    learned = set(rows) - {"optimiser", "encoders"}
    assert all(rows[part].backward > 0 for part in learned)


def test_without_experts_the_decoder_stands_in_their_place():
    model = new_model(replace(FUSION, local_experts=False, global_experts=False))
    rows = time_fusion(model, BATCH.infrared, BATCH.visible)
    assert {row.part for row in rows} == {"encoders", "global experts", "all else"}


def test_hooks_do_not_stay():
    model = new_model()
    time_fusion(model, BATCH.infrared, BATCH.visible)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


def test_times_are_measured_on_the_cpu():
    with pytest.raises(ValueError, match="the model is on meta; times are measured on the CPU"):
        time_fusion(new_model().to("meta"), BATCH.infrared, BATCH.visible)
