"""MoE-Fusion: the packaged small model, or a checkpoint that the benchmark's own training wrote."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

import moefusion
from methods.base import Method
from methods.network import exact, usable_device
from methods.record import Record
from metrics.errors import InputError
from metrics.files import digest
from metrics.images import ImageArray

CITATION = """@inproceedings{cao2023moefusion,
  author    = {Bing Cao and Yiming Sun and Pengfei Zhu and Qinghua Hu},
  title     = {Multi-modal Gated Mixture of Local-to-Global Experts for Dynamic Image Fusion},
  booktitle = {Proceedings of the IEEE/CVF International Conference on Computer Vision (ICCV)},
  year      = {2023}
}"""


class MoEFusion(Method):
    """MoE-Fusion (Cao et al., ICCV 2023). Its authors published no weights: all weights here were trained here.

    Without `weights` it is the small model of the package, whose card is moefusion/packaged/README.md: not the
    paper's model, whose rows in the tables have the method's name alone. `weights` is a model.safetensors that
    `run_benchmark.py train` or `moefusion.train` wrote.
    """

    title = "MoE-Fusion"
    variants = ("small",)
    trains = True
    reads_weights = True
    record: ClassVar[Record] = Record(
        paper="Cao et al., Multi-modal Gated Mixture of Local-to-Global Experts for Dynamic Image Fusion, ICCV 2023",
        year=2023,
        repository="https://github.com/SunYM2020/MoE-Fusion",
        commit="db75bba",
        licence="Apache-2.0",
        files=(),
        parameters=1_830_944,
        verified="architecture only",
        citation=CITATION,
        trained_on=("MSRS", "FLIR", "RoadScene", "LLVIP", "M3FD-Fusion"),  # the packaged model
        row="MoE-Fusion",
        notes=("No weights were published; those of the package and of a run are trained here.",),
    )

    def __init__(self, *, variant: str | None = None, weights: str | None = None, device: str = "auto") -> None:
        super().__init__(variant=variant, weights=weights, device=device)
        self.packaged = weights is None
        if not self.packaged:
            self.variant = None
        self.file = moefusion.PACKAGED if weights is None else Path(weights)
        self.device = usable_device(device)
        try:
            self.model = moefusion.load_checkpoint(self.file).to(self.device).requires_grad_(False)
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
        return {"weights": digest(self.file), "packaged weights": self.packaged}

    @classmethod
    def leakage(cls, variant: str | None, dataset: str) -> str | None:
        """Return a note for tables of a data set that the packaged model was trained on, else None."""
        return cls.record.leakage(variant, dataset)
