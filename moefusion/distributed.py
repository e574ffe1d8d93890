"""Where a training runs: its device, its processes and statistics over all of them; one process needs no setup."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from metrics.errors import InputError

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def world_size() -> int:
    """Return how many processes train together; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return this process's number among those that train together, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


@contextmanager
def processes(device: torch.device) -> Iterator[None]:
    """Join the processes that torchrun started, if it did, for as long as the context lasts."""
    if not dist.is_available() or dist.is_initialized() or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
        dist.barrier()
    finally:
        dist.destroy_process_group()


def usable_device(name: str) -> torch.device:
    """Return the device of a name, ready for work; "auto" is this process's GPU, as "cuda" is, or else the CPU.

    Raises:
        InputError: It cannot be used.
    """
    if name in ("auto", "cuda") and torch.cuda.is_available():
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    elif name == "auto":
        name = "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # some devices hold no numbers
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} cannot be used ({str(error).splitlines()[0][:120]}); try 'cpu'") from error
    if device.type == "cuda":
        torch.cuda.set_device(device)
    elif device.type == "cpu":
        _keep_memory()
    return device


def _keep_memory() -> None:
    """Let this process keep the memory that it frees, where the C library is glibc; elsewhere nothing happens.

    glibc gives every buffer above 32 MB back at once, and the next layer's comes as empty pages that the system
    must clear: a quarter of the time of fusing a large image, a sixth of that of a training step.
    """
    with suppress(OSError, AttributeError):
        glibc = ctypes.CDLL("libc.so.6")
        glibc.mallopt(_M_MMAP_MAX, 0)
        glibc.mallopt(_M_TRIM_THRESHOLD, -1)


def computes_bfloat16(device: torch.device) -> bool:
    """Return whether a device has arithmetic in bfloat16: a GPU has, and a CPU of which oneDNN says so.

    Another CPU emulates it, and then a convolution takes tens of times as long as in float32.
    """
    return device.type != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def mean_over_processes(values: Tensor) -> Tensor:
    """Return the mean of every process's values, the same on each; no gradient."""
    values = values.detach().clone()
    if world_size() > 1:
        dist.all_reduce(values)
        values /= world_size()
    return values


def total_over_processes(values: Tensor) -> Tensor:
    """Return the sum of every process's values, for a loss that all processes compute alike from the sums.

    DistributedDataParallel averages the processes' gradients; each process's own part therefore counts
    world_size times, and the average is the gradient of the one loss over the whole batch.
    """
    own = values.detach()
    return mean_over_processes(own) * world_size() + world_size() * (values - own)


class _Sum(torch.autograd.Function):
    """The sum over processes; torch's own differentiable all_reduce is deprecated."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        values = values.clone()
        dist.all_reduce(values)
        return values

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].clone()
        dist.all_reduce(gradient)
        return gradient


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the batches of all processes, which must be of one size.

    So that the attention does not depend on how many processes share a batch; torch's SyncBatchNorm does the
    same, but on a GPU only.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Return normalised features of the shape of the input, (N, C, H, W)."""
        if not self.training or world_size() == 1:
            return super().forward(features)
        wide = features.float()
        dims, count = (0, 2, 3), features.numel() // features.shape[1] * world_size()
        mean = _Sum.apply(wide.mean(dims)) / world_size()
        centred = wide - mean[:, None, None]
        variance = _Sum.apply(centred.square().mean(dims)) / world_size()
        self._track(mean.detach(), variance.detach() * (count / (count - 1)))
        scale = self.weight * (variance + self.eps).rsqrt()
        normal: Tensor = centred * scale[:, None, None] + self.bias[:, None, None]
        return normal.to(features.dtype)

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
