"""MoE-Fusion: the paper's model, its losses and its training. Names are loaded when they are first used."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import metrics  # noqa: F401  (before torch loads: it limits the spinning of threads)

if TYPE_CHECKING:
    from moefusion.checkpoints import halve_checkpoint, load_checkpoint, save_checkpoint
    from moefusion.config import DetectorConfig, FusionConfig
    from moefusion.data import Batch, Sample
    from moefusion.detectors import AttentionMaps, AuxiliaryDetectors
    from moefusion.inspection import expert_responses, gate_report, gate_shares
    from moefusion.losses import FusionLoss, foreground_mask, fusion_loss, gradient_loss, pixel_loss
    from moefusion.model import MoEFusion, TrainingLosses
    from moefusion.network import FusionNetwork, FusionOutput
    from moefusion.recipe import TrainingConfig
    from moefusion.training import train

PACKAGED = Path(__file__).parent / "packaged" / "small.safetensors"  # the model that comes with the package
__all__ = [
    "PACKAGED",
    "AttentionMaps",
    "AuxiliaryDetectors",
    "Batch",
    "DetectorConfig",
    "FusionConfig",
    "FusionLoss",
    "FusionNetwork",
    "FusionOutput",
    "MoEFusion",
    "Sample",
    "TrainingConfig",
    "TrainingLosses",
    "expert_responses",
    "foreground_mask",
    "fusion_loss",
    "gate_report",
    "gate_shares",
    "gradient_loss",
    "halve_checkpoint",
    "load_checkpoint",
    "pixel_loss",
    "save_checkpoint",
    "train",
]
# Those that need neither torch nor torchvision first: both take seconds to load, and methods use parts of this package.
_MODULES = ("config", "recipe", "data", "losses", "network", "backbones", "detectors", "model", "checkpoints")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for module in (*_MODULES, "inspection", "training"):
        content = vars(import_module(f"{__name__}.{module}"))
        if name in content:
            globals()[name] = content[name]
            return content[name]
    raise AssertionError(f"no module of {__name__} has {name}")
