"""SAGE (Wu et al., 2025): a small network distilled from one that a segmentation foundation model guides."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from methods.convolution import enlarge, fold_normalisations
from methods.network import NetworkMethod, fill, read_state
from methods.record import Record, WeightFile
from metrics.images import ImageArray
from metrics.opencv import cv2


class SAGENetwork(nn.Module):
    """The released sub-network: a U-shaped one of three scales; borders of zeros.

    Reference:
        Wu, Liu, Fu, Peng, Liu, Fan and Liu, "Every SAM Drop Counts: Embracing Semantic Priors for Multi-Modality
        Image Fusion and Beyond", CVPR 2025.
    """

    def __init__(self) -> None:
        super().__init__()
        self.module1 = _module(2)
        self.module2 = _module(32)
        self.module3 = _module(32)
        self.adjust_channels4 = nn.Sequential(*_unit(64, 1))
        self.module4 = _module(32)
        self.adjust_channels5 = nn.Sequential(*_unit(64, 1))
        self.module5 = _module(32)
        self.final_decoder = nn.Sequential(nn.Conv2d(32, 1, 3, padding=1), nn.Tanh())

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused image (N, 1, H, W) in (-1, 1) of two images (N, 1, H, W) in [0, 1]; H and W at least 4."""
        full = self.module1(torch.cat((visible, infrared), dim=1))
        half = self.module2(F.max_pool2d(full, 2))
        quarter = self.module3(F.max_pool2d(half, 2))
        half = self.module4(self.adjust_channels4(_join(quarter, half)))
        full = self.module5(self.adjust_channels5(_join(half, full)))
        fused: Tensor = self.final_decoder(full)
        return fused


def _unit(channels: int, size: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(channels, 32, size, padding=size // 2)
    return convolution, nn.BatchNorm2d(32), nn.LeakyReLU(0.01, inplace=True)


def _module(channels: int) -> nn.Sequential:
    return nn.Sequential(*_unit(channels, 3), *_unit(32, 3), *_unit(32, 3))


def _join(coarse: Tensor, fine: Tensor) -> Tensor:
    """Return both, the coarse maps first and enlarged to the size of the fine ones, by a ratio that need not be 2."""
    return torch.cat((F.interpolate(coarse, fine.shape[-2:], mode="bilinear", align_corners=False), fine), dim=1)


_COMMIT = "377fdbef6b8b6ccbd1139358ad66bb41ea084dc1"
_CITATION = r"""
@inproceedings{wu2025sage,
  author = {Wu, Guanyao and Liu, Haoyu and Fu, Hongming and Peng, Yichuan and Liu, Jinyuan and Fan, Xin
            and Liu, Risheng},
  title = {Every {SAM} Drop Counts: Embracing Semantic Priors for Multi-Modality Image Fusion and Beyond},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages = {17882--17891},
  year = {2025},
  eprint = {2503.01210},
  archiveprefix = {arXiv},
}
"""


class SAGE(NetworkMethod):
    """SAGE with the authors' weights; what they released is the sub-network, which needs no foundation model."""

    title = "SAGE"
    name = "sage"
    colour = True
    record = Record(
        paper="G. Wu, H. Liu, H. Fu, Y. Peng, J. Liu, X. Fan, R. Liu, Every SAM Drop Counts: Embracing Semantic Priors "
        "for Multi-Modality Image Fusion and Beyond, CVPR 2025",
        year=2025,
        citation=_CITATION,
        repository="https://github.com/RollingPlain/SAGE_IVIF",
        commit=_COMMIT,
        licence="MIT",
        files=(
            WeightFile(
                name="checkpoints.pt",
                url=f"https://raw.githubusercontent.com/RollingPlain/SAGE_IVIF/{_COMMIT}/checkpoints/checkpoints.pt",
                bytes=579020,
                sha256="ecfde477ca4cd65401f207d5dc91ce6c475a49891d768dbdb7a66366255ee836",
                git_blob="2c8c8ef807025f6899f7fc4264b8e6c12f91bec8",
            ),
        ),
        trained_on=("FMB",),
        parameters=135_617,
        verified="official outputs",
        notes=(
            "Checked: the authors' code gives their six published images of M3FD.",
            "The luma of the visible image is fused, as OpenCV computes it. Grey result: the fused luma itself. The "
            "authors always save colour, where a grey pair comes out slightly tinted; `recolour_image` gives it.",
            "Any size. The authors' code needs four pixels a side; ours repeats the last ones and crops.",
            "Computed in one piece: where a side is no multiple of 4, the enlargements' ratios depend on the whole "
            "image's size, and tiles would give another image.",
            "Trained on FMB. Nothing says that M3FD, of which the authors' samples are, was trained on; it cannot be "
            "checked.",
        ),
    )

    def load(self, files: Mapping[str, Path]) -> nn.Module:
        """Return the network with its weights, batch normalisations folded."""
        (path,) = files.values()
        network = SAGENetwork()
        fill(network, read_state(path), path)
        return fold_normalisations(network)

    def infer(self, infrared: ImageArray, visible: ImageArray) -> Tensor:
        """Return the fused luma, (H, W) in (-1, 1)."""
        grey = cv2.cvtColor(infrared, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)
        bands = [enlarge(self.tensor(image) / 255, 4) for image in (grey, _ycrcb(visible)[:, :, 0])]
        fused: Tensor = self.network(bands[0], bands[1])
        return fused[0, 0, : infrared.shape[0], : infrared.shape[1]]

    def image(self, raw: NDArray[np.float32]) -> ImageArray:
        """Return the fused luma in levels, rounded half up."""
        return _levels(raw)


def recolour_image(raw: NDArray[np.float32], visible: ImageArray) -> ImageArray:
    """Return the colour image that the authors save, uint8 (H, W, 3): the fused luma with the visible chroma.

    Args:
        raw: Fused luma (H, W) as `SAGE.raw` gives it.
        visible: uint8 (H, W, 3) RGB.
    """
    chroma = _ycrcb(visible)[:, :, 1:] / np.float32(255) - np.float32(0.5)
    redness, blueness = np.moveaxis(chroma, 2, 0)  # 128/255 - 1/2 where there is no colour, hence the tint
    colours = (raw + 1.403 * redness, raw - 0.714 * redness - 0.344 * blueness, raw + 1.773 * blueness)
    return _levels(np.stack(colours, axis=2))


def _ycrcb(image: ImageArray) -> ImageArray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb).astype(np.uint8, copy=False)


def _levels(scaled: NDArray[np.float32]) -> ImageArray:
    levels: ImageArray = np.clip(scaled * 255 + 0.5, 0, 255).astype(np.uint8)
    return levels
