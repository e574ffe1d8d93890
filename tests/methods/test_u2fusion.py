"""U2Fusion: the network from a TensorFlow checkpoint, and what the two variants do around it."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from methods.u2fusion import U2Fusion, U2FusionNetwork, recolour_image
from metrics.errors import InputError
from metrics.images import ImageArray
from tests.methods.checkpoints import bundle

# Names in the authors' checkpoint, with the kernels' channels (in, out).
LAYERS = {
    "Generator/encoder/conv1_1": (2, 44),
    "Generator/encoder/dense_block_conv1": (44, 44),
    "Generator/encoder/dense_block_conv2": (88, 44),
    "Generator/encoder/dense_block_conv3": (132, 44),
    "Generator/encoder/dense_block_conv4": (176, 44),
    "Generator/encoder/dense_block_conv5": (220, 44),
    "Generator_1/decoder/conv2_1": (264, 128),
    "Generator_1/decoder/conv2_2": (128, 64),
    "Generator_1/decoder/conv2_3": (64, 32),
    "Generator_1/decoder/conv2_4": (32, 1),
}
INDEX, DATA = (file.name for file in U2Fusion.record.files)
Tensors = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    """Random weights, of a size that keeps the features' scale."""
    random = np.random.default_rng(5)
    weights = {}
    for name, (channels, width) in LAYERS.items():
        kernel = np.sqrt(2 / (9 * channels)) * random.standard_normal((3, 3, channels, width))
        weights[f"{name}/kernel"] = kernel.astype(np.float32)
        weights[f"{name}/bias"] = (0.1 * random.standard_normal(width)).astype(np.float32)
    return weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tensors: Tensors) -> Path:
    path = tmp_path_factory.mktemp("u2fusion")
    index, data = bundle(tensors)
    (path / INDEX).write_bytes(index)
    (path / DATA).write_bytes(data)
    return path


def pair(height: int, width: int) -> tuple[ImageArray, ImageArray]:
    random = np.random.default_rng(height)
    return random.integers(0, 256, (height, width), np.uint8), random.integers(0, 256, (height, width, 3), np.uint8)


def expected(tensors: Tensors, first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """The published network, layer by layer, in float64, for two images (H, W) in [0, 1]."""

    def layer(name: str, maps: list[Tensor]) -> Tensor:
        kernel, bias = (torch.from_numpy(tensors[f"{name}/{part}"]).double() for part in ("kernel", "bias"))
        padded = np.pad(torch.cat(maps).numpy(), ((0, 0), (1, 1), (1, 1)), mode="reflect")
        return F.conv2d(torch.from_numpy(padded)[None], kernel.permute(3, 2, 0, 1), bias)[0]

    def leaky(maps: Tensor) -> Tensor:
        return torch.maximum(maps, 0.2 * maps)

    *hidden, last = LAYERS
    maps = [torch.from_numpy(np.stack([first, second]))]
    for name in hidden:
        new = leaky(layer(name, maps))
        maps = [new, *maps] if "dense_block" in name else [new]
    return (layer(last, maps)[0].tanh() / 2 + 0.5).numpy()


def test_parameters() -> None:
    # 659,217 float32 numbers are the checkpoint's 2,636,868 bytes.
    count = sum(parameter.numel() for parameter in U2FusionNetwork().parameters())
    assert count == U2Fusion.record.parameters == U2Fusion.record.files[1].bytes // 4 == 659_217
    assert count == sum(9 * channels * width + width for channels, width in LAYERS.values())


@pytest.mark.parametrize("size", [(9, 7), (263, 3)])  # the higher one is fused in two tiles
@pytest.mark.parametrize("variant", U2Fusion.variants)
def test_network_and_order(folder: Path, tensors: Tensors, variant: str, size: tuple[int, int]) -> None:
    infrared, visible = pair(*size)
    raw = U2Fusion(variant=variant, weights=str(folder), device="cpu").raw(infrared, visible)
    if variant == "script":  # visible first, its luma not rounded
        reference = expected(tensors, visible @ np.array([0.299, 0.587, 0.114]) / 255, infrared / 255)
    else:  # Pillow's luma, in its own integers
        luma = (visible @ np.array([19595, 38470, 7471]) + 32768) >> 16
        reference = expected(tensors, infrared / 255, luma / 255)
    np.testing.assert_allclose(raw, reference, rtol=0, atol=1e-5)
    assert np.std(raw) > 0.01, "else the comparison says little"


def test_images(folder: Path) -> None:
    raw = np.array([[0.2, 0.3, 0.4, 0.6]], np.float32)
    script, tang = (U2Fusion(variant=name, weights=str(folder), device="cpu") for name in ("script", "tang"))
    # 255 x / 0.6: 85, 127.5, 170, 255; 255 (x - 0.2) / 0.4: 0, 63.75, 127.5, 255. Halves may fall to either side.
    np.testing.assert_allclose(script.image(raw), [[85, 127.5, 170, 255]], rtol=0, atol=0.5)
    np.testing.assert_allclose(tang.image(raw), [[0, 64, 127.5, 255]], rtol=0, atol=0.5)
    np.testing.assert_array_equal(tang.image(np.full((2, 2), 0.5, np.float32)), np.zeros((2, 2)))


def test_recoloured() -> None:
    raw = np.array([[0.5, 0.25]], np.float32)
    visible = np.array([[[200, 100, 50], [70, 70, 70]]], np.uint8)
    # Luma 124.2: Cb = -0.1687 200 - 0.3313 100 + 0.5 50 = -41.87, Cr = 0.5 200 - 0.4187 100 - 0.0813 50 = 54.065.
    # 127.5 + 1.402 Cr = 203.299, 127.5 - 0.34414 Cb - 0.71414 Cr = 103.299, 127.5 + 1.772 Cb = 53.306; 63.75 for the
    # grey pixel; all stretched by 255 / 203.299.
    np.testing.assert_array_equal(recolour_image(raw, visible), [[[255, 130, 67], [80, 80, 80]]])


@pytest.mark.parametrize("kind", ["truncated", "missing", "shape"])
def test_damaged_files(folder: Path, tmp_path: Path, tensors: Tensors, kind: str) -> None:
    index, data = (folder / INDEX).read_bytes(), (folder / DATA).read_bytes()
    name = "Generator_1/decoder/conv2_3/bias"
    if kind == "truncated":
        data = data[:-1]
    elif kind == "missing":
        index, data = bundle({key: tensor for key, tensor in tensors.items() if key != name})
    else:
        index, data = bundle({**tensors, name: tensors[name][1:]})
    (tmp_path / DATA).write_bytes(data)
    (tmp_path / INDEX).write_bytes(index)
    with pytest.raises(InputError, match="model.ckpt") as caught:
        U2Fusion(weights=str(tmp_path), device="cpu")
    assert "\n" not in str(caught.value)
