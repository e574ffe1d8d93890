"""DenseFuse (Li and Wu, 2019): a dense auto-encoder; the two feature maps are averaged, added or weighted."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from methods import tensorflow_checkpoint
from methods.network import NetworkMethod, fill, read_state
from methods.record import Record, WeightFile
from metrics.errors import InputError
from metrics.pictures import Picture


class Layer(nn.Module):
    """A 3x3 convolution on a mirrored border."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(channels, out, 3)

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, out, H, W)."""
        convolved: Tensor = self.conv2d(F.pad(features, (1, 1, 1, 1), mode="reflect"))
        return convolved


class DenseLayer(nn.Module):
    """A layer of the dense block; it exists for the official name of its weights."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dense_conv = Layer(channels, 16)


class DenseBlock(nn.Module):
    """Three layers, each of which sees what all before it gave."""

    def __init__(self) -> None:
        super().__init__()
        self.denseblock = nn.ModuleList([DenseLayer(16), DenseLayer(32), DenseLayer(48)])


class DenseFuseNetwork(nn.Module):
    """The auto-encoder: 64 channels of features at full size, and the way back.

    Args:
        tensorflow: The TensorFlow original: it puts the newest channels first, the PyTorch one last, and it has
            no ReLU after its last layer.
    """

    def __init__(self, *, tensorflow: bool = False) -> None:
        super().__init__()
        self.tensorflow = tensorflow
        self.conv1 = Layer(1, 16)
        self.DB1 = DenseBlock()
        self.conv2 = Layer(64, 64)
        self.conv3 = Layer(64, 32)
        self.conv4 = Layer(32, 16)
        self.conv5 = Layer(16, 1)

    def encode(self, picture: Tensor) -> Tensor:
        """Return features (N, 64, H, W) of pictures (N, 1, H, W), levels 0-255; H and W at least 2."""
        features = self.conv1(picture).relu_()
        for layer in self.DB1.denseblock:
            new = layer.dense_conv(features).relu_()
            features = torch.cat((new, features) if self.tensorflow else (features, new), dim=1)
        return features

    def decode(self, features: Tensor) -> Tensor:
        """Return pictures (N, 1, H, W) of features (N, 64, H, W)."""
        for layer in (self.conv2, self.conv3, self.conv4):
            features = layer(features).relu_()
        picture: Tensor = self.conv5(features)
        return picture if self.tensorflow else picture.relu_()
