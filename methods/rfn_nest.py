"""RFN-Nest (Li, Wu and Kittler, 2021): a nested auto-encoder and, at each of its scales, a residual fusion network."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from methods.convolution import enlarge
from methods.network import NetworkMethod, fill, read_state
from methods.record import Record, WeightFile
from metrics.images import ImageArray

CHANNELS = (64, 112, 160, 208)
_SMALLEST = 16  # three halvings leave two pixels, the least that a mirrored border needs
_LARGEST = 512


class Layer(nn.Module):
    """A convolution on a mirrored border, and a ReLU."""

    def __init__(self, channels: int, out: int, size: int) -> None:
        super().__init__()
        self.border = size // 2
        self.conv2d = nn.Conv2d(channels, out, size)

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, out, H, W), not negative."""
        if self.border:
            features = F.pad(features, (self.border,) * 4, mode="reflect")
        convolved: Tensor = self.conv2d(features)
        return convolved.relu_()


class Block(nn.Module):
    """A 3x3 layer that halves the channels and a 1x1 layer that sets their number."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.denseblock = nn.Sequential(Layer(channels, channels // 2, 3), Layer(channels // 2, out, 1))

    def forward(self, *parts: Tensor) -> Tensor:
        """Return (N, out, H, W) of feature maps that are taken side by side."""
        block: Tensor = self.denseblock(parts[0] if len(parts) == 1 else torch.cat(parts, dim=1))
        return block


class NestFuse(nn.Module):
    """The auto-encoder. In a block's name the first number is its scale, the second its place in the nest."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = CHANNELS
        self.conv0 = Layer(1, 16, 1)
        self.DB1_0 = Block(16, a)
        self.DB2_0 = Block(a, b)
        self.DB3_0 = Block(b, c)
        self.DB4_0 = Block(c, d)
        self.DB1_1 = Block(a + b, a)
        self.DB2_1 = Block(b + c, b)
        self.DB3_1 = Block(c + d, c)
        self.DB1_2 = Block(2 * a + b, a)
        self.DB2_2 = Block(2 * b + c, b)
        self.DB1_3 = Block(3 * a + b, a)
        self.conv_out = Layer(a, 1, 1)

    def encode(self, image: Tensor) -> list[Tensor]:
        """Return the features at four scales, each half the one before, of an image (N, 1, H, W)."""
        features = [self.DB1_0(self.conv0(image))]
        for block in (self.DB2_0, self.DB3_0, self.DB4_0):
            features.append(block(F.max_pool2d(features[-1], 2)))
        return features

    def decode(self, features: Sequence[Tensor]) -> Tensor:
        """Return the image (N, 1, H, W) of fused features at four scales."""
        one, two, three, four = features
        one_1 = self.DB1_1(one, upsample(two, one))
        two_1 = self.DB2_1(two, upsample(three, two))
        three_1 = self.DB3_1(three, upsample(four, three))
        one_2 = self.DB1_2(one, one_1, upsample(two_1, one))
        two_2 = self.DB2_2(two, two_1, upsample(three_1, two))
        image: Tensor = self.conv_out(self.DB1_3(one, one_1, one_2, upsample(two_2, one)))
        return image


class ResidualFusion(nn.Module):
    """One scale of the fusion network; "bottelblock" is how the official files spell it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_fusion = Layer(2 * channels, channels, 3)
        self.conv_ir = Layer(channels, channels, 3)
        self.conv_vi = Layer(channels, channels, 3)
        self.bottelblock = nn.Sequential(
            Layer(2 * channels, channels, 1), Layer(channels, channels, 3), Layer(channels, channels, 3)
        )

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused features (N, C, H, W) of one scale."""
        fused: Tensor = self.conv_fusion(torch.cat((infrared, visible), dim=1))
        return fused.add_(self.bottelblock(torch.cat((self.conv_ir(infrared), self.conv_vi(visible)), dim=1)))


class FusionNetwork(nn.Module):
    """The residual fusion network of all four scales."""

    def __init__(self) -> None:
        super().__init__()
        for number, channels in enumerate(CHANNELS, start=1):
            self.add_module(f"fusion_block{number}", ResidualFusion(channels))

    def forward(self, infrared: Sequence[Tensor], visible: Sequence[Tensor]) -> list[Tensor]:
        """Return the fused features at four scales."""
        return [block(*pair) for block, pair in zip(self.children(), zip(infrared, visible, strict=True), strict=True)]


