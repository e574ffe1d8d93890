"""AUIF against the original's order of computation, as a ratio in one run: `pytest tests/speed -s`.

On one thread: two that wait for each other measure what else the machine does.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from methods.auif import AUIF
from tests.methods.test_auif import images, states, straightforward, write


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _seconds(work: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


def test_auif_is_faster_than_its_original(tmp_path: Path) -> None:
    parts = states()
    method = AUIF(weights=str(write(tmp_path, parts)), device="cpu")
    infrared, visible = images(240, 320)
    method.fuse(infrared, visible)
    ours = _seconds(lambda: method.fuse(infrared, visible), 7)
    theirs = _seconds(lambda: straightforward(parts, infrared, visible), 2)
    print(f"AUIF 320x240: {1000 * ours:.0f} ms, original {1000 * theirs:.0f} ms, {theirs / ours:.0f} times")
    assert theirs / ours > 10
