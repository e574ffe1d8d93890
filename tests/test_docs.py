"""What the documentation says can be typed can be typed: commands, code, experiments, links, names and numbers."""

import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tyro

import metrics.__main__ as scoring
from benchmark import datasets
from benchmark.detection.settings import DetectionSettings
from benchmark.engine import experiment
from benchmark.synthetic import layouts as synthetic
from metrics import METRICS, definitions
from metrics import PAPER as IDS
from metrics.registry import _find_metrics
from moefusion import FusionConfig, TrainingConfig
from run_benchmark import Command

ROOT = Path(__file__).parents[1]
README, INDEX = "README.md", "docs/README.md"
TEXTS = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / README, *sorted((ROOT / "docs").glob("*.md")))
}
# The reader's own experiments and data sets.
OWN = ("EXPERIMENT", "mine.toml", "my_dataset.py:harbour", "/shared/experiments/m3fd_large_batch.toml")
ROOMS = ("benchmark/", "docs/", "methods/", "metrics/", "moefusion/", "tests/")
each_page = pytest.mark.parametrize("page", list(TEXTS))


def blocks(page: str, *languages: str) -> Iterator[str]:
    """Give the text of every fenced block in one of these languages."""
    for language, text in re.findall(r"^```(\w*)\n(.*?)^```$", TEXTS[page], re.DOTALL | re.MULTILINE):
        if language in languages:
            yield text


