"""PIAFusion: the released network's layers and colours, from a TensorFlow checkpoint."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from methods.piafusion import PIAFusion, PIAFusionNetwork, exchange, recolour_image
from metrics.errors import InputError
from tests.methods.checkpoints import bundle, golden_cases

# Names in the authors' checkpoint, with kernels (height, width, in, out).
LAYERS = {
    "encoder/conv5x5_vi": (1, 1, 1, 16),
    "encoder/conv5x5_ir": (1, 1, 1, 16),
    "encoder/Conv1/conv3x3": (3, 3, 16, 16),
    "encoder/Conv2/conv3x3": (3, 3, 16, 32),
    "encoder/Conv3/conv3x3": (3, 3, 32, 64),
    "encoder/Conv4/conv3x3": (3, 3, 64, 128),
    "decoder/conv1": (3, 3, 256, 256),
    "decoder/conv2": (3, 3, 256, 128),
    "decoder/conv3": (3, 3, 128, 64),
    "decoder/conv4": (3, 3, 64, 32),
    "decoder/conv1x1": (1, 1, 32, 1),
}
INDEX, DATA = (file.name for file in PIAFusion.record.files)
Tensors = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    """Random weights, of a size that keeps the features' scale; and the illumination network, of which one bias."""
    random = np.random.default_rng(11)
    found = {"classifier/Classifier/conv1/bias": np.zeros(16, np.float32)}
    for name, shape in LAYERS.items():
        scale = np.sqrt(2 / np.prod(shape[:3]))
        found[f"PIAFusion/{name}/kernel"] = (scale * random.standard_normal(shape)).astype(np.float32)
        found[f"PIAFusion/{name}/bias"] = (0.1 * random.standard_normal(shape[3])).astype(np.float32)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tensors: Tensors) -> Path:
    path = tmp_path_factory.mktemp("piafusion")
    index, data = bundle(tensors)
    (path / INDEX).write_bytes(index)
    (path / DATA).write_bytes(data)
    return path


