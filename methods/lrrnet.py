"""LRRNet: an unrolled low-rank representation takes each image apart; learned convolutions fuse the parts."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from methods.convolution import enlarge, run_in_tiles
from methods.network import NetworkMethod, fill, read_state
from methods.record import Record, WeightFile
from metrics.images import ImageArray

_FILTERS = 128
# Pixels at a time: the codes of so many fit a processor's cache; a GPU is idle between small pieces.
_PIXELS, _PIXELS_ON_GPU = 1 << 10, 1 << 18
_EPSILON = 1e-5  # of both stretches; at the output's span of 0.2 it keeps the maximum at level 254


class LRRNetwork(nn.Module):
    """Two decompositions with weights of their own, and a decoder that fuses.

    Reference:
        Li, Xu, Wu, Lu and Kittler, "LRRNet: A Novel Representation Learning Guided Fusion Network for Infrared and
        Visible Images", IEEE TPAMI 45(9), 2023.
    """

    halo = 11  # of 3x3 convolutions one after the other: 1 and 2 a block in a decomposition, 2 in the decoder

    def __init__(self) -> None:
        super().__init__()
        self.get_ls1 = Decomposition()
        self.get_ls2 = Decomposition()
        self.decoder = Decoder()

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused image, (N, 1, H, W), unbounded, of two images (N, 1, H, W) in [0, 1]; H and W at least 2."""
        fused: Tensor = self.decoder(self.get_ls1(infrared), self.get_ls2(visible))
        return fused


class Decomposition(nn.Module):
    """A fixed number of steps of a learned iterative shrinkage: codes z of an image x such that D(z) is close to x.

    Attributes:
        lamj: Threshold for each of the 256 channels, common to all steps. One of the official ones is negative.
        lamz: How much of a step's codes the next step keeps.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lamj = nn.Parameter(torch.zeros(1, 2 * _FILTERS))
        self.lamz = nn.Parameter(torch.zeros(1, 1))
        self.conv_W00 = ReflectConvolution(1, 2 * _FILTERS)
        self.lrrblock0 = Block()
        self.lrrblock1 = Block()
        self.lrrblock2 = Block()
        self.lrrblock3 = Block()

    @property
    def blocks(self) -> tuple["Block", ...]:
        """The four steps in order."""
        return self.lrrblock0, self.lrrblock1, self.lrrblock2, self.lrrblock3

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the low-rank and the sparse codes, (N, 128, H, W) each."""
        thresholds = self.lamj[..., None, None]
        codes = shrink(self.conv_W00(image), thresholds)
        for block in self.blocks:
            residual = image - block.conv_Wdz(codes)
            codes = shrink(self.lamz * codes + block.conv_Wdtz(residual), thresholds)
        low_rank, sparse = codes.chunk(2, dim=1)
        return low_rank, sparse


class Block(nn.Module):
    """The two convolutions of a step: from codes to an image, and from an image to codes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_Wdz = ReflectConvolution(2 * _FILTERS, 1)
        self.conv_Wdtz = ReflectConvolution(1, 2 * _FILTERS)


def shrink(codes: Tensor, thresholds: Tensor) -> Tensor:
    """Return codes moved towards zero by the thresholds, at most to zero (away from zero where one is negative)."""
    magnitudes = codes.abs().sub_(thresholds).relu_()
    return magnitudes.mul_(codes.sign())


class Decoder(nn.Module):
    """Each part becomes a map, the maps of both images are fused by kind, and the kinds added."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_ReZx = ReflectConvolution(_FILTERS, 1)
        self.conv_ReUx = ReflectConvolution(_FILTERS, 1)
        self.conv_ReZy = ReflectConvolution(_FILTERS, 1)
        self.conv_ReUy = ReflectConvolution(_FILTERS, 1)
        self.conv_ReL = ReflectConvolution(2, 1)
        self.conv_ReH = ReflectConvolution(2, 1)

    def forward(self, infrared: tuple[Tensor, Tensor], visible: tuple[Tensor, Tensor]) -> Tensor:
        """Return the fused image, (N, 1, H, W), of the low-rank and sparse codes of both."""
        low_rank = torch.cat((self.conv_ReZx(infrared[0]), self.conv_ReZy(visible[0])), dim=1)
        sparse = torch.cat((self.conv_ReUx(infrared[1]), self.conv_ReUy(visible[1])), dim=1)
        fused: Tensor = self.conv_ReL(low_rank) + self.conv_ReH(sparse)
        return fused


