"""YDTR: convolution and transformer blocks for each image, whose features are added and refined once more.

Tang, He and Liu, "YDTR: Infrared and Visible Image Fusion via Y-Shape Dynamic Transformer", IEEE Transactions on
Multimedia, 2023. The published network is simpler than the paper's description: attention
sees windows of one token, where it reduces to a linear map, and a token is not a pixel (see `Transformer`).
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

# Tokens at a time; all at once, the widest layer of a 1280x1024 image would need 1.3 GB twice.
_TOKENS, _TOKENS_ON_GPU = 1 << 12, 1 << 18
_REPOSITORY = "https://github.com/tthinking/YDTR"
_COMMIT = "b1f01b4ba7b2f40e4fcaec620f29640960db7e98"


class YDTRNetwork(nn.Module):
    """Both images, (N, 1, H, W) in [0, 1], to the fused one.

    `conv64`, `conv` and `patch_embed` are in the published weights but never used.
    """

    def __init__(self) -> None:
        super().__init__()
        self.convInput = Convolution(1, 64)
        self.conv64 = Convolution(64, 64)
        self.conv = Convolution(128, 64)
        self.convolutional_out = nn.ModuleDict({"conv": nn.Conv2d(64, 1, kernel_size=1)})
        self.DDF = DynamicFilter()
        self.patch_embed = nn.ModuleDict({"norm": nn.LayerNorm(96)})
        self.basicLayer = Transformer()

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused image, (N, 1, H, W) in (-1, 1)."""
        features = self.refine(self.convInput(infrared)) + self.refine(self.convInput(visible))
        fused: Tensor = self.convolutional_out["conv"](self.refine(features))
        return fused.tanh()

    def refine(self, features: Tensor) -> Tensor:
        """Return filtered and transformed features, (N, 64, H, W)."""
        refined: Tensor = self.basicLayer(self.DDF(features))
        return refined


class Convolution(nn.Module):
    """A 3x3 convolution with repeated border pixels, batch normalisation, ReLU."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, kernel_size=3)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, features: Tensor) -> Tensor:
        """Return new features of the same height and width."""
        normalised: Tensor = self.bn(self.conv(F.pad(features, (1, 1, 1, 1), mode="replicate")))
        return normalised.relu()


class DynamicFilter(nn.Module):
    """Features times a map of where plus a vector of which, both made from the features themselves."""

    def __init__(self) -> None:
        super().__init__()
        where = nn.Sequential(nn.Conv2d(64, 8, kernel_size=3, padding=1), nn.Conv2d(8, 1, kernel_size=3, padding=1))
        which = nn.Sequential(nn.Conv2d(64, 8, kernel_size=1), nn.ReLU(), nn.Conv2d(8, 64, kernel_size=1))
        self.spatial_branch = nn.ModuleDict({"body": where})
        self.channel_branch = nn.ModuleDict({"fc": which})

    def forward(self, features: Tensor) -> Tensor:
        """Return the filtered features, (N, 64, H, W)."""
        where = self.spatial_branch["body"](features)
        which = self.channel_branch["fc"](features.mean((2, 3), keepdim=True))
        filtered: Tensor = features * (where + which)
        return filtered


class Transformer(nn.Module):
    """Two transformer blocks on runs of 64 numbers.

    A token is 64 neighbours in memory, so 64 pixels of one channel in reading order, across the ends of rows and
    of channels: the original reads its (N, C, H, W) memory as (N, H, W, C) without permuting it, and its
    weights were trained so. The features of a pixel therefore depend on the image's width.
    """

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block(), Block())

    def forward(self, features: Tensor) -> Tensor:
        """Return the transformed features, (N, 64, H, W)."""
        tokens = features.reshape(-1, 64)
        pieces = tokens.split(_TOKENS if tokens.device.type == "cpu" else _TOKENS_ON_GPU)
        return torch.cat([self.blocks(piece) for piece in pieces]).view(features.shape)


class Block(nn.Module):
    """Attention within windows of one token, then a perceptron, each added to its input."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(64)
        self.attn = Attention()
        self.norm2 = nn.LayerNorm(64)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(64, 256), "fc2": nn.Linear(256, 64)})

    def forward(self, tokens: Tensor) -> Tensor:
        """Return new tokens, (T, 64)."""
        tokens = tokens + self.attn(self.norm1(tokens))
        expanded = F.gelu(self.mlp["fc1"](self.norm2(tokens)))
        result: Tensor = tokens + self.mlp["fc2"](expanded)
        return result


class Attention(nn.Module):
    """Attention of eight heads within windows of one token.

    A token sees only itself, with the weight 1 whatever query, key and position bias are, so only values matter.
    """

    relative_position_index: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.relative_position_bias_table = nn.Parameter(torch.zeros(1, 8))
        self.register_buffer("relative_position_index", torch.zeros(1, 1, dtype=torch.long))
        self.qkv = nn.Linear(64, 192)
        self.proj = nn.Linear(64, 64)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the projected values of tokens, (T, 64)."""
        values = F.linear(tokens, self.qkv.weight[128:], self.qkv.bias[128:])
        projected: Tensor = self.proj(values)
        return projected


_CITATION = r"""
@article{tang2023ydtr,
  author = {Tang, Wei and He, Fazhi and Liu, Yu},
  title = {{YDTR}: Infrared and Visible Image Fusion via {Y}-Shape Dynamic Transformer},
  journal = {IEEE Transactions on Multimedia},
  volume = {25},
  pages = {5413--5428},
  year = {2023},
  doi = {10.1109/TMM.2022.3192661},
}
"""


class YDTR(NetworkMethod):
    """YDTR with the authors' only published weights."""

    title = "YDTR"
    name = "ydtr"
    record: ClassVar[Record] = Record(
        paper="Tang, He, Liu: YDTR: Infrared and Visible Image Fusion via Y-Shape Dynamic Transformer, "
        "IEEE Transactions on Multimedia 25, 2023",
        year=2023,
        citation=_CITATION,
        repository=_REPOSITORY,
        commit=_COMMIT,
        licence="none found",
        files=(
            WeightFile(
                "model_10.pth",
                url=f"https://raw.githubusercontent.com/tthinking/YDTR/{_COMMIT}/models/model_10.pth",
                bytes=893_678,
                sha256="183c31a103ada74063e644b300d6708ed567dcc231a9d0f8d52e098c6c2a0d32",
            ),
        ),
        trained_on=(),
        parameters=217_770,
        row="YDTR",
        verified="official outputs",
        notes=(
            "Grey: the visible image's luma is fused; the authors publish no rule for colour.",
            "Any size; the fused image of a crop is not the crop of the fused image.",
            "Negative output is clipped to black where the original's cast to 8 bits would wrap it to white.",
            "Their code does not name the data that the weights were trained on.",
        ),
    )

    def load(self, files: Mapping[str, Path]) -> YDTRNetwork:
        """Return the network."""
        (path,) = files.values()
        network = YDTRNetwork()
        fill(network, read_state(path), path)
        return network

    def infer(self, infrared: ImageArray, visible: ImageArray) -> Tensor:
        """Return the network's output, (H, W) in (-1, 1)."""
        fused: Tensor = self.network(self.tensor(infrared) / 255, self.tensor(visible) / 255)
        return fused[0, 0]

    def image(self, raw: NDArray[np.float32]) -> ImageArray:
        """Return the output in levels, cut off to whole ones."""
        return (np.clip(raw, 0, 1) * 255).astype(np.uint8)
