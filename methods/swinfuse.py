"""SwinFuse: transformer features of both images, weighted by their strength, tile by tile.

Wang, Chen, Shao, Li and Zhang, "SwinFuse: A Residual Swin Transformer Fusion Network for Infrared and Visible
Images", IEEE Transactions on Instrumentation and Measurement, 2022. What follows is the network as its code runs
it: of the six transformer blocks of a stage only the first is ever called, so that no window is shifted and
every window of 7x7 pixels is encoded by itself.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from methods.network import NetworkMethod, fill, read_state
from methods.record import Record, WeightFile
from metrics.images import ImageArray

_TILE = 224
_WINDOW = 7
_CHANNELS = 96


class SwinFuseNetwork(nn.Module):
    """Tiles of both images to the fused tile.

    Blocks 1 to 5 of every stage, `norm_up` and `prelu` are in the published weights but never used.
    """

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(1, _CHANNELS, 1), "norm": nn.LayerNorm(_CHANNELS)})
        mask = _shifted_window_mask()
        self.EN1_0 = Stage(1, mask)
        self.EN2_0 = Stage(2, mask)
        self.EN3_0 = Stage(4, mask)
        self.norm = nn.LayerNorm(_CHANNELS)
        self.norm_up = nn.LayerNorm(2 * _CHANNELS)
        self.conv = nn.Conv2d(_CHANNELS, 1, 1)
        self.prelu = nn.PReLU()

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused tile, (H, W) in (-1, 1).

        Args:
            infrared, visible: (H, W) in [-1, 1]; H and W are multiples of 7 up to 224. A smaller tile is the
                upper left part of a tile of 224x224 that is 0 elsewhere.
        """
        height, width = infrared.shape
        features = [self.encode(_split_windows(tile)) for tile in (infrared, visible)]
        # Means over a whole tile. What its remainder would add is the same for both images, so it cancels but for
        # the 1e-5 in `_shares`: less than float32 rounds to.
        channels = _shares([feature.abs().sum(0) / _TILE**2 for feature in features])
        pixels = _shares([feature.abs().mean(1, keepdim=True) for feature in features])
        weighted = [
            feature * (channel + pixel) for feature, channel, pixel in zip(features, channels, pixels, strict=True)
        ]
        fused = weighted[0] + weighted[1]
        decoded = self.conv(fused.T[..., None]).tanh()
        return _join_windows(decoded, height, width)

    def encode(self, windows: Tensor) -> Tensor:
        """Return the features of every pixel, (N * 49, 96), for windows of pixels, (N, 49)."""
        pixels = self.patch_embed["proj"](windows[:, None, :, None])
        features = self.patch_embed["norm"](pixels[..., 0].transpose(1, 2))
        for stage in (self.EN1_0, self.EN2_0, self.EN3_0):
            features = features + stage(features)
        encoded: Tensor = self.norm(features)
        return encoded.flatten(0, 1)


class Stage(nn.Module):
    """Six blocks, of which the published code calls the first only."""

    def __init__(self, heads: int, mask: Tensor) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(heads, mask if index % 2 else None) for index in range(6))

    def forward(self, features: Tensor) -> Tensor:
        """Return new features, (N, 49, 96)."""
        result: Tensor = self.blocks[0](features)
        return result


class Block(nn.Module):
    """Attention within a window, then a perceptron, each added to its input."""

    def __init__(self, heads: int, mask: Tensor | None) -> None:
        super().__init__()
        if mask is not None:
            self.register_buffer("attn_mask", mask)
        self.norm1 = nn.LayerNorm(_CHANNELS)
        self.attn = Attention(heads)
        self.norm2 = nn.LayerNorm(_CHANNELS)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(_CHANNELS, 4 * _CHANNELS), "fc2": nn.Linear(4 * _CHANNELS, _CHANNELS)}
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return new features, (N, 49, 96)."""
        features = features + self.attn(self.norm1(features))
        expanded = F.gelu(self.mlp["fc1"](self.norm2(features)))
        result: Tensor = features + self.mlp["fc2"](expanded)
        return result


class Attention(nn.Module):
    """Attention between all pixels of a window, with a learned bias for each offset from one to another."""

    relative_position_index: Tensor

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * _WINDOW - 1) ** 2, heads))
        self.register_buffer("relative_position_index", _relative_positions())
        self.qkv = nn.Linear(_CHANNELS, 3 * _CHANNELS)
        self.proj = nn.Linear(_CHANNELS, _CHANNELS)

    def forward(self, features: Tensor) -> Tensor:
        """Return the attended features, (N, 49, 96)."""
        count, size, channels = features.shape
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        split = self.qkv(features).view(count, size, 3, len(bias), -1)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias[None])
        projected: Tensor = self.proj(attended.transpose(1, 2).reshape(count, size, channels))
        return projected


def _split_windows(tile: Tensor) -> Tensor:
    """Return the windows of a tile (H, W), (N, 49), in reading order."""
    height, width = tile.shape
    rows = tile.view(height // _WINDOW, _WINDOW, width // _WINDOW, _WINDOW)
    return rows.transpose(1, 2).reshape(-1, _WINDOW**2)


def _join_windows(pixels: Tensor, height: int, width: int) -> Tensor:
    """Return the tile (H, W) whose windows, one after the other, have these pixels."""
    rows = pixels.view(height // _WINDOW, width // _WINDOW, _WINDOW, _WINDOW)
    return rows.transpose(1, 2).reshape(height, width)


def _shares(strengths: list[Tensor]) -> list[Tensor]:
    """Return the weights of two images: a softmax of their strengths, but for the original's 1e-5."""
    powers = [strength.exp() for strength in strengths]
    total = powers[0] + powers[1] + 1e-5
    return [power / total for power in powers]


