"""SHIP: infrared and visible features interact in space through Fourier transforms, and across channels.

Every part sees the whole image: the product of two spectra, instance normalisation, averages over the image. The
fused image of a tile is therefore not the tile of the fused image.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from methods.convolution import enlarge
from methods.network import NetworkMethod, fill, read_state
from methods.record import Record, WeightFile
from methods.ycrcb import compute_luma, recolour
from metrics.errors import InputError
from metrics.images import ImageArray

_WIDTH = 16  # channels of a stream


class SHIPNetwork(nn.Module):
    """Features of both images, three interactions, and one image of what they made of the visible features.

    Reference:
        Zheng et al., "Probing Synergistic High-Order Interaction in Infrared and Visible Image Fusion", CVPR 2024.
    """

    def __init__(self) -> None:
        super().__init__()
        self.vis = Extractor()
        self.inf = Extractor()
        self.interaction1 = Interaction()
        self.interaction2 = Interaction()
        self.interaction3 = Interaction()
        self.postprocess = invertible_reduction(3 * _WIDTH)
        self.reconstruction = Reconstruction()

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused luma, (N, 1, H, W), about 0-1, of an infrared image and visible luma (N, 1, H, W), 0-1."""
        infrared, visible = self.inf(infrared), self.vis(visible)
        stages = []
        for interaction in (self.interaction1, self.interaction2, self.interaction3):
            infrared, visible = interaction(infrared, visible)
            stages.append(visible)
        fused: Tensor = self.reconstruction(self.postprocess(torch.cat(stages, dim=1)))
        return fused


class Extractor(nn.Module):
    """From one channel to sixteen, and two residual blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, _WIDTH, 1)
        self.block1 = ExtractorBlock()
        self.block2 = ExtractorBlock()

    def forward(self, image: Tensor) -> Tensor:
        """Return features (N, 16, H, W) of an image (N, 1, H, W)."""
        features: Tensor = self.block2(self.block1(self.conv(image)))
        return features


class ExtractorBlock(nn.Module):
    """A convolution, then the sum of an ordinary and a central-difference path."""

    def __init__(self) -> None:
        super().__init__()
        self.process = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.Res = convolution_pair(_WIDTH)
        self.CDC = CentralDifference()

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, 16, H, W)."""
        features = self.process(features)
        result: Tensor = self.Res(features)
        return result.add_(self.CDC(features))


