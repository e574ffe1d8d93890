"""LRRNet: learned shrinkage with a threshold that may be negative; both stretches with their small constant."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from methods import lrrnet
from methods.lrrnet import LRRNet, LRRNetwork, fuse_in_cache, shrink
from metrics.images import ImageArray

FILE = LRRNet.record.files[0].name
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    """Random weights; thresholds and the share that is kept matter, and some thresholds are negative."""
    torch.manual_seed(5)
    state = LRRNetwork().state_dict()
    for name, tensor in state.items():
        if name.endswith("lamj"):
            tensor.uniform_(-0.01, 0.2)
        elif name.endswith("lamz"):
            tensor.uniform_(0.3, 0.9)
    return state


@pytest.fixture
def path(tmp_path: Path, state: State) -> Path:
    torch.save(state, tmp_path / FILE)
    return tmp_path / FILE


def pair(height: int, width: int) -> tuple[ImageArray, ImageArray]:
    infrared, visible = np.random.default_rng(height).integers(30, 200, (2, height, width), dtype=np.uint8)
    return infrared, visible


def expected(state: State, infrared: ImageArray, visible: ImageArray) -> NDArray[np.float64]:
    """The published network in float64."""

    def convolve(name: str, maps: Tensor) -> Tensor:
        weight, bias = (state[f"{name}.conv2d.{part}"].double() for part in ("weight", "bias"))
        return F.conv2d(F.pad(maps, (1, 1, 1, 1), mode="reflect"), weight, bias)

    def decompose(name: str, pixels: ImageArray) -> Tensor:
        levels = torch.from_numpy(pixels.astype(np.float64))[None, None]
        image = (levels - levels.min()) / (levels.max() - levels.min() + 1e-5)
        thresholds = state[f"{name}.lamj"].double()[..., None, None]
        codes = convolve(f"{name}.conv_W00", image)
        for step in range(5):
            codes = torch.sign(codes) * torch.maximum(codes.abs() - thresholds, torch.zeros(()))
            if step < 4:
                block = f"{name}.lrrblock{step}"
                residual = image - convolve(f"{block}.conv_Wdz", codes)
                codes = state[f"{name}.lamz"].double() * codes + convolve(f"{block}.conv_Wdtz", residual)
        return codes

    x, y = decompose("get_ls1", infrared), decompose("get_ls2", visible)
    low_rank = [convolve("decoder.conv_ReZx", x[:, :128]), convolve("decoder.conv_ReZy", y[:, :128])]
    sparse = [convolve("decoder.conv_ReUx", x[:, 128:]), convolve("decoder.conv_ReUy", y[:, 128:])]
    fused = convolve("decoder.conv_ReL", torch.cat(low_rank, 1)) + convolve("decoder.conv_ReH", torch.cat(sparse, 1))
    result: NDArray[np.float64] = fused[0, 0].numpy()
    return result


def test_official_names_shapes_and_parameters() -> None:
    # The authors' checkpoint: output and input channels; all kernels are 3x3.
    layers = {f"decoder.conv_Re{part}": (1, 128) for part in ("Zx", "Ux", "Zy", "Uy")}
    layers |= {f"decoder.conv_Re{part}": (1, 2) for part in ("L", "H")}
    shapes: dict[str, tuple[int, ...]] = {}
    for branch in ("get_ls1", "get_ls2"):
        shapes |= {f"{branch}.lamj": (1, 256), f"{branch}.lamz": (1, 1)}
        layers[f"{branch}.conv_W00"] = (256, 1)
        for step in range(4):
            layers |= {f"{branch}.lrrblock{step}.conv_Wdz": (1, 256), f"{branch}.lrrblock{step}.conv_Wdtz": (256, 1)}
    for name, (width, channels) in layers.items():
        shapes |= {f"{name}.conv2d.weight": (width, channels, 3, 3), f"{name}.conv2d.bias": (width,)}
    assert len(shapes) == 52
    network = LRRNetwork()
    assert {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} == shapes
    assert sum(parameter.numel() for parameter in network.parameters()) == LRRNet.record.parameters == 49_204


@pytest.mark.parametrize("size", [(37, 53), (2, 2), (20, 3), (3, 530)])  # 37 * 53 pixels: two pieces; 530: two tiles
def test_agrees_with_the_published_computation(path: Path, state: State, size: tuple[int, int]) -> None:
    infrared, visible = pair(*size)
    raw = LRRNet(weights=str(path), device="cpu").raw(infrared, visible)
    reference = expected(state, infrared, visible)
    assert np.ptp(reference) > 0.01
    np.testing.assert_allclose(raw, reference, rtol=0, atol=2e-6)


@pytest.mark.parametrize("pixels", [7, 1 << 20])
def test_pieces_of_any_size_give_what_the_network_gives(
    state: State, pixels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = LRRNetwork().eval().requires_grad_(False)
    network.load_state_dict(state)
    monkeypatch.setattr(lrrnet, "_PIXELS", pixels)
    infrared, visible = torch.rand(2, 1, 1, 9, 14, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(fuse_in_cache(network, infrared, visible), network(infrared, visible), rtol=0, atol=1e-6)


def test_a_negative_threshold_moves_away_from_zero_but_leaves_zero() -> None:
    codes = torch.tensor([[-0.5, 0.0, 0.2, 0.5]])
    assert shrink(codes, torch.tensor([[0.25]])).tolist() == [[-0.25, 0.0, 0.0, 0.25]]
    assert shrink(codes, torch.tensor([[-0.25]])).tolist() == [[-0.75, 0.0, pytest.approx(0.45), 0.75]]


@pytest.mark.parametrize("size", [(1, 1), (1, 12), (12, 1)])
def test_one_pixel_is_repeated_and_cropped(path: Path, size: tuple[int, int]) -> None:
    infrared, visible = pair(*size)
    method = LRRNet(weights=str(path), device="cpu")
    extra = [(0, 2 - min(side, 2)) for side in size]
    padded = method.raw(np.pad(infrared, extra, mode="edge"), np.pad(visible, extra, mode="edge"))
    np.testing.assert_array_equal(method.raw(infrared, visible), padded[: size[0], : size[1]])


def test_image_is_stretched_to_254(path: Path) -> None:
    # 255 * 0.2 / 0.20001 = 254.99 and half of it 127.49, both cut off.
    raw = np.array([[0.05, 0.15, 0.25]], np.float32)
    method = LRRNet(weights=str(path), device="cpu")
    assert method.image(raw).tolist() == [[0, 127, 254]]
    assert method.image(np.full((2, 3), 0.3, np.float32)).max() == 0
