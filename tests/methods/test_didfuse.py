from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from methods.didfuse import Decoder, DIDFuse, Encoder
from metrics.images import ImageArray

FILES = {"encoder": "Encoder_weight_IJCAI.pkl", "decoder": "Decoder_weight_IJCAI.pkl"}
State = dict[str, Tensor]


def _states() -> dict[str, State]:
    """Random weights with normalisation and slopes that matter."""
    torch.manual_seed(0)
    parts = {"encoder": Encoder().state_dict(), "decoder": Decoder().state_dict()}
    for state in parts.values():
        for name, value in state.items():
            if name.endswith("running_var"):
                value.uniform_(0.02, 0.2)
            elif name.endswith("running_mean"):
                value.normal_(0, 0.1)
            elif value.shape == (1,) and name.endswith("weight"):
                value.uniform_(0.1, 0.6)
    return parts


def _write(folder: Path, parts: Mapping[str, object]) -> Path:
    for part, state in parts.items():
        torch.save({"weight": state, "epoch": 120}, folder / FILES[part])
    return folder


def _straightforward(parts: Mapping[str, State], infrared: ImageArray, visible: ImageArray) -> NDArray[np.float32]:
    """Fuse as published: only the first and the last convolution reflect, the others pad with zeros."""

    def block(state: State, name: str, maps: Tensor) -> Tensor:
        ends = name in ("cov1", "cov7")
        prefix, first = f"{name}.{name}", 1 if ends else 0
        maps = F.pad(maps, (1,) * 4, mode="reflect" if ends else "constant")
        maps = F.conv2d(maps, state[f"{prefix}.{first}.weight"], state[f"{prefix}.{first}.bias"])
        keys = ("running_mean", "running_var", "weight", "bias")
        mean, variance, weight, bias = (state[f"{prefix}.{first + 1}.{key}"] for key in keys)
        maps = F.batch_norm(maps, mean, variance, weight, bias)
        if name == "cov7":
            return torch.sigmoid(maps)
        return torch.tanh(maps) if name in ("cov3", "cov4") else F.prelu(maps, state[f"{prefix}.{first + 2}.weight"])

    encoder, decoder = parts["encoder"], parts["decoder"]
    sums: list[Tensor | float] = [0.0, 0.0, 0.0, 0.0]
    for band in (infrared, visible):
        first = block(encoder, "cov1", torch.from_numpy(band)[None, None].float() / 255)
        second = block(encoder, "cov2", first)
        maps = (first, second, block(encoder, "cov3", second), block(encoder, "cov4", second))
        sums = [total + part for total, part in zip(sums, maps, strict=True)]
    first, second, base, detail = (torch.as_tensor(total) for total in sums)
    fused = block(decoder, "cov5", torch.cat((base, detail), 1))
    fused = block(decoder, "cov6", torch.cat((fused, second), 1))
    result: NDArray[np.float32] = block(decoder, "cov7", torch.cat((fused, first), 1))[0, 0].numpy()
    return result


def _images(height: int, width: int) -> tuple[ImageArray, ImageArray]:
    infrared, visible = np.random.default_rng(height * width).integers(0, 256, (2, height, width), dtype=np.uint8)
    return infrared, visible


def test_names_shapes_and_parameters() -> None:
    # The official checkpoints' names: every block's doubled, then the index in it.
    blocks = {  # name: (index of the convolution, its shape, has a slope)
        "cov1": (1, (64, 1, 3, 3), True),
        "cov2": (0, (64, 64, 3, 3), True),
        "cov3": (0, (64, 64, 3, 3), False),
        "cov4": (0, (64, 64, 3, 3), False),
        "cov5": (0, (64, 128, 3, 3), True),
        "cov6": (0, (64, 128, 3, 3), True),
        "cov7": (1, (1, 128, 3, 3), False),
    }
    expected: dict[str, tuple[int, ...]] = {}
    for name, (index, shape, slope) in blocks.items():
        prefix = f"{name}.{name}"
        expected |= {f"{prefix}.{index}.weight": shape, f"{prefix}.{index}.bias": shape[:1]}
        for key in ("weight", "bias", "running_mean", "running_var"):
            expected[f"{prefix}.{index + 1}.{key}"] = shape[:1]
        expected[f"{prefix}.{index + 1}.num_batches_tracked"] = ()
        if slope:
            expected[f"{prefix}.{index + 2}.weight"] = (1,)
    got = {name: tuple(value.shape) for part in (Encoder(), Decoder()) for name, value in part.state_dict().items()}
    assert got == expected
    counts = [sum(p.numel() for p in part.parameters()) for part in (Encoder(), Decoder())]
    assert counts == [111_938, 148_997]
    assert sum(counts) == DIDFuse.record.parameters == 260_935


@pytest.mark.parametrize("size", [(2, 2), (37, 53), (66, 9), (150, 7)])
def test_agrees_with_the_published_computation(tmp_path: Path, size: tuple[int, int]) -> None:
    parts = _states()
    infrared, visible = _images(*size)
    method = DIDFuse(weights=str(_write(tmp_path, parts)), device="cpu")
    expected = _straightforward(parts, infrared, visible)
    raw = method.raw(infrared, visible)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(raw, expected, rtol=0, atol=5e-6)
    np.testing.assert_array_equal(method.fuse(infrared, visible), np.rint(255 * raw).astype(np.uint8))
    assert method.settings()["official weights"] is False


@pytest.mark.parametrize("size", [(1, 1), (1, 12), (12, 1)])
def test_one_pixel_is_repeated_and_cropped(tmp_path: Path, size: tuple[int, int]) -> None:
    infrared, visible = _images(*size)
    method = DIDFuse(weights=str(_write(tmp_path, _states())), device="cpu")
    extra = [(0, 2 - min(side, 2)) for side in size]
    padded = method.fuse(np.pad(infrared, extra, mode="edge"), np.pad(visible, extra, mode="edge"))
    np.testing.assert_array_equal(method.fuse(infrared, visible), padded[: size[0], : size[1]])
