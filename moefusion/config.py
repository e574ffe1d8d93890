"""The settings of the fusion network, its losses and the auxiliary detectors; importable without torch."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, FiniteFloat, model_validator
from pydantic.dataclasses import dataclass

from metrics.validation import one_line_errors

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Combine = Literal["linear", "logsumexp"]
PRETRAINED = ("imagenet", "coco")  # weights of a ResNet-50, which torchvision downloads
_CHECKED = ConfigDict(extra="forbid", strict=True)
_Count = Annotated[int, Field(ge=1, description="a whole number from 1")]
Grid = Annotated[
    tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]],
    Field(description="(height, width), two whole numbers from 1"),
]


def plain_values(config: "DataclassInstance") -> dict[str, Any]:
    """Return the fields of settings as JSON gives them back: lists for tuples."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(config).items()}


@one_line_errors
@dataclass(config=_CHECKED, frozen=True, kw_only=True)
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
        InputError: A value is of the wrong kind or out of its range.
    """

    experts: Annotated[int, Field(ge=2, description="a whole number from 2")] = 4
    top_k: _Count = 2
    local_gate_grid: Grid = (120, 160)
    global_gate_grid: Grid = (60, 80)
    gate_input: Literal["standardised", "raw"] = "standardised"
    combine: Combine = "linear"
    attention_merge: Literal["convolution", "maximum"] = "convolution"
    dense_activation: Annotated[bool, Field(description="True or False")] = True
    alpha: Annotated[int | FiniteFloat, Field(ge=0, description="a finite number from 0")] = 10.0
    local_experts: Annotated[bool | Literal["attention"], Field(description="True, False or 'attention'")] = True
    global_experts: Annotated[bool, Field(description="True or False")] = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.top_k > self.experts:
            raise ValueError(f"top_k: expected at most experts ({self.experts}), got {self.top_k}")
        if self.local_experts is True and self.experts % 2:
            raise ValueError(f"experts: expected an even number, half for each modality, got {self.experts}")
        return self

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
        return plain_values(self)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Self:
        """Return the configuration with these settings; what is left out keeps its default.

        Raises:
            InputError: A field is unknown, or a value cannot be used.
        """
        values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in settings.items()}
        return cls(**values)


@one_line_errors
@dataclass(config=_CHECKED, frozen=True, kw_only=True)
class DetectorConfig:
    """Settings of the auxiliary detectors; the defaults are those of the paper.

    Attributes:
        backbone: "resnet50" as in the paper, or "small", not the paper's, for machines without a GPU: a network of
            0.4 million weights that also looks at fewer proposals.
        weights: What both detectors start from: "imagenet" (the backbone) or "coco" (all but the last layer),
            which torchvision downloads; a file, .safetensors or PyTorch's, with the state of a torchvision
            ResNet-50 or of a whole detector; or None, a random initialisation. With weights a ResNet-50's stem,
            stage 1 and batch normalisation are frozen; without, everything trains.

    Raises:
        InputError: A value is unknown, or does not go with the backbone.
    """

    backbone: Literal["resnet50", "small"] = "resnet50"
    weights: Annotated[
        Annotated[str, Field(min_length=1)] | None, Field(description="'imagenet', 'coco', a file or None")
    ] = "imagenet"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.backbone == "small" and self.weights in PRETRAINED:
            raise ValueError(
                f"weights: {self.weights!r} are weights of 'resnet50', but the backbone is 'small'; use "
                "DetectorConfig.small(), which starts from a random initialisation"
            )
        return self

    @classmethod
    def paper(cls) -> Self:
        """Return detectors as the paper describes them; the default."""
        return cls()

    @classmethod
    def small(cls) -> Self:
        """Return detectors for a machine without a GPU, and for trials."""
        return cls(backbone="small", weights=None)
