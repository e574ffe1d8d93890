"""Training. Run as a script, this file is one of two processes of a distributed run; see `test_two_processes`."""

import csv
import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from moefusion import (
    DetectorConfig,
    FusionConfig,
    MoEFusion,
    Sample,
    TrainingConfig,
    foreground_mask,
    halve_checkpoint,
    load_checkpoint,
    save_checkpoint,
    train,
    trainer,
)
from moefusion.data import PreparedSamples, augment, collate, epoch_order, resize

FUSION = FusionConfig(local_gate_grid=(12, 16), global_gate_grid=(6, 8))
QUICK = TrainingConfig(epochs=2, batch=2, resize=None, learning_rate=1e-3, workers=0)
SIZE = (48, 64)


def new_model(fusion: FusionConfig = FUSION) -> MoEFusion:
    torch.manual_seed(0)
    return MoEFusion(fusion, DetectorConfig.small(), classes=2)


def samples(count: int) -> list[Sample]:
    """Noise with one bright square each, always of one size and place, so that all have the same box."""
    generator = torch.Generator().manual_seed(1)
    made = []
    for index in range(count):
        infrared, visible = 0.3 * torch.rand(2, 1, *SIZE, generator=generator)
        infrared[:, 8:40, 16:48] += 0.6
        made.append(Sample(infrared, visible, torch.tensor([[16.0, 8.0, 48.0, 40.0]]), torch.tensor([1 + index % 2])))
    return made


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "train.csv").open(newline="") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return list(first) == list(second) and all(torch.equal(first[name], second[name]) for name in first)


def run(data: object, folder: Path, config: TrainingConfig = QUICK, **options: object) -> MoEFusion:
    model = new_model()
    train(model, data, folder, config, progress=False, **options)
    return model


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[MoEFusion, Path]:
    """A model after twelve steps on the same two samples, and the run's folder."""
    folder = tmp_path_factory.mktemp("run")
    return run(samples(2), folder, replace(QUICK, epochs=12)), folder


def test_loss_falls(trained):
    _, folder = trained
    log = rows(folder)
    assert [int(row["step"]) for row in log] == list(range(1, 13))
    first, last = log[0], log[-1]
    assert float(last["total"]) < 0.7 * float(first["total"])
    for term in ("pixel", "gradient", "infrared_objectness", "visible_class"):
        assert float(last[term]) < float(first[term]), term


def test_log_adds_up(trained):
    _, folder = trained
    for row in rows(folder):
        detection = sum(float(value) for name, value in row.items() if name.startswith(("infrared_", "visible_")))
        fusion = float(row["pixel"]) + FUSION.alpha * float(row["gradient"]) + float(row["load"])
        assert float(row["total"]) == pytest.approx(fusion + detection, rel=1e-5)
        for gate in ("local_foreground", "local_background", "global"):
            assert sum(float(row[f"{gate}_expert_{index}"]) for index in range(4)) == pytest.approx(2)
    # 12 epochs: a tenth after 8 and again after 11.
    assert [float(row["learning_rate"]) for row in rows(folder)] == [1e-3] * 8 + [1e-4] * 3 + [1e-5]


def test_trained_model_loads(trained):
    model, folder = trained
    loaded = load_checkpoint(folder / "model.safetensors")
    assert not loaded.training
    assert same(loaded.state_dict(), model.state_dict())
    assert loaded.fusion_config == FUSION
    assert loaded.detector_config == DetectorConfig.small()
    pair = torch.rand(2, 1, 1, 33, 35)
    assert torch.equal(loaded(*pair).fused, model.eval()(*pair).fused)
    settings = json.loads((folder / "model.json").read_text())
    assert settings["classes"] == 2
    assert settings["training"]["step"] == 12
    assert settings["training"]["config"]["learning_rate"] == 1e-3
    assert not list(folder.glob(".*")), "temporary files are left"


def test_checkpoint_of_a_run_loads_as_a_model_too(trained):
    model, folder = trained
    assert same(load_checkpoint(folder / "checkpoint.safetensors").state_dict(), model.state_dict())