class ReflectConvolution(nn.Module):
    """A 3x3 convolution on a mirrored border."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(channels, width, 3, padding=1, padding_mode="reflect")

    def forward(self, maps: Tensor) -> Tensor:
        """Return (N, width, H, W)."""
        result: Tensor = self.conv2d(maps)
        return result

    @property
    def kernels(self) -> Tensor:
        """The kernels as a matrix, (width, 9 * channels)."""
        return self.conv2d.weight.flatten(1)

    @property
    def bias(self) -> Tensor:
        """What is added, (width, 1)."""
        return self.conv2d.get_parameter("bias")[:, None]


def fuse_in_cache(network: LRRNetwork, infrared: Tensor, visible: Tensor) -> Tensor:
    """Return network(infrared, visible) for one pair, (1, 1, H, W), equal up to float32 rounding.

    The 256 maps of codes fill the memory, and eleven operations a step pass over them. Here a step takes a few pixels
    at a time, whose codes the processor's cache holds. At 640x480 on one core this is three times as fast and takes
    1.1 GB instead of 2.8.
    """
    decoder = network.decoder
    x = _reduce_codes(network.get_ls1, infrared, decoder.conv_ReZx, decoder.conv_ReUx)
    y = _reduce_codes(network.get_ls2, visible, decoder.conv_ReZy, decoder.conv_ReUy)
    low_rank, sparse = torch.cat((x, y)).split(1, dim=1)
    fused: Tensor = decoder.conv_ReL(low_rank.transpose(0, 1)) + decoder.conv_ReH(sparse.transpose(0, 1))
    return fused


def _reduce_codes(
    decomposition: Decomposition, image: Tensor, low_rank: ReflectConvolution, sparse: ReflectConvolution
) -> Tensor:
    """Return both halves of an image's codes, convolved to one map each, as (1, 2, H, W)."""
    keep, thresholds = float(decomposition.lamz), decomposition.lamj.T
    readers = [(_taps(block.conv_Wdz), block.conv_Wdz.bias) for block in decomposition.blocks]
    readers.append((torch.block_diag(_taps(low_rank), _taps(sparse)), torch.cat((low_rank.bias, sparse.bias))))
    writers = [decomposition.conv_W00, *(block.conv_Wdtz for block in decomposition.blocks)]
    pixels = _PIXELS if image.device.type == "cpu" else _PIXELS_ON_GPU
    codes: list[Tensor] = []
    source = maps = image
    for writer, (taps, bias) in zip(writers, readers, strict=True):
        products = []
        for index, patches in enumerate(F.unfold(_mirror(source), 3)[0].split(pixels, dim=1)):
            if writer is decomposition.conv_W00:
                codes.append(writer.kernels @ patches)
            else:
                codes[index] = torch.addmm(codes[index], writer.kernels, patches, beta=keep)
            codes[index] = shrink(codes[index].add_(writer.bias), thresholds)
            products.append(taps @ codes[index])
        maps = _sum_neighbours(torch.cat(products, dim=1).view(-1, 9, *image.shape[2:])) + bias[..., None]
        source = image - maps
    return maps[None]


def _taps(layer: ReflectConvolution) -> Tensor:
    """Return the kernel of a convolution to one map as a matrix (9, channels): what each tap takes from a pixel."""
    return layer.kernels.view(-1, 9).T


