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
from methods.base import stretch
from methods.convolution import enlarge, run_in_tiles
from methods.network import NetworkMethod, fill, read_state
from methods.record import Record, WeightFile
from metrics.errors import InputError
from metrics.images import ImageArray


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

    def forward(self, features: Tensor) -> Tensor:
        """Return the 16 new channels (N, 16, H, W)."""
        new: Tensor = self.dense_conv(features)
        return new.relu_()


class DenseBlock(nn.Module):
    """Three layers, each of which reads the maps of all before it."""

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

    def encode(self, image: Tensor) -> Tensor:
        """Return features (N, 64, H, W) of images (N, 1, H, W), levels 0-255; H and W at least 2."""
        features: Tensor = self.conv1(image).relu_()
        for layer in self.DB1.denseblock:
            new = layer(features)
            features = torch.cat((new, features) if self.tensorflow else (features, new), dim=1)
        return features

    def decode(self, features: Tensor) -> Tensor:
        """Return images (N, 1, H, W) of features (N, 64, H, W)."""
        for layer in (self.conv2, self.conv3, self.conv4):
            features = layer(features).relu_()
        image: Tensor = self.conv5(features)
        return image if self.tensorflow else image.relu_()


_CITATION = r"""
@article{li2019densefuse,
  author = {Li, Hui and Wu, Xiao-Jun},
  title = {{DenseFuse}: A Fusion Approach to Infrared and Visible Images},
  journal = {IEEE Transactions on Image Processing},
  volume = {28},
  number = {5},
  pages = {2614--2623},
  year = {2019},
  doi = {10.1109/TIP.2018.2887342},
}
"""


class DenseFuse(NetworkMethod):
    """DenseFuse as its authors' two code bases have it.

    Variants: "pytorch" averages the features and clamps the image to 0-255; "tf-addition" and "tf-l1" are the
    paper's own code: features added, or weighted at each pixel by their l1 norms, and the image stretched to
    span 0-255.
    """

    network: DenseFuseNetwork
    title = "DenseFuse"
    name = "densefuse"
    variants = ("pytorch", "tf-addition", "tf-l1")
    record = Record(
        paper="H. Li, X.-J. Wu, DenseFuse: A Fusion Approach to Infrared and Visible Images, IEEE TIP 28(5), 2019",
        year=2019,
        citation=_CITATION,
        repository="https://github.com/hli1221/densefuse-pytorch; the paper's own, in TensorFlow: "
        "https://github.com/hli1221/imagefusion_densefuse",
        commit="4394b63e9295db1c6b7a5c3664551c90f0605f2b; ef23f0f06c4fce7a6c2c04c9d20119e3d96507b9",
        licence="none found",
        files=(
            WeightFile(
                name="densefuse_gray.model",
                url="https://raw.githubusercontent.com/hli1221/densefuse-pytorch/"
                "4394b63e9295db1c6b7a5c3664551c90f0605f2b/models/densefuse_gray.model",
                bytes=300413,
                sha256="b34cf3650f04161b31ac2467decfeedf7eba39165b7618f846e0f298ecd2ac65",
                git_blob="50b73dfbbcbcce4198afbce192d1a43a8d3ad826",
                variants=("pytorch",),
            ),
            WeightFile(
                name="densefuse_gray.zip",
                url="https://raw.githubusercontent.com/hli1221/imagefusion_densefuse/"
                "ef23f0f06c4fce7a6c2c04c9d20119e3d96507b9/models/densefuse_gray.zip",
                bytes=3271218,
                sha256="c848f19d4117e553cae0d9354d1e38712919a70822be1042ed08058fb8435c2a",
                git_blob="549d6e9080c2538f01bf5261d0f08b0f3db48bc5",
                variants=("tf-addition", "tf-l1"),
            ),
        ),
        trained_on=("MS-COCO",),
        parameters=74193,
        verified="official outputs",
        row="DenseFuse",
        notes=(
            "Grey: both images as luma; the authors' RGB models are not used.",
            "Any size. The authors' code refuses a side of one pixel; ours repeats it and crops.",
            "The authors' readme calls the PyTorch code a reference only; the paper's results are the TensorFlow "
            "code's. Their unstretched outputs are nearly the same, but the TensorFlow code stretches each image "
            "to 0-255.",
            "The tf variants read the checkpoint of SSIM weight 100, which the authors' test script uses, and keep "
            "the image's own size and orientation, as their code did until March 2019; since then it saves "
            "256x256, transposed.",
            "tf-l1 weights each pixel by its own activity, as the code does; the paper averages over 3x3.",
        ),
    )

    def load(self, files: Mapping[str, Path]) -> nn.Module:
        """Return the variant's auto-encoder with its weights."""
        ((name, path),) = files.items()
        network = DenseFuseNetwork(tensorflow=name.endswith(".zip"))
        fill(network, _tensorflow_state(path) if network.tensorflow else read_state(path), path)
        return network.to(memory_format=torch.channels_last)

    def infer(self, infrared: ImageArray, visible: ImageArray) -> Tensor:
        """Return the decoder's output, (H, W): levels 0-255 for "pytorch", about 0-510 for the others."""
        bands = (enlarge(self.tensor(image), 2) for image in (infrared, visible))
        # A pixel sees eight others each way, one a layer.
        fused = run_in_tiles(self._fused, *bands, halo=8)
        return fused[0, 0, : infrared.shape[0], : infrared.shape[1]]

    def _fused(self, infrared: Tensor, visible: Tensor) -> Tensor:
        features = fuse_features(self.network.encode(infrared), self.network.encode(visible), self.variant)
        return self.network.decode(features)

    def image(self, raw: NDArray[np.float32]) -> ImageArray:
        """Return the image as the authors' script saves it: clamped and truncated, or stretched and rounded."""
        if self.variant == "pytorch":
            return np.clip(raw, 0, 255).astype(np.uint8)
        return stretch(raw, float(raw.min()), float(raw.max()))