def _relative_positions() -> Tensor:
    """Return the index into the bias table for each pair of a window's pixels, (49, 49)."""
    rows, columns = torch.arange(_WINDOW**2) // _WINDOW, torch.arange(_WINDOW**2) % _WINDOW
    down, right = (line[:, None] - line[None, :] + _WINDOW - 1 for line in (rows, columns))
    return down * (2 * _WINDOW - 1) + right


def _shifted_window_mask() -> Tensor:
    """Return which pixels of a window shifted by 3 are no neighbours, (1024, 49, 49); only the weights hold it."""
    line = torch.zeros(_TILE)
    line[-_WINDOW:] = 1
    line[-(_WINDOW // 2) :] = 2
    areas = _split_windows(3 * line[:, None] + line[None, :])
    return (areas[:, :, None] != areas[:, None, :]) * -100.0


_CITATION = r"""
@article{wang2022swinfuse,
  author = {Wang, Zhishe and Chen, Yanlin and Shao, Wenyu and Li, Hui and Zhang, Lei},
  title = {{SwinFuse}: A Residual {Swin} Transformer Fusion Network for Infrared and Visible Images},
  journal = {IEEE Transactions on Instrumentation and Measurement},
  volume = {71},
  year = {2022},
  doi = {10.1109/TIM.2022.3191664},
}
"""


class SwinFuse(NetworkMethod):
    """SwinFuse with its published rule of fusion, "l1_mean"."""

    title = "SwinFuse"
    name = "swinfuse"
    record: ClassVar[Record] = Record(
        paper="Wang, Chen, Shao, Li, Zhang: SwinFuse: A Residual Swin Transformer Fusion Network for Infrared and "
        "Visible Images, IEEE Transactions on Instrumentation and Measurement 71, 2022",
        year=2022,
        citation=_CITATION,
        repository="https://github.com/Zhishe-Wang/SwinFuse",
        commit="93cd2cbed1a1710ff89cdf6f0ca161756f2a9615",
        licence="none found",
        files=(WeightFile("Final_epoch_50_Mon_Feb_14_17_37_05_2022_1e3.model"),),
        by_hand="https://pan.baidu.com/s/1gV_zkJ2AylB25VPHAOxuyg, code mn9k, about 97 MB",
        trained_on=("MS-COCO",),
        parameters=2_021_276,
        row="SwinFuse",
        verified="architecture only",
        notes=(
            "The official weights are on Baidu alone and could not be obtained; their hash is not known, so give the "
            "file by `weights`. Checked against the official code with stand-in weights.",
            "Grey: the visible image's luma is fused; the authors give no rule for colour.",
            "Any size: a grid of 224x224 tiles, the last of a row or column filled up with mid-grey as in the "
            "original, which refuses many sizes (widths up to 224, sides of 448, 672 or 896, most upright ones, "
            "1280x1024). Tiles do not overlap, so their seams may show.",
            "The image is stretched from its darkest to its brightest pixel; a constant one becomes black.",
        ),
    )

    def load(self, files: Mapping[str, Path]) -> SwinFuseNetwork:
        """Return the network."""
        (path,) = files.values()
        network = SwinFuseNetwork()
        # Tables that follow from the sizes alone: a file may leave them out, and what it says of them is not needed.
        tables = dict(network.named_buffers(remove_duplicate=False))
        fill(network, read_state(path) | tables, path)
        return network

    def infer(self, infrared: ImageArray, visible: ImageArray) -> Tensor:
        """Return the network's output, (H, W) in 0-255."""
        height, width = infrared.shape
        bottom, right = -height % _WINDOW, -width % _WINDOW
        bands = [(self.tensor(band)[0, 0] - 127.5) / 127.5 for band in (infrared, visible)]
        bands = [F.pad(band, (0, right, 0, bottom)) for band in bands]
        fused = torch.empty_like(bands[0])
        for top in range(0, height, _TILE):
            for left in range(0, width, _TILE):
                here = (slice(top, top + _TILE), slice(left, left + _TILE))
                fused[here] = self.network(bands[0][here], bands[1][here])
        return (fused[:height, :width] / 2 + 0.5) * 255

    def image(self, raw: NDArray[np.float32]) -> ImageArray:
        """Return the output stretched to all levels, cut off to whole ones."""
        low, high = raw.min(), raw.max()
        if low == high:
            return np.zeros(raw.shape, dtype=np.uint8)
        stretched: NDArray[np.float32] = (raw - low) / (high - low) * 255
        return stretched.astype(np.uint8)