class CentralDifference(nn.Module):
    """A cross-shaped and a diagonal convolution, mixed, and the features themselves.

    Each holds five taps, from whose centre 0.8 of their sum is taken: a part of the convolution acts on differences
    to the central pixel. Both are linear, so the mixture is one 3x3 convolution.
    """

    def __init__(self) -> None:
        super().__init__()
        self.HP_branch = nn.Parameter(torch.zeros(1))
        self.h_conv = FiveTaps(1, 3, 4, 5, 7)
        self.d_conv = FiveTaps(0, 2, 4, 6, 8)

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, 16, H, W)."""
        share = self.HP_branch.sigmoid()
        kernel: Tensor = share * self.h_conv() + (1 - share) * self.d_conv()
        return F.conv2d(features, kernel, padding=1).add_(features)


class FiveTaps(nn.Module):
    """The kernel of a central-difference convolution, at five of nine places, which count row by row."""

    def __init__(self, *places: int) -> None:
        super().__init__()
        self.places = places
        self.conv = nn.Conv2d(_WIDTH, _WIDTH, (1, 5), bias=False)

    def forward(self) -> Tensor:
        """Return the kernel, (16, 16, 3, 3)."""
        taps = self.conv.weight[:, :, 0]
        kernel = taps.new_zeros(_WIDTH, _WIDTH, 9)
        kernel[..., self.places] = taps
        kernel[..., 4] -= 0.8 * taps.sum(2)
        return kernel.view(_WIDTH, _WIDTH, 3, 3)


class Interaction(nn.Module):
    """An interaction in space, then one across channels."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial = SpatialInteraction()
        self.channel = ChannelInteraction()

    def forward(self, infrared: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Return new infrared and visible features, (N, 16, H, W) each."""
        infrared, visible = self.spatial(infrared, visible)
        return infrared, self.channel(infrared, visible)


class SpatialInteraction(nn.Module):
    """Attention by the product of both spectra, then orders two to four of the product with infrared features."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = ChannelNorm()
        for order in (1, 2, 3):
            self.add_module(f"reflashFused{order}", convolution_pair(_WIDTH))
            self.add_module(f"reflashInfrared{order}", convolution_pair(_WIDTH))
            self.add_module(f"norm{order + 1}", ChannelNorm())

    def forward(self, infrared: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Return new infrared and visible features, (N, 16, H, W) each."""
        attention = torch.fft.rfft2(visible).mul_(torch.fft.rfft2(infrared))
        fused = self.norm1(torch.fft.irfft2(attention, s=visible.shape[-2:])) * infrared
        for order in (1, 2, 3):
            fused = self.get_submodule(f"norm{order + 1}")(self.get_submodule(f"reflashFused{order}")(fused))
            infrared = self.get_submodule(f"reflashInfrared{order}")(infrared)
            fused = fused * infrared
        return infrared, fused + visible


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.LayerNorm(_WIDTH)

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, 16, H, W)."""
        result: Tensor = self.body(features.permute(0, 2, 3, 1))
        return result.permute(0, 3, 1, 2)


class ChannelInteraction(nn.Module):
    """Both features, weighted by channel four times with convolutions in between."""

    def __init__(self) -> None:
        super().__init__()
        self.chaAtten = attention_layers(2 * _WIDTH)
        for order in (1, 2, 3):
            self.add_module(f"reflashFused{order}", convolution_pair(2 * _WIDTH))
            self.add_module(f"reflashChaAtten{order}", attention_layers(2 * _WIDTH))
        self.postprocess = invertible_reduction(2 * _WIDTH)

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return new visible features, (N, 16, H, W)."""
        fused = torch.cat((visible, infrared), dim=1)
        weights = self.chaAtten(fused.mean((2, 3), keepdim=True)).softmax(dim=1)
        fused = fused * weights
        for order in (1, 2, 3):
            weights = self.get_submodule(f"reflashChaAtten{order}")(weights).softmax(dim=1)
            fused = self.get_submodule(f"reflashFused{order}")(fused) * weights
        result: Tensor = self.postprocess(fused)
        return result + visible


class Invertible(nn.Module):
    """A step of a normalising flow: an invertible 1x1 convolution, then each half changed by the other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.F = DenseLayers(half)
        self.G = DenseLayers(half)
        self.H = DenseLayers(half)
        self.invconv = InvertibleConvolution(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, C, H, W)."""
        first, second = self.invconv(features).chunk(2, dim=1)
        first = first + self.F(second)
        scale = torch.exp(0.8 * (2 * torch.sigmoid(self.H(first)) - 1))
        return torch.cat((first, second * scale + self.G(first)), dim=1)


class InvertibleConvolution(nn.Module):
    """A 1x1 convolution whose matrix is kept as its factors: permutation, lower and upper triangle."""

    p: Tensor
    sign_s: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lower = nn.Parameter(torch.zeros(channels, channels))
        self.log_s = nn.Parameter(torch.zeros(channels))
        self.upper = nn.Parameter(torch.zeros(channels, channels))
        self.register_buffer("p", torch.eye(channels))
        self.register_buffer("sign_s", torch.ones(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, C, H, W)."""
        lower = self.lower.tril(-1) + torch.eye(len(self.lower), device=features.device)
        upper = self.upper.triu(1) + torch.diag(self.sign_s * self.log_s.exp())
        return F.conv2d(features, (self.p @ lower @ upper)[..., None, None])


class DenseLayers(nn.Module):
    """Two half-instance-normalisation blocks and a convolution that sees what entered both."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = HalfInstanceNorm(channels)
        self.conv2 = HalfInstanceNorm(_WIDTH)
        self.conv3 = nn.Conv2d(channels + 2 * _WIDTH, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, C, H, W)."""
        first = F.leaky_relu(self.conv1(features), 0.2, inplace=True)
        second = F.leaky_relu(self.conv2(first), 0.2, inplace=True)
        return F.leaky_relu(self.conv3(torch.cat((features, first, second), dim=1)), 0.2, inplace=True)


class HalfInstanceNorm(nn.Module):
    """Two convolutions, of whose first one half of the channels is normalised, and a 1x1 convolution beside them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.identity = nn.Conv2d(channels, _WIDTH, 1)
        self.conv_1 = nn.Conv2d(channels, _WIDTH, 3, padding=1)
        self.conv_2 = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.norm = nn.InstanceNorm2d(_WIDTH // 2, affine=True)  # keeps no statistics: always the image's own

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, 16, H, W)."""
        normalised, plain = self.conv_1(features).chunk(2, dim=1)
        result = F.leaky_relu(torch.cat((self.norm(normalised), plain), dim=1), 0.1, inplace=True)
        result = F.leaky_relu(self.conv_2(result), 0.1, inplace=True)
        return result.add_(self.identity(features))


class Reconstruction(nn.Module):
    """From features to one image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.process = nn.Sequential(ChannelShift(), ChannelShift())
        self.conv_last = nn.Conv2d(_WIDTH, 1, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, 1, H, W)."""
        image: Tensor = self.conv_last(self.process(self.conv_in(features)))
        return image


class ChannelShift(nn.Module):
    """Channel attention, of which the published network adds the averages, not the maps: a constant a channel."""

    def __init__(self) -> None:
        super().__init__()
        self.process = convolution_pair(_WIDTH)
        self.conv_du = attention_layers(_WIDTH, _WIDTH // 4)

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, 16, H, W)."""
        averages: Tensor = self.process(features).mean((2, 3), keepdim=True)
        shifts: Tensor = averages * self.conv_du(averages).sigmoid()
        return features + shifts


def convolution_pair(channels: int) -> nn.Sequential:
    """Return two 3x3 convolutions with a ReLU in between."""
    first, second = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
    return nn.Sequential(first, nn.ReLU(inplace=True), second)


def attention_layers(channels: int, hidden: int = _WIDTH) -> nn.Sequential:
    """Return two layers on a vector of channels with a ReLU in between."""
    return nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(inplace=True), nn.Conv2d(hidden, channels, 1))


def invertible_reduction(channels: int) -> nn.Sequential:
    """Return a step of a flow and the 1x1 convolution that takes its outcome to sixteen channels."""
    return nn.Sequential(Invertible(channels), nn.Conv2d(channels, _WIDTH, 1))


_COMMIT = "6b95318c7700fce74a476e057f077ecd90ff85b3"
_FILE = "SHIP_model.pth"
_CITATION = """
@inproceedings{zheng2024ship,
  author = {Zheng, Naishan and Zhou, Man and Huang, Jie and Hou, Junming and Li, Haoying and Xu, Yuan and Zhao, Feng},
  title = {Probing Synergistic High-Order Interaction in Infrared and Visible Image Fusion},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2024},
  doi = {10.1109/CVPR52733.2024.02492},
}
"""


class SHIP(NetworkMethod):
    """SHIP with the authors' weights."""

    title = "SHIP"
    name = "ship"
    colour = True
    record = Record(
        paper="N. Zheng, M. Zhou, J. Huang, J. Hou, H. Li, Y. Xu, F. Zhao: Probing Synergistic High-Order Interaction "
        "in Infrared and Visible Image Fusion. CVPR 2024",
        year=2024,
        citation=_CITATION,
        repository="https://github.com/zheng980629/SHIP",
        commit=_COMMIT,
        licence="none found",
        files=(
            WeightFile(
                _FILE,
                url=f"https://github.com/zheng980629/SHIP/raw/{_COMMIT}/pretrained_model/{_FILE}",
                bytes=2397047,
                sha256="e61783e79144d5c9da6681b833ad64624ed2e61f6a533fd18ab896349e3f7329",
                git_blob="ee040866877cdf3f5e2de3977aa395a383f6e80d",
            ),
        ),
        trained_on=("M3FD-Fusion",),
        probably_trained_on=("M3FD",),
        parameters=547_509,
        verified="official code",
        notes=(
            "The published training options name M3FD-Fusion for training and for testing; the read-me says M3FD.",
            "Official code and weights only: the authors publish no fused images to compare with.",
            "No licence file; the setup.py of the library that the code is built on names Apache 2.0.",
            "The unrounded luma of the visible image is fused. The grey result is the fused luma; for a grey pair it "
            "is the authors' image. `recolour_image` gives their colour image.",
            "Of an infrared image in colour the red channel is used, as by the official code.",
            "Any size; a side of one pixel is repeated, and the fused image cropped.",
        ),
    )

    def load(self, files: Mapping[str, Path]) -> nn.Module:
        """Return the network with its weights."""
        path = files[_FILE]
        state = read_state(path).get("params")
        if not isinstance(state, dict):
            raise InputError(f"{path} has no dictionary 'params'; SHIP's checkpoint holds its weights in one")
        network = SHIPNetwork()
        fill(network, state, path)
        return network

    def infer(self, infrared: ImageArray, visible: ImageArray) -> Tensor:
        """Return the fused luma, (H, W), about 0-1."""
        height, width = infrared.shape[:2]
        bands = (self.tensor(infrared[..., 0]) / 255, compute_luma(self.tensor(visible) / 255))
        fused: Tensor = self.network(*(enlarge(band, 2) for band in bands))
        return fused[0, 0, :height, :width]

    def image(self, raw: NDArray[np.float32]) -> ImageArray:
        """Return levels 0-255, clipped, rounded half to even."""
        return super().image(255 * np.clip(raw, 0, 1))


def recolour_image(raw: NDArray[np.float32], visible: ImageArray) -> ImageArray:
    """Return the colour image that the authors save, uint8 (H, W, 3).

    Args:
        raw: Fused luma (H, W) as `SHIP.raw` gives it.
        visible: uint8 (H, W, 3) RGB.
    """
    return np.rint(255 * recolour(np.clip(raw, 0, 1), visible)).astype(np.uint8)
