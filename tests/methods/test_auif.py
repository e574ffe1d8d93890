import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from methods import weights
from methods.auif import AUIF, Decoder, Encoder
from metrics.errors import InputError
from metrics.images import ImageArray

FILES = {"base": "TCSVT_Encoder_Base.model", "detail": "TCSVT_Encoder_Detail.model", "decoder": "TCSVT_Decoder.model"}
State = dict[str, Tensor]


def states() -> dict[str, State]:
    """Random weights of the published scale: running variances of thousands, eta about 0.1, theta of any sign."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    result = {"base": Encoder("conv1").state_dict(), "detail": Encoder("conv2").state_dict()}
    result["decoder"] = Decoder().state_dict()
    for state in result.values():
        for name, value in state.items():
            if name.endswith("kernel"):
                state[name] = draw(*value.shape)
            elif name.endswith("running_var"):
                state[name] = 3000 * draw(1).abs() + 500 if "rest" in name else torch.tensor([0.01])
            elif name.endswith("running_mean"):
                state[name] = 20 * draw(1) if "rest" in name else torch.tensor([-0.2])
            elif name.endswith(("eta", "bias")):
                state[name] = 0.1 + 0.2 * draw(1)
            elif value.is_floating_point():
                state[name] = 0.5 + 0.2 * draw(*value.shape)
    return result


def write(folder: Path, parts: Mapping[str, object]) -> Path:
    """Write checkpoints under their official names; return their folder."""
    for part, state in parts.items():
        torch.save(state, folder / FILES[part])
    return folder


def straightforward(parts: Mapping[str, State], infrared: ImageArray, visible: ImageArray) -> NDArray[np.float64]:
    """Fuse as the original does: band after band, 64 channels in every iteration, in the weights' precision."""
    kind = parts["base"]["conv1.0.kernel"].dtype

    def norm(maps: Tensor, state: State, name: str) -> Tensor:
        keys = ("running_mean", "running_var", "weight", "bias")
        mean, variance, weight, bias = (state[f"{name}.{key}"] for key in keys)
        return F.batch_norm(maps, mean, variance, weight, bias)

    def padded(maps: Tensor, size: int) -> Tensor:
        return F.pad(maps, (size,) * 4, mode="reflect")

    def encoded(state: State, prefix: str, image: Tensor, maps: Tensor) -> Tensor:
        for layer in range(10):
            name = f"{prefix}.{layer}"
            kernel = state[f"{name}.kernel"]
            steps = F.conv2d(padded(maps, 1), kernel)
            steps = F.conv2d(padded(steps, 1), kernel.rot90(2, (2, 3)).transpose(0, 1))
            steps = F.prelu(norm(steps, state, f"{name}.rest.0"), state[f"{name}.rest.1.weight"])
            maps = maps - state[f"{name}.eta"] * (steps - state[f"{name}.theta"] * (image - maps))
        return maps

    blur = torch.full((1, 1, 11, 11), 1 / 121, dtype=kind)
    laplacian = torch.ones((1, 1, 19, 19), dtype=kind)
    laplacian[0, 0, 9, 9] = -360
    total = torch.zeros((1, 1, *infrared.shape), dtype=kind)
    for band in (infrared, visible):
        image = torch.from_numpy(band)[None, None].to(kind) / 255
        total += encoded(parts["base"], "conv1", image, F.conv2d(padded(image, 5), blur))
        total += encoded(parts["detail"], "conv2", image, F.conv2d(padded(image, 9), laplacian / 720))
    decoder = parts["decoder"]
    fused = norm(F.conv2d(padded(total, 1), decoder["decoder.1.weight"]), decoder, "decoder.2")
    result: NDArray[np.float64] = torch.sigmoid(fused)[0, 0].numpy()
    return result


def images(height: int, width: int) -> tuple[ImageArray, ImageArray]:
    """Two random images."""
    infrared, visible = np.random.default_rng(height * width).integers(0, 256, (2, height, width), dtype=np.uint8)
    return infrared, visible


