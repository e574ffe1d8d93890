"""Sparsely gated mixtures: a gate picks a few experts for each sample, and only those are computed."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moefusion.config import Combine, Grid
from moefusion.distributed import mean_over_processes

_LEAST_DEVIATION = 1e-2  # of a gate's noise, so that it never dies out
_MOMENTUM = 0.1  # of the running statistics of a gate's input: the last ten batches count most
_EPSILON = 1e-6  # for features that never vary
_SMALLEST = math.log(2.0**-150)  # below it a sum of exponentials rounds to 0 in float32
_LOG_EPSILON = math.log(torch.finfo(torch.float64).eps)
_Source = TypeVar("_Source")


class Routing(NamedTuple):
    """A gate's decision.

    Attributes:
        gates: (N, experts), each sample's shares; they sum to 1, and all but top_k are exactly 0.
        load: (experts,), how many samples each expert gets; in training its smooth estimate.
    """

    gates: Tensor
    load: Tensor


class Mixed(NamedTuple):
    """The output of a mixture: the combined features, (N, C, H, W), and its gate's decision."""

    features: Tensor
    routing: Routing


class LocalExpert(nn.Module):
    """An expert on one modality's masked features: 16 → 8 → 16 channels."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels // 2, 3, padding=1)
        self.conv2 = nn.Conv2d(channels // 2, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Return the expert's features, of the shape of its input, (N, 16, H, W)."""
        output: Tensor = self.conv2(self.conv1(features).relu_())
        return output


class GlobalExpert(nn.Module):
    """An expert on the whole scene, and the decoder that stands in for the global experts: 64 → 32 → 16 → 1.

    Under autocast only the first two convolutions, 96 % of the work, are in low precision.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 3, padding=1)
        self.conv2 = nn.Conv2d(64, 32, 3, padding=1)
        self.conv3 = nn.Conv2d(32, 16, 3, padding=1)
        self.conv4 = nn.Conv2d(16, 1, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Return a fused image, (N, 1, H, W), from features (N, channels, H, W)."""
        features = self.conv1(features).relu_()
        features = self.conv2(features).relu_()
        with torch.autocast(features.device.type, enabled=False):
            features = self.conv3(features.float()).relu_()
            image: Tensor = self.conv4(features)
        return image


class Standardisation(nn.Module):
    """A gate's input around its running mean, divided by its running deviation and by the root of its length.

    The length of a standardised vector is then about 1 for any number of features. Training and evaluation use
    the same statistics, over all processes, so that neither a batch of one nor the samples beside it matter much.
    """

    mean: Tensor
    variance: Tensor
    batches: Tensor

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("variance", torch.ones(()))
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))

    def forward(self, scene: Tensor) -> Tensor:
        """Return standardised features of the shape of the input, (N, inputs); in training it counts first."""
        if self.training:
            self._count(scene.detach().to(self.mean.dtype))
        return (scene - self.mean) / ((self.variance.sqrt() + _EPSILON) * math.sqrt(scene.shape[1]))

    def _count(self, scene: Tensor) -> None:
        self.batches += 1
        part = (1 / self.batches).clamp(min=_MOMENTUM)  # until there are enough, all batches count alike
        self.mean.lerp_(mean_over_processes(scene.mean(dim=0)), part)
        self.variance.lerp_(mean_over_processes((scene - self.mean).square().mean()), part)


class Gate(nn.Module):
    """Noisy top-k gate on features that are brought to a fixed grid, so that images of any size have one gate.

    Reference:
        Shazeer et al., "Outrageously Large Neural Networks: The Sparsely-Gated Mixture-of-Experts Layer", 2017,
        equations 3-5.
    """

    def __init__(self, channels: int, grid: Grid, experts: int, top_k: int, *, standardised: bool = False) -> None:
        super().__init__()
        self.grid = grid
        self.top_k = top_k
        inputs = channels * grid[0] * grid[1]
        self.standardise = Standardisation(inputs) if standardised else nn.Identity()
        # From zero, all experts start with the same probability, and the noise alone chooses.
        self.weight = nn.Parameter(torch.zeros(inputs, experts))
        self.noise_weight = nn.Parameter(torch.zeros(inputs, experts))

    def forward(self, sources: Sequence[Tensor], noise: Tensor | None = None) -> Routing:
        """Return the experts' shares and loads.

        Args:
            sources: Features (N, C, H, W) that together have the gate's number of channels.
            noise: Standard-normal draws, (N, experts), for training; None draws them.
        """
        with torch.autocast(sources[0].device.type, enabled=False):  # a pick must not hang on a rounding
            return self._route(sources, noise)

    def _route(self, sources: Sequence[Tensor], noise: Tensor | None) -> Routing:
        gridded = [F.interpolate(source, self.grid, mode="bilinear", align_corners=True) for source in sources]
        scene = self.standardise(torch.cat(gridded, dim=1).flatten(1))
        logits = scene @ self.weight
        if not self.training:
            gates = top_k_gates(logits, self.top_k)
            return Routing(gates, (gates > 0).sum(dim=0).to(gates.dtype))
        deviation = F.softplus(scene @ self.noise_weight) + _LEAST_DEVIATION
        noisy = logits + (torch.randn_like(logits) if noise is None else noise) * deviation
        return Routing(top_k_gates(noisy, self.top_k), load_estimate(logits, noisy, deviation, self.top_k))


