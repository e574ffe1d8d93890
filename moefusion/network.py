"""The fusion network: two encoders, local experts on foreground and background, global experts on the scene."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metrics.errors import InputError
from moefusion.config import FusionConfig
from moefusion.experts import GlobalExpert, LocalExpert, Mixed, Mixture
from moefusion.losses import load_balance

_WIDTH = 16  # channels of an encoder's layer and of a local expert's output
_DENSE = 4 * _WIDTH
_LOCAL_PARTS = ("foreground", "background")
LOAD_COEFFICIENTS = {"local_foreground": 0.01, "local_background": 0.01, "global": 0.02}


@dataclass(frozen=True)
class FusionOutput:
    """The network's output for a batch.

    Attributes:
        fused: (N, 1, H, W), the fused luma, aimed at [0, 1] but not clamped to it.
        attention: (N, 1, H, W), the merged attention in [0, 1]; None where the configuration uses none.
        gates: (N, experts) under "local_foreground", "local_background" and "global", as far as these exist.
        loads: (experts,) under the same names, how many samples each expert gets; in training its smooth estimate.
        load_losses: Under the same names, each gate's load-balancing loss times its coefficient, scalars.
    """

    fused: Tensor
    attention: Tensor | None
    gates: dict[str, Tensor]
    loads: dict[str, Tensor]
    load_losses: dict[str, Tensor]

    @property
    def load_loss(self) -> Tensor:
        """L_load, the sum of the gates' load-balancing losses, a scalar; 0 without a gate."""
        return sum(self.load_losses.values(), start=self.fused.new_zeros(()))


class Encoder(nn.Module):
    """Densely connected encoder of one modality.

    Reference:
        Li and Wu, "DenseFuse: A Fusion Approach to Infrared and Visible Images", 2019, figure 2.
    """

    def __init__(self, *, dense_activation: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, _WIDTH, 3, padding=1)
        self.dense1 = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.dense2 = nn.Conv2d(2 * _WIDTH, _WIDTH, 3, padding=1)
        self.dense3 = nn.Conv2d(3 * _WIDTH, _WIDTH, 3, padding=1)
        self.dense_activation = dense_activation

    def forward(self, image: Tensor) -> Tensor:
        """Return all four layers' features, (N, 64, H, W), the last layer's last, from an image (N, 1, H, W)."""
        features: Tensor = self.conv1(image).relu_()
        for layer in (self.dense1, self.dense2, self.dense3):
            new = layer(features)
            features = torch.cat([features, new.relu_() if self.dense_activation else new], dim=1)
        return features


class ConvolutionMerge(nn.Module):
    """Two attention maps become one by two convolutions and the maximum over channels, as the paper has it.

    The paper gives neither kernels nor channels: here 3x3 and 2 → 16 → 2, so that the maximum is again one
    between two maps, and a sigmoid keeps the result in [0, 1], which the background's 1 - attention needs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 2, 3, padding=1)

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the merged map in [0, 1], of the shape of both, (N, 1, h, w)."""
        maps: Tensor = self.conv2(self.conv1(torch.cat([visible, infrared], dim=1)).relu_())
        return maps.amax(dim=1, keepdim=True).sigmoid()


