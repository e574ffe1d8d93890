"""SeAFusion: gradient residual dense blocks for each image, one decoder for both; trained with a segmentation network.

The segmentation network gives a training loss only and has no part in fusing.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from methods.convolution import run_in_tiles
from methods.network import NetworkMethod, fill, read_state
from methods.record import Record, WeightFile
from methods.ycrcb import compute_luma, recolour
from metrics.images import ImageArray, grey


class SeAFusionNetwork(nn.Module):
    """The fusion network: an encoder for each image, with weights of its own, and a decoder.

    Reference:
        Tang, Yuan and Ma, "Image fusion in the loop of high-level vision tasks: A semantic-aware real-time infrared
        and visible image fusion network", Information Fusion 82, 2022.
    """

    halo = 9  # of 3x3 convolutions one after the other: 1 + 2 + 2 in an encoder, 4 in the decoder

    def __init__(self) -> None:
        super().__init__()
        self.vis_conv = Convolution(1, 16)
        self.vis_rgbd1 = GradientResidualDenseBlock(16, 32)
        self.vis_rgbd2 = GradientResidualDenseBlock(32, 48)
        self.inf_conv = Convolution(1, 16)
        self.inf_rgbd1 = GradientResidualDenseBlock(16, 32)
        self.inf_rgbd2 = GradientResidualDenseBlock(32, 48)
        self.decode4 = DecoderLayer(96, 64)
        self.decode3 = DecoderLayer(64, 32)
        self.decode2 = DecoderLayer(32, 16)
        self.decode1 = DecoderLayer(16, 1)

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused luma, (N, 1, H, W) in (0, 1), of an infrared image and visible luma (N, 1, H, W), 0-1."""
        visible = self.vis_rgbd2(self.vis_rgbd1(_leaky(self.vis_conv(visible))))
        infrared = self.inf_rgbd2(self.inf_rgbd1(_leaky(self.inf_conv(infrared))))
        features = torch.cat((visible, infrared), dim=1)
        for layer in (self.decode4, self.decode3, self.decode2):
            features = _leaky(layer(features))
        fused: Tensor = self.decode1(features)
        return fused.tanh_().div_(2).add_(0.5)


class Convolution(nn.Module):
    """A convolution with zero padding that keeps the size."""

    def __init__(self, channels: int, width: int, size: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, size, padding=size // 2)

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, width, H, W)."""
        result: Tensor = self.conv(features)
        return result


class GradientResidualDenseBlock(nn.Module):
    """Two densely connected convolutions, and the magnitude of the gradient as a second path around them."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.dense = nn.ModuleDict(
            {"conv1": Convolution(channels, channels), "conv2": Convolution(2 * channels, channels)}
        )
        self.convdown = Convolution(3 * channels, width, size=1)
        self.sobelconv = Gradient(channels)
        self.convup = Convolution(channels, width, size=1)

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, width, H, W)."""
        dense = features
        for layer in (self.dense["conv1"], self.dense["conv2"]):
            dense = torch.cat((dense, _leaky(layer(dense))), dim=1)
        result: Tensor = self.convdown(dense)
        result += self.convup(self.sobelconv(features))
        return F.leaky_relu(result, 0.1, inplace=True)


class Gradient(nn.Module):
    """The sum of the absolute responses of two 3x3 filters per channel.

    Training started from Sobel's kernels but changed them (by up to 0.18), so the checkpoint's must be used.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convx = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.convy = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return the magnitude of the gradient, (N, C, H, W)."""
        magnitude: Tensor = self.convx(features).abs_()
        return magnitude.add_(self.convy(features).abs_())


class DecoderLayer(Convolution):
    """A convolution; the checkpoint holds a batch normalisation besides, which the published network never applies."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(channels, width)
        self.bn = nn.BatchNorm2d(width)


def _leaky(features: Tensor) -> Tensor:
    return F.leaky_relu(features, 0.2, inplace=True)


# The authors' repository is a large download; this fork is their history and two small commits.
_COMMIT = "4904405c354170c6d8582fa87eb271fa5e4459e5"
_FILE = "fusionmodel_final.pth"
_CITATION = """
@article{tang2022seafusion,
  author = {Tang, Linfeng and Yuan, Jiteng and Ma, Jiayi},
  title = {Image fusion in the loop of high-level vision tasks: A semantic-aware real-time infrared and visible image
    fusion network},
  journal = {Information Fusion},
  volume = {82},
  pages = {28--42},
  year = {2022},
  doi = {10.1016/j.inffus.2021.12.004},
}
"""


class SeAFusion(NetworkMethod):
    """SeAFusion with the authors' only weights that their test program reads."""

    title = "SeAFusion"
    name = "seafusion"
    colour = True
    record = Record(
        paper="L. Tang, J. Yuan, J. Ma: Image fusion in the loop of high-level vision tasks: A semantic-aware "
        "real-time infrared and visible image fusion network. Information Fusion 82, 2022",
        year=2022,
        citation=_CITATION,
        repository="https://github.com/Linfeng-Tang/SeAFusion",
        commit=_COMMIT,
        licence="MIT",
        files=(
            WeightFile(
                _FILE,
                url=f"https://raw.githubusercontent.com/iyume/SeAFusion/{_COMMIT}/model/Fusion/{_FILE}",
                bytes=682043,
                sha256="8d65a7f9a50f36349803368cf9920f40420776995e7e8cc8a56d8d30e499431d",
                git_blob="6d98f55fa969849c905ccbe1d2ba81da0a24c909",
            ),
        ),
        trained_on=("MSRS",),
        parameters=166_883,
        verified="official outputs",
        task="segmentation",
        notes=(
            "Trained on the training part of MSRS, with its segmentation labels.",
            "The commit is that of iyume/SeAFusion, a fork that holds the authors' history up to c80fbd7.",
            "The unrounded luma of the visible image is fused. The grey result is the fused luma, stretched to 0-255; "
            "for a grey pair it is the authors' image. `recolour_image` gives their colour image.",
            "An image whose fused luma is constant is not stretched; the official code divides zero by zero.",
            "Any size.",
        ),
    )

    def load(self, files: Mapping[str, Path]) -> nn.Module:
        """Return the network with its weights."""
        network = SeAFusionNetwork()
        fill(network, read_state(files[_FILE]), files[_FILE])
        return network.to(memory_format=torch.channels_last)

    def infer(self, infrared: ImageArray, visible: ImageArray) -> Tensor:
        """Return the fused luma, (H, W) in (0, 1)."""
        # A single channel has no memory layout of its own; without one named, the first layer would choose.
        bands = [
            band.to(memory_format=torch.channels_last)
            for band in (self.tensor(grey(infrared)) / 255, compute_luma(self.tensor(visible) / 255))
        ]
        return run_in_tiles(self.network, bands[0], bands[1], halo=SeAFusionNetwork.halo)[0, 0]

    def image(self, raw: NDArray[np.float32]) -> ImageArray:
        """Return the fused luma, stretched to 0-255 and cut off to whole levels."""
        return _stretch(np.clip(raw, 0, 1))


def recolour_image(raw: NDArray[np.float32], visible: ImageArray) -> ImageArray:
    """Return the colour image that the authors save, uint8 (H, W, 3).

    Args:
        raw: Fused luma (H, W) as `SeAFusion.raw` gives it.
        visible: uint8 (H, W, 3) RGB.
    """
    return _stretch(recolour(raw, visible))


def _stretch(image: NDArray[np.float32]) -> ImageArray:
    least, most = image.min(), image.max()
    stretched = (image - least) / (most - least) if most > least else image
    return (255 * stretched).astype(np.uint8)
