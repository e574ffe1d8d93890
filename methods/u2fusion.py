"""U2Fusion (Xu et al., 2022): one densely connected network for infrared-visible, exposure and focus fusion."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from methods import tensorflow_checkpoint
from methods.base import stretch
from methods.convolution import enlarge, run_in_tiles
from methods.network import NetworkMethod, fill
from methods.record import Record, WeightFile
from metrics.images import ImageArray


class U2FusionNetwork(nn.Module):
    """The published network: 3x3 convolutions on mirrored borders, at full size throughout.

    Reference:
        Xu, Ma, Jiang, Guo and Ling, "U2Fusion: A Unified Unsupervised Image Fusion Network", IEEE TPAMI 44(1), 2022.
    """

    halo = 10  # ten 3x3 convolutions

    def __init__(self) -> None:
        super().__init__()
        self.conv1_1 = _convolution(2, 44)
        self.dense_block = nn.ModuleList(_convolution(44 * count, 44) for count in range(1, 6))
        self.conv2_1 = _convolution(264, 128)
        self.conv2_2 = _convolution(128, 64)
        self.conv2_3 = _convolution(64, 32)
        self.conv2_4 = _convolution(32, 1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the fused image (N, 1, H, W) in (0, 1) of two images (N, 1, H, W) in [0, 1]; H and W at least 2."""
        features = _leaky(self.conv1_1(torch.cat((first, second), dim=1)))
        for layer in self.dense_block:
            features = torch.cat((_leaky(layer(features)), features), dim=1)  # the newest channels come first
        for layer in (self.conv2_1, self.conv2_2, self.conv2_3):
            features = _leaky(layer(features))
        fused: Tensor = torch.tanh(self.conv2_4(features)) / 2 + 0.5
        return fused


def _convolution(channels: int, width: int) -> nn.Conv2d:
    return nn.Conv2d(channels, width, 3, padding=1, padding_mode="reflect")


def _leaky(features: Tensor) -> Tensor:
    return F.leaky_relu(features, 0.2, inplace=True)


_REPOSITORY = "https://raw.githubusercontent.com/hanna-xu/U2Fusion"
_COMMIT = "0a5882140df67b3e0b588e1f2233e18cf944f1a4"
_INDEX = "model.ckpt.index"
_DATA = "model.ckpt.data-00000-of-00001"
_LAYERS = {
    "conv1_1": "Generator/encoder/conv1_1",
    **{f"dense_block.{i}": f"Generator/encoder/dense_block_conv{i + 1}" for i in range(5)},
    **{f"conv2_{i}": f"Generator_1/decoder/conv2_{i}" for i in range(1, 5)},
}
_CITATION = r"""
@article{xu2022u2fusion,
  author = {Xu, Han and Ma, Jiayi and Jiang, Junjun and Guo, Xiaojie and Ling, Haibin},
  title = {{U2Fusion}: A Unified Unsupervised Image Fusion Network},
  journal = {IEEE Transactions on Pattern Analysis and Machine Intelligence},
  volume = {44},
  number = {1},
  pages = {502--518},
  year = {2022},
  doi = {10.1109/TPAMI.2020.3012548},
}
"""


