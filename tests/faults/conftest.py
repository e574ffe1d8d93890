"""Small scenes, and what an undisturbed run makes of them."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmark.synthetic import layouts as synthetic
from run_benchmark import main
from tests.faults.runs import command, finish, results


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root that holds M3FD, drawn: six test pairs."""
    root = tmp_path_factory.mktemp("scenes")
    synthetic.write(root / "M3FD", layout="m3fd", train=1, test=6, seed=3, size=(128, 96))
    return root


@pytest.fixture(scope="session")
def undisturbed(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a run that nobody disturbed."""
    out = tmp_path_factory.mktemp("undisturbed")
    status, _, complaints = finish(command(scenes, out))
    assert (status, complaints) == (0, [])
    found = results(out)
    assert {"table1.csv", "table1.tex"} < found.keys()
    assert sum(name.endswith(".png") for name in found) == 24
    return found


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Callable]:
    """Run a command line in this process, which saves seconds of loading; return its status and its complaints."""
    before = signal.getsignal(signal.SIGTERM)

    def run(line: list[str]) -> tuple[int, list[str]]:
        monkeypatch.setattr("sys.argv", line[1:])
        capfd.readouterr()
        return main(), capfd.readouterr().err.splitlines()

    yield run
    signal.signal(signal.SIGTERM, before)
