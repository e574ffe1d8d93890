"""What kept memory and tiles are worth where networks fuse large images on a CPU: `pytest tests/speed -s`."""

import os
import subprocess
import sys
from statistics import median

import pytest

# Each way in a process of its own: how a process gets its memory cannot be taken back.
PROGRAM = """
import sys, time
import torch
from methods.convolution import run_in_tiles
from methods.didfuse import DIDFuseNetwork
from methods.network import usable_device
from methods.tardal import BatchStatistics, TarDALGenerator
from methods.ydtr import YDTRNetwork

name, memory, side = sys.argv[1:]
if memory == "kept":
    usable_device("cpu")  # which keeps the memory that it frees
torch.manual_seed(0)
network = {"YDTR": YDTRNetwork, "TarDAL": lambda: TarDALGenerator(BatchStatistics), "DIDFuse": DIDFuseNetwork}[name]()
network.eval()
if name != "YDTR":
    network.to(memory_format=torch.channels_last)
bands = torch.rand(2, 1, 1, 768, 1024)
with torch.inference_mode():
    for _ in range(3):
        began = time.perf_counter()
        run_in_tiles(network, bands[0], bands[1], halo=6, side=int(side))
        seconds = time.perf_counter() - began
print(seconds)
"""
WHOLE = 1024


def seconds(name: str, memory: str, side: int) -> float:
    """Return how long the third fusion of a 1024x768 pair takes, with random weights."""
    line = [sys.executable, "-c", PROGRAM, name, memory, str(side)]
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}  # all cores, as users
    return float(subprocess.run(line, capture_output=True, text=True, check=True, env=environment).stdout)


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("YDTR", ("returned", WHOLE), ("kept", WHOLE)),
        ("TarDAL", ("returned", WHOLE), ("kept", WHOLE)),
        ("DIDFuse", ("returned", WHOLE), ("kept", 256)),
    ],
)
def test_faster_than_before(name: str, before: tuple[str, int], after: tuple[str, int]) -> None:
    rounds = [(seconds(name, *before), seconds(name, *after)) for _ in range(3)]
    ratio = median(first / second for first, second in rounds)
    print(f"{name}, 1024x768: {median(second for _, second in rounds):.2f} s, {ratio:.2f} times as fast")
    assert ratio > 1.05