class RFNNestNetwork(nn.Module):
    """Both networks; their weights come in two files."""

    def __init__(self) -> None:
        super().__init__()
        self.coder = NestFuse()
        self.fusion = FusionNetwork()

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused image (N, 1, H, W), not negative, of images of at least 16x16, levels 0-255."""
        image: Tensor = self.coder.decode(self.fusion(self.coder.encode(infrared), self.coder.encode(visible)))
        return image


def upsample(features: Tensor, like: Tensor) -> Tensor:
    """Return features at twice their size, and one mirrored row and column more where `like` is odd."""
    doubled = F.interpolate(features, scale_factor=2, mode="nearest")
    missing = (like.shape[3] - doubled.shape[3], like.shape[2] - doubled.shape[2])
    return F.pad(doubled, (0, missing[0], 0, missing[1]), mode="reflect") if any(missing) else doubled


def tiles(height: int, width: int) -> list[tuple[slice, slice]]:
    """Return the rows and columns of the pieces that the authors fuse one by one.

    An image with a side over 512 is cut into four that overlap by five pixels; any other is one piece.
    """
    if max(height, width) <= _LARGEST:
        return [(slice(0, height), slice(0, width))]
    rows, columns = ((slice(0, side // 2 + 3), slice(side // 2 - 2, side)) for side in (height, width))
    return [(row, column) for row in rows for column in columns]


_REPOSITORY = "https://github.com/hli1221/imagefusion-rfn-nest"
_COMMIT = "76e4e0500a3d818068f31942d7d5ed874c36c37b"
_CODER = "nestfuse_gray_1e2.model"
_FUSION = "Final_epoch_2_alpha_700_wir_6.0_wvi_3.0_ssim_vi.model"
_CITATION = r"""
@article{li2021rfnnest,
  author = {Li, Hui and Wu, Xiao-Jun and Kittler, Josef},
  title = {{RFN-Nest}: An End-to-End Residual Fusion Network for Infrared and Visible Images},
  journal = {Information Fusion},
  volume = {73},
  pages = {72--86},
  year = {2021},
  doi = {10.1016/j.inffus.2021.02.023},
}
"""


class RFNNest(NetworkMethod):
    """RFN-Nest with its learnt fusion."""

    title = "RFN-Nest"
    name = "rfn_nest"
    record = Record(
        paper="H. Li, X.-J. Wu, J. Kittler, RFN-Nest: An end-to-end residual fusion network for infrared and visible "
        "images, Information Fusion 73, 2021",
        year=2021,
        citation=_CITATION,
        repository=_REPOSITORY,
        commit=_COMMIT,
        licence="none found",
        files=(
            WeightFile(name=_CODER, git_blob="ed97064f42408b832ba04c09c2b0f0b883de666e"),
            WeightFile(name=_FUSION, git_blob="5d6f488bb906abe8e623b1e2af5bc9e380e6a580"),
        ),
        by_hand=f"unpack {_REPOSITORY}/raw/{_COMMIT}/models/nestfuse.zip and .../models/rfn_twostage.zip, of the "
        f"latter the file 6.0/{_FUSION}",
        trained_on=("MS-COCO", "KAIST"),
        parameters=7524249,
        verified="architecture only",
        row="RFN-Nest",
        notes=(
            "Grey: both images as luma.",
            "An image with a side over 512 is fused in four overlapping pieces, as the authors do; near the seams "
            "that gives other values than the whole image would.",
            "The authors' code refuses images, or pieces, with a side under 16; ours repeats their last rows and "
            "columns and crops.",
            "Each image is stretched to 0-255. The authors' code clamps to 0-255 first when told to run without a "
            "GPU, and then gives another image; ours never clamps.",
        ),
    )

    def load(self, files: Mapping[str, Path]) -> nn.Module:
        """Return both networks with their weights."""
        network = RFNNestNetwork()
        for part, path in ((network.coder, files[_CODER]), (network.fusion, files[_FUSION])):
            fill(part, read_state(path), path)
        return network.to(memory_format=torch.channels_last)

    def infer(self, infrared: ImageArray, visible: ImageArray) -> Tensor:
        """Return the network's output (H, W), not negative, often far above 255; where pieces overlap, their mean."""
        height, width = infrared.shape
        total = torch.zeros(height, width, device=self.device)
        count = torch.zeros_like(total)
        for piece in tiles(height, width):
            total[piece] += self._piece(infrared[piece], visible[piece])
            count[piece] += 1
        return total.div_(count)

    def _piece(self, infrared: ImageArray, visible: ImageArray) -> Tensor:
        height, width = infrared.shape
        bands = (enlarge(self.tensor(image), _SMALLEST) for image in (infrared, visible))
        # Without the memory format, one channel leaves the first layer's own layout to chance.
        fused: Tensor = self.network(*(band.to(memory_format=torch.channels_last) for band in bands))
        return fused[0, 0, :height, :width]

    def image(self, raw: NDArray[np.float32]) -> ImageArray:
        """Return the output stretched to 0-255 and truncated."""
        # All in float32: the span then swallows the 1e-5 and the highest value reaches 255, as the authors' do.
        low = raw.min()
        levels: NDArray[np.float32] = (raw - low) / (raw.max() - low + np.float32(1e-5)) * np.float32(255)
        return levels.astype(np.uint8)