def test_a_finished_run_resumes_to_its_end(trained):
    model, folder = trained
    before = rows(folder)
    again = run(samples(2), folder, replace(QUICK, epochs=12), resume=True)
    assert same(again.state_dict(), model.state_dict())
    assert rows(folder) == before


class Interrupted(list[Sample]):
    """Samples whose user presses Ctrl-C at one of the reads."""

    reads = 0

    def __getitem__(self, index):
        self.reads += 1
        if self.reads == 6:
            raise KeyboardInterrupt
        return super().__getitem__(index)


@pytest.mark.parametrize("changes", [{}, {"crop": (40, 48), "flip": 0.5}])
def test_interrupted_training_resumes_exactly(tmp_path, changes):
    # Three samples in batches of two: two steps an epoch, and the sixth read belongs to the third step.
    config = replace(QUICK, checkpoint_steps=1, **changes)
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    expected = run(samples(3), whole, config)
    with pytest.raises(KeyboardInterrupt):
        run(Interrupted(samples(3)), halved, config)
    assert len(rows(halved)) == 2
    # As if the run had died while it wrote its third row, after its last checkpoint.
    with (halved / "train.csv").open("a") as file:
        file.write("3,2,0.0")
    torch.manual_seed(99)
    resumed = run(samples(3), halved, config, resume=True)
    assert same(resumed.state_dict(), expected.state_dict())
    assert rows(halved) == rows(whole)
    assert b"\r" not in (halved / "train.csv").read_bytes()
    assert len(rows(halved)) == 4
    state, other = (load_file(folder / "checkpoint.safetensors") for folder in (whole, halved))
    assert same(dict(sorted(state.items())), dict(sorted(other.items())))
    assert any(name.startswith("optimiser.fusion.encoder") for name in state)


@pytest.mark.parametrize("device", [pytest.param("cuda", marks=pytest.mark.gpu)], indirect=True)
def test_on_a_gpu(tmp_path, device):
    """Training converges and resumes on a GPU; the model gives the same fused image on a CPU."""
    config = replace(QUICK, epochs=12, checkpoint_steps=1)
    model = run(samples(2), tmp_path / "whole", config, device=device)
    with pytest.raises(KeyboardInterrupt):
        run(Interrupted(samples(2)), tmp_path / "parts", config, device=device)
    run(samples(2), tmp_path / "parts", config, resume=True, device=device)
    whole, parts = ([float(row["total"]) for row in rows(tmp_path / name)] for name in ("whole", "parts"))
    assert whole[-1] < 0.7 * whole[0]
    assert parts == pytest.approx(whole, rel=0.02)  # on a GPU its kernels' rounding differs from run to run
    loaded = load_checkpoint(tmp_path / "whole" / "model.safetensors")
    pair = torch.rand(2, 1, 1, 33, 35)
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        there = model.eval()(*pair.to(device)).fused.cpu()
        torch.testing.assert_close(loaded(*pair).fused, there, rtol=0, atol=1e-4)


def test_a_folder_with_a_checkpoint_is_not_overwritten(trained):
    _, folder = trained
    with pytest.raises(ValueError, match="is there already; pass resume=True"):
        run(samples(2), folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": replace(QUICK, epochs=12, learning_rate=1e-4)}, "made with learning_rate 0.001, .* has 0.0001"),
        ({"data": samples(3)}, "made with samples 2, but this run has 3"),
    ],
)
def test_other_settings_do_not_resume(trained, change, message):
    _, folder = trained
    arguments = {"data": samples(2), "config": replace(QUICK, epochs=12)} | change
    with pytest.raises(ValueError, match=message):
        run(folder=folder, resume=True, **arguments)
    with pytest.raises(ValueError, match="made with alpha 10.0, but this run has 5.0"):
        train(new_model(replace(FUSION, alpha=5.0)), samples(2), folder, resume=True, progress=False)


