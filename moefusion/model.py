"""The whole model: auxiliary detectors and fusion network."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from metrics.errors import InputError
from moefusion.config import DetectorConfig, FusionConfig
from moefusion.data import Batch, Target
from moefusion.detectors import AttentionMaps, AuxiliaryDetectors
from moefusion.distributed import total_over_processes, world_size
from moefusion.losses import cv_squared, foreground_mask, fusion_loss
from moefusion.network import LOAD_COEFFICIENTS, FusionNetwork, FusionOutput


class TrainingLosses(NamedTuple):
    """The losses of a training step.

    Attributes:
        total: The sum to minimise, a scalar.
        terms: Its terms without gradients, scalars: "pixel", "gradient" (not yet times alpha), "load", and the
            detectors' as `AuxiliaryDetectors.losses` names them.
        gates: As in `FusionOutput`, without gradients.
    """

    total: Tensor
    terms: dict[str, Tensor]
    gates: dict[str, Tensor]


class MoEFusion(nn.Module):
    """MoE-Fusion: fuses infrared and visible images, with the auxiliary detectors' attention.

    A new model is in training mode; call `eval()` before fusing. Where the fusion network uses no attention
    (`local_experts=False`), there are no detectors.

    Reference:
        Cao, Sun, Zhu and Hu, "Multi-modal Gated Mixture of Local-to-Global Experts for Dynamic Image Fusion", 2023.
    """

    def __init__(
        self,
        fusion: FusionConfig | None = None,
        detector: DetectorConfig | None = None,
        classes: int = 1,
        *,
        initialise: bool = True,
    ) -> None:
        """Build the model.

        Args:
            fusion: The fusion network's settings; the paper's without.
            detector: The auxiliary detectors' settings; the paper's without.
            classes: How many classes the detectors learn, without the background.
            initialise: Load the weights that `detector` names; without, a checkpoint will fill them.

        Raises:
            InputError: The detectors' weights cannot be obtained or do not fit, or there is no class.
        """
        super().__init__()
        if type(classes) is not int or classes < 1:
            raise InputError(f"classes: expected a whole number from 1, got {classes!r}")
        self.classes = classes
        self.fusion_config = fusion or FusionConfig.paper()
        self.detector_config = detector or DetectorConfig.paper()
        self.fusion = FusionNetwork(self.fusion_config)
        self.detectors: AuxiliaryDetectors | None = None
        if self.fusion_config.uses_attention:
            self.detectors = AuxiliaryDetectors(self.detector_config, classes, initialise=initialise)

    def forward(self, infrared: Tensor, visible: Tensor) -> FusionOutput:
        """Return the fused images; of the detectors only backbones and attention run.

        Args:
            infrared, visible: (N, 1, H, W), luma on the scale [0, 1]. Any H and W will do.

        Raises:
            InputError: The shapes do not fit.
        """
        maps: AttentionMaps | tuple[()] = ()
        if self.detectors is not None:
            with torch.no_grad():
                maps = self.detectors.attention(infrared, visible)
        output: FusionOutput = self.fusion(infrared, visible, *maps)
        return output

    def training_losses(
        self, batch: Batch, *, noise: Mapping[str, Tensor] | None = None, alpha: float | None = None
    ) -> TrainingLosses:
        """Return the sum of the fusion losses and of both detectors' losses.

        The fusion loss does not reach the detectors. Under autocast the detectors' backbones and attention and the
        bulk of the global experts are computed in low precision: the features, the gates and the fused image stay
        float32, for eight bits of precision are those of a stored image, and less than what its gradient needs.

        Args:
            batch: Images and objects.
            noise: Draws for the gates, as `FusionNetwork.forward` takes them.
            alpha: Weight of the gradient loss; None takes `FusionConfig.alpha`.

        Raises:
            InputError: The batch does not fit, or the model is not in training mode.
        """
        infrared, visible = batch.infrared, batch.visible
        detection: dict[str, Tensor] = {}
        maps: tuple[Tensor, ...] = ()
        if self.detectors is not None:
            targets = [Target(boxes=b, labels=n) for b, n in zip(batch.boxes, batch.labels, strict=True)]
            maps, detection = self.detectors.train_on(infrared, visible, targets)
        output: FusionOutput = self.fusion(
            infrared, visible, *(attention.detach().float() for attention in maps), noise=noise
        )
        with torch.autocast(infrared.device.type, enabled=False):
            mask = foreground_mask(batch.boxes, (infrared.shape[2], infrared.shape[3]))
            load = _common_load_loss(output) if output.gates and world_size() > 1 else output.load_loss
            weight = self.fusion_config.alpha if alpha is None else alpha
            fusion = fusion_loss(output.fused, infrared, visible, mask, load, alpha=weight)
        total = sum(detection.values(), start=fusion.total)
        terms = {"pixel": fusion.pixel, "gradient": fusion.gradient, "load": fusion.load, **detection}
        return TrainingLosses(
            total,
            {name: term.detach() for name, term in terms.items()},
            {name: gates.detach() for name, gates in output.gates.items()},
        )


def _common_load_loss(output: FusionOutput) -> Tensor:
    """Return L_load of the batch that all processes share: a small part of it alone is never balanced."""
    losses = []
    for name, gates in output.gates.items():
        importance = total_over_processes(gates.sum(dim=0))
        load = total_over_processes(output.loads[name])
        losses.append(LOAD_COEFFICIENTS[name] * (cv_squared(importance) + cv_squared(load)))
    return torch.stack(losses).sum()