def fuse_features(infrared: Tensor, visible: Tensor, variant: str | None) -> Tensor:
    """Return the fused features of a variant; may overwrite `infrared`.

    Args:
        infrared, visible: (N, C, H, W), not negative, as a ReLU leaves them.
        variant: One of `DenseFuse.variants`.
    """
    if variant != "tf-l1":
        total = infrared.add_(visible)
        return total if variant == "tf-addition" else total.div_(2)
    # Where neither image has any activity there is nothing to weight; the original divides zero by zero there.
    ours, theirs = infrared.sum(1, keepdim=True), visible.sum(1, keepdim=True)
    weight = ours / (ours + theirs).clamp_min(torch.finfo(ours.dtype).tiny)
    return torch.lerp(visible, infrared, weight)


_ZIPPED = "densefuse_gray/densefuse_model_bs2_epoch4_all_weight_1e2.ckpt"
_LAYERS = {
    "conv1.conv2d": "encoder/conv1_1",
    **{f"DB1.denseblock.{i}.dense_conv.conv2d": f"encoder/dense_block_conv{i + 1}" for i in range(3)},
    **{f"conv{i + 1}.conv2d": f"decoder/conv2_{i}" for i in range(1, 5)},
}


def _tensorflow_state(path: Path) -> dict[str, Tensor]:
    try:
        with zipfile.ZipFile(path) as archive:
            index, data = (_unzip(archive, _ZIPPED + end) for end in (".index", ".data-00000-of-00001"))
    except Exception as error:  # zipfile lets struct's, zlib's and its own errors through
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise InputError(f"{path} is not the authors' zip of checkpoints ({reason}); fetch it again") from error
    bundle = tensorflow_checkpoint.read(index, data, path)
    return tensorflow_checkpoint.convolutions(bundle, _LAYERS, path)


def _unzip(archive: zipfile.ZipFile, name: str, most: int = 1 << 20) -> bytes:
    with archive.open(name) as member:
        content = member.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{name} unpacks to more than {most} bytes")
    return content
