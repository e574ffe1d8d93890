"""Measures LRRNet with the codes of a few pixels at a time against the network as published."""

import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor

from methods.lrrnet import LRRNetwork, fuse_in_cache
from methods.network import usable_device


def seconds(fuse: Callable[[], Tensor]) -> float:
    """Return the processor time of a call."""
    start = time.process_time()
    fuse()
    return time.process_time() - start


def test_faster_than_the_whole_maps() -> None:
    usable_device("cpu")  # which keeps the memory that it frees
    network = LRRNetwork().eval().requires_grad_(False)
    infrared, visible = torch.rand(2, 1, 1, 480, 640)
    with torch.inference_mode():
        network(infrared, visible)
        rounds = [
            (
                seconds(lambda: network(infrared, visible)),
                seconds(lambda: fuse_in_cache(network, infrared, visible)),
            )
            for _ in range(3)
        ]
    ratio = median(whole / pieces for whole, pieces in rounds)
    print(f"LRRNet, 640x480: {median(pieces for _, pieces in rounds):.2f} s, {ratio:.2f} times as fast")
    assert ratio > 1.5