def pair(height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    random = np.random.default_rng(height)
    return random.integers(0, 256, (height, width), np.uint8), random.integers(0, 256, (height, width, 3), np.uint8)


def expected(tensors: Tensors, infrared: NDArray[np.uint8], visible: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The released network, layer by layer, in float64."""

    def layer(name: str, maps: Tensor) -> Tensor:
        kernel, bias = (torch.from_numpy(tensors[f"PIAFusion/{name}/{part}"]).double() for part in ("kernel", "bias"))
        border = kernel.shape[0] // 2
        padded = np.pad(maps.numpy(), ((0, 0), (border, border), (border, border)), mode="reflect")
        return F.conv2d(torch.from_numpy(padded)[None], kernel.permute(3, 2, 0, 1), bias)[0]

    def leaky(maps: Tensor) -> Tensor:
        return torch.maximum(maps, 0.2 * maps)

    red, green, blue = torch.from_numpy(visible).double().permute(2, 0, 1) / 255
    v = leaky(layer("encoder/conv5x5_vi", (0.257 * red + 0.564 * green + 0.098 * blue + 16 / 255)[None]))
    i = leaky(layer("encoder/conv5x5_ir", torch.from_numpy(infrared)[None].double() / 255))
    for number in (1, 2, 3):
        v, i = (leaky(layer(f"encoder/Conv{number}/conv3x3", maps)) for maps in (v, i))
        v, i = (
            v + torch.sigmoid((i - v).mean((1, 2)))[:, None, None] * (v - i),
            i + torch.sigmoid((v - i).mean((1, 2)))[:, None, None] * (i - v),
        )
    maps = torch.cat([leaky(layer("encoder/Conv4/conv3x3", maps)) for maps in (v, i)])
    for number in (1, 2, 3, 4):
        maps = leaky(layer(f"decoder/conv{number}", maps))
    return (layer("decoder/conv1x1", maps)[0].tanh() / 2 + 0.5).numpy().astype(np.float32)


def test_parameters() -> None:
    # 1,076,785 of 1,266,595 numbers in the authors' checkpoint; the rest is the illumination network.
    count = sum(parameter.numel() for parameter in PIAFusionNetwork().parameters())
    assert count == PIAFusion.record.parameters == 1076785
    assert count == sum(np.prod(shape) + shape[3] for shape in LAYERS.values())


@pytest.mark.parametrize("size", [(9, 7), (263, 3)])  # the higher one is decoded in two tiles
def test_network(folder: Path, tensors: Tensors, size: tuple[int, int]) -> None:
    images = pair(*size)
    raw = PIAFusion(weights=str(folder), device="cpu").raw(*images)
    np.testing.assert_allclose(raw, expected(tensors, *images), rtol=0, atol=1e-5)
    assert np.std(raw) > 0.01, "else the comparison says little"


def test_exchange_moves_the_branches_apart() -> None:
    infrared, visible = torch.full((1, 1, 2, 2), 1.0), torch.full((1, 1, 2, 2), 3.0)
    infrared, visible = exchange(infrared, visible)
    # sigmoid(2) = 0.880797, sigmoid(-2) = 0.119203: 1 - 2 x 0.880797 and 3 + 2 x 0.119203.
    assert infrared[0, 0, 0, 0].item() == pytest.approx(-0.761594, abs=1e-6)
    assert visible[0, 0, 1, 1].item() == pytest.approx(3.238406, abs=1e-6)


def test_grey_image(folder: Path) -> None:
    raw = np.array([[0.0, 16 / 255, 0.5, 0.918, 1.0]], np.float32)
    # 1.164 (255 raw - 16): -18.6, 0, 129.8, 253.9, 278.2.
    np.testing.assert_array_equal(PIAFusion(weights=str(folder), device="cpu").image(raw), [[0, 0, 130, 254, 255]])


def test_colour_image() -> None:
    raw = np.array([[0.5, 0.25]], np.float32)
    visible = np.array([[[200, 100, 50], [60, 60, 60]]], np.uint8)
    # Of (200, 100, 50): Cb - 128 = -36.75, Cr - 128 = 47.45; 1.164 (127.5 - 16) = 129.786;
    # red 129.786 + 75.730, green 129.786 + 14.406 - 38.577, blue 129.786 - 74.125. A grey pixel stays grey:
    # 1.164 (63.75 - 16) = 55.58.
    np.testing.assert_array_equal(recolour_image(raw, visible), [[[206, 106, 56], [56, 56, 56]]])


def test_grey_image_is_the_colour_image_without_colour(folder: Path) -> None:
    method = PIAFusion(weights=str(folder), device="cpu")
    visible = np.repeat(pair(20, 30)[0][:, :, None], 3, axis=2)
    raw = method.raw(visible[::-1].copy(), visible)
    difference = recolour_image(raw, visible).astype(int) - method.image(raw)[:, :, None]
    assert np.abs(difference).max() <= 1
    np.testing.assert_array_equal(raw, method.raw(visible[::-1, :, 0].copy(), visible[:, :, 0].copy()))


@pytest.mark.parametrize("kind", ["truncated", "flipped", "missing", "shape", "no index", "one file"])
def test_damaged_files(folder: Path, tmp_path: Path, tensors: Tensors, kind: str) -> None:
    index, data = (folder / INDEX).read_bytes(), (folder / DATA).read_bytes()
    name = "PIAFusion/decoder/conv4/bias"
    if kind == "truncated":
        data = data[:-1]
    elif kind == "flipped":
        data = data[:4000] + bytes([data[4000] ^ 1]) + data[4001:]
    elif kind == "missing":
        index, data = bundle({key: tensor for key, tensor in tensors.items() if key != name})
    elif kind == "shape":
        index, data = bundle({**tensors, name: tensors[name][1:]})
    (tmp_path / DATA).write_bytes(data)
    if kind != "no index":
        (tmp_path / INDEX).write_bytes(index)
    with pytest.raises(InputError, match="IAFusion.model-29") as caught:
        PIAFusion(weights=str(tmp_path / DATA if kind == "one file" else tmp_path), device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.shared
def test_authors_grey_image(shared: Path) -> None:
    """The pair of the golden output has no colour, so that the authors' image has three equal channels."""
    (case,) = golden_cases(shared, "piafusion")
    with np.load(shared / "golden" / case.file) as golden:
        method = PIAFusion(weights=str(shared / "weights" / "piafusion_synthetic"), device="cpu")
        difference = np.abs(method.fuse(golden["ir"], golden["vis"])[:, :, None].astype(int) - golden["picture"])
    assert difference.max() <= 1
    assert np.mean(difference > 0) <= 0.001
