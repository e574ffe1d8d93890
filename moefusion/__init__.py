"""MoE-Fusion: the paper's model, its losses and its training."""

import metrics  # noqa: F401  (before torch loads: it limits the spinning of threads)
from moefusion.backbones import DetectorConfig
from moefusion.checkpoints import load_checkpoint, save_checkpoint
from moefusion.config import FusionConfig
from moefusion.data import Batch, Sample
from moefusion.detectors import AttentionMaps, AuxiliaryDetectors
from moefusion.inspection import expert_responses, gate_report, gate_shares
from moefusion.losses import FusionLoss, foreground_mask, fusion_loss, gradient_loss, pixel_loss
from moefusion.model import MoEFusion, TrainingLosses
from moefusion.network import FusionNetwork, FusionOutput
from moefusion.recipe import TrainingConfig
from moefusion.timing import TimeShare, time_fusion, time_training_step
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
    "TimeShare",
    "TrainingConfig",
    "TrainingLosses",
    "expert_responses",
    "foreground_mask",
    "fusion_loss",
    "gate_report",
    "gate_shares",
    "gradient_loss",
    "load_checkpoint",
    "pixel_loss",
    "save_checkpoint",
    "time_fusion",
    "time_training_step",
    "train",
]
