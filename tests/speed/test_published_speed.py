"""Networks and metrics against their published forms, as a ratio in one run: `pytest tests/speed -s`.

On one thread: two that wait for each other measure what else the machine does.
"""

import time
from collections.abc import Callable

import numpy as np
import torch

from methods.auif import AUIFNetwork, ComposedAUIF
from methods.convolution import run_in_tiles
from methods.ifcnn import NORMALISATIONS, GreyIFCNN, IFCNNNetwork
from metrics.definitions.fidelity import published_fidelity, visual_information_fidelity


def _seconds(work: Callable[[], object], times: int) -> float:
    taken = []
    with torch.inference_mode():
        for _ in range(times + 1):
            start = time.perf_counter()
            work()
            taken.append(time.perf_counter() - start)
    return min(taken[1:])


def _report(name: str, published: Callable[[], object], ours: Callable[[], object], times: int) -> float:
    slow, fast = _seconds(published, 2), _seconds(ours, times)
    print(f"{name}: {1000 * fast:.0f} ms, as published {1000 * slow:.0f} ms, {slow / fast:.1f} times")
    return slow / fast


def test_auif_is_faster_than_published() -> None:
    network = AUIFNetwork().eval().requires_grad_(False)
    bands = torch.rand(2, 1, 1, 240, 320, generator=torch.Generator().manual_seed(0))
    assert _report("AUIF 320x240", lambda: network(*bands), lambda: ComposedAUIF(network)(*bands), 7) > 10


def test_ifcnn_is_faster_than_published() -> None:
    network = IFCNNNetwork(torch.maximum).eval().requires_grad_(False)
    grey = GreyIFCNN(network, *NORMALISATIONS["script"]).eval()
    bands = torch.rand(2, 1, 1, 480, 640, generator=torch.Generator().manual_seed(0))
    colour = bands.expand(-1, -1, 3, -1, -1).contiguous()
    ratio = _report(
        "IFCNN 640x480",
        lambda: network(*colour),
        lambda: run_in_tiles(grey, 255 * bands[0], 255 * bands[1], halo=GreyIFCNN.halo),
        5,
    )
    assert ratio > 1.5


def test_fidelity_is_faster_than_published() -> None:
    smooth = np.random.default_rng(0).normal(0, 40, (3, 480, 640)).cumsum(axis=2) % 510
    infrared, visible, fused = np.abs(smooth - 255).astype(np.uint8)
    ratio = _report(
        "VIF 640x480",
        lambda: published_fidelity(infrared, fused) + published_fidelity(visible, fused),
        lambda: visual_information_fidelity(infrared, visible, fused),
        5,
    )
    assert ratio > 1.2
