"""What all tests share."""

import os
from pathlib import Path

import pytest

# The tests' processes keep the cores busy already, and networks this small gain nothing from threads. Before numpy and
# torch load, and for the commands that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import metrics  # noqa: F401  (before torch loads: it limits the spinning of threads)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images, official weights and golden outputs, where a development checkout has one."""
    folder = Path(os.environ.get("IVIF_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "golden").is_dir():
        pytest.skip(f"no real images and golden outputs at {folder}; set IVIF_SHARED to their folder")
    return folder


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    """Where a network runs: on the CPU, and again on a GPU where there is one."""
    if request.param != "cpu":
        import torch  # not above: most tests need none

        if not torch.cuda.is_available():
            pytest.skip("no GPU here")
    return str(request.param)