class FusionNetwork(nn.Module):
    """MoE-Fusion without its detectors: the attention maps come from outside.

    In training, experts that no sample of the batch picked have no gradient; DistributedDataParallel needs
    `find_unused_parameters=True`.

    Reference:
        Cao, Sun, Zhu and Hu, "Multi-modal Gated Mixture of Local-to-Global Experts for Dynamic Image Fusion", 2023.
    """

    def __init__(self, config: FusionConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or FusionConfig.paper()
        mixture = partial(
            Mixture,
            experts=config.experts,
            top_k=config.top_k,
            combine=config.combine,
            standardised=config.gate_input == "standardised",
        )
        self.encoder = nn.ModuleDict(
            {band: Encoder(dense_activation=config.dense_activation) for band in ("visible", "infrared")}
        )
        if config.uses_attention and config.attention_merge == "convolution":
            self.attention_merge = ConvolutionMerge()
        if config.local_experts is True:
            self.local_experts = nn.ModuleDict(
                {part: mixture(2 * _WIDTH, config.local_gate_grid, LocalExpert) for part in _LOCAL_PARTS}
            )
        elif config.local_experts == "attention":
            self.local_attention = nn.Conv2d(2 * _WIDTH, 2 * _WIDTH, 1)
        channels = 2 * _DENSE + (2 * _WIDTH if config.uses_attention else 0)
        if config.global_experts:
            self.global_experts = mixture(channels, config.global_gate_grid, partial(GlobalExpert, channels))
        else:
            self.decoder = GlobalExpert(channels)

    @property
    def gate_names(self) -> tuple[str, ...]:
        """The gates that this configuration has, as the output and `noise` name them."""
        local = tuple(f"local_{part}" for part in _LOCAL_PARTS) if self.config.local_experts is True else ()
        return (*local, "global") if self.config.global_experts else local

    def forward(
        self,
        infrared: Tensor,
        visible: Tensor,
        attention_infrared: Tensor | None = None,
        attention_visible: Tensor | None = None,
        *,
        noise: Mapping[str, Tensor] | None = None,
    ) -> FusionOutput:
        """Return the fused images with what the losses need. Any H and W will do.

        Args:
            infrared, visible: (N, 1, H, W), luma on the scale [0, 1].
            attention_infrared, attention_visible: (N, 1, h, w) in [0, 1], each map spread over the whole image,
                as a rule a quarter of its size; brought to (H, W) bilinearly. Detach them: the fusion loss
                must not train the detectors. Not needed where `config.uses_attention` is false.
            noise: Standard-normal draws, (N, experts) for each of `gate_names`, for a repeatable training step;
                None draws them from torch's generator. Evaluation has no noise.

        Raises:
            InputError: Shapes do not fit, attention is missing, or noise is not what the gates need.
        """
        drawn = self._check_noise(noise, len(infrared))
        with torch.autocast(infrared.device.type, enabled=False):
            dense, attention = self._features(infrared, visible, attention_infrared, attention_visible)
            local, mixed = self._local_features(dense, attention, drawn)
            scene = torch.cat([*dense, *local], dim=1)
        if self.config.global_experts:
            mixed["global"] = self.global_experts([scene], drawn.get("global"))
            fused = mixed["global"].features
        else:
            fused = self.decoder(scene)
        gates = {name: part.routing.gates for name, part in mixed.items()}
        losses = {name: LOAD_COEFFICIENTS[name] * load_balance(*part.routing) for name, part in mixed.items()}
        loads = {name: part.routing.load for name, part in mixed.items()}
        return FusionOutput(fused=fused, attention=attention, gates=gates, loads=loads, load_losses=losses)

    def _local_features(
        self, dense: list[Tensor], attention: Tensor | None, noise: Mapping[str, Tensor]
    ) -> tuple[list[Tensor], dict[str, Mixed]]:
        """Return what stands beside the dense features in the scene, and the local gates' decisions."""
        if self.config.local_experts is True:
            mixed: dict[str, Mixed] = {}
            for part, sources in _local_sources(dense, attention).items():
                name = f"local_{part}"
                mixed[name] = self.local_experts[part](sources, noise.get(name))
            return [part.features for part in mixed.values()], mixed
        if attention is not None:
            return [self.local_attention(torch.cat(_masked(dense, attention), dim=1))], {}
        return [], {}

    def local_expert_features(
        self, infrared: Tensor, visible: Tensor, attention_infrared: Tensor, attention_visible: Tensor
    ) -> dict[str, Tensor]:
        """Return every local expert's output for a batch, picked or not: the paper's figure 6.

        Args:
            infrared, visible, attention_infrared, attention_visible: As for `forward`.

        Returns:
            (N, experts, 16, H, W) under "foreground" and "background"; the first half of the experts sees the
            visible features, the second half the infrared.

        Raises:
            InputError: Shapes do not fit, or the configuration has no local experts.
        """
        if self.config.local_experts is not True:
            raise InputError(f"no local experts to look at: local_experts is {self.config.local_experts!r}, not True")
        dense, attention = self._features(infrared, visible, attention_infrared, attention_visible)
        features = {}
        for part, sources in _local_sources(dense, attention).items():
            mixture = self.local_experts[part]
            assert isinstance(mixture, Mixture)
            features[part] = mixture.outputs(sources)
        return features

    def _features(
        self, infrared: Tensor, visible: Tensor, attention_infrared: Tensor | None, attention_visible: Tensor | None
    ) -> tuple[list[Tensor], Tensor | None]:
        check_pair(infrared, visible)
        attention = self._attention(infrared, attention_infrared, attention_visible)
        return [self.encoder["visible"](visible), self.encoder["infrared"](infrared)], attention

    def _attention(self, image: Tensor, infrared: Tensor | None, visible: Tensor | None) -> Tensor | None:
        if not self.config.uses_attention:
            return None
        if infrared is None or visible is None:
            raise InputError(
                f"attention maps are missing; local_experts={self.config.local_experts!r} needs that of infrared and "
                "that of visible; pass both, or set local_experts to False"
            )
        for name, attention in (("infrared", infrared), ("visible", visible)):
            if attention.ndim != 4 or attention.shape[:2] != image.shape[:2] or attention.shape != infrared.shape:
                raise InputError(
                    f"attention_{name}: expected shape ({len(image)}, 1, h, w), the same for both, "
                    f"got {tuple(attention.shape)}"
                )
        if self.config.attention_merge == "maximum":
            merged = torch.maximum(infrared, visible)
        else:
            merged = self.attention_merge(infrared, visible)
        return F.interpolate(merged, image.shape[2:], mode="bilinear", align_corners=True)

    def _check_noise(self, noise: Mapping[str, Tensor] | None, batch: int) -> Mapping[str, Tensor]:
        if noise is None:
            return {}
        if not self.training:
            raise InputError("noise is for training only, and the network is in evaluation mode. Leave it out")
        if set(noise) != set(self.gate_names):
            raise InputError(f"noise: expected draws for {', '.join(self.gate_names)}, got {', '.join(noise)}")
        expected = (batch, self.config.experts)
        for name, draws in noise.items():
            if draws.shape != expected:
                raise InputError(f"noise of {name}: expected shape {expected}, got {tuple(draws.shape)}")
        return noise


def _local_sources(dense: list[Tensor], attention: Tensor | None) -> dict[str, list[Tensor]]:
    assert attention is not None, "local experts always have attention"
    return {"foreground": _masked(dense, attention), "background": _masked(dense, 1 - attention)}


def _masked(dense: list[Tensor], weight: Tensor) -> list[Tensor]:
    return [features[:, -_WIDTH:] * weight for features in dense]


def check_pair(infrared: Tensor, visible: Tensor) -> None:
    """Refuse images that are not two batches (N, 1, H, W) of one shape.

    Raises:
        InputError: They are not.
    """
    for name, image in (("infrared", infrared), ("visible", visible)):
        if image.ndim != 4 or image.shape[1] != 1 or image.numel() == 0:
            raise InputError(f"{name}: expected shape (N, 1, H, W), none of them 0, got {tuple(image.shape)}")
    if infrared.shape != visible.shape:
        raise InputError(
            f"infrared is {tuple(infrared.shape)} but visible is {tuple(visible.shape)}; "
            "fusion needs registered images of one size"
        )
