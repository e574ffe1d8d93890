"""SeAFusion: trained gradient filters, batch normalisations that are never applied, a stretch over all channels."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from methods.seafusion import SeAFusion, SeAFusionNetwork, recolour_image
from metrics.images import ImageArray

FILE = "fusionmodel_final.pth"
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    """Random weights; the normalisations are far from doing nothing, so that applying one would show."""
    torch.manual_seed(4)
    state = SeAFusionNetwork().state_dict()
    for name, tensor in state.items():
        if ".bn." in name and tensor.is_floating_point():
            tensor.uniform_(0.5, 2)
    return state


@pytest.fixture
def path(tmp_path: Path, state: State) -> Path:
    torch.save(state, tmp_path / FILE)
    return tmp_path / FILE


def expected(state: State, infrared: ImageArray, visible: ImageArray) -> NDArray[np.float64]:
    """The published network in float64; visible is RGB."""

    def convolve(name: str, maps: Tensor, **options: int) -> Tensor:
        weight, bias = (state.get(f"{name}.{part}") for part in ("weight", "bias"))
        assert weight is not None
        return F.conv2d(maps, weight.double(), None if bias is None else bias.double(), **options)

    def leaky(maps: Tensor, slope: float = 0.2) -> Tensor:
        return torch.where(maps > 0, maps, slope * maps)

    def block(name: str, maps: Tensor) -> Tensor:
        first = leaky(convolve(f"{name}.dense.conv1.conv", maps, padding=1))
        second = leaky(convolve(f"{name}.dense.conv2.conv", torch.cat((maps, first), 1), padding=1))
        dense = convolve(f"{name}.convdown.conv", torch.cat((maps, first, second), 1))
        groups = maps.shape[1]
        gradient = sum(
            convolve(f"{name}.sobelconv.{axis}", maps, padding=1, groups=groups).abs() for axis in ("convx", "convy")
        )
        assert isinstance(gradient, Tensor)
        return leaky(dense + convolve(f"{name}.convup.conv", gradient), 0.1)

    def encode(band: str, image: NDArray[np.float64]) -> Tensor:
        maps = leaky(convolve(f"{band}_conv.conv", torch.from_numpy(image)[None, None], padding=1))
        return block(f"{band}_rgbd2", block(f"{band}_rgbd1", maps))

    luma = visible / 255 @ np.array([0.299, 0.587, 0.114])
    maps = torch.cat((encode("vis", luma), encode("inf", infrared / 255)), 1)
    for number in (4, 3, 2):
        maps = leaky(convolve(f"decode{number}.conv", maps, padding=1))
    result: NDArray[np.float64] = (convolve("decode1.conv", maps, padding=1).tanh() / 2 + 0.5)[0, 0].numpy()
    return result


def test_official_names_shapes_and_parameters() -> None:
    # The authors' fusionmodel_final.pth: output and input channels and kernel size.
    shapes: dict[str, tuple[int, ...]] = {}
    layers = {f"decode{number}.conv": shape for number, shape in
              zip((4, 3, 2, 1), ((64, 96, 3), (32, 64, 3), (16, 32, 3), (1, 16, 3)), strict=True)}  # fmt: skip
    for band in ("vis", "inf"):
        layers[f"{band}_conv.conv"] = (16, 1, 3)
        for number, channels, width in ((1, 16, 32), (2, 32, 48)):
            block = f"{band}_rgbd{number}"
            layers[f"{block}.dense.conv1.conv"] = (channels, channels, 3)
            layers[f"{block}.dense.conv2.conv"] = (channels, 2 * channels, 3)
            layers[f"{block}.convdown.conv"] = (width, 3 * channels, 1)
            layers[f"{block}.convup.conv"] = (width, channels, 1)
            shapes |= {f"{block}.sobelconv.{axis}.weight": (channels, 1, 3, 3) for axis in ("convx", "convy")}
    for name, (width, channels, size) in layers.items():
        shapes |= {f"{name}.weight": (width, channels, size, size), f"{name}.bias": (width,)}
    for number, width in ((4, 64), (3, 32), (2, 16), (1, 1)):
        shapes |= {f"decode{number}.bn.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}
        shapes[f"decode{number}.bn.num_batches_tracked"] = ()
    assert len(shapes) == 72
    network = SeAFusionNetwork()
    assert {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} == shapes
    assert sum(parameter.numel() for parameter in network.parameters()) == SeAFusion.record.parameters == 166_883


@pytest.mark.parametrize("size", [(37, 53), (1, 1), (9, 270), (3, 2)])  # 270: two tiles
def test_agrees_with_the_published_computation(path: Path, state: State, size: tuple[int, int]) -> None:
    random = np.random.default_rng(size[0])
    infrared = random.integers(0, 256, size, dtype=np.uint8)
    visible = random.integers(0, 256, (*size, 3), dtype=np.uint8)
    raw = SeAFusion(weights=str(path), device="cpu").raw(infrared, visible)
    reference = expected(state, infrared, visible)
    assert size == (1, 1) or np.ptp(reference) > 0.01
    np.testing.assert_allclose(raw, reference, rtol=0, atol=2e-6)


def test_image_is_stretched_and_cut_off(path: Path) -> None:
    method = SeAFusion(weights=str(path), device="cpu")
    # (raw - 0.25) / 0.5 * 255 = 0, 127.5, 255.
    assert method.image(np.array([[0.25, 0.5, 0.75]], np.float32)).tolist() == [[0, 127, 255]]
    # A constant has nothing to stretch: 0.6 * 255 = 153.
    assert np.unique(method.image(np.full((2, 3), 0.6001, np.float32))).tolist() == [153]


def test_the_colour_image_is_stretched_over_all_channels_together() -> None:
    raw = np.array([[0.5, 0.25]], np.float32)
    visible = np.array([[[255, 0, 0], [128, 128, 128]]], np.uint8)
    # Red has the luma 0.299: Cr = 0.713 * 0.701, Cb = 0.564 * -0.299; red is cut off at 1, which is the maximum, and
    # the green of 0.5 - 0.714 Cr - 0.344 Cb = 0.20115 is the minimum.
    cr, cb = 0.713 * 0.701, -0.564 * 0.299
    green, blue = 0.5 - 0.714 * cr - 0.344 * cb, 0.5 + 1.773 * cb
    span = 1 - green
    grey = int(255 * (0.25 - green) / span)
    assert recolour_image(raw, visible).tolist() == [[[255, 0, int(255 * (blue - green) / span)], [grey] * 3]]
