"""YDTR: the network as published, with its tokens that are not pixels."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from methods.ydtr import YDTR, Transformer, YDTRNetwork
from metrics.images import ImageArray

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    """Weights of which none is left at a value that does nothing."""
    torch.manual_seed(2)
    state = YDTRNetwork().state_dict()
    for name, tensor in state.items():
        if "norm" in name or ".bn." in name or "bias_table" in name:
            if name.endswith(("running_var", "weight")):
                tensor.uniform_(0.3, 1.5)
            elif tensor.is_floating_point():
                tensor.normal_(0, 0.2)
    return state


@pytest.fixture
def path(tmp_path: Path, state: State) -> Path:
    torch.save(state, tmp_path / "model_10.pth")
    return tmp_path / "model_10.pth"


def pair(height: int, width: int) -> tuple[ImageArray, ImageArray]:
    infrared, visible = np.random.default_rng(height).integers(0, 256, (2, height, width), dtype=np.uint8)
    return infrared, visible


def transformed(state: State, features: Tensor) -> Tensor:
    """The published transformer in float64, with all of its attention: eight heads on windows of one token."""
    channels, height, width = features.shape
    tokens = features.contiguous().view(height, width, channels)
    for number in range(2):
        prefix = f"basicLayer.blocks.{number}"
        part = {name.removeprefix(f"{prefix}."): tensor.double() for name, tensor in state.items() if prefix in name}

        def linear(name: str, given: Tensor, part: State = part) -> Tensor:
            return given @ part[f"{name}.weight"].T + part[f"{name}.bias"]

        def norm(name: str, given: Tensor, part: State = part) -> Tensor:
            return F.layer_norm(given, (64,), part[f"{name}.weight"], part[f"{name}.bias"])

        query, key, value = linear("attn.qkv", norm("norm1", tokens)).view(height * width, 1, 3, 8, 8).unbind(2)
        scores = torch.einsum("wihd,wjhd->whij", query, key) * 8**-0.5
        scores = scores + part["attn.relative_position_bias_table"].view(1, 8, 1, 1)
        attended = torch.einsum("whij,wjhd->wihd", scores.softmax(-1), value)
        tokens = tokens + linear("attn.proj", attended.reshape(height, width, 64))
        tokens = tokens + linear("mlp.fc2", F.gelu(linear("mlp.fc1", norm("norm2", tokens))))
    return tokens.contiguous().view(channels, height, width)


def expected(state: State, infrared: ImageArray, visible: ImageArray) -> NDArray[np.float64]:
    """The published network, layer by layer, in float64."""

    def convolve(name: str, maps: Tensor, padding: int = 0) -> Tensor:
        kernel, bias = (state[f"{name}.{part}"].double() for part in ("weight", "bias"))
        return F.conv2d(maps[None], kernel, bias, padding=padding)[0]

    def encoded(image: ImageArray) -> Tensor:
        maps = convolve("convInput.conv", torch.from_numpy(np.pad(image, 1, mode="edge") / 255)[None])
        parts = ("running_mean", "running_var", "weight", "bias")
        mean, variance, weight, bias = (state[f"convInput.bn.{part}"].double()[:, None, None] for part in parts)
        return ((maps - mean) / (variance + 1e-5).sqrt() * weight + bias).relu()

    def filtered(maps: Tensor) -> Tensor:
        where = convolve("DDF.spatial_branch.body.1", convolve("DDF.spatial_branch.body.0", maps, 1), 1)
        hidden = convolve("DDF.channel_branch.fc.0", maps.mean((1, 2), keepdim=True)).relu()
        return maps * where + maps * convolve("DDF.channel_branch.fc.2", hidden)

    both = sum(transformed(state, filtered(encoded(image))) for image in (infrared, visible))
    assert isinstance(both, Tensor)
    fused = convolve("convolutional_out.conv", transformed(state, filtered(both)))
    result: NDArray[np.float64] = fused.tanh()[0].numpy()
    return result


def test_official_names_shapes_and_parameters() -> None:
    # Output and input channels and kernel size of the authors' model_10.pth.
    convolutions = {
        "convInput.conv": (64, 1, 3),
        "conv64.conv": (64, 64, 3),
        "conv.conv": (64, 128, 3),
        "convolutional_out.conv": (1, 64, 1),
        "DDF.spatial_branch.body.0": (8, 64, 3),
        "DDF.spatial_branch.body.1": (1, 8, 3),
        "DDF.channel_branch.fc.0": (8, 64, 1),
        "DDF.channel_branch.fc.2": (64, 8, 1),
    }
    linear = {"attn.qkv": (192, 64), "attn.proj": (64, 64), "mlp.fc1": (256, 64), "mlp.fc2": (64, 256)}
    shapes: dict[str, tuple[int, ...]] = {"patch_embed.norm.weight": (96,), "patch_embed.norm.bias": (96,)}
    for name, (out, channels, size) in convolutions.items():
        shapes |= {f"{name}.weight": (out, channels, size, size), f"{name}.bias": (out,)}
    for name in ("convInput", "conv64", "conv"):
        shapes |= {f"{name}.bn.{part}": (64,) for part in ("weight", "bias", "running_mean", "running_var")}
        shapes[f"{name}.bn.num_batches_tracked"] = ()
    for block in ("basicLayer.blocks.0", "basicLayer.blocks.1"):
        shapes |= {f"{block}.norm{number}.{part}": (64,) for number in (1, 2) for part in ("weight", "bias")}
        shapes |= {f"{block}.{name}.weight": shape for name, shape in linear.items()}
        shapes |= {f"{block}.{name}.bias": shape[:1] for name, shape in linear.items()}
        shapes[f"{block}.attn.relative_position_bias_table"] = (1, 8)
        shapes[f"{block}.attn.relative_position_index"] = (1, 1)
    assert len(shapes) == 61
    network = YDTRNetwork()
    assert {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} == shapes
    assert sum(parameter.numel() for parameter in network.parameters()) == YDTR.record.parameters == 217_770


# 37 * 53 is no multiple of 64, so tokens run across channels; 70 * 66 tokens are more than are taken at a time.
@pytest.mark.parametrize("size", [(37, 53), (70, 66), (1, 1), (1, 9), (3, 2)])
def test_agrees_with_the_published_computation(path: Path, state: State, size: tuple[int, int]) -> None:
    images = pair(*size)
    method = YDTR(weights=str(path), device="cpu")
    reference = expected(state, *images)
    raw = method.raw(*images)
    np.testing.assert_allclose(raw, reference, rtol=0, atol=1e-5)
    assert size == (1, 1) or np.ptp(reference) > 0.01
    fused = method.fuse(*images)
    assert fused.dtype == np.uint8
    assert fused.shape == size


def test_tokens_are_neighbours_in_memory_however_it_is_laid_out(state: State) -> None:
    transformer = Transformer().eval().requires_grad_(False)
    prefix = "basicLayer."
    own = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    transformer.load_state_dict(own)
    features = torch.randn(1, 64, 5, 7, generator=torch.Generator().manual_seed(0))
    reference = transformed(state, features[0].double())
    channels_last = features.clone(memory_format=torch.channels_last)
    for given in (features, channels_last):
        torch.testing.assert_close(transformer(given)[0].double(), reference, rtol=0, atol=1e-5)


def test_image_is_clipped_and_cut_off(path: Path) -> None:
    # 0.5 * 255 = 127.5 -> 127; 0.999 * 255 = 254.7 -> 254.
    raw = np.array([[-0.1, 0.0, 0.5, 0.999]], dtype=np.float32)
    assert YDTR(weights=str(path), device="cpu").image(raw).tolist() == [[0, 0, 127, 254]]