@pytest.mark.parametrize(
    "change",
    [
        *({"step": step} for step in (-1, 1.5, 2.0, True, float("inf"), float("nan"), "3", None, [3], 13, 10**400)),
        *({"training": training} for training in (None, [], "x", {})),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_checkpoint_of_a_step_that_cannot_be_is_refused(trained, tmp_path, change):
    good = trained[1] / "checkpoint.safetensors"
    with safe_open(good, "pt") as file:
        settings = json.loads(file.metadata()["moefusion"])
    if "training" in change:
        settings |= change
    else:
        settings["training"] |= change
    path = tmp_path / "checkpoint.safetensors"
    save_file(load_file(good), path, {"moefusion": json.dumps(settings)})
    with pytest.raises(ValueError, match="checkpoint.safetensors ") as refusal:
        run(samples(2), tmp_path, replace(QUICK, epochs=12), resume=True)
    assert "\n" not in str(refusal.value)
    assert "remove it to train from scratch" in str(refusal.value)
    assert len(str(refusal.value)) < 500
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_damaged_log_does_not_stop_a_training(trained, tmp_path):
    shutil.copytree(trained[1], tmp_path, dirs_exist_ok=True)
    (tmp_path / "train.csv").write_bytes(b"\xff" + (trained[1] / "train.csv").read_bytes())
    assert same(run(samples(2), tmp_path, replace(QUICK, epochs=12), resume=True).state_dict(), trained[0].state_dict())


def test_a_loss_that_is_not_finite_stops_training(tmp_path):
    model = new_model()
    with torch.no_grad():
        model.fusion.encoder["visible"].conv1.weight[0, 0, 0, 0] = float("inf")
    with pytest.raises(ValueError, match=r"stopped at step 1 \(epoch 1\): not all is finite: pixel (nan|inf)") as stop:
        train(model, samples(2), tmp_path, QUICK, progress=False)
    assert "\n" not in str(stop.value)
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_a_gradient_that_is_not_finite_stops_training(tmp_path):
    model = new_model()
    weight = model.fusion.encoder["visible"].conv1.weight
    weight.register_hook(lambda gradient: gradient / 0)
    before = weight.detach().clone()
    with pytest.raises(ValueError, match="not all is finite: gradient_norm"):
        train(model, samples(2), tmp_path, QUICK, progress=False)
    assert torch.equal(weight, before)


def test_fusion_loss_does_not_reach_the_detectors(monkeypatch):
    model = new_model()
    train_on = model.detectors.train_on
    seen = []

    def without_losses(*arguments):
        seen.append(train_on(*arguments))
        return seen[0][0], {}

    monkeypatch.setattr(model.detectors, "train_on", without_losses)
    model.training_losses(collate(samples(2))).total.backward()
    assert seen[0][0].infrared.requires_grad
    assert all(parameter.grad is None for parameter in model.detectors.parameters())
    for name in ("encoder.visible.conv1", "attention_merge.conv1", "local_experts.foreground.gate"):
        assert model.fusion.get_submodule(name).weight.grad.any(), name


def test_both_parts_learn_from_one_loss():
    model = new_model()
    losses = model.training_losses(collate(samples(2)))
    losses.total.backward()
    assert all(parameter.grad is not None for parameter in model.detectors.parameters())
    assert model.fusion.encoder["infrared"].dense3.weight.grad.any()


def test_fusing_runs_no_proposals(monkeypatch):
    model = new_model().eval()

    def fail(*_: object) -> None:
        raise AssertionError("proposals or heads ran")

    for detector in model.detectors.detectors.values():
        detector.rpn.register_forward_pre_hook(fail)
        detector.roi_heads.register_forward_pre_hook(fail)
    output = model(*torch.rand(2, 1, 1, 61, 97))
    assert output.fused.shape == (1, 1, 61, 97)
    output.fused.mean().backward()
    assert all(parameter.grad is None for parameter in model.detectors.parameters())


def test_without_attention_there_are_no_detectors(tmp_path):
    model = new_model(replace(FUSION, local_experts=False))
    assert model.detectors is None
    path = train(model, samples(2), tmp_path, replace(QUICK, epochs=1), progress=False)
    assert same(load_checkpoint(path).state_dict(), model.state_dict())
    assert "infrared_class" not in rows(tmp_path)[0]


def test_mixed_precision_leaves_fusion_in_full():
    model = new_model()
    noise = {name: torch.randn(2, 4) for name in model.fusion.gate_names}
    kinds = {}
    model.fusion.global_experts.register_forward_hook(lambda *a: kinds.__setitem__("fused", a[2].features.dtype))
    model.fusion.global_experts.gate.register_forward_hook(lambda *a: kinds.__setitem__("gate", a[2].gates.dtype))
    for expert in model.fusion.global_experts.experts:
        expert.conv2.register_forward_hook(lambda *a: kinds.__setitem__("bulk", a[2].dtype))
    for encoder in model.fusion.encoder.values():
        encoder.dense3.register_forward_hook(lambda *a: kinds.__setitem__("features", a[2].dtype))
    model.detectors.exchange.register_forward_hook(lambda *a: kinds.__setitem__("exchange", a[2].dtype))
    model.detectors.detectors["visible"].rpn.head.register_forward_hook(
        lambda *a: kinds.__setitem__("proposals", a[2][1][0].dtype)
    )
    batch = collate(samples(2))
    full = model.training_losses(batch, noise=noise)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model.training_losses(batch, noise=noise)
    full_precision = dict.fromkeys(("features", "fused", "gate", "proposals"), torch.float32)
    assert kinds == {"exchange": torch.bfloat16, "bulk": torch.bfloat16, **full_precision}
    mixed.total.backward()
    # bfloat16 has eight bits.
    assert mixed.terms["pixel"].item() == pytest.approx(full.terms["pixel"].item(), rel=2**-6)


@pytest.mark.parametrize("native", [True, False])
def test_mixed_precision_only_where_the_processor_has_it(tmp_path, monkeypatch, capsys, native):
    monkeypatch.setattr(trainer, "computes_bfloat16", lambda device: native)
    model, kinds = new_model(), set()
    for expert in model.fusion.global_experts.experts:
        expert.conv2.register_forward_hook(lambda *a: kinds.add(a[2].dtype))
    train(model, samples(2), tmp_path, replace(QUICK, epochs=1, mixed_precision=True), progress=False)
    assert kinds == {torch.bfloat16 if native else torch.float32}
    assert ("trains in float32" in capsys.readouterr().out) != native


def test_progress_bar_and_tensorboard(tmp_path, monkeypatch, capsys):
    train(new_model(), samples(2), tmp_path, replace(QUICK, epochs=1))
    assert "global experts" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match="needs the package tensorboard"):
        run(samples(2), tmp_path / "other", replace(QUICK, tensorboard=True))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda good: None, "is no file; expected a checkpoint"),
        (lambda good: b"nothing", "is damaged, or no safetensors file"),
        (lambda good: good[: len(good) // 2], "is damaged, or no safetensors file"),
        (lambda good: good.replace(b'\\"format\\": 1', b'\\"format\\": 7'), "is of format 7; this version reads 1"),
        (lambda good: good.replace(b'\\"classes\\": 2', b'\\"classes\\": 3'), "does not fit the model .*size mismatch"),
        (lambda good: good.replace(b'\\"alpha\\"', b'\\"omega\\"'), "cannot build a model from: unknown field .*omega"),
        (lambda good: good.replace(b'{"moefusion":', b'{"moefusi0n":'), "no checkpoint of a MoEFusion model"),
    ],
)
def test_damaged_checkpoints_are_refused(trained, tmp_path, make: Callable[[bytes], bytes | None], message):
    good = (trained[1] / "model.safetensors").read_bytes()
    path = tmp_path / "model.safetensors"
    bad = make(good)
    assert bad != good
    if bad is not None:
        path.write_bytes(bad)
    with pytest.raises(ValueError, match=message) as refusal:
        load_checkpoint(path)
    assert "\n" not in str(refusal.value)


