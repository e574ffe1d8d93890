"""SDNet (Zhang and Ma, 2021): squeeze two images into one, from which training decomposes them again."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from methods import tensorflow_checkpoint
from methods.base import stretch
from methods.convolution import run_in_tiles
from methods.network import NetworkMethod, fill
from methods.record import Record, WeightFile
from metrics.images import ImageArray


class Branch(nn.Module):
    """Four convolutions of one band, each of which reads the maps of all before it; zero padding."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.Conv2d(1, 16, 5, padding=2)
        self.layer2 = nn.Conv2d(16, 16, 3, padding=1)
        self.layer3 = nn.Conv2d(32, 16, 3, padding=1)
        self.layer4 = nn.Conv2d(48, 16, 3, padding=1)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the four layers' maps, (N, 16, H, W) each, of an image (N, 1, H, W) in [-1, 1]."""
        maps = [_leaky(self.layer1(image))]
        for layer in (self.layer2, self.layer3, self.layer4):
            maps.append(_leaky(layer(torch.cat(maps, dim=1))))
        return maps


class SDNetNetwork(nn.Module):
    """The squeeze network, which fuses; the decomposition network serves training only.

    Reference:
        Zhang and Ma, "SDNet: A Versatile Squeeze-and-Decomposition Network for Real-Time Image Fusion", IJCV 129, 2021.
    """

    halo = 5  # 5x5 and three 3x3 convolutions

    def __init__(self) -> None:
        super().__init__()
        self.infrared = Branch()
        self.visible = Branch()
        self.fuse = nn.Conv2d(128, 1, 1)

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused image (N, 1, H, W) in (-1, 1) of two images (N, 1, H, W) in [-1, 1]."""
        pairs = zip(self.infrared(infrared), self.visible(visible), strict=True)
        features = torch.cat([maps for pair in pairs for maps in pair], dim=1)  # the bands alternate, layer by layer
        return torch.tanh(self.fuse(features))


def _leaky(features: Tensor) -> Tensor:
    return F.leaky_relu(features, 0.2, inplace=True)


_REPOSITORY = "https://raw.githubusercontent.com/HaoZhang1018/SDNet"
_COMMIT = "bf6a2eeed1f723f0fd319b882d2bf38016bf6e55"
_INDEX = "IRVIS.model-10.index"
_DATA = "IRVIS.model-10.data-00000-of-00001"
_LAYERS = {
    **{f"infrared.layer{number}": f"{number}_ir" for number in range(1, 5)},
    **{f"visible.layer{number}": f"{number}_vi" for number in range(1, 5)},
    "fuse": "5_fuse",
}
_CITATION = r"""
@article{zhang2021sdnet,
  author = {Zhang, Hao and Ma, Jiayi},
  title = {{SDNet}: A Versatile Squeeze-and-Decomposition Network for Real-Time Image Fusion},
  journal = {International Journal of Computer Vision},
  volume = {129},
  pages = {2761--2785},
  year = {2021},
  doi = {10.1007/s11263-021-01501-8},
}
"""


class SDNet(NetworkMethod):
    """SDNet with the authors' TensorFlow weights for infrared and visible images."""

    title = "SDNet"
    name = "sdnet"
    record = Record(
        paper="H. Zhang, J. Ma, SDNet: A Versatile Squeeze-and-Decomposition Network for Real-Time Image Fusion, "
        "IJCV 129, 2021",
        year=2021,
        citation=_CITATION,
        repository="https://github.com/HaoZhang1018/SDNet",
        commit=_COMMIT,
        licence="MIT",
        files=(
            WeightFile(
                name=_INDEX,
                url=f"{_REPOSITORY}/{_COMMIT}/IR_VIS/checkpoint/{_INDEX}",
                bytes=1325,
                sha256="bed2d4628732a36bc972de1189c4e139d8bc233077da20156e8e662a17df35aa",
                git_blob="9f615a950e0cd62c4e9c003efb8a9afbb20cc3f5",
            ),
            WeightFile(
                name=_DATA,
                url=f"{_REPOSITORY}/{_COMMIT}/IR_VIS/checkpoint/{_DATA}",
                bytes=268364,
                sha256="17e4426453f09f3dae7887244f48eed54550bdd584792ac284597ee3713293a0",
                git_blob="d755870b7aa713519d223d2e8cd5fe477e21007b",
            ),
        ),
        trained_on=(),
        probably_trained_on=("TNO",),
        parameters=28_705,
        verified="official outputs",
        task="general",
        notes=(
            "Each image is stretched to span 0-255, as the authors save it, so the fused image of a crop is not the "
            "crop of the fused image.",
            "Checked: the authors' code gives all 42 images of TNO that circulate.",
            "Grey: the visible image's rounded luma is fused. The authors' program misreads the luma of a colour file "
            "by up to 1.8 levels; their readme asks for another luma (16-235) and adds the colour in MATLAB, which is "
            "not reproduced.",
            "The parameters are those that fuse; the checkpoint also holds 38,386 of the decomposition network.",
            "The code does not name its training pairs. Readers of the paper say TNO; the scripts count 300 colour "
            "pairs besides, so RoadScene and the source of MSRS cannot be excluded.",
            "Any size.",
        ),
    )

    def load(self, files: Mapping[str, Path]) -> nn.Module:
        """Return the squeeze network with its weights."""
        bundle = tensorflow_checkpoint.read_files(files[_INDEX], files[_DATA])
        state = tensorflow_checkpoint.convolutions(
            bundle, _LAYERS, files[_DATA], kernel="fusion_model/layer{0}/w{0}", bias="fusion_model/layer{0}/b{0}"
        )
        network = SDNetNetwork()
        fill(network, state, files[_DATA])
        return network.to(memory_format=torch.channels_last)

    def infer(self, infrared: ImageArray, visible: ImageArray) -> Tensor:
        """Return the fused image, (H, W) in (-1, 1)."""
        bands = [(self.tensor(image) - 127.5) / 127.5 for image in (infrared, visible)]
        return run_in_tiles(self.network, bands[0], bands[1], halo=SDNetNetwork.halo)[0, 0]

    def image(self, raw: NDArray[np.float32]) -> ImageArray:
        """Return the image, its levels stretched from minimum to maximum."""
        levels = raw * np.float32(127.5) + np.float32(127.5)
        return stretch(levels, float(levels.min()), float(levels.max()))
