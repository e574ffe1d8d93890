"""MoE-Fusion, from a checkpoint that the benchmark's own training wrote."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import moefusion
from methods.base import Method
from methods.network import exact, usable_device
from metrics.errors import InputError
from metrics.files import digest
from metrics.images import ImageArray


class MoEFusion(Method):
    """MoE-Fusion (Cao et al., ICCV 2023), trained here: no weights were ever published.

    `weights` is the model.safetensors that `run_benchmark.py train` or `moefusion.train` wrote.
    """

    title = "MoE-Fusion"
    trains = True
    reads_weights = True

    def __init__(self, *, variant: str | None = None, weights: str | None = None, device: str = "auto") -> None:
        super().__init__(variant=variant, weights=weights, device=device)
        if weights is None:
            raise InputError(
                "method 'moefusion' has no published weights; train it (`run_benchmark.py train EXPERIMENT`) and name "
                "the model.safetensors: moefusion:PATH on the command line, weights in an experiment"
            )
        self.device = usable_device(device)
        try:
            self.model = moefusion.load_checkpoint(weights).to(self.device).requires_grad_(False)
        except ValueError as error:
            raise InputError(str(error)) from error

    def forward(self, infrared: ImageArray, visible: ImageArray) -> NDArray[np.float32]:
        """Return the fused luma, levels about 0-255, unbounded."""
        bands = (
            torch.from_numpy(np.ascontiguousarray(band)).to(self.device).float()[None, None] / 255
            for band in (infrared, visible)
        )
        with torch.inference_mode(), exact():
            fused: NDArray[np.float32] = self.model(*bands).fused[0, 0].cpu().numpy()
        return fused * np.float32(255)

    def settings(self) -> dict[str, Any]:
        """Return the checkpoint by its hash."""
        return {"weights": digest(Path(str(self.weights)))}