def test_a_checkpoint_without_gate_input_has_raw_gates(tmp_path):
    model = new_model(replace(FUSION, gate_input="raw")).eval()
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, model)
    with safe_open(path, "pt") as file:
        settings = json.loads(file.metadata()["moefusion"])
    del settings["fusion"]["gate_input"]
    save_file(load_file(path), path, {"moefusion": json.dumps(settings)})
    loaded = load_checkpoint(path)
    assert loaded.fusion_config == model.fusion_config
    assert same(loaded.state_dict(), model.state_dict())


def test_a_halved_checkpoint_fuses_the_same_but_for_a_rounding(trained, tmp_path):
    source = trained[1] / "model.safetensors"
    halve_checkpoint(source, tmp_path / "half.safetensors")
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * source.stat().st_size
    infrared, visible = torch.rand(2, 1, 1, 48, 64, generator=torch.Generator().manual_seed(3))
    whole, half = (load_checkpoint(path)(infrared, visible) for path in (source, tmp_path / "half.safetensors"))
    assert half.fused.dtype == torch.float32
    assert (whole.fused - half.fused).abs().max() < 0.5 / 255
    before, after = (json.loads(p.read_text()) for p in (source.with_suffix(".json"), tmp_path / "half.json"))
    assert after == before


def test_checkpoints_hold_the_gates_statistics(trained):
    _, folder = trained
    statistics = {n: v for n, v in load_file(folder / "model.safetensors").items() if ".gate.standardise." in n}
    # Three gates, and twelve steps have counted.
    assert sorted(name.rpartition(".")[2] for name in statistics) == ["batches"] * 3 + ["mean"] * 3 + ["variance"] * 3
    assert all(value == 12 for name, value in statistics.items() if name.endswith("batches"))
    assert all(value.any() for value in statistics.values())