def top_k_gates(logits: Tensor, top_k: int) -> Tensor:
    """Return softmax over each sample's top_k largest logits and exactly 0 elsewhere, (N, experts)."""
    largest, experts = logits.topk(top_k, dim=1)
    shares = largest.softmax(dim=1)
    return shares.new_zeros(logits.shape).scatter(1, experts, shares)


def load_estimate(logits: Tensor, noisy: Tensor, deviation: Tensor, top_k: int) -> Tensor:
    """Return how many samples each expert can expect if its own noise alone were redrawn, (experts,).

    Unlike the count of samples this has a gradient: P = Φ((logit - threshold) / deviation), the threshold being
    the top_k-th largest of the other experts' noisy logits.

    Args:
        logits, noisy: (N, experts), before and after the noise.
        deviation: (N, experts), the noise's standard deviation.
        top_k: How many experts a sample gets.

    Reference:
        Shazeer et al., 2017, appendix A, equations 8-10.
    """
    experts = logits.shape[1]
    if top_k == experts:
        return logits.new_full((experts,), float(len(logits)))
    ordered = noisy.topk(top_k + 1, dim=1).values
    last_in, first_out = ordered[:, top_k - 1, None], ordered[:, top_k, None]
    threshold = torch.where(noisy > first_out, first_out, last_in)
    probability: Tensor = torch.special.ndtr((logits - threshold) / deviation)
    return probability.sum(dim=0)


class Mixture(nn.Module):
    """A gate and its experts. The experts divide the sources evenly among themselves, in order."""

    def __init__(
        self,
        channels: int,
        grid: Grid,
        expert: Callable[[], nn.Module],
        *,
        experts: int,
        top_k: int,
        combine: Combine,
        standardised: bool = False,
    ) -> None:
        super().__init__()
        self.gate = Gate(channels, grid, experts, top_k, standardised=standardised)
        self.experts = nn.ModuleList([expert() for _ in range(experts)])
        self.combine = combine

    def forward(self, sources: Sequence[Tensor], noise: Tensor | None = None) -> Mixed:
        """Return the combined output of the experts that the gate picks; the others are not computed.

        Args:
            sources: Features (N, C, H, W): one for each modality, or a single one that all experts see.
            noise: Standard-normal draws for the gate, (N, experts); None draws them.
        """
        routing: Routing = self.gate(sources, noise)
        return Mixed(self._combined(sources, routing.gates), routing)

    def outputs(self, sources: Sequence[Tensor]) -> Tensor:
        """Return every expert's output for its source, picked or not: (N, experts, C, H, W)."""
        return torch.stack([expert(self._source(sources, i)) for i, expert in enumerate(self.experts)], dim=1)

    def _source(self, sources: Sequence[_Source], expert: int) -> _Source:
        return sources[expert * len(sources) // len(self.experts)]

    def _combined(self, sources: Sequence[Tensor], gates: Tensor) -> Tensor:
        # The one wait for the device. Not `> 0`: a NaN must come out as a NaN.
        picked = (gates.detach() != 0).cpu()
        # Slices, because the gradient of an index is a sum of arrays of the whole source's size, zeros but for a
        # few samples: a third of a training step.
        slices = [source.split(1) for source in sources]
        combined: Tensor | None = None
        for index, expert in enumerate(self.experts):
            numbers = picked[:, index].nonzero().flatten()
            if not len(numbers):
                continue
            source, of_samples = self._source(sources, index), self._source(slices, index)
            whole = len(numbers) == len(source)
            output = expert(source if whole else torch.cat([of_samples[number] for number in numbers]))
            samples = numbers.to(gates.device)
            share = gates[samples, index, None, None, None]
            if self.combine == "linear":
                term = share * output
                combined = term.new_zeros(len(gates), *term.shape[1:]) if combined is None else combined
                combined.index_add_(0, samples, term)
            else:
                term = share.log() + output
                combined = term.new_full((len(gates), *term.shape[1:]), -math.inf) if combined is None else combined
                combined.index_copy_(0, samples, torch.logaddexp(combined[samples], term))
        assert combined is not None, "a batch without samples is refused by the network"
        return combined if self.combine == "linear" else _floored(combined)


def _floored(logarithm: Tensor) -> Tensor:
    # The public code sums the exponentials themselves and puts an epsilon where that sum vanishes.
    return logarithm.masked_fill(logarithm < _SMALLEST, _LOG_EPSILON)
