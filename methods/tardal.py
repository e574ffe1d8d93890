"""TarDAL: one generator of densely joined convolutions, trained against a target and a detail discriminator.

Liu, Fan, Huang, Wu, Liu, Zhong and Luo, "Target-aware Dual Adversarial Learning and a Multi-scenario
Multi-Modality Benchmark to Fuse Infrared and Visible for Object Detection", CVPR 2022.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from methods.network import NetworkMethod, fill, read_state
from methods.record import Record, WeightFile
from metrics.images import ImageArray

_RAW = "https://raw.githubusercontent.com/JinyuanLiu-CV/TarDAL/1d1d1e99b96e7de0cd4e4f57aa0d321e5b5e2727/weights"


class TarDALGenerator(nn.Module):
    """Both images, (N, 1, H, W) in [0, 1], to the fused one; every convolution is 3x3 with a border of zeros."""

    def __init__(self, norm: type[nn.BatchNorm2d] = nn.BatchNorm2d) -> None:
        super().__init__()
        self.encoder = _layer(2, 32, norm)
        self.dense = nn.ModuleList(_layer(channels, 32, norm) for channels in (32, 64, 96))
        self.fuse = nn.Sequential(
            nn.Sequential(_convolution(128, 128), nn.ReLU(inplace=True)),
            _layer(128, 64, norm),
            _layer(64, 32, norm),
            nn.Sequential(_convolution(32, 1), nn.Tanh()),
        )

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused image, (N, 1, H, W) in (-1, 1)."""
        features = self.encoder(torch.cat([infrared, visible], dim=1))
        for layer in self.dense:
            features = torch.cat([features, layer(features)], dim=1)
        fused: Tensor = self.fuse(features)
        return fused


class BatchStatistics(nn.BatchNorm2d):
    """Batch normalisation by the statistics of the batch at hand, in evaluation too; it writes into its input.

    Written out because PyTorch's own, on a CPU and in the channels-last layout that its convolutions are fastest
    in, sums so roughly that the fused image is off by 3e-4.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Return the normalised features, (N, C, H, W)."""
        features = features.sub_(features.mean((0, 2, 3), keepdim=True))
        variance = features.square().mean((0, 2, 3), keepdim=True)
        scale = self.weight.view(1, -1, 1, 1) * torch.rsqrt(variance + self.eps)
        return features.mul_(scale).add_(self.bias.view(1, -1, 1, 1))


def _convolution(channels: int, width: int) -> nn.Conv2d:
    return nn.Conv2d(channels, width, kernel_size=3, padding=1)


def _layer(channels: int, width: int, norm: type[nn.BatchNorm2d]) -> nn.Sequential:
    return nn.Sequential(_convolution(channels, width), norm(width), nn.ReLU(inplace=True))


_CITATION = r"""
@inproceedings{liu2022tardal,
  author = {Liu, Jinyuan and Fan, Xin and Huang, Zhanbo and Wu, Guanyao and Liu, Risheng and Zhong, Wei and
    Luo, Zhongxuan},
  title = {Target-Aware Dual Adversarial Learning and a Multi-Scenario Multi-Modality Benchmark to Fuse Infrared
    and Visible for Object Detection},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2022},
  doi = {10.1109/CVPR52688.2022.00571},
}
"""


class TarDAL(NetworkMethod):
    """TarDAL as released with the paper: `dt` for the eye, `tt` for detection, `ct` for both."""

    title = "TarDAL"
    name = "tardal"
    variants = ("dt", "tt", "ct")
    record: ClassVar[Record] = Record(
        paper="Liu, Fan, Huang, Wu, Liu, Zhong, Luo: Target-aware Dual Adversarial Learning and a Multi-scenario "
        "Multi-Modality Benchmark to Fuse Infrared and Visible for Object Detection, CVPR 2022",
        year=2022,
        citation=_CITATION,
        repository="https://github.com/JinyuanLiu-CV/TarDAL",
        commit="e52fac7",
        licence="none found at this commit; GPL-3.0 from version 1.0 on",
        files=(
            WeightFile(
                "tardal.pt",
                url=f"{_RAW}/tardal.pt",
                bytes=1_203_451,
                sha256="e0fa61e25cffa9fb14ff17b47ea7ba237a6e8c6f37e1b9b115d63354ff0f13e1",
                variants=("dt",),
            ),
            WeightFile(
                "tardal+.pt",
                url=f"{_RAW}/tardal%2B.pt",
                bytes=1_201_819,
                sha256="cff3756548b511e3e415616debc557cdc85b3bb19393ca158cac8d08f232897c",
                variants=("tt",),
                probably_trained_on=("M3FD",),
            ),
            WeightFile(
                "tardal++.pt",
                url=f"{_RAW}/tardal%2B%2B.pt",
                bytes=1_201_819,
                sha256="7009d125e36db043d6918d9358e10c6dca7fdf2dd08ada09c5ecd294f45f98c5",
                variants=("ct",),
                probably_trained_on=("M3FD",),
            ),
        ),
        trained_on=(),
        task="detection",
        probably_trained_on=("RoadScene",),
        parameters=296_577,
        row="TarDAL",
        verified="official outputs",
        notes=(
            "Grey: the visible image's luma is fused; colour is left out.",
            "Any size.",
            "`dt` normalises every layer by the statistics of the pair at hand, as the authors' commands do, so "
            "its image of a crop is not the crop of its image. `tt` and `ct` use the trained statistics.",
            "`tt` and `ct` are dark and edge-like by design: they were trained for a detector.",
            "The weights of version 1.0 (tardal-dt.pth, tardal-tt.pth, tardal-ct.pth) hold the same numbers and may "
            "be given as files; its colour output, which skips the clipping to [0, 1], is not reproduced.",
            "The data that the weights were trained on are not published with them; the authors' later configurations "
            "train `dt` on RoadScene, and from there `tt` and `ct` on M3FD.",
        ),
    )

    def load(self, files: Mapping[str, Path]) -> TarDALGenerator:
        """Return the generator, with batch statistics for `dt`."""
        (path,) = files.values()
        network = TarDALGenerator(BatchStatistics if self.variant == "dt" else nn.BatchNorm2d)
        # Version 1.0 stores beside the weights whether to use the trained statistics; the variant says it here.
        fill(network, {key: value for key, value in read_state(path).items() if key != "use_eval"}, path)
        return network.to(memory_format=torch.channels_last)

    def infer(self, infrared: ImageArray, visible: ImageArray) -> Tensor:
        """Return the generator's output, (H, W) in (-1, 1)."""
        fused: Tensor = self.network(self.tensor(infrared) / 255, self.tensor(visible) / 255)
        return fused[0, 0]

    def image(self, raw: NDArray[np.float32]) -> ImageArray:
        """Return the clipped output in levels, rounded half to even."""
        return np.rint(np.clip(raw, 0, 1) * 255).astype(np.uint8)