def test_a_checkpoint_that_lacks_weights_is_refused(trained, tmp_path):
    good = trained[1] / "model.safetensors"
    header = json.loads((trained[1] / "model.json").read_text())
    tensors = load_file(good)
    tensors.pop("model.fusion.encoder.visible.conv1.bias")
    save_file(tensors, tmp_path / "model.safetensors", {"moefusion": json.dumps(header)})
    with pytest.raises(ValueError, match="does not fit .*Missing key.*encoder.visible.conv1.bias"):
        load_checkpoint(tmp_path / "model.safetensors")


GOOD = samples(1)[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"infrared": GOOD.infrared[0]}, r"sample 0: infrared: expected a float image \(1, H, W\), got \(48, 64\)"),
        ({"visible": GOOD.visible * 255}, r"sample 0: visible: expected values in \[0, 1\], got 0.\d+ to 76"),
        ({"visible": GOOD.visible[..., 1:]}, "expected one size"),
        ({"boxes": GOOD.boxes[0]}, r"expected boxes \(K, 4\)"),
        ({"boxes": GOOD.boxes[:, [2, 1, 0, 3]]}, "expected x0 < x1"),
        ({"labels": torch.tensor([3])}, r"labels: expected whole numbers from 1 to 2, got \[3\]"),
    ],
)
def test_samples_that_cannot_be_trained_on_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        PreparedSamples([GOOD._replace(**changes)], classes=2, size=None)[0]


def test_an_error_in_a_loading_process_stays_one_line(tmp_path):
    before = set(multiprocessing.active_children())
    bad = [GOOD, GOOD._replace(labels=torch.tensor([0]))]
    with pytest.raises(ValueError, match="^sample 1: labels: expected") as refusal:
        run(bad, tmp_path, replace(QUICK, workers=1))
    assert "\n" not in str(refusal.value)
    # Although the error's traceback is still held.
    assert set(multiprocessing.active_children()) <= before


def test_sizes_that_differ_need_resize():
    small = resize(GOOD, (24, 32))
    with pytest.raises(ValueError, match="Set TrainingConfig.resize"):
        collate([GOOD, small])
    data = PreparedSamples([GOOD, small], classes=2, size=SIZE)
    assert collate([data[0], data[1]]).infrared.shape == (2, 1, *SIZE)


