"""What all tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import metrics  # noqa: F401  (before torch loads: it limits the spinning of threads)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images, official weights and golden outputs, where a development checkout has one."""
    folder = Path(os.environ.get("IVIF_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "golden").is_dir():
        pytest.skip(f"no real images and golden outputs at {folder}; set IVIF_SHARED to their folder")
    return folder


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Networks this small gain nothing from threads, and on a busy machine their threads wait for each other."""
    import torch  # not above: most tests need none

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    """Where a network runs: on the CPU, and again on a GPU where there is one."""
    if request.param != "cpu":
        import torch  # not above: most tests need none

        if not torch.cuda.is_available():
            pytest.skip("no GPU here")
    return str(request.param)
