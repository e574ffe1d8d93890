"""PIAFusion (Tang et al., 2022): two branches that exchange their differences, then a common decoder.

The illumination network of the paper only weights the training loss, so it has no part in fusing.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from methods import tensorflow_checkpoint
from methods.convolution import enlarge, run_in_tiles
from methods.network import NetworkMethod, fill
from methods.record import Record, WeightFile
from metrics.images import ImageArray, grey

_SLOPE = 0.2


class Layer(nn.Module):
    """A 3x3 convolution on a mirrored border, and a leaky ReLU."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(channels, out, 3))

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, out, H, W)."""
        return _leaky(self.conv(features))


class Encoder(nn.Module):
    """Two branches: a first layer each, then layers with common weights."""

    def __init__(self) -> None:
        super().__init__()
        self.vi_conv1 = nn.Conv2d(1, 16, 1)
        self.ir_conv1 = nn.Conv2d(1, 16, 1)
        self.conv2 = Layer(16, 16)
        self.conv3 = Layer(16, 32)
        self.conv4 = Layer(32, 64)
        self.conv5 = Layer(64, 128)

    def forward(self, infrared: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features of both branches, (N, 128, H, W) each, of images (N, 1, H, W), scale 0-1."""
        infrared, visible = _leaky(self.ir_conv1(infrared)), _leaky(self.vi_conv1(visible))
        for layer in (self.conv2, self.conv3, self.conv4):
            infrared, visible = exchange(layer(infrared), layer(visible))
        return self.conv5(infrared), self.conv5(visible)


class Decoder(nn.Module):
    """From the features of both branches to one image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = Layer(256, 256)
        self.conv2 = Layer(256, 128)
        self.conv3 = Layer(128, 64)
        self.conv4 = Layer(64, 32)
        self.conv5 = nn.Conv2d(32, 1, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, 1, H, W), scale 0-1, of features (N, 256, H, W)."""
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            features = layer(features)
        image: Tensor = self.conv5(features)
        return image.tanh_().div_(2).add_(0.5)


class PIAFusionNetwork(nn.Module):
    """PIAFusion's fusion network."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Decoder()

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused luma (N, 1, H, W) of infrared and luma (N, 1, H, W), scale 0-1; H and W at least 2."""
        infrared, visible = self.encoder(infrared, visible)
        # Maps of 256 channels at full size would fill the memory; a pixel sees four others each way, one a layer.
        return run_in_tiles(self._decoded, infrared, visible, halo=4)

    def _decoded(self, infrared: Tensor, visible: Tensor) -> Tensor:
        image: Tensor = self.decoder(torch.cat((visible, infrared), dim=1))
        return image