def prose(page: str) -> str:
    return re.sub(r"^```.*?^```$", "", TEXTS[page], flags=re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Call:
    """A command of this project: `run_benchmark.py` or `metrics`, and what follows."""

    script: str
    arguments: list[str]


def commands(page: str) -> Iterator[Call]:
    """Give every command of this project, those in running text included."""
    shell = "\n".join(blocks(page, "sh", "bash")).replace("\\\n", " ")
    shell += "\n" + "\n".join(re.findall(r"`(python run_benchmark\.py [^`]*)`", prose(page).replace("\n", " ")))
    for line in shell.splitlines():
        for part in re.split(r"&&|;", line):
            found = re.search(r"(?:python -m |)(metrics|run_benchmark\.py) (.*)", part)
            if found and (found[1] != "metrics" or found[0].startswith("python")):
                # A shell variable stands for a value; 1 is a number and a text.
                yield Call(found[1], shlex.split(re.sub(r"\$\{?\w+\}?", "1", found[2]), comments=True))


def table(page: str, marker: str) -> list[list[str]]:
    """Return the cells of the rows of the table after a marker, without its head."""
    found = re.search(rf"<!-- {marker} -->\n+((?:\|.*\n)+)", TEXTS[page])
    assert found, f"{page} has no table after <!-- {marker} -->"
    rows = [[cell.strip(" `") for cell in line.strip().strip("|").split("|")] for line in found[1].splitlines()]
    return rows[2:]


class Parsed(Exception):  # noqa: N818  (no error: the command line was understood)
    pass


@each_page
def test_commands_are_understood(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise Parsed

    monkeypatch.setattr(scoring, "evaluate_folder", stop)
    for command in commands(page):
        try:
            if command.script == "metrics" and command.arguments[0] == "which":
                assert scoring.main(command.arguments) == 0
            elif command.script == "metrics":
                with pytest.raises(Parsed):
                    scoring.main(command.arguments)
            elif command.arguments[0] != "COMMAND":
                tyro.cli(Command, args=command.arguments)
        except SystemExit:
            pytest.fail(f"{page}: not understood: {command.script} {shlex.join(command.arguments)}")


def test_every_command_has_its_place() -> None:
    """A command that no page shows is one that nobody finds."""
    calls = [command.arguments for page in TEXTS for command in commands(page)]
    shown = {arguments[0] for arguments in calls} | {words[1] for words in calls if words[0] == "weights" and words[1:]}
    known = re.findall(r'subcommand\("(\w+)"\)', (ROOT / "run_benchmark.py").read_text())
    assert len(known) > 10
    assert [name for name in known if name not in shown] == []


@each_page
def test_experiments_of_commands_are_there(page: str) -> None:
    place = dict.fromkeys(("run", "train", "fuse", "score", "detect", "table", "gaming", "experts"), 1) | {"sweep": 2}
    for command in commands(page):
        if command.arguments[0] not in place:
            continue
        name = command.arguments[place[command.arguments[0]]]
        if name not in OWN:
            experiment.read(str(ROOT / name) if name.endswith(".toml") else name)


@each_page
def test_code_compiles(page: str) -> None:
    for number, block in enumerate(blocks(page, "python")):
        compile(block, f"{page}, block {number}", "exec")


@each_page
def test_scripts_are_bash(page: str) -> None:
    for block in blocks(page, "sh", "bash"):
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@each_page
def test_experiments_can_be_read(page: str, tmp_path: Path) -> None:
    for number, block in enumerate(blocks(page, "toml")):
        if "project" in tomllib.loads(block):
            continue  # of a package's pyproject.toml
        path = tmp_path / f"{number}.toml"
        path.write_text(block)
        read = experiment.read(str(path))
        FusionConfig.from_dict(read.train.fusion)
        TrainingConfig(**{name: tuple(v) if isinstance(v, list) else v for name, v in read.train.training.items()})


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@each_page
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        path = ((ROOT / page).parent / name).resolve() if name else ROOT / page
        assert path.is_relative_to(ROOT), target
        assert path.exists(), f"{page}: {target} is not there"
        if anchor:
            assert anchor in anchors(path), f"{page}: {target} names no heading"


def kept() -> tuple[str, ...]:
    """Return the folders of results that the repository keeps: others are of the reader's own runs."""
    return tuple(re.findall(r"^!(results/\w+/)$", (ROOT / ".gitignore").read_text(), re.MULTILINE))


@each_page
def test_named_files_are_there(page: str) -> None:
    for name in re.findall(r"`([\w./-]+/[\w./-]*)`", prose(page)):
        if name.startswith((*ROOMS, *kept())) and "/cells/" not in name:
            assert (ROOT / name).exists(), f"{page}: {name} is not there"


def test_the_method_is_that_of_the_readme() -> None:
    marked = r"<!-- own method -->\n```python\n(.*?)```"
    here, there = (re.search(marked, TEXTS[page], re.DOTALL) for page in ("docs/your-method.md", README))
    assert here
    assert there
    assert here[1] == there[1]


def test_the_users_detector_is_trained_and_run_as_written(tmp_path: Path) -> None:
    from benchmark.detection.detectors import build  # not above: torch takes seconds to load
    from benchmark.detection.inference import detect
    from benchmark.detection.samples import visible_examples
    from benchmark.detection.training import load, train

    code = re.search(r"<!-- own detector -->\n```python\n(.*?)```", TEXTS["docs/detection.md"], re.DOTALL)
    assert code
    (tmp_path / "my_detector.py").write_text(code[1])
    synthetic.write(tmp_path / "M3FD", layout="m3fd", train=2, test=1, seed=1, size=(128, 96))
    pairs = datasets.load("m3fd", tmp_path / "M3FD")
    settings = DetectionSettings(
        detector=f"{tmp_path}/my_detector.py:wide_retinanet",
        weights="none",
        epochs=1,
        batch=2,
        min_size=64,
        workers=0,
        score_threshold=0.0,
    )
    model = build(settings, len(pairs.classes))
    examples = visible_examples(pairs.train)
    trained = load(train(model, examples, pairs.classes, tmp_path / "run", settings, device="cpu"))
    (found,) = detect(trained.model, visible_examples(pairs.test), trained.settings, device="cpu")
    assert 0 < len(found.boxes) <= settings.boxes
    assert set(found.labels) <= set(range(1, len(pairs.classes) + 1))


def test_the_metric_of_the_documentation_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.search(r"<!-- own metric -->\n```python\n(.*?)```", TEXTS["docs/your-metric.md"], re.DOTALL)
    assert found
    (tmp_path / "darkness.py").write_text(found[1])
    monkeypatch.setattr(definitions, "__path__", [*definitions.__path__, str(tmp_path)])
    known = _find_metrics()
    assert list(known)[: len(IDS)] == list(IDS)
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert known["DARK"].compute("tang2023", image, image, image) == 16 / 256
    assert known["DARK"].compute("vifb", image, image, image) == 32 / 256
    assert known["DARK"].arrow == "↓"


def test_every_page_is_in_the_index() -> None:
    links = set(re.findall(r"^\| \[(\S+\.md)\]", TEXTS[INDEX], re.MULTILINE))
    assert links == {Path(page).name for page in TEXTS if page not in (README, INDEX)}


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("docs/detection.md", [field.name for field in fields(DetectionSettings)]),
        ("docs/training.md", [field.name for field in fields(FusionConfig)]),
        ("docs/training.md", [field.name for field in fields(TrainingConfig)]),
    ],
)
def test_every_setting_is_explained(page: str, names: list[str]) -> None:
    explained = {
        name for line in TEXTS[page].splitlines() if line.startswith("| `") for name in re.findall(r"`(\w+)`", line)
    }
    assert [name for name in names if name not in explained] == []