class U2Fusion(NetworkMethod):
    """U2Fusion with the authors' TensorFlow weights.

    The network is not symmetric in its two inputs, and who runs it decides which comes first. Variants: "script",
    the authors' present test script, gives the visible image first and stretches from 0 to the maximum; "tang",
    which made the fused images that circulate, gives the infrared image first and stretches from minimum to
    maximum. They differ by tens of levels.
    """

    title = "U2Fusion"
    name = "u2fusion"
    variants = ("script", "tang")
    colour = True
    record = Record(
        paper="H. Xu, J. Ma, J. Jiang, X. Guo, H. Ling, U2Fusion: A Unified Unsupervised Image Fusion Network, "
        "IEEE TPAMI 44(1), 2022",
        year=2022,
        citation=_CITATION,
        repository="https://github.com/hanna-xu/U2Fusion",
        commit=_COMMIT,
        licence="none found",
        files=(
            WeightFile(
                name=_INDEX,
                url=f"{_REPOSITORY}/{_COMMIT}/model/{_INDEX}",
                bytes=905,
                sha256="15b7d283a1de8f616cc42978346bd24d47a9c380d624370368b956beb593014e",
                git_blob="5c201d8d80bdd78de72efa316caba34bf1ff05d9",
            ),
            WeightFile(
                name=_DATA,
                url=f"{_REPOSITORY}/{_COMMIT}/model/{_DATA}",
                bytes=2636868,
                sha256="e50cada8d4ec92f2577ad5db5d212fba521dffb35d04e00a20364b43512c64c8",
                git_blob="70083a119d1450610b192b93fdfc5b0e42e4858e",
            ),
        ),
        trained_on=(),
        probably_trained_on=("TNO", "RoadScene"),
        parameters=659_217,
        verified="official outputs",
        task="general",
        notes=(
            "`script`: visible first, stretched from 0 to the maximum; the luma of a colour image is not rounded. "
            "`tang`: infrared first, stretched from minimum to maximum; luma rounded as Pillow does. Published tables "
            "computed on the images that circulate are tables of `tang`.",
            "Checked: the authors' code gives all 42 images of TNO that circulate with `tang`'s order and stretch. No "
            "published image shows the present script's stretch: `script` is checked against the authors' code only.",
            "Grey result; `recolour_image` gives the colour image of the authors' script.",
            "The stretch depends on the brightest pixel, so the fused image of a crop is not the crop of the fused "
            "image.",
            "Neither code nor readme names the training pairs. The authors test on TNO and RoadScene, which may have "
            "been seen in training.",
            "Any size. The authors' code needs two pixels a side; ours repeats a single one and crops.",
        ),
    )

    def load(self, files: Mapping[str, Path]) -> nn.Module:
        """Return the network with its weights."""
        bundle = tensorflow_checkpoint.read_files(files[_INDEX], files[_DATA])
        network = U2FusionNetwork()
        fill(network, tensorflow_checkpoint.convolutions(bundle, _LAYERS, files[_DATA]), files[_DATA])
        return network.to(memory_format=torch.channels_last)

    def infer(self, infrared: ImageArray, visible: ImageArray) -> Tensor:
        """Return the fused luma, (H, W) in (0, 1)."""
        pair = (infrared, visible) if self.variant == "tang" else (visible, infrared)
        first, second = (enlarge(self._luma(image), 2) for image in pair)
        fused = run_in_tiles(self.network, first, second, halo=U2FusionNetwork.halo)
        return fused[0, 0, : infrared.shape[0], : infrared.shape[1]]

    def _luma(self, image: ImageArray) -> Tensor:
        if self.variant == "tang":
            return self.tensor(np.array(Image.fromarray(image).convert("L"))) / 255
        luma = image / 255 @ (0.299, 0.587, 0.114)
        return torch.from_numpy(luma)[None, None].float().to(self.device)

    def image(self, raw: NDArray[np.float32]) -> ImageArray:
        """Return the stretched image."""
        low = float(raw.min()) if self.variant == "tang" else 0
        return stretch(raw, low, float(raw.max()))


def recolour_image(raw: NDArray[np.float32], visible: ImageArray) -> ImageArray:
    """Return the colour image of the authors' script, uint8 (H, W, 3): the fused luma with the visible chroma.

    Args:
        raw: Fused luma (H, W) as `U2Fusion.raw` gives it.
        visible: uint8 (H, W, 3) RGB.
    """
    red, green, blue = np.moveaxis(visible / 255, 2, 0)
    # Both chroma channels without their offset of 128/255, which the way back takes off again.
    blueness = -0.1687 * red - 0.3313 * green + 0.5 * blue
    redness = 0.5 * red - 0.4187 * green - 0.0813 * blue
    colours = (raw + 1.402 * redness, raw - 0.34414 * blueness - 0.71414 * redness, raw + 1.772 * blueness)
    fused = np.stack(colours, axis=2)
    return stretch(fused, 0, float(fused.max()))