def test_resize_moves_the_boxes_along():
    infrared = torch.zeros(1, 20, 40)
    infrared[:, 5:10, 8:16] = 1
    sample = Sample(infrared, infrared, torch.tensor([[8.0, 5.0, 16.0, 10.0]]), torch.tensor([1]))
    resized = resize(sample, (40, 120))
    assert resized.boxes.tolist() == [[24.0, 10.0, 48.0, 20.0]]
    # The bright rectangle is where the box is: its centre of mass is the box's middle, half a pixel off.
    mass = resized.infrared[0] / resized.infrared.sum()
    assert (mass.sum(0) * torch.arange(120)).sum().item() == pytest.approx(35.5, abs=1e-4)
    assert (mass.sum(1) * torch.arange(40)).sum().item() == pytest.approx(14.5, abs=1e-4)


@pytest.mark.parametrize("crop", [None, (20, 30), (60, 50)])
@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_windows_and_mirroring_move_the_boxes_along(crop, flip):
    """Where one band is bright and the other dark, there is the box, in whatever window and size."""
    infrared = torch.zeros(1, 40, 50)
    infrared[:, 10:30, 5:25] = 1
    sample = Sample(infrared, 1 - infrared, torch.tensor([[5.0, 10.0, 25.0, 30.0]]), torch.tensor([2]))
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(20):
        window = augment(sample, crop, flip, generator)
        height, width = crop or (40, 50)
        assert window.infrared.shape == window.visible.shape == (1, height, width)
        assert torch.allclose(window.infrared, 1 - window.visible, atol=1e-6)
        inside = foreground_mask([window.boxes], (height, width))[0]
        # Enlarging blurs an edge over two pixels.
        assert (inside - window.infrared).abs().mean() < (0.08 if crop == (60, 50) else 1e-6)
        assert window.labels.tolist() == [2] * len(window.boxes)
        seen.add(tuple(window.boxes.flatten().tolist()))
    assert len(seen) == 1 if crop is None else len(seen) > 3
    if crop is None:
        assert window.boxes.tolist() == [[25.0, 10.0, 45.0, 30.0] if flip else [5.0, 10.0, 25.0, 30.0]]


def test_a_window_without_objects_has_no_boxes():
    sample = Sample(torch.zeros(1, 8, 400), torch.zeros(1, 8, 400), torch.tensor([[0.0, 0, 4, 8]]), torch.tensor([1]))
    generator = torch.Generator().manual_seed(0)
    counts = {len(augment(sample, (8, 8), 0.0, generator).boxes) for _ in range(200)}
    assert counts == {0, 1}


def test_windows_let_sizes_differ(tmp_path):
    small = resize(samples(1)[0], (24, 32))
    config = replace(QUICK, epochs=1, crop=(40, 48))
    run([small, *samples(1)], tmp_path, config)
    (row,) = rows(tmp_path)
    assert float(row["pixel"]) > 0


def test_order_of_an_epoch():
    order = epoch_order(5, 4, repeat=3, seed=7)
    assert order.shape == (4, 4)
    # 15 indices, each sample three times, and one more that fills the last batch.
    assert sorted(order.flatten()[:15].tolist()) == sorted(list(range(5)) * 3)
    assert order.flatten()[15] == order[0, 0]
    assert torch.equal(order, epoch_order(5, 4, repeat=3, seed=7))
    assert not torch.equal(order, epoch_order(5, 4, repeat=3, seed=8))
    assert epoch_order(1, 4, repeat=1, seed=0).tolist() == [[0, 0, 0, 0]]


def test_the_gradient_loss_counts_from_its_start(tmp_path):
    run(samples(4), tmp_path, replace(QUICK, epochs=2, gradient_start=3))
    found = [{name: float(value) for name, value in row.items()} for row in rows(tmp_path)]
    weights = []
    for row in found:
        detection = sum(value for name, value in row.items() if name.startswith(("infrared_", "visible_")))
        weights.append((row["total"] - row["pixel"] - row["load"] - detection) / row["gradient"])
    assert weights == pytest.approx([0, 0, 0, 10], abs=1e-3)


