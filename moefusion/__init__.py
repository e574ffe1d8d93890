"""MoE-Fusion: the paper's model, its losses and its training."""

from moefusion.backbones import DetectorConfig
from moefusion.checkpoints import load_checkpoint, save_checkpoint
from moefusion.config import FusionConfig
from moefusion.data import Batch, Sample
from moefusion.detectors import AttentionMaps, AuxiliaryDetectors
from moefusion.losses import FusionLoss, foreground_mask, fusion_loss, gradient_loss, pixel_loss
from moefusion.model import MoEFusion, TrainingLosses
from moefusion.network import FusionNetwork, FusionOutput
from moefusion.recipe import TrainingConfig
from moefusion.training import train

__all__ = [
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
    "foreground_mask",
    "fusion_loss",
    "gradient_loss",
    "load_checkpoint",
    "pixel_loss",
    "save_checkpoint",
    "train",
]
