"""SAGE: the released sub-network, its sizes and its two images."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from methods.sage import SAGE, SAGENetwork, recolour_image
from metrics.images import ImageArray

# The authors' names of the convolutions, with kernels (out, in, height, width); a normalisation follows all but the
# last, its number one higher.
LAYERS = {
    "module1.0": (32, 2, 3, 3),
    **{f"module{module}.0": (32, 32, 3, 3) for module in (2, 3, 4, 5)},
    **{f"module{module}.{index}": (32, 32, 3, 3) for module in range(1, 6) for index in (3, 6)},
    **{f"adjust_channels{module}.0": (32, 64, 1, 1) for module in (4, 5)},
    "final_decoder.0": (1, 32, 3, 3),
}
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    """Random weights, of a size that keeps the features' scale, and statistics that do something."""
    torch.manual_seed(9)
    state: State = SAGENetwork().state_dict()
    for name, tensor in state.items():
        if tensor.ndim == 4:
            tensor.normal_(0, np.sqrt(2 / tensor[0].numel()))
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif name.endswith(("running_mean", "bias")):
            tensor.normal_(0, 0.2)
    return state


@pytest.fixture
def path(tmp_path: Path, state: State) -> Path:
    torch.save(state, tmp_path / "checkpoints.pt")
    return tmp_path / "checkpoints.pt"


def pair(height: int, width: int) -> tuple[ImageArray, ImageArray]:
    random = np.random.default_rng(height)
    return random.integers(0, 256, (height, width), np.uint8), random.integers(0, 256, (height, width, 3), np.uint8)


def luma(visible: ImageArray) -> NDArray[np.int64]:
    """OpenCV's luma in its own integers."""
    red, green, blue = np.moveaxis(visible.astype(np.int64), 2, 0)
    return (4899 * red + 9617 * green + 1868 * blue + 8192) >> 14


def expected(state: State, infrared: ImageArray, visible: ImageArray) -> NDArray[np.float64]:
    """The published network, layer by layer, in float64."""
    numbers = {name: tensor.double() for name, tensor in state.items()}

    def convolution(name: str, maps: Tensor) -> Tensor:
        kernel = numbers[f"{name}.weight"]
        return F.conv2d(maps[None], kernel, numbers[f"{name}.bias"], padding=kernel.shape[-1] // 2)[0]

    def unit(module: str, index: int, maps: Tensor) -> Tensor:
        weight, bias, mean, variance = (
            numbers[f"{module}.{index + 1}.{part}"][:, None, None]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        maps = (convolution(f"{module}.{index}", maps) - mean) / (variance + 1e-5).sqrt() * weight + bias
        return torch.maximum(maps, 0.01 * maps)

    def module(number: int, maps: Tensor) -> Tensor:
        for index in (0, 3, 6):
            maps = unit(f"module{number}", index, maps)
        return maps

    def halved(maps: Tensor) -> Tensor:
        channels, height, width = maps.shape
        blocks = maps[:, : height // 2 * 2, : width // 2 * 2].reshape(channels, height // 2, 2, width // 2, 2)
        return blocks.amax((2, 4))

    def enlarge(maps: Tensor, height: int, width: int) -> Tensor:
        """Bilinear: position i of n reads (i + 1/2) m / n - 1/2 of m, within the map."""
        for axis, size in ((1, height), (2, width)):
            length = maps.shape[axis]
            at = ((torch.arange(size).double() + 0.5) * length / size - 0.5).clamp(0, length - 1)
            low = at.floor().long()
            high = (low + 1).clamp(max=length - 1)
            share = (at - low).reshape((-1, 1) if axis == 1 else (-1,))
            maps = maps.index_select(axis, low) * (1 - share) + maps.index_select(axis, high) * share
        return maps

    full = module(1, torch.from_numpy(np.stack([luma(visible), infrared])).double() / 255)
    half = module(2, halved(full))
    quarter = module(3, halved(half))
    half = module(4, unit("adjust_channels4", 0, torch.cat([enlarge(quarter, *half.shape[1:]), half])))
    full = module(5, unit("adjust_channels5", 0, torch.cat([enlarge(half, *full.shape[1:]), full])))
    return convolution("final_decoder.0", full)[0].tanh().numpy()


def test_official_names_and_shapes() -> None:
    state = SAGENetwork().state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items() if tensor.ndim == 4} == {
        f"{name}.weight": shape for name, shape in LAYERS.items()
    }
    assert len(state) == 121  # of the authors' file
    assert sum(parameter.numel() for parameter in SAGENetwork().parameters()) == SAGE.record.parameters == 135_617


@pytest.mark.parametrize("size", [(12, 16), (11, 14), (4, 5), (101, 6)])
def test_network(path: Path, state: State, size: tuple[int, int]) -> None:
    images = pair(*size)
    raw = SAGE(weights=str(path), device="cpu").raw(*images)
    np.testing.assert_allclose(raw, expected(state, *images), rtol=0, atol=1e-5)
    assert np.std(raw) > 0.01, "else the comparison says little"


def test_images(path: Path) -> None:
    method = SAGE(weights=str(path), device="cpu")
    # 255 x: -25.5, 25.4, 25.6, 127.5 (half up), 280.5.
    raw = np.array([[-0.1, 25.4 / 255, 25.6 / 255, 0.5, 1.1]], np.float32)
    np.testing.assert_array_equal(method.image(raw), [[0, 25, 26, 128, 255]])
    visible = np.array([[[200, 100, 50], [70, 70, 70]]], np.uint8)
    # Luma 124: Cr = 128 + 0.713 (200 - 124) = 182, Cb = 128 + 0.564 (50 - 124) = 86, less 127.5: 54.5 and -41.5.
    # 127.5 + 1.403 Cr = 203.96, 127.5 - 0.714 Cr - 0.344 Cb = 102.86, 127.5 + 1.773 Cb = 53.92.
    # The grey pixel's chroma is 0.5: 63.6 + 0.7, - 0.53, + 0.89.
    fused = np.array([[0.5, 63.6 / 255]], np.float32)
    np.testing.assert_array_equal(recolour_image(fused, visible), [[[204, 103, 54], [64, 63, 64]]])
