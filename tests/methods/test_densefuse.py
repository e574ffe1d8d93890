"""DenseFuse: both code bases' networks, fusion rules and images."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from methods.densefuse import DenseFuse, DenseFuseNetwork
from metrics.errors import InputError
from tests.methods.checkpoints import bundle

# Names and shapes of the authors' densefuse_gray.model, and the names in their TensorFlow checkpoint.
LAYERS = {
    "conv1": (16, 1, "encoder/conv1_1"),
    "DB1.denseblock.0.dense_conv": (16, 16, "encoder/dense_block_conv1"),
    "DB1.denseblock.1.dense_conv": (16, 32, "encoder/dense_block_conv2"),
    "DB1.denseblock.2.dense_conv": (16, 48, "encoder/dense_block_conv3"),
    "conv2": (64, 64, "decoder/conv2_1"),
    "conv3": (32, 64, "decoder/conv2_2"),
    "conv4": (16, 32, "decoder/conv2_3"),
    "conv5": (1, 16, "decoder/conv2_4"),
}
MEMBER = "densefuse_gray/densefuse_model_bs2_epoch4_all_weight_1e2.ckpt"
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    """Random weights; the last kernels add up to nothing, so that the output has both signs."""
    torch.manual_seed(3)
    found: State = DenseFuseNetwork().state_dict()
    found["conv5.conv2d.weight"] -= found["conv5.conv2d.weight"].mean((2, 3), keepdim=True)
    return found


def zipped(path: Path, index: bytes, data: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{MEMBER}.index", index)
        archive.writestr(f"{MEMBER}.data-00000-of-00001", data)
    return path


def tensorflow(state: State) -> dict[str, NDArray[np.float32]]:
    tensors = {"beta1_power": np.array(0.9, np.float32)}
    for ours, (_, _, theirs) in LAYERS.items():
        tensors[f"{theirs}/kernel"] = state[f"{ours}.conv2d.weight"].permute(2, 3, 1, 0).numpy()
        tensors[f"{theirs}/bias"] = state[f"{ours}.conv2d.bias"].numpy()
    return tensors


@pytest.fixture
def folder(tmp_path: Path, state: State) -> Path:
    torch.save(state, tmp_path / "densefuse_gray.model")
    zipped(tmp_path / "densefuse_gray.zip", *bundle(tensorflow(state)))
    return tmp_path


def pair(height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    infrared, visible = np.random.default_rng(height).integers(0, 256, (2, height, width), dtype=np.uint8)
    return infrared, visible


def expected(
    state: State, infrared: NDArray[np.uint8], visible: NDArray[np.uint8], variant: str
) -> NDArray[np.float32]:
    """The published network, layer by layer, in float64."""

    def layer(name: str, maps: Tensor) -> Tensor:
        padded = torch.from_numpy(np.pad(maps.numpy(), ((0, 0), (1, 1), (1, 1)), mode="reflect"))
        kernel, bias = (state[f"{name}.conv2d.{part}"].double() for part in ("weight", "bias"))
        return F.conv2d(padded[None], kernel, bias)[0]

    def encoded(image: NDArray[np.uint8]) -> Tensor:
        maps = layer("conv1", torch.from_numpy(image)[None].double()).relu()
        for number in range(3):
            new = layer(f"DB1.denseblock.{number}.dense_conv", maps).relu()
            maps = torch.cat([maps, new] if variant == "pytorch" else [new, maps])
        return maps

    ours, theirs = encoded(infrared), encoded(visible)
    activities = ours.abs().sum(0), theirs.abs().sum(0)
    maps = {
        "pytorch": (ours + theirs) / 2,
        "tf-addition": ours + theirs,
        "tf-l1": (activities[0] * ours + activities[1] * theirs) / (activities[0] + activities[1]),
    }[variant]
    for name in ("conv2", "conv3", "conv4"):
        maps = layer(name, maps).relu()
    result = layer("conv5", maps)[0]
    return (result.relu() if variant == "pytorch" else result).numpy().astype(np.float32)


def test_official_names_and_shapes() -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in DenseFuseNetwork().state_dict().items()}
    assert shapes == {
        f"{name}.conv2d.{part}": shape
        for name, (out, channels, _) in LAYERS.items()
        for part, shape in (("weight", (out, channels, 3, 3)), ("bias", (out,)))
    }
    # 74,193: the paper's own count.
    assert sum(np.prod(shape) for shape in shapes.values()) == DenseFuse.record.parameters == 74193


@pytest.mark.parametrize("variant", DenseFuse.variants)
@pytest.mark.parametrize("size", [(6, 7), (270, 5)])  # the higher one is fused in two tiles
def test_network_and_fusion(folder: Path, state: State, variant: str, size: tuple[int, int]) -> None:
    images = pair(*size)
    method = DenseFuse(variant=variant, weights=str(folder), device="cpu")
    reference = expected(state, *images, variant)
    np.testing.assert_allclose(method.raw(*images), reference, rtol=0, atol=1e-4)
    assert reference.min() == 0 if variant == "pytorch" else reference.min() < -0.01
    assert reference.max() > 0.01


def test_images(folder: Path) -> None:
    raw = np.array([[-3.0, 0.9, 254.99, 400.0]], np.float32)
    clamped = DenseFuse(weights=str(folder), device="cpu")
    np.testing.assert_array_equal(clamped.image(raw), [[0, 0, 254, 255]])
    stretched = DenseFuse(variant="tf-l1", weights=str(folder), device="cpu")
    # (x + 3) 255 / 403, rounded: 0, 2.47, 163.2, 255.
    np.testing.assert_array_equal(stretched.image(raw), [[0, 2, 163, 255]])
    np.testing.assert_array_equal(stretched.image(np.array([[0, 7, 1020]], np.float32)), [[0, 2, 255]])  # 1.75
    np.testing.assert_array_equal(stretched.image(np.full((2, 2), 9, np.float32)), np.zeros((2, 2)))


def test_no_activity_is_no_trouble(tmp_path: Path, state: State) -> None:
    silent = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    silent["conv5.conv2d.bias"] += 5
    path = zipped(tmp_path / "own.zip", *bundle(tensorflow(silent)))
    raw = DenseFuse(variant="tf-l1", weights=str(path), device="cpu").raw(*pair(4, 4))
    np.testing.assert_array_equal(raw, np.full((4, 4), 5))


@pytest.mark.parametrize(
    "kind", ["truncated", "no zip", "empty zip", "flipped", "bomb", "shape", "missing", "encrypted"]
)
def test_damaged_tensorflow_file(folder: Path, state: State, kind: str) -> None:
    path = folder / "densefuse_gray.zip"
    whole = path.read_bytes()
    tensors = tensorflow(state)
    if kind == "truncated":
        path.write_bytes(whole[:-30])
    elif kind == "no zip":
        path.write_bytes((folder / "densefuse_gray.model").read_bytes()[:500])
    elif kind == "empty zip":
        zipfile.ZipFile(path, "w").close()
    elif kind == "flipped":  # within the first member's compressed bytes
        path.write_bytes(whole[:300] + bytes([whole[300] ^ 4]) + whole[301:])
    elif kind == "bomb":
        zipped(path, bundle(tensors)[0], bytes(50 << 20))
    elif kind == "encrypted":  # the bit that says so, in the list of members
        listed = whole.index(b"PK\x01\x02")
        path.write_bytes(whole[: listed + 8] + b"\x01" + whole[listed + 9 :])
    else:
        name = "decoder/conv2_3/bias"
        changed = {**tensors, name: tensors[name][1:]}
        if kind == "missing":
            del changed[name]
        zipped(path, *bundle(changed))
    with pytest.raises(InputError, match="densefuse_gray.zip") as caught:
        DenseFuse(variant="tf-addition", weights=str(path), device="cpu")
    assert "\n" not in str(caught.value)
