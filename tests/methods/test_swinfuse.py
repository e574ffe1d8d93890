"""SwinFuse: the network as its code runs it, its tiles, and its image."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

import methods.swinfuse
from methods.swinfuse import SwinFuse, SwinFuseNetwork
from metrics.images import ImageArray

HEADS = {"EN1_0": 1, "EN2_0": 2, "EN3_0": 4}
NAME = "Final_epoch_50_Mon_Feb_14_17_37_05_2022_1e3.model"
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    """Weights of which none is left at a value that does nothing; the mask is left out."""
    torch.manual_seed(4)
    state = SwinFuseNetwork().state_dict()
    for name, tensor in state.items():
        if "norm" in name and name.endswith("weight"):
            tensor.uniform_(0.3, 1.5)
        elif "norm" in name or name.endswith("bias_table"):
            tensor.normal_(0, 0.5)
    return {name: tensor for name, tensor in state.items() if not name.endswith("attn_mask")}


@pytest.fixture
def path(tmp_path: Path, state: State) -> Path:
    torch.save(state, tmp_path / NAME)
    return tmp_path / NAME


def pair(height: int, width: int) -> tuple[ImageArray, ImageArray]:
    infrared, visible = np.random.default_rng(height).integers(0, 256, (2, height, width), dtype=np.uint8)
    return infrared, visible


def encoded(state: State, tile: Tensor) -> Tensor:
    """The published encoder of one whole tile (H, W), in float64: (96, H, W)."""
    numbers = {name: tensor.double() for name, tensor in state.items()}
    height, width = tile.shape

    def linear(name: str, given: Tensor) -> Tensor:
        return given @ numbers[f"{name}.weight"].T + numbers[f"{name}.bias"]

    def norm(name: str, given: Tensor) -> Tensor:
        return F.layer_norm(given, (96,), numbers[f"{name}.weight"], numbers[f"{name}.bias"])

    kernel, bias = numbers["patch_embed.proj.weight"], numbers["patch_embed.proj.bias"]
    tokens = norm("patch_embed.norm", F.conv2d(tile[None, None], kernel, bias)[0].permute(1, 2, 0))
    for stage, heads in HEADS.items():
        block = f"{stage}.blocks.0"
        table = numbers[f"{block}.attn.relative_position_bias_table"]
        places = [(row, column) for row in range(7) for column in range(7)]
        bias = torch.stack([table[(a - c + 6) * 13 + b - d + 6] for a, b in places for c, d in places])
        bias = bias.view(49, 49, heads).permute(2, 0, 1)
        qkv = linear(f"{block}.attn.qkv", norm(f"{block}.norm1", tokens))
        attended = torch.empty_like(tokens)
        for top in range(0, height, 7):
            for left in range(0, width, 7):
                window = qkv[top : top + 7, left : left + 7].reshape(49, 3, heads, 96 // heads)
                query, key, value = window.permute(1, 2, 0, 3)
                scores = query @ key.transpose(1, 2) * (96 / heads) ** -0.5 + bias
                mixed = (scores.softmax(-1) @ value).transpose(0, 1).reshape(7, 7, 96)
                attended[top : top + 7, left : left + 7] = mixed
        inner = tokens + linear(f"{block}.attn.proj", attended)
        hidden = F.gelu(linear(f"{block}.mlp.fc1", norm(f"{block}.norm2", inner)))
        tokens = inner + linear(f"{block}.mlp.fc2", hidden) + tokens
    return norm("norm", tokens).permute(2, 0, 1)


def expected(state: State, infrared: ImageArray, visible: ImageArray, tile: int) -> NDArray[np.float64]:
    """The published fusion in float64: whole tiles, their remainder filled with 0 after the scaling."""
    height, width = infrared.shape
    extra = (0, -width % tile, 0, -height % tile)
    bands = [F.pad((torch.from_numpy(band).double() - 127.5) / 127.5, extra) for band in (infrared, visible)]
    fused = torch.empty_like(bands[0])
    for top in range(0, fused.shape[0], tile):
        for left in range(0, fused.shape[1], tile):
            here = (slice(top, top + tile), slice(left, left + tile))
            ours, theirs = (encoded(state, band[here]) for band in bands)
            total = torch.zeros_like(ours)
            for over in ((1, 2), (0,)):
                powers = [maps.abs().mean(over, keepdim=True).exp() for maps in (ours, theirs)]
                whole = powers[0] + powers[1] + 1e-5
                total += powers[0] / whole * ours + powers[1] / whole * theirs
            decoded = F.conv2d(total[None], state["conv.weight"].double(), state["conv.bias"].double())
            fused[here] = (decoded[0, 0].tanh() / 2 + 0.5) * 255
    result: NDArray[np.float64] = fused[:height, :width].numpy()
    return result


def test_official_names_shapes_and_parameters() -> None:
    linear = {"attn.qkv": (288, 96), "attn.proj": (96, 96), "mlp.fc1": (384, 96), "mlp.fc2": (96, 384)}
    shapes: dict[str, tuple[int, ...]] = {
        "patch_embed.proj.weight": (96, 1, 1, 1),
        "conv.weight": (1, 96, 1, 1),
        "conv.bias": (1,),
        "prelu.weight": (1,),
    }
    shapes |= {f"patch_embed.{name}": (96,) for name in ("proj.bias", "norm.weight", "norm.bias")}
    shapes |= {f"norm.{part}": (96,) for part in ("weight", "bias")}
    shapes |= {f"norm_up.{part}": (192,) for part in ("weight", "bias")}
    for stage, heads in HEADS.items():
        for number in range(6):
            block = f"{stage}.blocks.{number}"
            shapes |= {f"{block}.norm{which}.{part}": (96,) for which in (1, 2) for part in ("weight", "bias")}
            shapes |= {f"{block}.{name}.weight": shape for name, shape in linear.items()}
            shapes |= {f"{block}.{name}.bias": shape[:1] for name, shape in linear.items()}
            shapes[f"{block}.attn.relative_position_bias_table"] = (169, heads)
            shapes[f"{block}.attn.relative_position_index"] = (49, 49)
            if number % 2:
                shapes[f"{block}.attn_mask"] = (1024, 49, 49)
    assert len(shapes) == 272
    network = SwinFuseNetwork()
    assert {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} == shapes
    assert sum(parameter.numel() for parameter in network.parameters()) == SwinFuse.record.parameters == 2_021_276


# With smaller tiles the published way of computing is quick enough; 7 is the side of a window.
@pytest.mark.parametrize("size", [(18, 24), (14, 28), (1, 1), (9, 1)])
def test_agrees_with_the_published_computation(
    path: Path, state: State, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(methods.swinfuse, "_TILE", 14)
    images = pair(*size)
    method = SwinFuse(weights=str(path), device="cpu")
    reference = expected(state, *images, tile=14)
    np.testing.assert_allclose(method.raw(*images), reference, rtol=0, atol=2e-3)
    assert size == (1, 1) or np.ptp(reference) > 1
    fused = method.fuse(*images)
    assert fused.dtype == np.uint8
    assert fused.shape == size


def test_a_tile_does_not_see_the_next(path: Path) -> None:
    infrared, visible = pair(10, 231)
    method = SwinFuse(weights=str(path), device="cpu")
    whole = method.raw(infrared, visible)
    for part in (slice(0, 224), slice(224, 231)):
        np.testing.assert_allclose(method.raw(infrared[:, part], visible[:, part]), whole[:, part], rtol=0, atol=1e-3)


def test_the_shifted_window_mask() -> None:
    # Swin's: windows of a grid shifted by 3, rolled over the image's end, where far pixels meet in a window.
    rolled = torch.arange(224**2).view(224, 224).roll((-3, -3), (0, 1))
    windows = rolled.unfold(0, 7, 7).unfold(1, 7, 7).reshape(1024, 49)
    rows, columns = windows // 224, windows % 224
    far = torch.zeros(1024, 49, 49, dtype=torch.bool)
    for line in (rows, columns):
        far |= (line[:, :, None] - line[:, None, :]).abs() > 6
    expected_mask = torch.where(far, -100.0, 0.0)
    masks = [table for name, table in SwinFuseNetwork().state_dict().items() if name.endswith("attn_mask")]
    assert len(masks) == 9
    assert all(torch.equal(mask, expected_mask) for mask in masks)


def test_image_is_stretched_and_cut_off(path: Path) -> None:
    method = SwinFuse(weights=str(path), device="cpu")
    # (x - 20) / (120 - 20) * 255: 0, 127.5, 254.9, 255.
    assert method.image(np.array([[20, 70, 119.96, 120]], dtype=np.float32)).tolist() == [[0, 127, 254, 255]]
    assert method.image(np.full((2, 3), 80, dtype=np.float32)).tolist() == [[0] * 3] * 2


def test_a_file_with_every_table_gives_the_same(path: Path, state: State, tmp_path: Path) -> None:
    whole = tmp_path / "whole.model"
    torch.save(SwinFuseNetwork().state_dict() | state, whole)
    images = pair(12, 15)
    ours, theirs = (SwinFuse(weights=str(file), device="cpu").raw(*images) for file in (path, whole))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.shared
def test_tables_are_the_official_codes(shared: Path) -> None:
    state = torch.load(shared / "weights" / "swinfuse_synthetic" / "params_without_attn_mask.pt", weights_only=True)
    ours = SwinFuseNetwork().state_dict()
    tables = [name for name in state if name.endswith("relative_position_index")]
    assert len(tables) == 18
    assert all(torch.equal(state[name], ours[name]) for name in tables)
