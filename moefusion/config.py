"""What can be chosen about the fusion network and its losses: one field a choice, and two presets."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, get_args

Combine = Literal["linear", "logsumexp"]
AttentionMerge = Literal["convolution", "maximum"]
LocalExperts = Literal[True, False, "attention"]
GateInput = Literal["standardised", "raw"]
Grid = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class FusionConfig:
    """Settings of a `FusionNetwork`; the defaults are those of the paper.

    Attributes:
        experts: How many experts each mixture holds; even where there are local experts, half for each modality.
        top_k: How many experts a gate picks for a sample.
        local_gate_grid: (height, width) that a local gate's input is brought to; the defaults of both grids are
            the quarter and the eighth of the published network's 480x640.
        global_gate_grid: The same for the global gate.
        combine: How the picked experts' outputs become one: "linear" is Σ g·E, the paper's equations 2 and 4;
            "logsumexp" is log Σ g·exp(E), the public code.
        gate_input: What a gate's features go through before its weights. "raw" is the published equation, s·W, with
            the features as they are; the public code. "standardised" takes off their running mean over the
            training samples and divides by their running deviation and by √D, D being their number. The paper
            mentions no such step and tells of no collapse, but as written its gates do collapse: most of 48000 and
            more features are positive, so that Adam, which moves each weight by about the learning rate, can move
            a logit by learning rate times Σ|s|, 2.6 at a rate of 1e-3, in a step. Within tens of steps the logits
            are many deviations of the noise (0.7) apart, the load loss has no gradient there, and few experts are
            picked for good. Without noise, in evaluation, even a balanced gate picks the same experts for every
            scene where its logits differ more between experts than between scenes; around a running mean they
            do not.
        attention_merge: How the two modalities' attention maps become one: "convolution" as in the paper,
            or "maximum" as in the public code.
        dense_activation: Whether the encoders' three dense convolutions end in ReLU, as those of DenseFuse do,
            which the paper builds on; in the public code they do not.
        alpha: Weight of the gradient loss.
        local_experts: True; False leaves them out ("w/o MoLE"); "attention" puts a 1x1 convolution of the
            attention-weighted features in their place ("Att-Local").
        global_experts: True; False puts a single decoder in their place ("w/o MoGE").

    Raises:
        ValueError: A value is of the wrong kind or out of its range.
    """

    experts: int = 4
    top_k: int = 2
    local_gate_grid: Grid = (120, 160)
    global_gate_grid: Grid = (60, 80)
    gate_input: GateInput = "standardised"
    combine: Combine = "linear"
    attention_merge: AttentionMerge = "convolution"
    dense_activation: bool = True
    alpha: float = 10.0
    local_experts: LocalExperts = True
    global_experts: bool = True

    def __post_init__(self) -> None:
        _check_count("experts", self.experts, least=2)
        _check_count("top_k", self.top_k, least=1)
        _check_grid("local_gate_grid", self.local_gate_grid)
        _check_grid("global_gate_grid", self.global_gate_grid)
        _check_choice("gate_input", self.gate_input, get_args(GateInput))
        _check_choice("combine", self.combine, get_args(Combine))
        _check_choice("attention_merge", self.attention_merge, get_args(AttentionMerge))
        _check_choice("dense_activation", self.dense_activation, (True, False))
        _check_choice("local_experts", self.local_experts, get_args(LocalExperts))
        _check_choice("global_experts", self.global_experts, (True, False))
        if type(self.alpha) not in (int, float) or not (math.isfinite(self.alpha) and self.alpha >= 0):
            raise ValueError(f"FusionConfig.alpha: expected a finite number from 0, got {self.alpha!r}.")
        if self.top_k > self.experts:
            raise ValueError(f"FusionConfig.top_k: expected at most experts ({self.experts}), got {self.top_k}.")
        if self.local_experts is True and self.experts % 2:
            raise ValueError(
                f"FusionConfig.experts: expected an even number, half for each modality, got {self.experts}."
            )

    @classmethod
    def paper(cls) -> Self:
        """Return the network as the paper describes it, but for `gate_input`; the default."""
        return cls()

    @classmethod
    def public(cls) -> Self:
        """Return the network as the public reference code has it."""
        return cls(gate_input="raw", combine="logsumexp", attention_merge="maximum", dense_activation=False)

    @property
    def uses_attention(self) -> bool:
        """Whether the network needs attention maps at all."""
        return self.local_experts is not False

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values that JSON and TOML can hold."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Self:
        """Return the configuration with these settings; what is left out keeps its default.

        Raises:
            ValueError: A field is unknown, or a value cannot be used.
        """
        known = [field.name for field in fields(cls)]
        for name in settings:
            if name not in known:
                raise ValueError(f"unknown field of FusionConfig {name!r}; known: {', '.join(known)}")
        values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in settings.items()}
        return cls(**values)


def _check_count(name: str, value: object, *, least: int) -> None:
    if type(value) is not int or value < least:
        raise ValueError(f"FusionConfig.{name}: expected a whole number from {least}, got {value!r}.")


def _check_grid(name: str, value: object) -> None:
    if not (isinstance(value, tuple) and len(value) == 2 and all(type(side) is int and side > 0 for side in value)):
        raise ValueError(f"FusionConfig.{name}: expected (height, width), two whole numbers from 1, got {value!r}.")


def _check_choice(name: str, value: object, known: tuple[object, ...]) -> None:
    # By type as well: 1 == True, but the network asks `is True`.
    if not any(type(value) is type(choice) and value == choice for choice in known):
        raise ValueError(f"unknown FusionConfig.{name} {value!r}; known: {', '.join(map(repr, known))}")
