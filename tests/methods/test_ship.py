"""SHIP: circular convolution of both images' features, central differences, a step of a normalising flow."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from methods.ship import SHIP, FiveTaps, InvertibleConvolution, SHIPNetwork, SpatialInteraction, recolour_image
from metrics.errors import InputError
from metrics.images import ImageArray

FILE = "SHIP_model.pth"
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    """Random weights of which none does nothing."""
    torch.manual_seed(6)
    state = SHIPNetwork().state_dict()
    for name, tensor in state.items():
        if name.endswith("invconv.p"):
            tensor.copy_(torch.eye(len(tensor))[torch.randperm(len(tensor))])
        elif name.endswith("sign_s"):
            tensor.copy_(torch.randint(0, 2, tensor.shape) * 2 - 1)
        elif "invconv" in name:
            tensor.normal_(0, 0.1)
        elif "norm" in name or "HP_branch" in name:
            tensor.uniform_(0.3, 1)
    return state


@pytest.fixture
def path(tmp_path: Path, state: State) -> Path:
    torch.save({"params": state}, tmp_path / FILE)
    return tmp_path / FILE


class Reference:
    """The published network in float64, from its weights by name."""

    def __init__(self, state: State) -> None:
        self.state = {name: tensor.double() for name, tensor in state.items()}

    def convolve(self, name: str, maps: Tensor) -> Tensor:
        weight = self.state[f"{name}.weight"]
        return F.conv2d(maps, weight, self.state[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def pair(self, name: str, maps: Tensor) -> Tensor:
        return self.convolve(f"{name}.2", self.convolve(f"{name}.0", maps).relu())

    def extract(self, name: str, image: Tensor) -> Tensor:
        maps = self.convolve(f"{name}.conv", image)
        for block in (f"{name}.block1", f"{name}.block2"):
            maps = self.convolve(f"{block}.process", maps)
            share = torch.sigmoid(self.state[f"{block}.CDC.HP_branch"])
            cross = self.difference(f"{block}.CDC.h_conv.conv.weight", ((0, 1), (1, 0), (1, 1), (1, 2), (2, 1)), maps)
            diagonal = self.difference(
                f"{block}.CDC.d_conv.conv.weight", ((0, 0), (0, 2), (1, 1), (2, 0), (2, 2)), maps
            )
            maps = self.pair(f"{block}.Res", maps) + share * cross + (1 - share) * diagonal + maps
        return maps

    def difference(self, name: str, places: tuple[tuple[int, int], ...], maps: Tensor) -> Tensor:
        taps = self.state[name][:, :, 0]
        kernel = torch.zeros(16, 16, 3, 3, dtype=torch.float64)
        for number, (row, column) in enumerate(places):
            kernel[:, :, row, column] = taps[:, :, number]
        return F.conv2d(maps, kernel, padding=1) - 0.8 * F.conv2d(maps, taps.sum(2)[..., None, None])

    def normalise(self, name: str, maps: Tensor) -> Tensor:
        weight, bias = (self.state[f"{name}.body.{part}"][:, None, None] for part in ("weight", "bias"))
        mean, variance = maps.mean(1, keepdim=True), maps.var(1, correction=0, keepdim=True)
        return (maps - mean) / (variance + 1e-5).sqrt() * weight + bias

    def spatial(self, name: str, visible: Tensor, infrared: Tensor) -> tuple[Tensor, Tensor]:
        attention = torch.fft.ifft2(torch.fft.fft2(visible) * torch.fft.fft2(infrared)).real
        fused = self.normalise(f"{name}.norm1", attention) * infrared
        for order in (1, 2, 3):
            fused = self.normalise(f"{name}.norm{order + 1}", self.pair(f"{name}.reflashFused{order}", fused))
            infrared = self.pair(f"{name}.reflashInfrared{order}", infrared)
            fused = fused * infrared
        return fused + visible, infrared

    def channel(self, name: str, visible: Tensor, infrared: Tensor) -> Tensor:
        fused = torch.cat((visible, infrared), 1)
        attention = self.pair(f"{name}.chaAtten", fused.mean((2, 3), keepdim=True)).softmax(1)
        fused = fused * attention
        for order in (1, 2, 3):
            attention = self.pair(f"{name}.reflashChaAtten{order}", attention).softmax(1)
            fused = self.pair(f"{name}.reflashFused{order}", fused) * attention
        return self.reduce(f"{name}.postprocess", fused) + visible

    def reduce(self, name: str, maps: Tensor) -> Tensor:
        factors = {part: self.state[f"{name}.0.invconv.{part}"] for part in ("p", "lower", "upper", "log_s", "sign_s")}
        size = len(factors["p"])
        lower = torch.tril(factors["lower"], -1) + torch.eye(size)
        upper = torch.triu(factors["upper"], 1) + torch.diag(factors["sign_s"] * torch.exp(factors["log_s"]))
        mixed = torch.einsum("oi,nihw->nohw", factors["p"] @ lower @ upper, maps)
        first, second = mixed[:, : size // 2], mixed[:, size // 2 :]
        first = first + self.dense(f"{name}.0.F", second)
        exponent = 0.8 * (2 * torch.sigmoid(self.dense(f"{name}.0.H", first)) - 1)
        second = second * torch.exp(exponent) + self.dense(f"{name}.0.G", first)
        return self.convolve(f"{name}.1", torch.cat((first, second), 1))

    def dense(self, name: str, maps: Tensor) -> Tensor:
        first = F.leaky_relu(self.half(f"{name}.conv1", maps), 0.2)
        second = F.leaky_relu(self.half(f"{name}.conv2", first), 0.2)
        return F.leaky_relu(self.convolve(f"{name}.conv3", torch.cat((maps, first, second), 1)), 0.2)

    def half(self, name: str, maps: Tensor) -> Tensor:
        result = self.convolve(f"{name}.conv_1", maps)
        normal, plain = result[:, :8], result[:, 8:]
        weight, bias = (self.state[f"{name}.norm.{part}"][:, None, None] for part in ("weight", "bias"))
        variance = normal.var((2, 3), correction=0, keepdim=True)
        normal = (normal - normal.mean((2, 3), keepdim=True)) / (variance + 1e-5).sqrt() * weight + bias
        result = F.leaky_relu(torch.cat((normal, plain), 1), 0.1)
        return F.leaky_relu(self.convolve(f"{name}.conv_2", result), 0.1) + self.convolve(f"{name}.identity", maps)

    def reconstruct(self, maps: Tensor) -> Tensor:
        maps = self.convolve("reconstruction.conv_in", maps)
        for layer in ("reconstruction.process.0", "reconstruction.process.1"):
            averages = self.pair(f"{layer}.process", maps).mean((2, 3), keepdim=True)
            maps = maps + torch.sigmoid(self.pair(f"{layer}.conv_du", averages)) * averages
        return self.convolve("reconstruction.conv_last", maps)

    def fuse(self, infrared: ImageArray, visible: ImageArray) -> NDArray[np.float64]:
        """Return the raw output; both images RGB, of the infrared one the red channel counts."""
        luma = visible / 255 @ np.array([0.299, 0.587, 0.114])
        v, r = self.extract("vis", _maps(luma)), self.extract("inf", _maps(infrared[..., 0] / 255))
        stages = []
        for name in ("interaction1", "interaction2", "interaction3"):
            v, r = self.spatial(f"{name}.spatial", v, r)
            v = self.channel(f"{name}.channel", v, r)
            stages.append(v)
        result: NDArray[np.float64] = self.reconstruct(self.reduce("postprocess", torch.cat(stages, 1)))[0, 0].numpy()
        return result


def _maps(image: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(image)[None, None]


def pair(height: int, width: int) -> tuple[ImageArray, ImageArray]:
    infrared, visible = np.random.default_rng(height).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    return infrared, visible


def test_official_names_and_parameters() -> None:
    # Counts of entries and numbers for each part of the authors' checkpoint.
    network = SHIPNetwork()
    state = network.state_dict()
    assert len(state) == 484
    assert sum(tensor.numel() for tensor in state.values()) == 553_029
    assert sum(parameter.numel() for parameter in network.parameters()) == SHIP.record.parameters == 547_509
    parts = {"vis.block1": (9, 9_521), "inf.block2": (9, 9_521), "postprocess.0": (59, 76_776)}
    parts |= {f"interaction{number}": (121, 141_760) for number in (1, 2, 3)}
    for part, counts in parts.items():
        own = [tensor.numel() for name, tensor in state.items() if name.startswith(f"{part}.")]
        assert (len(own), sum(own)) == counts
    assert {name.split(".", 1)[1] for name in state if name.startswith("reconstruction.process.0")} == {
        f"process.0.{layer}.{index}.{part}"
        for layer in ("process", "conv_du")
        for index in (0, 2)
        for part in ("weight", "bias")
    }
    block = "vis.block1.CDC"
    assert {name: tuple(tensor.shape) for name, tensor in state.items() if name.startswith(block)} == {
        f"{block}.HP_branch": (1,),
        f"{block}.h_conv.conv.weight": (16, 16, 1, 5),
        f"{block}.d_conv.conv.weight": (16, 16, 1, 5),
    }


@pytest.mark.parametrize("size", [(21, 34), (16, 15), (2, 3)])
def test_agrees_with_the_published_computation(path: Path, state: State, size: tuple[int, int]) -> None:
    infrared, visible = pair(*size)
    raw = SHIP(weights=str(path), device="cpu").raw(infrared, visible)
    reference = Reference(state).fuse(infrared, visible)
    assert np.ptp(reference) > 0.001
    np.testing.assert_allclose(raw, reference, rtol=0, atol=2e-5)


def test_the_spatial_attention_is_a_circular_convolution_of_the_whole_images() -> None:
    torch.manual_seed(0)
    interaction = SpatialInteraction().eval().requires_grad_(False)
    infrared, visible = torch.rand(2, 1, 16, 5, 6)
    convolution = torch.zeros(1, 16, 5, 6)
    for row in range(5):
        for column in range(6):
            shifted = torch.roll(visible, (row, column), (2, 3))
            convolution += infrared[..., row, column, None, None] * shifted
    attention = torch.fft.irfft2(torch.fft.rfft2(visible) * torch.fft.rfft2(infrared), s=(5, 6))
    torch.testing.assert_close(attention, convolution)
    # Moved pixels in one corner reach the whole image, so a tile would not do.
    before = interaction(infrared, visible)[1]
    visible[..., 0, 0] += 1
    changed = (interaction(infrared, visible)[1] - before).abs().amax((0, 1))
    assert (changed > 0).all()


def test_taps_lie_where_the_paper_has_them() -> None:
    taps = FiveTaps(1, 3, 4, 5, 7)
    with torch.no_grad():
        taps.conv.weight.copy_(torch.arange(1.0, 6.0).expand(16, 16, 1, 5))
    # The centre, 3, less 0.8 of the sum, 15.
    assert taps()[3, 4].tolist() == [[0, 1, 0], [2, -9, 4], [0, 5, 0]]


def test_only_the_strict_triangles_of_the_factors_count() -> None:
    layer = InvertibleConvolution(2).requires_grad_(False)
    layer.lower.copy_(torch.tensor([[9.0, 9], [3, 9]]))
    layer.upper.copy_(torch.tensor([[9.0, 5], [9, 9]]))
    layer.sign_s.copy_(torch.tensor([1.0, -1]))
    layer.p.copy_(torch.tensor([[0.0, 1], [1, 0]]))
    # P [[1, 0], [3, 1]] [[1, 5], [0, -1]] = [[3, 14], [1, 5]]
    unit = torch.eye(2).view(2, 2, 1, 1)  # two images, one for each channel
    assert layer(unit)[..., 0, 0].T.tolist() == [[3, 14], [1, 5]]


@pytest.mark.parametrize("size", [(1, 1), (1, 12), (12, 1)])
def test_one_pixel_is_repeated_and_cropped(path: Path, size: tuple[int, int]) -> None:
    infrared, visible = pair(*size)
    method = SHIP(weights=str(path), device="cpu")
    extra = [*((0, 2 - min(side, 2)) for side in size), (0, 0)]
    padded = method.raw(np.pad(infrared, extra, mode="edge"), np.pad(visible, extra, mode="edge"))
    np.testing.assert_array_equal(method.raw(infrared, visible), padded[: size[0], : size[1]])


def test_image_is_clipped_and_rounded(path: Path) -> None:
    raw = np.array([[-0.1, 0.5, 1.3, 0.1]], np.float32)
    # 127.5 rounds to the even 128; 25.5 in float32 is above it, so 26.
    assert SHIP(weights=str(path), device="cpu").image(raw).tolist() == [[0, 128, 255, 26]]


def test_the_colour_image_has_the_visible_chroma() -> None:
    raw = np.array([[-0.1, 0.6, 1.3]], np.float32)
    visible = np.array([[[90, 90, 90], [255, 0, 0], [90, 90, 90]]], np.uint8)
    # Red has the luma 0.299, so Cr = 0.713 * 0.701 = 0.49981 and Cb = -0.564 * 0.299 = -0.16864:
    # 0.6 + 1.403 Cr > 1; 0.6 - 0.714 Cr - 0.344 Cb = 0.30115; 0.6 + 1.773 Cb = 0.30101.
    assert recolour_image(raw, visible).tolist() == [[[0, 0, 0], [255, 77, 77], [255, 255, 255]]]


@pytest.mark.parametrize("kind", ["no params", "list", "missing", "not finite"])
def test_damaged_weights(path: Path, state: State, kind: str) -> None:
    name = "interaction2.channel.chaAtten.0.bias"
    damaged: dict[str, object] = {
        "no params": state,
        "list": {"params": list(state.values())},
        "missing": {"params": {key: tensor for key, tensor in state.items() if key != name}},
        "not finite": {"params": state | {name: state[name] / 0}},
    }
    torch.save(damaged[kind], path)
    with pytest.raises(InputError, match=r"SHIP_model\.pth") as caught:
        SHIP(weights=str(path), device="cpu")
    assert "\n" not in str(caught.value)
