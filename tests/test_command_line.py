"""The command line: what it lists, what it refuses, and with which exit status."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import methods
import metrics
from benchmark import datasets
from benchmark.engine import experiment
from benchmark.synthetic import layouts as synthetic
from run_benchmark import main


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    """Run a command line; return its exit status, and what it printed to the screen and to stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["run_benchmark.py", *arguments])
        try:
            status = main()
        except SystemExit as stop:
            status = int(stop.code or 0)
        return status, *capfd.readouterr()

    return run


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("methods", methods.names()),
        ("metrics", tuple(metrics.METRICS)),
        ("datasets", datasets.names()),
        ("experiments", experiment.names()),
    ],
)
def test_lists_name_everything(call, what: str, names: tuple[str, ...]) -> None:
    status, shown, _ = call("list", what)
    assert status == 0
    for name in names:
        assert name in shown


def test_metrics_are_listed_in_a_line_each(call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = call("list", "metrics")[1].splitlines()
    assert max(map(len, lines)) <= 80
    for metric in metrics.METRICS.values():
        assert len([line for line in lines if f" {metric.id} {metric.arrow} " in line]) == 1
    assert "abc·····" in next(line for line in lines if " VIF ↑" in line)


def test_a_metric_is_explained(call) -> None:
    for metric in metrics.METRICS.values():
        status, shown, _ = call("list", "metrics", metric.id)
        assert status == 0
        assert metric.reference in shown
        assert all(convention in shown and rule.scale in shown for convention, rule in metric.rules.items())
    assert "unknown metric 'NO'; known: EN" in call("list", "metrics", "NO")[2]
    assert "only metrics have details" in call("list", "methods", "VIF")[2]


@pytest.mark.parametrize("command", ["demo", "run", "fuse", "score", "table", "list", "check", "weights", "profile"])
def test_every_command_explains_itself(call, command: str) -> None:
    status, shown, _ = call(command, "--help")
    assert status == 0
    assert f"run_benchmark.py {command}" in shown
    assert command in call("--help")[1]


@pytest.mark.parametrize("arguments", [[], ["fly"], ["list", "colours"], ["run"], ["run", "m3fd", "--speed", "9"]])
def test_what_is_no_command_is_refused(call, arguments: list[str]) -> None:
    status, _, complaint = call(*arguments)
    assert status == 2
    assert complaint


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("gaming", "--methods average"),
        ("gaming", "--device cpu"),
        ("gaming", "--redo"),
        ("table", "--cluster tcp://127.0.0.1:9"),
        ("table", "--workers 1"),
        ("table", "--redo"),
        ("score", "--device cpu"),
        ("fuse", "--size native"),
        ("fuse", "--metrics all"),
        ("train", "--workers 1"),
        ("detect", "--convention vifb"),
        ("sweep alpha", "--methods average"),
        ("experts", "--tables 1"),
    ],
)
def test_an_option_without_effect_is_refused(call, command: str, option: str) -> None:
    status, _, complaint = call(*command.split(), "demo", *option.split())
    assert status == 2
    assert "Unrecognized" in complaint
    assert option.split()[0] in complaint


def test_check_says_whether_a_folder_is_fit(call, tmp_path: Path) -> None:
    synthetic.write(tmp_path / "set", layout="flir", train=2, test=1, seed=0, size=(128, 96))
    status, shown, _ = call("check", "flir", str(tmp_path / "set"), "--workers", "1")
    assert status == 0
    assert "fit for use" in shown
    next((tmp_path / "set").rglob("*_RGB.jpg")).unlink()
    status, shown, _ = call("check", "flir", str(tmp_path / "set"), "--workers", "1")
    assert status == 2
    assert "missing partner: 1" in shown
    status, _, complaint = call("check", "flri", str(tmp_path))
    assert status == 2
    assert complaint.startswith("error: unknown data set 'flri'; known: m3fd, flir")


def test_weights_are_listed_and_refused_by_name(call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IVIF_WEIGHTS", str(tmp_path))
    status, shown, _ = call("weights", "list")
    assert status == 0
    assert "densefuse_gray.model" in shown
    assert call("weights", "add", "densefuse")[2].startswith("error: weights add: expected METHOD and PATH")
    (tmp_path / "other").write_bytes(b"no weights")
    status, _, complaint = call("weights", "add", "densefuse", str(tmp_path / "other"))
    assert status == 2
    assert "holds none of the official files of method 'densefuse'" in complaint
    status, _, complaint = call("weights", "fetch", "rfn_nest")
    assert status == 2
    assert "weights add rfn_nest PATH" in complaint
    assert "unknown method with weights 'average'" in call("weights", "list", "average")[2]


SCRIPT = Path(__file__).parents[1] / "run_benchmark.py"


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(closed: str) -> None:
    line = f"exec {sys.executable} {SCRIPT} list metrics {closed}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("Q_abf" in done.stdout) == (">&-" not in closed.replace("2>&-", ""))


@pytest.mark.parametrize("seconds", [0.3, 0.8])
def test_interrupted_while_it_loads(seconds: float) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    process = subprocess.Popen([sys.executable, str(SCRIPT), "run", "m3fd", "--data-root", "/nowhere"], **pipes)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    complaints = process.communicate(timeout=60)[1]
    assert len(complaints.splitlines()) <= 1, complaints
