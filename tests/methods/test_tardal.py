"""TarDAL: the generator, its two ways of normalising, and its image."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from methods.tardal import TarDAL, TarDALGenerator
from metrics.images import ImageArray

FILES = {"dt": "tardal.pt", "tt": "tardal+.pt", "ct": "tardal++.pt"}
# Output and input channels of every convolution in the authors' files, and whether a normalisation follows.
LAYERS = {
    "encoder": (32, 2, True),
    "dense.0": (32, 32, True),
    "dense.1": (32, 64, True),
    "dense.2": (32, 96, True),
    "fuse.0": (128, 128, False),
    "fuse.1": (64, 128, True),
    "fuse.2": (32, 64, True),
    "fuse.3": (1, 32, False),
}
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    """Weights whose normalisation does something, the more so for statistics that are not the images' own."""
    torch.manual_seed(1)
    state = TarDALGenerator().state_dict()
    for name, tensor in state.items():
        if name.endswith("running_var"):
            tensor.uniform_(0.05, 0.5)
        elif name.endswith(("running_mean", "1.bias")):
            tensor.normal_(0, 0.2)
    return state


@pytest.fixture
def folder(tmp_path: Path, state: State) -> Path:
    for number, file in enumerate(FILES.values()):
        torch.save({**state, "fuse.3.0.bias": torch.tensor([number / 10])}, tmp_path / file)
    return tmp_path


def pair(height: int, width: int) -> tuple[ImageArray, ImageArray]:
    infrared, visible = np.random.default_rng(height).integers(0, 256, (2, height, width), dtype=np.uint8)
    return infrared, visible


def expected(state: State, infrared: ImageArray, visible: ImageArray, *, batch: bool) -> NDArray[np.float64]:
    """The published generator, layer by layer, in float64."""
    numbers = {name: tensor.double() for name, tensor in state.items()}

    def layer(name: str, maps: Tensor) -> Tensor:
        maps = F.conv2d(maps, numbers[f"{name}.0.weight"], numbers[f"{name}.0.bias"], padding=1)
        if LAYERS[name][2]:
            parts = ("running_mean", "running_var", "weight", "bias")
            mean, variance, weight, bias = (numbers[f"{name}.1.{part}"] for part in parts)
            maps = F.batch_norm(maps, mean.clone(), variance.clone(), weight, bias, training=batch)
        return maps.tanh() if name == "fuse.3" else maps.relu()

    maps = layer("encoder", torch.from_numpy(np.stack([infrared, visible])[None] / 255))
    for number in range(3):
        maps = torch.cat([maps, layer(f"dense.{number}", maps)], 1)
    for number in range(4):
        maps = layer(f"fuse.{number}", maps)
    result: NDArray[np.float64] = maps[0, 0].numpy()
    return result


def test_official_names_shapes_and_parameters() -> None:
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (out, channels, norm) in LAYERS.items():
        shapes |= {f"{name}.0.weight": (out, channels, 3, 3), f"{name}.0.bias": (out,)}
        if norm:
            shapes |= {f"{name}.1.{part}": (out,) for part in ("weight", "bias", "running_mean", "running_var")}
            shapes[f"{name}.1.num_batches_tracked"] = ()
    assert len(shapes) == 46
    network = TarDALGenerator()
    assert {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} == shapes
    assert sum(parameter.numel() for parameter in network.parameters()) == TarDAL.record.parameters == 296_577


@pytest.mark.parametrize("variant", TarDAL.variants)
@pytest.mark.parametrize("size", [(37, 53), (1, 2), (3, 3)])
def test_agrees_with_the_published_computation(folder: Path, state: State, variant: str, size: tuple[int, int]) -> None:
    images = pair(*size)
    method = TarDAL(variant=variant, weights=str(folder), device="cpu")
    own = {**state, "fuse.3.0.bias": torch.tensor([list(FILES).index(variant) / 10])}
    reference = expected(own, *images, batch=variant == "dt")
    raw = method.raw(*images)
    np.testing.assert_allclose(raw, reference, rtol=0, atol=1e-5)
    assert np.abs(reference - expected(own, *images, batch=variant != "dt")).max() > 1e-3
    # The same again: batch statistics leave nothing behind.
    np.testing.assert_array_equal(method.raw(*images), raw)
    fused = method.fuse(*images)
    assert fused.dtype == np.uint8
    assert fused.shape == size


def test_image_is_clipped_and_rounded_half_to_even(folder: Path) -> None:
    # 0.5 * 255 = 127.5 -> 128; 2.5 / 255 * 255 = 2.5 -> 2.
    raw = np.array([[-0.9, 0.5, 2.5 / 255, 0.999, 1.7]], dtype=np.float32)
    assert TarDAL(weights=str(folder), device="cpu").image(raw).tolist() == [[0, 128, 2, 255, 255]]


def test_weights_of_version_1_are_the_same(folder: Path, state: State, tmp_path: Path) -> None:
    newer = tmp_path / "tardal-dt.pth"
    torch.save({**state, "fuse.3.0.bias": torch.zeros(1), "use_eval": False}, newer)
    images = pair(8, 9)
    ours = TarDAL(weights=str(newer), device="cpu").raw(*images)
    np.testing.assert_array_equal(ours, TarDAL(weights=str(folder), device="cpu").raw(*images))
