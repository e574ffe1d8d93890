"""MoE-Fusion: the paper's fusion network and its losses."""

from moefusion.config import FusionConfig
from moefusion.losses import FusionLoss, foreground_mask, fusion_loss, gradient_loss, pixel_loss
from moefusion.network import FusionNetwork, FusionOutput

__all__ = [
    "FusionConfig",
    "FusionLoss",
    "FusionNetwork",
    "FusionOutput",
    "foreground_mask",
    "fusion_loss",
    "gradient_loss",
    "pixel_loss",
]
