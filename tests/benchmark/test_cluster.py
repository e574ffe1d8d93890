"""Fusing and scoring on a Dask cluster of two workers, one of which dies."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from benchmark.engine import experiment
from benchmark.engine.runner import Options
from benchmark.studies.experiment_run import run
from benchmark.synthetic import layouts as synthetic
from metrics.errors import InputError

distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

# A method slow enough that a worker can be killed while it works.
SLOW = """
import os
import time
from methods import Method

class Fatal(Method):
    def forward(self, infrared, visible):
        os._exit(1)

class Slow(Method):
    def forward(self, infrared, visible):
        time.sleep(0.3)
        return (infrared.astype(float) + visible) / 2
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """The address of a scheduler with two workers, each a process group of its own."""
    file = tmp_path / "scheduler.json"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment, "start_new_session": True}
    worker = ["worker", "--scheduler-file", str(file), "--nthreads", "1", "--nworkers", "1", "--no-dashboard"]
    worker += ["--local-directory", str(tmp_path)]
    scheduler = ["scheduler", "--scheduler-file", str(file), "--port", "0", "--no-dashboard", "--host", "127.0.0.1"]
    processes = [
        subprocess.Popen([sys.executable, "-m", "dask", *arguments], cwd=tmp_path, **quiet)  # type: ignore[call-overload]
        for arguments in (scheduler, worker, worker)
    ]
    try:
        deadline = time.monotonic() + 60
        while not file.exists():
            assert time.monotonic() < deadline, "the scheduler did not start"
            time.sleep(0.1)
        with distributed.Client(scheduler_file=str(file), timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
            address = client.scheduler.address
        yield address, processes[1:]
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_gives_the_same_tables(
    cluster: tuple[str, list[subprocess.Popen[bytes]]], tmp_path: Path
) -> None:
    address, workers = cluster
    synthetic.write(tmp_path / "M3FD", layout="m3fd", train=2, test=10, seed=2, size=(160, 120))
    (tmp_path / "own.py").write_text(SLOW)
    wanted = experiment.Experiment(
        title="Cluster",
        datasets=[experiment.DatasetSettings(name="m3fd")],
        methods=[experiment.method(text) for text in ("average", f"{tmp_path / 'own.py'}:Slow")],
    )
    here = Options(out=tmp_path / "here", data_root=tmp_path, workers=1)
    assert run(wanted, here, console=Console(file=io.StringIO())).status == 0

    there = Options(out=tmp_path / "there", data_root=tmp_path, cluster=address)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # kills one worker once the slow method has begun, while the parent runs the benchmark
        while not list((tmp_path / "there").glob("cells/*/Slow/fuse/*.png")):
            time.sleep(0.02)
        os.killpg(workers[0].pid, signal.SIGKILL)
        os.write(writer, b"killed")
        os._exit(0)
    outcome = run(wanted, there, console=Console(file=io.StringIO()))
    assert os.read(reader, 6) == b"killed"
    os.waitpid(child, 0)
    assert outcome.reasons == []
    for name in ("table1.csv", "table1.tex"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()


@pytest.mark.slow
def test_a_cluster_that_cannot_do_it_says_so(
    cluster: tuple[str, list[subprocess.Popen[bytes]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A method that ends every worker it is given to, then workers that all die: neither may be waited for."""
    address, workers = cluster
    synthetic.write(tmp_path / "M3FD", layout="m3fd", train=2, test=6, seed=2, size=(160, 120))
    (tmp_path / "own.py").write_text(SLOW)
    data = [experiment.DatasetSettings(name="m3fd")]
    there = Options(out=tmp_path / "there", data_root=tmp_path, cluster=address)
    killing, waiting = (
        experiment.Experiment(title="C", datasets=data, methods=[experiment.method(f"{tmp_path / 'own.py'}:{name}")])
        for name in ("Fatal", "Slow")
    )
    outcome = run(killing, there, console=Console(file=io.StringIO()))
    assert outcome.status == 2
    assert "several workers died at the same image; give them more memory" in outcome.reasons[0]
    with distributed.Client(address) as client:
        client.wait_for_workers(2, timeout=60)  # those that were started in place of the dead
    monkeypatch.setattr("metrics.workers._PATIENCE", 0.5)

    def kill() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not list((tmp_path / "there").glob("cells/*/Slow/fuse/*.png")):
            time.sleep(0.02)
        for worker in workers:
            os.killpg(worker.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    outcome = run(waiting, there, console=Console(file=io.StringIO()))
    killer.join()
    assert outcome.status == 2
    assert f"all workers are gone; start `dask worker {address}`, and run again" in outcome.reasons[0]
    here = Options(out=there.out, data_root=tmp_path, workers=1)
    assert run(waiting, here, console=Console(file=io.StringIO())).status == 0


def test_a_cluster_that_does_not_answer_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metrics.workers._WAIT", 1)
    wanted = experiment.read("demo")
    with pytest.raises(InputError, match="no Dask scheduler answers there"):
        run(wanted, Options(out=tmp_path, cluster="tcp://127.0.0.1:9"), console=Console(file=io.StringIO()))


def test_a_cluster_is_not_limited_by_workers(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--workers 2 counts .* leave --workers out"):
        run(experiment.read("demo"), Options(out=tmp_path, cluster="tcp://127.0.0.1:9", workers=2))