def test_names_shapes_and_parameters() -> None:
    # Official checkpoints: ten layers of 576 + 1 + 1 + 2 + 1 parameters twice, and a decoder of 9 + 2.
    layer = {"kernel": (64, 1, 3, 3), "eta": (1,), "theta": (1,), "rest.1.weight": (1,)}
    norm = {"weight": (1,), "bias": (1,), "running_mean": (1,), "running_var": (1,), "num_batches_tracked": ()}
    layer |= {f"rest.0.{name}": shape for name, shape in norm.items()}
    for prefix in ("conv1", "conv2"):
        got = {name: tuple(value.shape) for name, value in Encoder(prefix).state_dict().items()}
        assert got == {f"{prefix}.{index}.{name}": shape for index in range(10) for name, shape in layer.items()}
    got = {name: tuple(value.shape) for name, value in Decoder().state_dict().items()}
    assert got == {"decoder.1.weight": (1, 1, 3, 3)} | {f"decoder.2.{name}": shape for name, shape in norm.items()}
    counts = [sum(p.numel() for p in part.parameters()) for part in (Encoder("conv1"), Encoder("conv2"), Decoder())]
    assert counts == [5_810, 5_810, 11]
    assert sum(counts) == AUIF.record.parameters == 11_631


@pytest.mark.parametrize("size", [(10, 10), (37, 53), (64, 11)])
def test_agrees_with_the_originals_order_of_computation(tmp_path: Path, size: tuple[int, int]) -> None:
    parts = states()
    infrared, visible = images(*size)
    method = AUIF(weights=str(write(tmp_path, parts)), device="cpu")
    exact = {part: {name: value.double() for name, value in state.items()} for part, state in parts.items()}
    expected = straightforward(exact, infrared, visible)
    raw = method.raw(infrared, visible)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(raw, expected, rtol=0, atol=2e-5)
    np.testing.assert_array_equal(method.fuse(infrared, visible), np.rint(255 * raw).astype(np.uint8))
    assert method.settings()["official weights"] is False


@pytest.mark.parametrize("size", [(1, 1), (9, 40), (40, 3)])
def test_small_images_are_padded_and_cropped(tmp_path: Path, size: tuple[int, int]) -> None:
    infrared, visible = images(*size)
    method = AUIF(weights=str(write(tmp_path, states())), device="cpu")
    extra = [(0, max(0, 10 - side)) for side in size]
    padded = method.fuse(np.pad(infrared, extra, mode="edge"), np.pad(visible, extra, mode="edge"))
    np.testing.assert_array_equal(method.fuse(infrared, visible), padded[: size[0], : size[1]])


class _Runs:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('code in a checkpoint was run')",))


@pytest.mark.parametrize("part", ["base", "decoder"])
@pytest.mark.parametrize(
    "damage", ["truncated", "no tensors", "a list", "code", "a name short", "a name too many", "another shape"]
)
def test_damaged_checkpoints_are_refused(tmp_path: Path, part: str, damage: str) -> None:
    parts: dict[str, object] = {**states()}
    state = states()[part]
    name = next(name for name in state if name.endswith(("kernel", "1.weight")))
    if damage == "another shape":
        state[name] = state[name][..., :2]
    elif damage == "a name short":
        del state[name]
    elif damage == "a name too many":
        state["more"] = torch.zeros(1)
    damaged = {"no tensors": dict.fromkeys(state, "text"), "a list": list(state.values()), "code": _Runs()}
    path = write(tmp_path, parts | {part: damaged.get(damage, state)}) / FILES[part]
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=path.name) as error:
        AUIF(weights=str(tmp_path), device="cpu")
    assert "\n" not in str(error.value)


def test_a_large_pair_needs_little_memory(tmp_path: Path) -> None:
    # 64 channels of 1280x1024 in float32 are 336 MB; the original holds several of them at once.
    folder = write(tmp_path, states())
    code = (
        "import json, resource, sys, numpy as np; from methods.auif import AUIF\n"
        "used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "method = AUIF(weights=sys.argv[1], device='cpu'); before = used()\n"
        "pair = np.random.default_rng(0).integers(0, 256, (2, 1024, 1280), dtype=np.uint8)\n"
        "shape = method.fuse(*pair).shape; print(json.dumps([shape, before, used()]))"
    )
    said = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    shape, before, peak = json.loads(said.stdout)
    megabyte = 1024**2 if sys.platform == "darwin" else 1024
    assert shape == [1024, 1280]
    assert (peak - before) / megabyte < 500
    assert peak / megabyte < 4096


@pytest.mark.shared
def test_official_output(shared: Path, device: str) -> None:
    case = np.load(shared / "golden" / "auif_TNO_10.npz")
    method = AUIF(weights=str(shared / "weights" / "auif"), device=device)
    assert all(weights.official(method.files[file.name], file) for file in AUIF.record.files)
    assert method.settings()["official weights"] is True
    np.testing.assert_allclose(method.raw(case["ir"], case["vis"]), case["raw"], rtol=0, atol=1e-4)
    difference = np.abs(method.fuse(case["ir"], case["vis"]).astype(int) - case["picture"])
    assert difference.max() <= 1
    assert np.mean(difference > 0) <= 1e-3
