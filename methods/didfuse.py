"""DIDFuse: an auto-encoder that decomposes both images into base and detail, and adds their parts."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from methods.convolution import enlarge, fold_normalisations, run_in_tiles
from methods.network import NetworkMethod, fill, read_state
from methods.record import Record, WeightFile
from metrics.errors import InputError
from metrics.images import ImageArray


class _Block(nn.Module):
    """Convolution, batch normalisation, activation; under the doubled names of the official checkpoints."""

    def __init__(self, name: str, inputs: int, outputs: int, activation: nn.Module, *, reflect: bool = False) -> None:
        super().__init__()
        padding: list[nn.Module] = [nn.ReflectionPad2d(1)] if reflect else []
        convolution = nn.Conv2d(inputs, outputs, 3, padding=0 if reflect else 1)
        self.name = name
        self.add_module(name, nn.Sequential(*padding, convolution, nn.BatchNorm2d(outputs), activation))

    def forward(self, maps: Tensor) -> Tensor:
        result: Tensor = self.get_submodule(self.name)(maps)
        return result


class Encoder(nn.Module):
    """Decomposes an image; one encoder serves both bands."""

    def __init__(self) -> None:
        super().__init__()
        self.cov1 = _Block("cov1", 1, 64, nn.PReLU(), reflect=True)
        self.cov2 = _Block("cov2", 64, 64, nn.PReLU())
        self.cov3 = _Block("cov3", 64, 64, nn.Tanh())
        self.cov4 = _Block("cov4", 64, 64, nn.Tanh())

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return two skip maps, base and detail, each (N, 64, H, W), of an image (N, 1, H, W) in [0, 1]."""
        first = self.cov1(image)
        second = self.cov2(first)
        return first, second, self.cov3(second), self.cov4(second)


class Decoder(nn.Module):
    """Reconstructs an image from its parts."""

    def __init__(self) -> None:
        super().__init__()
        self.cov5 = _Block("cov5", 128, 64, nn.PReLU())
        self.cov6 = _Block("cov6", 128, 64, nn.PReLU())
        self.cov7 = _Block("cov7", 128, 1, nn.Sigmoid(), reflect=True)

    def forward(self, first: Tensor, second: Tensor, base: Tensor, detail: Tensor) -> Tensor:
        """Return the image, (N, 1, H, W) in (0, 1)."""
        maps = self.cov5(torch.cat((base, detail), dim=1))
        maps = self.cov6(torch.cat((maps, second), dim=1))
        result: Tensor = self.cov7(torch.cat((maps, first), dim=1))
        return result


class DIDFuseNetwork(nn.Module):
    """Both bands decomposed, their parts added, and one image reconstructed.

    Reference:
        Zhao et al., "DIDFuse: Deep Image Decomposition for Infrared and Visible Image Fusion", IJCAI 2020.
    """

    halo = 6  # three convolutions in the encoder, three in the decoder

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Decoder()

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused image, (N, 1, H, W) in (0, 1), of two images (N, 1, H, W) in [0, 1]."""
        parts = self.encoder(infrared)
        for ours, theirs in zip(parts, self.encoder(visible), strict=True):
            ours += theirs
        result: Tensor = self.decoder(*parts)
        return result


_COMMIT = "5f287300dce7cbc90b9e08e6872455af6baa279f"
_URL = f"https://raw.githubusercontent.com/Zhaozixiang1228/IVIF-DIDFuse/{_COMMIT}/Models"
_CITATION = r"""
@inproceedings{zhao2020didfuse,
  author = {Zhao, Zixiang and Xu, Shuang and Zhang, Chunxia and Liu, Junmin and Zhang, Jiangshe and Li, Pengfei},
  title = {{DIDFuse}: Deep Image Decomposition for Infrared and Visible Image Fusion},
  booktitle = {International Joint Conference on Artificial Intelligence},
  pages = {970--976},
  year = {2020},
  doi = {10.24963/ijcai.2020/135},
}
"""


class DIDFuse(NetworkMethod):
    """DIDFuse with the authors' weights and their default rule, addition."""

    title = "DIDFuse"
    name = "didfuse"
    record = Record(
        paper="Z. Zhao, S. Xu, C. Zhang, J. Liu, J. Zhang, P. Li: DIDFuse: Deep Image Decomposition for Infrared "
        "and Visible Image Fusion. IJCAI 2020",
        year=2020,
        citation=_CITATION,
        repository="https://github.com/Zhaozixiang1228/IVIF-DIDFuse",
        commit=_COMMIT,
        licence="none found",
        files=(
            WeightFile(
                "Encoder_weight_IJCAI.pkl",
                url=f"{_URL}/Encoder_weight_IJCAI.pkl",
                bytes=454838,
                sha256="4d84a4e64e58469d3d4591f83c6683ead3e422498519db99bb617cb29d268471",
                git_blob="c9f3e83870331ecb37ecb16f370c83690cfb7411",
            ),
            WeightFile(
                "Decoder_weight_IJCAI.pkl",
                url=f"{_URL}/Decoder_weight_IJCAI.pkl",
                bytes=600772,
                sha256="c6974e2a7c66ab579a77bacb086023237a229e769d459783bad8ff43e52e9986",
                git_blob="8c23399b709d445d01a1c539a6f3d2652d715d9d",
            ),
        ),
        trained_on=("FLIR",),
        probably_trained_on=("RoadScene",),
        parameters=260_935,
        verified="official outputs",
        row="DIDFuse",
        notes=(
            "Grey in, grey out, as the official code; a colour visible image is fused by its luma.",
            "Any size. The official code refuses a side of one pixel; ours repeats that pixel and crops.",
            "Trained on 180 pairs of FLIR; RoadScene is cropped from frames of FLIR, so its pairs may be among them.",
        ),
    )

    def load(self, files: Mapping[str, Path]) -> nn.Module:
        """Return the network with both checkpoints' weights, ready for inference."""
        network = DIDFuseNetwork()
        for part, name in ((network.encoder, "Encoder"), (network.decoder, "Decoder")):
            path = files[f"{name}_weight_IJCAI.pkl"]
            state = read_state(path).get("weight")
            if not isinstance(state, dict):
                raise InputError(f"{path} has no dictionary 'weight'; DIDFuse's checkpoints hold 'weight' and 'epoch'")
            fill(part, state, path)
        return fold_normalisations(network)

    def infer(self, infrared: ImageArray, visible: ImageArray) -> Tensor:
        """Return the fused image, (H, W) in (0, 1)."""
        bands = [enlarge(self.tensor(band) / 255, 2) for band in (infrared, visible)]
        height, width = infrared.shape
        return run_in_tiles(self.network, bands[0], bands[1], halo=DIDFuseNetwork.halo)[0, 0, :height, :width]

    def image(self, raw: NDArray[np.float32]) -> ImageArray:
        """Return levels 0-255, rounded."""
        return super().image(255 * raw)