def test_warm_up():
    config = TrainingConfig(epochs=3, learning_rate=1e-2, warmup=4)
    rates = [config.learning_rate_at(0, step) for step in range(6)]
    assert rates == pytest.approx([0.0025, 0.005, 0.0075, 0.01, 0.01, 0.01])
    assert config.learning_rate_at(0) == pytest.approx(0.01)
    assert config.learning_rate_at(2, 1) == pytest.approx(0.0005)  # a warm-up may be longer than an epoch
    assert not {"crop", "flip", "warmup", "gradient_start"} & TrainingConfig().to_dict().keys()
    assert config.to_dict()["warmup"] == 4


def test_learning_rate_of_the_recipe():
    recipe = TrainingConfig.paper()
    rates = [recipe.learning_rate_at(epoch) for epoch in range(recipe.epochs)]
    assert rates == pytest.approx([1e-4] * 16 + [1e-5] * 6 + [1e-6] * 2)
    assert TrainingConfig.public() == replace(recipe, repeat=3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs: expected a whole number from 1, got 0"),
        ({"batch": 2.0}, "batch: expected a whole number"),
        ({"learning_rate": float("nan")}, "learning_rate: expected a finite number above 0, got nan"),
        ({"resize": (480,)}, r"resize: expected \(height, width\) or None"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**settings)


def test_no_samples_no_training(tmp_path):
    with pytest.raises(ValueError, match="at least one sample"):
        run([], tmp_path)
    with pytest.raises(ValueError, match="device 'nonsense' cannot be used"):
        run(samples(1), tmp_path, device="nonsense")
    with pytest.raises(ValueError, match="classes: expected a whole number from 1"):
        MoEFusion(FUSION, DetectorConfig.small(), classes=0)


class CopiedAfterOneStep(list[Sample]):
    """Samples that keep the first checkpoint of a run as first.safetensors."""

    folder: Path

    def __getitem__(self, index):
        checkpoint, copy = self.folder / "checkpoint.safetensors", self.folder / "first.safetensors"
        if os.environ.get("RANK", "0") == "0" and checkpoint.exists() and not copy.exists():
            shutil.copy(checkpoint, copy)
        return super().__getitem__(index)


def run_without_sampling(folder: Path) -> MoEFusion:
    """Train on batches of four whose detection losses do not depend on draws.

    Which anchors and proposals a detector samples is drawn in each process; here it takes all anchors, and no
    proposals but the objects themselves.
    """
    model = new_model()
    for detector in model.detectors.detectors.values():
        detector.rpn.fg_bg_sampler.batch_size_per_image = 10**6
        detector.rpn._post_nms_top_n = {"training": 0, "testing": 0}
    # Plain small steps: Adam's first ones are of one length however small the gradient, rounding included.
    config = replace(QUICK, batch=4, epochs=3, learning_rate=1e-5, checkpoint_steps=1)
    data = CopiedAfterOneStep(samples(4))
    data.folder = folder
    train(model, data, folder, config, progress=False)
    return model


def test_two_processes(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "error", __file__, tmp_path / "two"],
            env=environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    run_without_sampling(tmp_path / "one")
    for process in started:
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0, said
    one, two = rows(tmp_path / "one"), rows(tmp_path / "two")
    assert len(one) == len(two) == 3
    for expected, row in zip(one, two, strict=True):
        assert {name: float(value) for name, value in row.items()} == pytest.approx(
            {name: float(value) for name, value in expected.items()}, rel=1e-4, abs=1e-7
        )
    assert float(one[0]["load"]) > 0
    # The running mean of the gradients: how each weight, not only all together, was to move. After one step, because
    # weights that differ in their last bit can turn the sign of a pixel's difference in the L1 losses of the next.
    for file, kinds, least in (("first", (".exp_avg",), 1e-4), ("checkpoint", ("running_mean", "running_var"), 1e-3)):
        expected, state = (load_file(tmp_path / name / f"{file}.safetensors") for name in ("one", "two"))
        assert list(state) == list(expected)
        compared = [name for name in expected if name.endswith(kinds)]
        assert compared
        for name in compared:
            error = (state[name] - expected[name]).abs().max() / expected[name].abs().max().clamp(min=1e-12)
            assert error < least, (name, error)


if __name__ == "__main__":
    run_without_sampling(Path(sys.argv[1]))
