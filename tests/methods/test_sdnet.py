"""SDNet: the squeeze network from a TensorFlow checkpoint, and its stretched image."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from methods.sdnet import SDNet, SDNetNetwork
from metrics.errors import InputError
from metrics.images import ImageArray
from tests.methods.checkpoints import bundle

# Names in the authors' checkpoint, with kernels (height, width, in, out); the decomposition network's are ignored.
LAYERS = {
    **{
        f"{number}_{band}": shape
        for band in ("ir", "vi")
        for number, shape in enumerate([(5, 5, 1, 16), (3, 3, 16, 16), (3, 3, 32, 16), (3, 3, 48, 16)], start=1)
    },
    "5_fuse": (1, 1, 128, 1),
}
INDEX, DATA = (file.name for file in SDNet.record.files)
Tensors = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    """Random weights, of a size that keeps the features' scale; and one bias of the decomposition network."""
    random = np.random.default_rng(7)
    weights = {"fusion_model/layer6_sept/b6_sept": np.zeros(128, np.float32)}
    for name, shape in LAYERS.items():
        kernel = np.sqrt(2 / np.prod(shape[:3])) * random.standard_normal(shape)
        weights[f"fusion_model/layer{name}/w{name}"] = kernel.astype(np.float32)
        weights[f"fusion_model/layer{name}/b{name}"] = (0.1 * random.standard_normal(shape[3])).astype(np.float32)
    return weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tensors: Tensors) -> Path:
    path = tmp_path_factory.mktemp("sdnet")
    index, data = bundle(tensors)
    (path / INDEX).write_bytes(index)
    (path / DATA).write_bytes(data)
    return path


def pair(height: int, width: int) -> tuple[ImageArray, ImageArray]:
    infrared, visible = np.random.default_rng(height).integers(0, 256, (2, height, width), dtype=np.uint8)
    return infrared, visible


def expected(tensors: Tensors, infrared: ImageArray, visible: ImageArray) -> NDArray[np.float64]:
    """The published network, layer by layer, in float64."""

    def layer(name: str, maps: Tensor) -> Tensor:
        kernel, bias = (torch.from_numpy(tensors[f"fusion_model/layer{name}/{kind}{name}"]).double() for kind in "wb")
        return F.conv2d(maps[None], kernel.permute(3, 2, 0, 1), bias, padding=kernel.shape[0] // 2)[0]

    maps: dict[tuple[int, str], Tensor] = {}
    for band, image in (("ir", infrared), ("vi", visible)):
        seen = torch.from_numpy(image)[None].double() / 127.5 - 1
        for number in (1, 2, 3, 4):
            new = layer(f"{number}_{band}", seen)
            maps[number, band] = torch.maximum(new, 0.2 * new)
            seen = torch.cat([maps[earlier, band] for earlier in range(1, number + 1)])
    features = torch.cat([maps[key] for key in sorted(maps)])  # by layer, then infrared before visible
    return layer("5_fuse", features)[0].tanh().numpy()


def test_parameters() -> None:
    # 28,705 of the 67,091 float32 numbers in the checkpoint's 268,364 bytes; 38,386 belong to the decomposition.
    count = sum(parameter.numel() for parameter in SDNetNetwork().parameters())
    assert count == SDNet.record.parameters == SDNet.record.files[1].bytes // 4 - 38_386 == 28_705
    assert count == sum(np.prod(shape) + shape[3] for shape in LAYERS.values())


@pytest.mark.parametrize("size", [(9, 7), (263, 3), (1, 1)])  # the second is fused in two tiles
def test_network(folder: Path, tensors: Tensors, size: tuple[int, int]) -> None:
    images = pair(*size)
    raw = SDNet(weights=str(folder), device="cpu").raw(*images)
    np.testing.assert_allclose(raw, expected(tensors, *images), rtol=0, atol=1e-5)
    assert size == (1, 1) or np.std(raw) > 0.01, "else the comparison says little"


def test_image_spans_all_levels(folder: Path) -> None:
    method = SDNet(weights=str(folder), device="cpu")
    # 255 (x + 0.4) / 1.2, rounded: 0, 42.5 (either side), 85, 191.25, 255.
    image = method.image(np.array([[-0.4, -0.2, 0.0, 0.5, 0.8]], np.float32))
    np.testing.assert_allclose(image, [[0, 42.5, 85, 191, 255]], rtol=0, atol=0.5)
    np.testing.assert_array_equal(method.image(np.full((2, 2), 0.5, np.float32)), np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        ("truncated", "IRVIS.model-10.data-00000-of-00001"),
        ("missing", "expected a tensor fusion_model/layer3_vi/b3_vi with 1 dimensions, found none"),
        ("shape", "IRVIS.model-10.data-00000-of-00001 does not fit SDNetNetwork"),
    ],
)
def test_damaged_files(folder: Path, tmp_path: Path, tensors: Tensors, kind: str, complaint: str) -> None:
    index, data = (folder / INDEX).read_bytes(), (folder / DATA).read_bytes()
    name = "fusion_model/layer3_vi/b3_vi"
    if kind == "truncated":
        data = data[:-1]
    elif kind == "missing":
        index, data = bundle({key: tensor for key, tensor in tensors.items() if key != name})
    else:
        index, data = bundle({**tensors, name: tensors[name][1:]})
    (tmp_path / DATA).write_bytes(data)
    (tmp_path / INDEX).write_bytes(index)
    with pytest.raises(InputError, match=complaint) as caught:
        SDNet(weights=str(tmp_path), device="cpu")
    assert "\n" not in str(caught.value)