@pytest.fixture(scope="module")
def measured() -> pd.DataFrame:
    """Means over twelve M3FD pairs; docs/metrics.md has the commands that make them."""
    found = pd.read_csv(ROOT / "results/reference/conventions/m3fd.csv")
    return found.set_index(["method", "size", "convention"])[list(IDS)]


def shown(values: "pd.Series[float]") -> list[str]:
    return ["–" if pd.isna(value) else f"{value:.4f}" for value in values]


def test_the_table_of_conventions_is_the_measured_one(measured: pd.DataFrame) -> None:
    rows = table("docs/metrics.md", "conventions")
    assert len(rows) == 12
    for method, convention, *cells in rows:
        assert cells == shown(measured.xs((method, "640x480", convention)))


def test_the_table_of_further_metrics_is_the_measured_one() -> None:
    values = pd.read_csv(ROOT / "results/reference/conventions/further.csv", index_col=0)
    assert set(values.index) == set(METRICS) - set(IDS)
    rows = table("docs/metrics.md", "apart")
    assert [name for name, *_ in rows] == list(values.index)
    for name, *cells in rows:
        expected = ["" if pd.isna(v) else f"{v:.1f}" if v >= 100 else f"{v:.4f}" for v in values.loc[name]]
        assert cells == expected


def test_every_further_metric_is_in_the_table_of_programs() -> None:
    rows = table("docs/metrics.md", "further")
    names = {name for first, *_ in rows for name in re.split(r", | |↑|↓", first) if name}
    assert names == set(METRICS) - set(IDS)


def test_the_table_of_sizes_is_the_measured_one(measured: pd.DataFrame) -> None:
    rows = table("docs/metrics.md", "sizes")
    assert len(rows) == 9
    for native, small, change in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
        before, after = (measured.xs((native[0], size, "tang2022")) for size in ("native", "640x480"))
        assert (native[2:], small[2:]) == (shown(before), shown(after))
        assert change[2:] == [f"{value:+.1f} %" for value in 100 * (after / before - 1)]


def test_the_table_of_costs_is_the_measured_one() -> None:
    rows = table("docs/scale.md", "scaling")
    if rows:
        costs = pd.read_csv(ROOT / "results/reference/scaling/scaling.csv")
        assert [[float(cell.replace(",", "")) for cell in row] for row in rows] == costs.to_numpy().tolist()


def test_the_table_of_a_gpu_is_the_measured_one() -> None:
    rows = table("docs/scale.md", "fusing")
    costs = pd.read_csv(ROOT / "results/reference/gpu/fusing.csv").drop(columns=["size", "images", "measured"])
    assert [[row[0], *map(float, row[1:])] for row in rows] == costs.to_numpy().tolist()
