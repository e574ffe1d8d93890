"""IFCNN: features of both pictures from one extractor, fused element by element, and a picture made of them."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from methods.convolution import composed, convolved, enlarged, folded, striped
from methods.network import NetworkMethod, fill, read_state
from methods.record import Record, WeightFile
from metrics.pictures import Picture

Rule = Callable[[Tensor, Tensor], Tensor]

RULES: dict[str, Rule] = {
    "max": torch.maximum,
    "sum": torch.add,
    "mean": lambda infrared, visible: (infrared + visible) / 2,
}
# Mean and standard deviation of R, G, B in [0, 1]: of ImageNet, which the paper's pictures were made with, and none.
NORMALISATIONS = {
    "paper": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "script": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}


class _Block(nn.Module):
    """Convolution with replicate padding, batch normalisation, ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(64, 64, 3, padding=1, padding_mode="replicate", bias=False)
        self.bn = nn.BatchNorm2d(64)

    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(maps)), inplace=True)


class IFCNNNetwork(nn.Module):
    """The published network, for normalised RGB pictures.

    Reference:
        Zhang et al., "IFCNN: A general image fusion framework based on convolutional neural network",
        Information Fusion 54, 2020.
    """

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule = rule
        self.conv1 = nn.Conv2d(3, 64, 7, padding=3, padding_mode="replicate", bias=False)
        self.conv2 = _Block()
        self.conv3 = _Block()
        self.conv4 = nn.Conv2d(64, 3, 1)

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused picture, (N, 3, H, W), unbounded, of two normalised pictures (N, 3, H, W)."""
        fused = self.rule(self.conv2(self.conv1(infrared)), self.conv2(self.conv1(visible)))
        result: Tensor = self.conv4(self.conv3(fused))
        return result


class GreyIFCNN(nn.Module):
    """The network for two grey pictures, levels 0-255: the same output for a third of the work.

    The three channels of a normalised grey picture depend on each other, and no activation follows the first
    convolution; so the first two are one, from one channel.
    """

    halo = 5  # 7x7, 3x3 and 3x3

    kernels: Tensor
    bias: Tensor

    def __init__(self, network: IFCNNNetwork, mean: tuple[float, ...], deviation: tuple[float, ...]) -> None:
        super().__init__()
        self.rule = network.rule
        weight, offset, scale = (
            value.detach().double()
            for value in (network.conv1.weight, torch.tensor(mean)[:, None, None], torch.tensor(deviation)[:, None, None])
        )
'''
