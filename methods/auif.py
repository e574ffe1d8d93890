"""AUIF: base and detail of both images by two unrolled optimisations, added and decoded."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from methods.convolution import compose_kernels, convolve_composed, enlarge
from methods.network import NetworkMethod, fill, read_state
from methods.record import Record, WeightFile
from metrics.images import ImageArray


class AUIFNetwork(nn.Module):
    """The published network: base and detail of both bands by unrolled optimisation; their sum, decoded.

    Reference:
        Zhao et al., "Efficient and Model-Based Infrared and Visible Image Fusion via Algorithm Unrolling", IEEE
        TCSVT, 2022.
    """

    def __init__(self) -> None:
        super().__init__()
        self.base = Encoder("conv1", _mean_kernel())
        self.detail = Encoder("conv2", _laplacian_kernel())
        self.decoder = Decoder()

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused image, (N, 1, H, W) in (0, 1), of two images (N, 1, H, W) in [0, 1], sides of 10 or more."""
        base = self.base(infrared) + self.base(visible)
        detail = self.detail(infrared) + self.detail(visible)
        fused: Tensor = self.decoder(base + detail)
        return fused


class Encoder(nn.Module):
    """A filtered image, refined in ten iterations.

    Args:
        name: What the official checkpoints call the iterations: conv1 for base, conv2 for detail.
        kernel: Of the filter, (1, 1, K, K).
    """

    kernel: Tensor

    def __init__(self, name: str, kernel: Tensor) -> None:
        super().__init__()
        self.name = name
        self.add_module(name, nn.ModuleList(Iteration() for _ in range(10)))
        self.register_buffer("kernel", kernel, persistent=False)

    @property
    def iterations(self) -> list["Iteration"]:
        """The iterations in their order."""
        return [module for module in self.modules() if isinstance(module, Iteration)]

    def forward(self, image: Tensor) -> Tensor:
        """Return the base or the detail, (N, 1, H, W), of an image (N, 1, H, W)."""
        maps = F.conv2d(_reflect(image, self.kernel.shape[-1] // 2), self.kernel)
        for iteration in self.iterations:
            maps = iteration(maps, image)
        return maps


class Iteration(nn.Module):
    """One step of the optimisation: x - eta * (PReLU(BN(K' K x)) - theta * (image - x))."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(64, 1, 3, 3))
        self.eta = nn.Parameter(torch.tensor([0.1]))
        self.theta = nn.Parameter(torch.tensor([1e-3]))
        self.rest = nn.Sequential(nn.BatchNorm2d(1), nn.PReLU())

    def forward(self, maps: Tensor, image: Tensor) -> Tensor:
        """Return the next maps, (N, 1, H, W)."""
        transposed = self.kernel.flip(2, 3).transpose(0, 1)
        step = F.conv2d(_reflect(F.conv2d(_reflect(maps, 1), self.kernel), 1), transposed)
        result: Tensor = maps - self.eta * (self.rest(step) - self.theta * (image - maps))
        return result


class Decoder(nn.Module):
    """A convolution, batch normalisation and a sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(1, 1, 3, bias=False), nn.BatchNorm2d(1), nn.Sigmoid()
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return the image, (N, 1, H, W) in (0, 1), of the sum of base and detail, (N, 1, H, W)."""
        result: Tensor = self.decoder(maps)
        return result


def _reflect(maps: Tensor, border: int) -> Tensor:
    return F.pad(maps, (border,) * 4, mode="reflect")


def _mean_kernel() -> Tensor:
    return torch.full((1, 1, 11, 11), 1 / 121)


def _laplacian_kernel() -> Tensor:
    """Return the 19x19 Laplacian, of sum 0 and L1 norm 1."""
    kernel = torch.full((1, 1, 19, 19), 1 / 720)
    kernel[0, 0, 9, 9] = -360 / 720
    return kernel


class ComposedAUIF(nn.Module):
    """The same output as `AUIFNetwork`'s, about 50 times as fast (one thread, 280x280; 80 times at 640x480).

    Nothing but padding lies between the convolutions 1 -> 64 and 64 -> 1 of an iteration, so here they are one
    convolution 1 -> 1, and the iterations for base and detail of both bands run side by side in four channels.
    """

    least = 10  # the Laplacian reflects nine pixels at every border

    kernels: Tensor
    numbers: Tensor

    def __init__(self, network: AUIFNetwork) -> None:
        super().__init__()
        pairs = list(zip(network.base.iterations, network.detail.iterations, strict=True))
        # Float64 for the weights: the iterations magnify what is rounded here.
        kernel = torch.stack([iteration.kernel.detach().double() for pair in pairs for iteration in pair])
        numbers = torch.stack([torch.stack([_numbers(iteration) for iteration in pair], dim=1) for pair in pairs])
        kernels = compose_kernels(kernel, kernel.flip(3, 4).transpose(1, 2), "reflect").unflatten(2, (len(pairs), 2))
        kernels = kernels.movedim(2, 0) * numbers[:, None, None, 0, :, None, None, None]
        self.decoder = network.decoder
        self.register_buffer("kernels", kernels.repeat(1, 1, 1, 2, 1, 1, 1).float())
        self.register_buffer("numbers", numbers[:, 1:].repeat(1, 1, 2).float())

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused image, (N, 1, H, W) in (0, 1), of two images (N, 1, H, W) in [0, 1], sides of 10 or more."""
        images = torch.cat((infrared, infrared, visible, visible), dim=1).to(memory_format=torch.channels_last)
        maps = _start(infrared, visible)
        for kernels, (shift, slope, eta, pull) in zip(self.kernels, self.numbers, strict=True):
            steps = F.prelu(convolve_composed(maps, kernels, shift, "reflect", groups=4), slope)
            maps = maps.lerp_(images, pull[:, None, None]).addcmul_(steps, eta[:, None, None], value=-1)
        fused: Tensor = self.decoder(maps.sum(dim=1, keepdim=True))
        return fused


def _numbers(iteration: Iteration) -> Tensor:
    """Return the normalisation's scale and shift, PReLU's slope, eta, and eta * theta: float64 (5,)."""
    rest = {name: value.double() for name, value in iteration.rest.state_dict().items()}
    scale = rest["0.weight"] / torch.sqrt(rest["0.running_var"] + 1e-5)
    shift = rest["0.bias"] - rest["0.running_mean"] * scale
    eta = iteration.eta.detach().double()
    return torch.cat((scale, shift, rest["1.weight"], eta, eta * iteration.theta.detach().double()))


def _start(infrared: Tensor, visible: Tensor) -> Tensor:
    """Return the filtered images, base and detail of infrared, then of visible: (N, 4, H, W)."""
    bands = torch.cat((infrared, visible), dim=1)
    maps = torch.stack((_mean(bands, 11), (_mean(bands, 19) - bands) * (361 / 720)), dim=2)
    return maps.flatten(1, 2).to(memory_format=torch.channels_last)


def _mean(bands: Tensor, size: int) -> Tensor:
    line = bands.new_full((2, 1, size, 1), 1 / size)
    padded = _reflect(bands, size // 2).to(memory_format=torch.channels_last)
    return F.conv2d(F.conv2d(padded, line, groups=2), line.transpose(2, 3), groups=2)


_COMMIT = "8f54650ffbc0a9e655a0d4c6098751bedc319803"
_URL = f"https://raw.githubusercontent.com/Zhaozixiang1228/IVIF-AUIF-Net/{_COMMIT}/Models"
_CITATION = r"""
@article{zhao2022auif,
  author = {Zhao, Zixiang and Xu, Shuang and Zhang, Jiangshe and Liang, Chengyang and Zhang, Chunxia and Liu, Junmin},
  title = {Efficient and Model-Based Infrared and Visible Image Fusion via Algorithm Unrolling},
  journal = {IEEE Transactions on Circuits and Systems for Video Technology},
  volume = {32},
  number = {3},
  pages = {1186--1196},
  year = {2022},
  doi = {10.1109/TCSVT.2021.3075745},
}
"""


class AUIF(NetworkMethod):
    """AUIF with the authors' weights and their default rule, addition."""

    title = "AUIF"
    name = "auif"
    record = Record(
        paper="Z. Zhao, S. Xu, J. Zhang, C. Liang, C. Zhang, J. Liu: Efficient and Model-Based Infrared and Visible "
        "Image Fusion via Algorithm Unrolling. IEEE Transactions on Circuits and Systems for Video Technology 32(3), "
        "2022",
        year=2022,
        citation=_CITATION,
        repository="https://github.com/Zhaozixiang1228/IVIF-AUIF-Net",
        commit=_COMMIT,
        licence="none found",
        files=(
            WeightFile(
                "TCSVT_Encoder_Base.model",
                url=f"{_URL}/TCSVT_Encoder_Base.model",
                bytes=37619,
                sha256="c4fe51b85637e3befc89b27e3cbb7a765aea37871eb4da4f58b471680ce7eb72",
                git_blob="d8f82a05be3084d2af27a6861f5e5488b35685c1",
            ),
            WeightFile(
                "TCSVT_Encoder_Detail.model",
                url=f"{_URL}/TCSVT_Encoder_Detail.model",
                bytes=37619,
                sha256="92e1ad6a4b7e5a2acc442a3a57c3b0e48a2af262f487942e42d81334de204726",
                git_blob="44937f598d6401df94f6429fc40c9d8fe276783d",
            ),
            WeightFile(
                "TCSVT_Decoder.model",
                url=f"{_URL}/TCSVT_Decoder.model",
                bytes=1213,
                sha256="7966d490bb4003821c8f20ce1197c22d020ab986850571c5dfa02b0defad8ad3",
                git_blob="46d4f84fc0e05919f883660d5a2e0df7309205a1",
            ),
        ),
        trained_on=("FLIR",),
        probably_trained_on=("RoadScene",),
        parameters=11_631,
        verified="official outputs",
        row="AUIF",
        notes=(
            "Grey in, grey out, as the official code; a colour visible image is fused by its luma.",
            "Any size. The official code refuses sides below 10 pixels; ours repeats the last row and column up to "
            "that, and crops.",
            "The two convolutions of every iteration are computed as one. The iterations magnify rounding, so raw "
            "output differs from the official by up to 1e-5; so does the official from itself in float64.",
            "Trained on 180 pairs of FLIR; RoadScene is cropped from frames of FLIR, so its pairs may be among them.",
        ),
    )

    def load(self, files: Mapping[str, Path]) -> nn.Module:
        """Return the composed network with the three checkpoints' weights."""
        network = AUIFNetwork()
        parts = {"Encoder_Base": network.base, "Encoder_Detail": network.detail, "Decoder": network.decoder}
        for name, part in parts.items():
            path = files[f"TCSVT_{name}.model"]
            fill(part, read_state(path), path)
        return ComposedAUIF(network)

    def infer(self, infrared: ImageArray, visible: ImageArray) -> Tensor:
        """Return the fused image, (H, W) in (0, 1)."""
        bands = [enlarge(self.tensor(band) / 255, ComposedAUIF.least) for band in (infrared, visible)]
        height, width = infrared.shape
        fused: Tensor = self.network(*bands)[0, 0, :height, :width]
        return fused

    def image(self, raw: NDArray[np.float32]) -> ImageArray:
        """Return levels 0-255, rounded."""
        return super().image(255 * raw)
