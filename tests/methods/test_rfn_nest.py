"""RFN-Nest: the nest, the residual fusion, and the pieces that large images are fused in."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from methods.rfn_nest import FusionNetwork, NestFuse, RFNNest, tiles, upsample
from metrics.errors import InputError
from tests.methods.stand_ins import draw_state

CODER, FUSION = (file.name for file in RFNNest.record.files)
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def states() -> dict[str, State]:
    return {CODER: draw_state(NestFuse()), FUSION: draw_state(FusionNetwork())}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, states: dict[str, State]) -> Path:
    path = tmp_path_factory.mktemp("rfn_nest")
    for name, state in states.items():
        torch.save(state, path / name)
    return path


@pytest.fixture(scope="module")
def method(folder: Path) -> RFNNest:
    return RFNNest(weights=str(folder), device="cpu")


def pair(height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    infrared, visible = np.random.default_rng(height).integers(0, 256, (2, height, width), dtype=np.uint8)
    return infrared, visible


def expected(states: dict[str, State], infrared: NDArray[np.uint8], visible: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The published network, layer by layer, in float64."""
    state = states[CODER] | states[FUSION]

    def layer(name: str, *maps: Tensor) -> Tensor:
        kernel, bias = (state[f"{name}.conv2d.{part}"].double() for part in ("weight", "bias"))
        border = kernel.shape[2] // 2
        padded = np.pad(torch.cat(maps).numpy(), ((0, 0), (border, border), (border, border)), mode="reflect")
        return F.conv2d(torch.from_numpy(padded)[None], kernel, bias)[0].relu()

    def block(name: str, *maps: Tensor) -> Tensor:
        return layer(f"{name}.denseblock.1", layer(f"{name}.denseblock.0", *maps))

    def halved(maps: Tensor) -> Tensor:
        channels, height, width = maps.shape
        even = maps[:, : height // 2 * 2, : width // 2 * 2]
        return even.reshape(channels, height // 2, 2, width // 2, 2).amax((2, 4))

    def doubled(maps: Tensor, like: Tensor) -> Tensor:
        large = maps.numpy().repeat(2, axis=1).repeat(2, axis=2)
        missing = [(0, like.shape[axis] - large.shape[axis]) for axis in (1, 2)]
        return torch.from_numpy(np.pad(large, [(0, 0), *missing], mode="reflect"))

    def encoded(image: NDArray[np.uint8]) -> list[Tensor]:
        maps = [block("DB1_0", layer("conv0", torch.from_numpy(image)[None].double()))]
        for scale in (2, 3, 4):
            maps.append(block(f"DB{scale}_0", halved(maps[-1])))
        return maps

    def fused(scale: int, ir: Tensor, vi: Tensor) -> Tensor:
        name = f"fusion_block{scale}"
        both = layer(f"{name}.bottelblock.0", layer(f"{name}.conv_ir", ir), layer(f"{name}.conv_vi", vi))
        residual = layer(f"{name}.bottelblock.2", layer(f"{name}.bottelblock.1", both))
        return layer(f"{name}.conv_fusion", ir, vi) + residual

    scales = zip((1, 2, 3, 4), encoded(infrared), encoded(visible), strict=True)
    nest = {(scale, 0): fused(scale, ir, vi) for scale, ir, vi in scales}
    for place in (1, 2, 3):
        for scale in range(1, 5 - place):
            same = [nest[scale, before] for before in range(place)]
            nest[scale, place] = block(f"DB{scale}_{place}", *same, doubled(nest[scale + 1, place - 1], nest[scale, 0]))
    return layer("conv_out", nest[1, 3])[0].numpy().astype(np.float32)


@pytest.mark.parametrize(
    ("network", "tensors", "parameters", "shapes", "digest"),
    [
        (
            NestFuse,
            44,
            2732761,
            {
                "conv0.conv2d.weight": (16, 1, 1, 1),
                "DB1_0.denseblock.0.conv2d.weight": (8, 16, 3, 3),
                "DB3_1.denseblock.1.conv2d.bias": (160,),
                "DB2_2.denseblock.0.conv2d.weight": (192, 384, 3, 3),
                "DB1_3.denseblock.1.conv2d.weight": (64, 152, 1, 1),
                "conv_out.conv2d.weight": (1, 64, 1, 1),
            },
            "6436746ea1dc9480a3d7fc0fab11a5d52161aea4417220d17d45f4c5e688b798",
        ),
        (
            FusionNetwork,
            48,
            4791488,
            {
                "fusion_block1.conv_fusion.conv2d.weight": (64, 128, 3, 3),
                "fusion_block4.conv_ir.conv2d.bias": (208,),
                "fusion_block3.bottelblock.0.conv2d.weight": (160, 320, 1, 1),
                "fusion_block2.bottelblock.2.conv2d.weight": (112, 112, 3, 3),
            },
            "fc78559816c0a6bd0ca7b221495db64c7ec2c7ce95fae069c3a2d3dd9e203777",
        ),
    ],
)
def test_official_names_and_shapes(
    network: Callable[[], nn.Module],
    tensors: int,
    parameters: int,
    shapes: dict[str, tuple[int, ...]],
    digest: str,
) -> None:
    """The digest is of weights drawn by name, shape and order with the authors' own network: it pins all three."""
    state = draw_state(network())
    assert len(state) == tensors
    assert sum(tensor.numel() for tensor in state.values()) == parameters
    assert {name: tuple(state[name].shape) for name in shapes} == shapes
    content = b"".join(tensor.numpy().astype("<f4").tobytes() for tensor in state.values())
    assert hashlib.sha256(content).hexdigest() == digest


def test_parameters(method: RFNNest) -> None:
    count = sum(parameter.numel() for parameter in method.network.parameters())
    assert count == RFNNest.record.parameters == 2732761 + 4791488


@pytest.mark.parametrize("size", [(16, 16), (23, 29)])
def test_network(method: RFNNest, states: dict[str, State], size: tuple[int, int]) -> None:
    images = pair(*size)
    reference = expected(states, *images)
    np.testing.assert_allclose(method.raw(*images), reference, rtol=0, atol=1e-2)
    assert reference.max() > 10, "else the comparison says little"


def test_upsampling_mirrors_the_missing_row_and_column() -> None:
    small = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    # Doubled it ends in columns (1 2 2) and rows likewise; what mirrors past the last is the last but one.
    assert upsample(small, torch.zeros(1, 1, 5, 4))[0, 0, :, 0].tolist() == [1, 1, 3, 3, 3]
    wide = upsample(torch.arange(4.0).reshape(1, 1, 1, 4), torch.zeros(1, 1, 2, 9))
    assert wide[0, 0, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 3]


def test_tiles() -> None:
    assert tiles(512, 512) == [(slice(0, 512), slice(0, 512))]
    rows, columns = (slice(0, 53), slice(48, 101)), (slice(0, 303), slice(298, 600))
    assert tiles(101, 600) == [(row, column) for row in rows for column in columns]


def test_pieces_are_averaged_where_they_overlap(method: RFNNest, monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([1.0, 2.0, 4.0, 8.0])
    monkeypatch.setattr(method, "_piece", lambda infrared, visible: torch.full(infrared.shape, next(values)))
    raw = method.raw(*pair(40, 520))
    # Pieces from the top left, row by row; rows 18-22 and columns 258-262 belong to two, their crossing to four.
    for (row, column), value in {
        (0, 0): 1, (17, 257): 1, (17, 258): 1.5, (0, 262): 1.5, (0, 263): 2, (18, 0): 2.5, (22, 257): 2.5,
        (23, 0): 4, (18, 258): 3.75, (22, 262): 3.75, (20, 519): 5, (39, 260): 6, (39, 519): 8,
    }.items():  # fmt: skip
        assert raw[row, column] == value, (row, column)


def test_pieces_are_fused_alone(method: RFNNest) -> None:
    infrared, visible = pair(18, 514)
    raw = method.raw(infrared, visible)
    corner = method.raw(infrared[:12, :260], visible[:12, :260])
    np.testing.assert_allclose(raw[:7, :255], corner[:7, :255], rtol=0, atol=1e-2)


def test_image(method: RFNNest) -> None:
    raw = np.array([[10.0, 11.0, 138.0, 265.99, 266.0]], np.float32)
    # (x - 10) 255 / 256, truncated: 0, 0.996, 127.5, 254.99; the span of 256 swallows 1e-5 in float32.
    np.testing.assert_array_equal(method.image(raw), [[0, 0, 127, 254, 255]])
    np.testing.assert_array_equal(method.image(np.full((2, 3), 7, np.float32)), np.zeros((2, 3)))


def test_no_download_names_the_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IVIF_WEIGHTS", str(tmp_path))
    with pytest.raises(InputError, match=r"nestfuse_gray_1e2.model is not there .*unpack https://github.com/hli1221"):
        RFNNest(device="cpu")
