"""The command line: what it lists, what it refuses, and with which exit status."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

import methods
import metrics
from benchmark import datasets
from benchmark.detection import registry as detectors
from benchmark.engine import experiment
from benchmark.synthetic import layouts as synthetic
from metrics.__main__ import main as score_folders
from metrics.command_line import print_progress, shorten_complaint, wrap_help
from metrics.errors import InputError
from run_benchmark import main

COMMANDS = (
    *("demo", "run", "fuse", "score", "detect", "table", "train", "sweep"),
    *("report", "experts", "gaming", "list", "check", "weights", "profile"),
)


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
    for metric in metrics.METRICS.values():
        assert len([line for line in lines if line.startswith(f"{metric.id} {metric.arrow} ")]) == 1
    assert "abc·····" in next(line for line in lines if line.startswith("VIF ↑"))


def test_a_metric_is_explained(call) -> None:
    for metric in metrics.METRICS.values():
        status, shown, _ = call("list", "metrics", metric.id)
        assert status == 0
        assert metric.reference in shown
        assert all(convention in shown and rule.scale in shown for convention, rule in metric.rules.items())


def test_a_method_is_explained(call) -> None:
    for name, record in methods.records().items():
        shown = call("list", "methods", name)[1]
        texts = (record.repository, record.licence, record.verified, *record.trained_on, *methods.find(name).variants)
        assert all(text in shown for text in (*texts, *(file.name for file in record.files)))
        assert all(line in shown for line in record.citation.strip().splitlines())
    assert "The mean of both images" in call("list", "methods", "average")[1]


def test_a_data_set_is_explained(call) -> None:
    for name in datasets.names():
        record = datasets.record(name)
        shown = call("list", "datasets", name)[1]
        assert all(text in shown for text in (record.home_page, record.licence, record.folder, *record.options))
        assert all(line in shown for line in record.citation.strip().splitlines())
    shown = call("list", "datasets", "m3fd")[1]
    assert "TarDAL" in shown
    assert "damsdet: 3,368 train, 831 test" in shown


def test_detectors_and_experiments_are_explained(call) -> None:
    for name, record in detectors.RECORDS.items():
        shown = call("list", "detectors", name)[1]
        assert all(text in shown for pair in record.weights.items() for text in pair)
    shown = call("list", "experiments", "m3fd")[1]
    assert all(text in shown for text in ("Table 1 on M3FD", "DenseFuse", "tang2022", "640x480"))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("metrics", "unknown metric 'NO'; known: EN"),
        ("methods", "unknown method 'NO'; known: infrared"),
        ("datasets", "unknown data set 'NO'; known: m3fd"),
        ("experiments", "unknown experiment 'NO'; known: all"),
        ("detectors", "unknown detector 'NO'; known: fasterrcnn_resnet50_fpn"),
        ("splits", "splits have no details; leave the name out"),
    ],
)
def test_details_of_an_unknown_name(call, what: str, message: str) -> None:
    status, shown, complaint = call("list", what, "NO")
    assert (status, shown) == (2, "")
    assert message in complaint
    assert len(complaint.splitlines()) == 1


NAMED = {
    "methods": methods.names(),
    "metrics": tuple(metrics.METRICS),
    "datasets": datasets.names(),
    "experiments": experiment.names(),
    "detectors": detectors.names(),
}
SCREENS = [
    "--help",
    *(f"{name} --help" for name in COMMANDS),
    *(f"weights {name} --help" for name in ("list", "fetch", "add")),
    *(f"list {what}" for what in (*NAMED, "splits")),
    *(f"list {what} {name}" for what, names in NAMED.items() for name in names),
    "weights list",
]


def columns_taller_than(screen: str, most: int) -> list[str]:
    """Return what stands in columns where more lines than allowed follow each other with one word or less."""
    found, narrow = [], []
    for line in [*screen.splitlines(), ""]:
        words = line.strip("│ ").split()
        narrow = [*narrow, line] if line.startswith((" " * 8, "│" + " " * 8)) and len(words) <= 1 else []
        if len(narrow) == most + 1:
            found.append(line)
    return found


def assert_reads_well(screen: str, width: int = 80) -> None:
    lines = screen.splitlines()
    assert lines
    assert max(map(len, lines)) <= width
    for nothing in ("(default: )", "(default: None)", "(default: '')", "(default: False)", "{None}", "{None,"):
        assert nothing not in screen
    assert not columns_taller_than(screen, 2)


@pytest.mark.parametrize("arguments", SCREENS)
def test_what_is_printed_fits_80_columns(call, monkeypatch: pytest.MonkeyPatch, arguments: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    status, shown, _ = call(*arguments.split())
    assert status == 0
    assert_reads_well(shown)


@pytest.mark.parametrize("arguments", [["--help"], ["which", "--help"], ["which", "EN=6.4", "SF=0.036"]])
def test_what_metrics_prints_fits_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with suppress(SystemExit):
        score_folders(arguments)
    assert_reads_well(capsys.readouterr().out)


def test_lists_have_a_thing_in_three_lines_at_most(call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for what, names in NAMED.items():
        table = call("list", what)[1]
        begun = 0
        for line in table.splitlines():
            begun = 1 if line[:1].strip() else begun + 1
            assert begun <= 3 or not line.strip(), table
        assert all(any(line.split()[:1] == [name] for line in table.splitlines()) for name in names)


def test_usage_shows_what_may_be_left_out(call) -> None:
    assert "list [-h] WHAT [NAME]" in call("list", "--help")[1]
    assert "weights list [-h] [METHOD]" in call("weights", "list", "--help")[1]
    assert "weights fetch [-h] [METHOD]" in call("weights", "fetch", "--help")[1]
    assert "weights add [-h] METHOD PATH" in call("weights", "add", "--help")[1]


def test_wrapped_help_loses_no_word() -> None:
    text = "usage: program {first,second,third} PATH\n\nA description that is long.\n\n│ a box as wide as it is │\n"
    wrapped = wrap_help(text, 20)
    assert wrapped.split() == text.replace(",", ", ").split()
    assert max(len(line) for line in wrapped.splitlines() if "│" not in line) <= 20


def test_progress_is_printed_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    show = print_progress("scored", clock=lambda: now[0])
    for second in range(1, 31):
        now[0] = float(second)
        show(second, 30)
    assert capsys.readouterr().err.splitlines() == ["scored 9 of 30", "scored 18 of 30", "scored 27 of 30"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(call, command: str) -> None:
    status, shown, _ = call(command, "--help")
    assert status == 0
    assert f"run_benchmark.py {command}" in shown
    assert command in call("--help")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "Expected one of {demo, run, .*; see run_benchmark.py --help"),
        ("fly", "Unrecognized options: fly; known: demo, run, "),
        ("list colours", "invalid choice 'colours' .* 'detectors'.; see run_benchmark.py list --help"),
        ("run", "Missing from run_benchmark.py run: EXPERIMENT .*; see run_benchmark.py run --help"),
        ("run m3fd --speed 9", "Unrecognized options: --speed, 9"),
        ("run m3fd --lmit 3", "Unrecognized options: --lmit, 3; perhaps you meant --limit N; see"),
        ("run m3fd --limit two", "--limit 'two': not understood; expected --limit N; see"),
        ("run m3fd --names IR{}.png", "--names 'IR{}.png': not understood; expected --names IR{} VIS{}; see"),
        (
            "run m3fd --resize-pairs both",
            "Expected one of .('infrared', 'visible'|'visible', 'infrared').; see run_benchmark.py run --help",
        ),
        ("run m3fd --out", "Missing value for argument '--out'"),
        ("fuse m3fd --size native", "Unrecognized options of run_benchmark.py fuse: --size native; see"),
        ("profile --repeats x", "--repeats 'x': not understood; expected --repeats N; see"),
        ("weights add densefuse", "Missing from run_benchmark.py weights add: PATH .*; see"),
        ("run nothing.toml", "nothing.toml is not there; expected a TOML file, or one of all, demo"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_what_is_no_command_is_refused_in_one_line(
    call, monkeypatch: pytest.MonkeyPatch, encoding: str, arguments: str, message: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("metrics.command_line._Help.encoding", encoding)
    status, shown, complaint = call(*arguments.split())
    assert (status, shown) == (2, "")
    assert re.search(message, complaint)
    assert complaint.startswith("error: ")
    assert len(complaint.splitlines()) == 1


def test_what_is_no_box_is_left_alone() -> None:
    for text in ("", "a warning\n", "two\nlines\n"):
        assert shorten_complaint(text) == text


def test_scoring_reports_while_it_works(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What a command prints is not kept back with its help."""

    def evaluate(*_: object, progress: Callable[[int, int], None], **__: object) -> None:
        progress(3, 9)
        assert capsys.readouterr().err == "scored 3 of 9\n"
        raise InputError("seen")

    monkeypatch.setattr("metrics.command_line._PAUSE", 0.0)
    monkeypatch.setattr("metrics.__main__.evaluate_folder", evaluate)
    assert score_folders(["ir", "vis", "fused"]) == 2
    assert capsys.readouterr().err == "error: seen\n"


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
    assert "densefuse_gray.model" in call("weights", "list", "densefuse")[1]
    assert "IFCNN" not in call("weights", "list", "densefuse")[1]
    status, _, complaint = call("weights", "add", "densefuse")
    assert status == 2
    assert "PATH" in complaint
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
