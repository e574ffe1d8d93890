"""The base class of published networks, with devices, weights and deterministic arithmetic."""

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from methods import weights as _weights
from methods.base import Method
from methods.record import Record
from metrics.errors import InputError
from metrics.files import digest
from metrics.images import ImageArray
from moefusion.distributed import usable_device
from moefusion.pretrained import read_state

__all__ = ["NetworkMethod", "exact", "fill", "read_state", "usable_device"]


class NetworkMethod(Method):
    """A published network. A subclass gives `record`, `load` and `infer`, and `image` where it differs.

    Attributes:
        name: As `methods.create` knows it; names its weights folder.
        record: Where it comes from.
    """

    name: ClassVar[str]
    record: ClassVar[Record]

    def __init__(self, *, variant: str | None = None, weights: str | None = None, device: str = "auto") -> None:
        super().__init__(variant=variant, weights=weights, device=device)
        self.device = usable_device(device)
        self.files = _weights.locate(self.name, self.record, self.variant, weights)
        self.network = self.load(self.files).to(self.device).eval().requires_grad_(False)

    @abstractmethod
    def load(self, files: Mapping[str, Path]) -> nn.Module:
        """Return the network with its weights, on the CPU.

        Args:
            files: The weight files by their official names.
        """

    @abstractmethod
    def infer(self, infrared: ImageArray, visible: ImageArray) -> Tensor:
        """Return the network's own output for one pair, (H, W) or (C, H, W); called without gradients."""

    @classmethod
    def leakage(cls, variant: str | None, dataset: str) -> str | None:
        """Return what the record says."""
        return cls.record.leakage(variant or next(iter(cls.variants), None), dataset)

    def forward(self, infrared: ImageArray, visible: ImageArray) -> NDArray[np.float32]:
        """Return the network's own output as an array."""
        with torch.inference_mode(), exact():
            raw: NDArray[np.float32] = self.infer(infrared, visible).float().cpu().numpy()
        return raw

    def tensor(self, image: ImageArray) -> Tensor:
        """Return an image as float32 on the method's device, levels 0-255: (1, 1, H, W), or (1, 3, H, W) for RGB."""
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self.device).float()
        return pixels[None, None] if image.ndim == 2 else pixels.permute(2, 0, 1)[None]

    def settings(self) -> dict[str, Any]:
        """Return variant, weights by hash, and whether they are the authors' own."""
        known = {file.name: file for file in self.record.files}
        return {
            "variant": self.variant,
            "weights": {name: digest(path) for name, path in self.files.items()},
            "official weights": all(_weights.official(path, known[name]) for name, path in self.files.items()),
        }


def exact() -> AbstractContextManager[None]:
    """Return a context in which a GPU gives what a CPU gives, to float32's rounding, and the same each time.

    cuDNN's default on a GPU is TF32, which rounds to ten bits: not the published outputs any more.
    """
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
    return flags


def fill(network: nn.Module, state: Mapping[str, Any], path: Path) -> None:
    """Load a state dictionary strictly.

    Raises:
        InputError: Names, shapes or kinds of numbers are not the network's, or a number is not finite.
    """
    for name, own in network.state_dict().items():
        given = state.get(name)
        if isinstance(given, Tensor) and given.is_floating_point() != own.is_floating_point():
            raise InputError(
                f"{path}: {name} holds {given.dtype}; expected {own.dtype}, which {type(network).__name__} has"
            )
    try:
        network.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())[:240]
        raise InputError(f"{path} does not fit {type(network).__name__}: {reason}") from error
    for name, tensor in network.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise InputError(f"{path}: {name} holds numbers that are not finite; fetch it again")