def exchange(infrared: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    """Return both branches after their exchange (CMDAF), in place.

    Each branch moves away from the other one, by the sigmoid of how far, on the mean, the other lies above it:
    i + s(mean(v - i)) (i - v), and the same with i and v swapped. The paper moves each towards the other; the
    published network was trained and is run with this sign.

    Args:
        infrared, visible: (N, C, H, W).
    """
    difference = infrared - visible
    mean = difference.mean((2, 3), keepdim=True)
    infrared.addcmul_(difference, torch.sigmoid(-mean))
    visible.addcmul_(difference, torch.sigmoid(mean), value=-1)
    return infrared, visible


def _leaky(features: Tensor) -> Tensor:
    return F.leaky_relu(features, _SLOPE, inplace=True)


_REPOSITORY = "https://raw.githubusercontent.com/Linfeng-Tang/PIAFusion"
_COMMIT = "10b5c59ea27bfb012466a0355f082e5e6d76b557"
_INDEX = "IAFusion.model-29.index"
_DATA = "IAFusion.model-29.data-00000-of-00001"
_LAYERS = {
    "encoder.vi_conv1": "PIAFusion/encoder/conv5x5_vi",
    "encoder.ir_conv1": "PIAFusion/encoder/conv5x5_ir",
    **{f"encoder.conv{i + 1}.conv.1": f"PIAFusion/encoder/Conv{i}/conv3x3" for i in range(1, 5)},
    **{f"decoder.conv{i}.conv.1": f"PIAFusion/decoder/conv{i}" for i in range(1, 5)},
    "decoder.conv5": "PIAFusion/decoder/conv1x1",
}
_CITATION = r"""
@article{tang2022piafusion,
  author = {Tang, Linfeng and Yuan, Jiteng and Zhang, Hao and Jiang, Xingyu and Ma, Jiayi},
  title = {{PIAFusion}: A Progressive Infrared and Visible Image Fusion Network Based on Illumination Aware},
  journal = {Information Fusion},
  volume = {83--84},
  pages = {79--92},
  year = {2022},
  doi = {10.1016/j.inffus.2022.03.007},
}
"""


class PIAFusion(NetworkMethod):
    """PIAFusion as its authors' TensorFlow code has it; the PyTorch port that circulates is another model."""

    title = "PIAFusion"
    name = "piafusion"
    colour = True
    record = Record(
        paper="L. Tang, J. Yuan, H. Zhang, X. Jiang, J. Ma, PIAFusion: A progressive infrared and visible image "
        "fusion network based on illumination aware, Information Fusion 83-84, 2022",
        year=2022,
        citation=_CITATION,
        repository="https://github.com/Linfeng-Tang/PIAFusion",
        commit=_COMMIT,
        licence="MIT",
        files=(
            WeightFile(
                name=_INDEX,
                url=f"{_REPOSITORY}/{_COMMIT}/checkpoint/PIAFusion/{_INDEX}",
                bytes=1499,
                sha256="757d90f0837ce9d4f7caf1a5270be31442c55b67517a336809dec251a3eab799",
                git_blob="fe89e9987a33f8268f40f232b77f4c82ad7f57be",
            ),
            WeightFile(
                name=_DATA,
                url=f"{_REPOSITORY}/{_COMMIT}/checkpoint/PIAFusion/{_DATA}",
                bytes=5066380,
                git_blob="a730a7c46d8c315e8bcefeb827d5520499e66751",
            ),
        ),
        trained_on=("MSRS",),
        parameters=1076785,
        verified="architecture only",
        row="PIAFusion",
        notes=(
            "The luma of the visible image is fused, by the authors' own formula (16-235, green weighted 0.564).",
            "Grey result: 1.164 (fused - 16/255), which is what the authors' colour image is where the visible "
            "one has no colour; `recolour_image` gives their colour image.",
            "Any size. The authors' code refuses a side of one pixel; ours repeats it and crops.",
            "The branches' exchange has the released network's sign, which is not the paper's.",
        ),
    )

    def load(self, files: Mapping[str, Path]) -> nn.Module:
        """Return the fusion network with its weights."""
        bundle = tensorflow_checkpoint.read_files(files[_INDEX], files[_DATA])
        network = PIAFusionNetwork()
        fill(network, tensorflow_checkpoint.convolutions(bundle, _LAYERS, files[_DATA]), files[_DATA])
        return network.to(memory_format=torch.channels_last)

    def infer(self, infrared: ImageArray, visible: ImageArray) -> Tensor:
        """Return the fused luma (H, W), scale 0-1 with black at 16/255."""
        height, width = infrared.shape[:2]
        red, green, blue = self.tensor(visible).div_(255).split(1, dim=1)
        luma = 0.257 * red + 0.564 * green + 0.098 * blue + 16 / 255
        bands = (
            # Without the memory format, one channel leaves the first layer's own layout to chance.
            enlarge(band, 2).to(memory_format=torch.channels_last)
            for band in (self.tensor(grey(infrared)).div_(255), luma)
        )
        fused: Tensor = self.network(*bands)
        return fused[0, 0, :height, :width]

    def image(self, raw: NDArray[np.float32]) -> ImageArray:
        """Return the grey image: black at 16/255, clipped, rounded half to even."""
        return _levels(1.164 * (raw - 16 / 255))


def recolour_image(raw: NDArray[np.float32], visible: ImageArray) -> ImageArray:
    """Return the colour image that the authors save: the fused luma with the visible image's chroma.

    Args:
        raw: Fused luma (H, W) as `PIAFusion.raw` gives it.
        visible: uint8 (H, W, 3) RGB.
    """
    red, green, blue = np.moveaxis(visible.astype(np.float32) / 255, 2, 0)
    # Both chroma channels without their offset of 128/255, which the way back takes off again.
    blueness = -0.148 * red - 0.291 * green + 0.439 * blue
    redness = 0.439 * red - 0.368 * green - 0.071 * blue
    luma = 1.164 * (raw - 16 / 255)
    colours = (luma + 1.596 * redness, luma - 0.392 * blueness - 0.813 * redness, luma + 2.017 * blueness)
    return _levels(np.stack(colours, axis=2))


def _levels(scaled: NDArray[np.float32]) -> ImageArray:
    return np.clip(np.rint(scaled * 255), 0, 255).astype(np.uint8)