def _sum_neighbours(products: Tensor) -> Tensor:
    """Return maps (K, H, W) of what nine taps, (K, 9, H, W), take from the nine neighbours of each pixel."""
    height, width = products.shape[2:]
    padded = _mirror(products)
    shifted = [
        padded[:, 3 * row + column, row:, column:][:, :height, :width] for row in range(3) for column in range(3)
    ]
    return torch.stack(shifted).sum(0)


def _mirror(maps: Tensor) -> Tensor:
    return F.pad(maps, (1, 1, 1, 1), mode="reflect")


_COMMIT = "e489fc325ea6acb9b7327b1de2c0cc4a09172ba4"
_FILE = "final_lrr_net_lam2_1.5_wir_3.0_lam3_gram_2000_epoch_4_block_4.model"
_CITATION = """
@article{li2023lrrnet,
  author = {Li, Hui and Xu, Tianyang and Wu, Xiao-Jun and Lu, Jiwen and Kittler, Josef},
  title = {{LRRNet}: A Novel Representation Learning Guided Fusion Network for Infrared and Visible Images},
  journal = {IEEE Transactions on Pattern Analysis and Machine Intelligence},
  volume = {45},
  number = {9},
  pages = {11040--11052},
  year = {2023},
  doi = {10.1109/TPAMI.2023.3268209},
}
"""


class LRRNet(NetworkMethod):
    """LRRNet with the authors' weights."""

    title = "LRRNet"
    name = "lrrnet"
    record = Record(
        paper="H. Li, T. Xu, X.-J. Wu, J. Lu, J. Kittler: LRRNet: A Novel Representation Learning Guided Fusion "
        "Network for Infrared and Visible Images. IEEE Transactions on Pattern Analysis and Machine Intelligence "
        "45(9), 2023",
        year=2023,
        citation=_CITATION,
        repository="https://github.com/hli1221/imagefusion-LRRNet",
        commit=_COMMIT,
        licence="none found",
        files=(
            WeightFile(
                _FILE,
                url=f"https://raw.githubusercontent.com/hli1221/imagefusion-LRRNet/{_COMMIT}/model/{_FILE}",
                bytes=218515,
                sha256="1de9dd8dee9b650ce69c74ea53e3b9a6b749222f1059a689aabf28f68ee63e29",
                git_blob="b24a0e55795dce4407e7546e1b7d728473725a33",
            ),
        ),
        trained_on=("KAIST",),
        parameters=49_204,
        verified="official outputs",
        notes=(
            "Trained on the first 20,000 pairs of KAIST.",
            "Grey in, grey out, as the official code; a colour visible image is fused by its luma.",
            "Each image is stretched to its own minimum and maximum before the network and the fused one after it; the "
            "brightest level is 254.",
            "Any size. The official code refuses a side of one pixel; ours repeats that pixel and crops.",
        ),
    )

    def load(self, files: Mapping[str, Path]) -> nn.Module:
        """Return the network with its weights."""
        network = LRRNetwork()
        fill(network, read_state(files[_FILE]), files[_FILE])
        return network

    def infer(self, infrared: ImageArray, visible: ImageArray) -> Tensor:
        """Return the network's output, (H, W), before its stretch."""
        height, width = infrared.shape
        bands = [enlarge(_normalise(self.tensor(band)), 2) for band in (infrared, visible)]
        # Minima and maxima are the whole image's. Between them a pixel sees no further than the halo.
        assert isinstance(self.network, LRRNetwork)
        network = partial(fuse_in_cache, self.network)
        return run_in_tiles(network, bands[0], bands[1], halo=LRRNetwork.halo, side=512)[0, 0, :height, :width]

    def image(self, raw: NDArray[np.float32]) -> ImageArray:
        """Return the output, stretched and cut off to whole levels."""
        stretched = (raw - raw.min()) / (raw.max() - raw.min() + np.float32(_EPSILON))
        levels: ImageArray = (255 * stretched).astype(np.uint8)
        return levels


def _normalise(image: Tensor) -> Tensor:
    least, most = image.aminmax()
    return (image - least) / (most - least + _EPSILON)
