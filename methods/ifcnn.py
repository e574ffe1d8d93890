"""IFCNN: features of both images from one extractor, fused element by element and decoded."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

from methods.convolution import compose_kernels, convolve_composed, enlarge, run_in_tiles
from methods.network import NetworkMethod, fill, read_state
from methods.record import Record, WeightFile
from metrics.images import ImageArray

Rule = Callable[[Tensor, Tensor], Tensor]

RULES: dict[str, Rule] = {
    "max": torch.maximum,
    "sum": torch.add,
    "mean": lambda infrared, visible: (infrared + visible) / 2,
}
# Mean and standard deviation of R, G, B in [0, 1]: of ImageNet, which the paper's images were made with, and none.
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
    """The published network: features of both images, fused element by element, and an image made of them.

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
        """Return the fused image, (N, 3, H, W), unbounded, of two normalised RGB images (N, 3, H, W)."""
        fused = self.rule(self.conv2(self.conv1(infrared)), self.conv2(self.conv1(visible)))
        result: Tensor = self.conv4(self.conv3(fused))
        return result


class GreyIFCNN(nn.Module):
    """The same output as `IFCNNNetwork`'s for two grey images, levels 0-255, 3.5 times as fast (one thread, 640x480).

    The three channels of a normalised grey image are multiples of one, and no activation follows the first
    convolution. So the first two convolutions are composed into one that reads a single channel.
    """

    halo = 5  # 7x7, 3x3 and 3x3

    kernels: Tensor
    bias: Tensor

    def __init__(
        self, network: IFCNNNetwork, mean: tuple[float, float, float], deviation: tuple[float, float, float]
    ) -> None:
        super().__init__()
        network.eval()
        second = fuse_conv_bn_eval(network.conv2.conv, network.conv2.bn)
        first = network.conv1.weight.detach().double() / torch.tensor(deviation).double()[:, None, None]
        offset = -(first * torch.tensor(mean).double()[:, None, None]).sum(dim=(1, 2, 3))
        first = first.sum(dim=1, keepdim=True) / 255
        weight = second.weight.detach().double()
        self.rule = network.rule
        self.register_buffer("kernels", compose_kernels(first[None], weight[None], "replicate").float())
        bias: Tensor = second.state_dict()["bias"]
        self.register_buffer("bias", bias + (weight.sum(dim=(2, 3)) @ offset).float())
        self.conv3 = fuse_conv_bn_eval(network.conv3.conv, network.conv3.bn)
        self.conv4 = network.conv4
        self.to(memory_format=torch.channels_last)

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused image, (1, 3, H, W), unbounded, of two images (1, 1, H, W), sides of two or more."""
        fused = self.rule(self._features(infrared), self._features(visible))
        result: Tensor = self.conv4(self.conv3(fused).relu_())
        return result

    def _features(self, image: Tensor) -> Tensor:
        return convolve_composed(image, self.kernels, self.bias, "replicate").relu_()


_COMMIT = "8fe59c2b1553e52acc793986208ca479d134a8da"
_URL = f"https://raw.githubusercontent.com/uzeful/IFCNN/{_COMMIT}/Code/snapshots"
_CITATION = r"""
@article{zhang2020ifcnn,
  author = {Zhang, Yu and Liu, Yu and Sun, Peng and Yan, Han and Zhao, Xiaolin and Zhang, Li},
  title = {{IFCNN}: A General Image Fusion Framework Based on Convolutional Neural Network},
  journal = {Information Fusion},
  volume = {54},
  pages = {99--118},
  year = {2020},
  doi = {10.1016/j.inffus.2019.07.011},
}
"""


class IFCNN(NetworkMethod):
    """IFCNN with the authors' weights; each rule has its own."""

    title = "IFCNN"
    name = "ifcnn"
    variants = ("max", "sum", "mean", "max-script")
    record = Record(
        paper="Y. Zhang, Y. Liu, P. Sun, H. Yan, X. Zhao, L. Zhang: IFCNN: A general image fusion framework based on "
        "convolutional neural network. Information Fusion 54, 2020",
        year=2020,
        citation=_CITATION,
        repository="https://github.com/uzeful/IFCNN",
        commit=_COMMIT,
        licence="none found",
        files=(
            WeightFile(
                "IFCNN-MAX.pth",
                url=f"{_URL}/IFCNN-MAX.pth",
                bytes=337094,
                sha256="6022b44c88a2f0367ba9b08fcdf0d663745d9a966fca0ee1f41867797b6ff53f",
                git_blob="93c6324ba2c63ffc01561d7311aef52578b1e3ef",
                variants=("max", "max-script"),
            ),
            WeightFile(
                "IFCNN-SUM.pth",
                url=f"{_URL}/IFCNN-SUM.pth",
                bytes=337107,
                sha256="a8c1d293f1bf16a93e6244a4bf8f7a7bd300dc10555c8597ad7ef3320b0410cb",
                git_blob="5030034a0b656abba7b030b24b2c5f82e6c15f50",
                variants=("sum",),
            ),
            WeightFile(
                "IFCNN-MEAN.pth",
                url=f"{_URL}/IFCNN-MEAN.pth",
                bytes=337079,
                sha256="fd2ee9361f1d428fc9749e28e8a2c5c5ef6ce6528ab6f5ad8ef5def42e7ffa4b",
                git_blob="7ccaeab58a13c483b881a7a54f68951a3fb89542",
                variants=("mean",),
            ),
        ),
        trained_on=("NYU-D2",),
        task="general",
        parameters=83_587,
        verified="official outputs",
        row="IFCNN",
        notes=(
            "max, sum and mean normalise by ImageNet's mean and deviation, which gives the paper's images; the "
            "released script does not for infrared-visible pairs: max-script. They differ by up to 47 levels.",
            "Checked against official outputs: max and max-script. The authors recommend max for infrared-visible; "
            "their images of mean were made with a snapshot that they did not release.",
            "Grey in, grey out; a colour visible image is fused by its luma, as the official code says nothing.",
            "Any size.",
        ),
    )

    def load(self, files: Mapping[str, Path]) -> nn.Module:
        """Return the network for grey images with the variant's weights."""
        rule, mean, deviation = self._setup()
        network = IFCNNNetwork(rule)
        (path,) = files.values()
        fill(network, read_state(path), path)
        return GreyIFCNN(network, mean, deviation)

    def infer(self, infrared: ImageArray, visible: ImageArray) -> Tensor:
        """Return the fused image, (3, H, W), normalised and unbounded."""
        # A single row or column repeated gives the same output: the padding repeats it anyway.
        bands = [enlarge(self.tensor(band), 2) for band in (infrared, visible)]
        height, width = infrared.shape
        return run_in_tiles(self.network, bands[0], bands[1], halo=GreyIFCNN.halo)[0, :, :height, :width]

    def image(self, raw: NDArray[np.float32]) -> ImageArray:
        """Return the grey of the denormalised, clipped and truncated RGB image."""
        _, mean, deviation = self._setup()
        scale, offset = np.array((deviation, mean), dtype=np.float32)[:, :, None, None]
        red, green, blue = (np.clip(raw * scale + offset, 0, 1) * 255).astype(np.uint8).astype(np.int32)
        # OpenCV 5's RGB2GRAY, which the official images agree with; OpenCV 4 rounds its weights otherwise.
        grey: ImageArray = ((9798 * red + 19235 * green + 3735 * blue + 16384) >> 15).astype(np.uint8)
        return grey

    def _setup(self) -> tuple[Rule, tuple[float, float, float], tuple[float, float, float]]:
        rule, _, normalisation = str(self.variant).partition("-")
        return RULES[rule], *NORMALISATIONS[normalisation or "paper"]
