"""Whole runs on small synthetic scenes: resuming, failing in part, refusing bad input."""

import io
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

import metrics
from benchmark.engine.cells import Cell
from benchmark.engine.experiment import DatasetSettings, Experiment, MethodSettings, ScoreSettings, method
from benchmark.engine.runner import Options, Outcome
from benchmark.engine.stages.score import SCORES
from benchmark.studies.experiment_run import run
from benchmark.synthetic import layouts as synthetic
from metrics import images

METHODS = ["infrared", "average", "maximum"]
BROKEN = """
from methods import Method
class Broken(Method):
    def forward(self, infrared, visible):
        raise RuntimeError("this network has no head")
class Unbuildable(Broken):
    def __init__(self, **settings):
        raise KeyError("weights")
"""


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root that holds M3FD, drawn."""
    root = tmp_path_factory.mktemp("data")
    synthetic.write(root / "M3FD", layout="m3fd", train=1, test=4, seed=3, size=(128, 96))
    return root


@pytest.fixture
def data(scenes: Path, tmp_path: Path) -> Path:
    """A copy of the scenes, to be damaged."""
    return shutil.copytree(scenes, tmp_path / "data")


def experiment(*methods: str, size: str = "native", convention: str = "tang2022") -> Experiment:
    return Experiment(
        title="Test",
        name="test",
        datasets=[DatasetSettings("m3fd")],
        methods=[method(text) for text in methods or METHODS],
        score=ScoreSettings(convention, size),
    )


def go(wanted: Experiment, options: Options, stage: str | None = None) -> tuple[Outcome, str]:
    """Run quietly; return the outcome and what was shown."""
    shown = io.StringIO()
    return run(wanted, options, stage=stage, console=Console(file=shown, width=200)), shown.getvalue()


def options(tmp_path: Path, data: Path, **others: object) -> Options:
    return Options(out=tmp_path / "out", data_root=data, workers=1, **others)  # type: ignore[arg-type]


def rows(outcome: Outcome) -> pd.DataFrame:
    found = pd.read_csv(outcome.tables[0])
    return found[found["origin"] == "measured"].set_index("method")


def test_the_whole_way(scenes: Path, tmp_path: Path) -> None:
    outcome, shown = go(experiment(), options(tmp_path, scenes))
    assert outcome.status == 0
    found = rows(outcome)
    assert found.index.tolist() == ["Infrared", "Average", "Maximum"]
    assert found.loc["Average", ["EN", "SF", "SD", "MI", "VIF", "AG", "SCD", "Q_abf"]].notna().all()
    assert found.loc["Infrared", "notes"] == "SCD: undefined on 4 of 4 images"
    assert (
        found.loc["Infrared", "split"]
        == "test part of the folder's own lists: train from train.txt, test from test.txt"
    )
    fused = sorted((tmp_path / "out/cells/M3FD/Average/fuse").glob("*.png"))
    assert len(fused) == 4
    assert images.read(fused[0]).shape == (96, 128)
    assert "M3FD · Average · score: done" in shown


def test_a_second_run_makes_nothing_again(scenes: Path, tmp_path: Path) -> None:
    first, _ = go(experiment(), options(tmp_path, scenes))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/cells").rglob("*.*")}
    table = first.tables[0].read_bytes()
    second, shown = go(experiment(), options(tmp_path, scenes))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert shown.count(": kept") == 6
    assert second.tables[0].read_bytes() == table


def test_a_broken_method_stops_nothing(scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(BROKEN)
    own = tmp_path / "own.py"
    wanted = experiment(f"{own}:Broken", "average", f"{own}:Unbuildable")
    outcome, shown = go(wanted, options(tmp_path, scenes))
    assert outcome.status == 1
    found = rows(outcome)
    assert found.loc["Average", "EN"] > 0
    assert pd.isna(found.loc["Broken", "EN"])
    assert found.loc["Broken", "status"] == "RuntimeError: this network has no head"
    assert found.loc["Unbuildable", "status"] == "KeyError: 'weights'"
    assert "M3FD · Broken · score: skipped (not fused)" in shown
    assert "no head" in (tmp_path / "out/cells/M3FD/Broken/fuse/error.txt").read_text()


def test_a_method_that_breaks_later_does_not_keep_its_old_numbers(scenes: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(
        "from methods import Method\nclass M(Method):\n    def forward(self, i, v):\n        return i * 0.5\n"
    )
    command = [sys.executable, "run_benchmark.py", "run", "m3fd", "--data-root", str(scenes)]
    command += ["--out", str(tmp_path / "out"), "--workers", "1", "--methods", f"{own}:M"]

    def once() -> pd.Series:
        subprocess.run(command, cwd=Path(__file__).parents[2], check=False, capture_output=True)
        return pd.read_csv(tmp_path / "out/table1.csv").iloc[0]

    assert once()["EN"] > 0
    own.write_text(
        "from methods import Method\nclass M(Method):\n    def forward(self, i, v):\n        return missing\n"
    )
    again = once()
    assert pd.isna(again["EN"])
    assert "NameError" in again["status"]


def test_a_changed_image_is_fused_and_scored_again(data: Path, tmp_path: Path) -> None:
    go(experiment("average"), options(tmp_path, data))
    cell = Cell(tmp_path / "out", "M3FD", "Average", "score")
    before = pd.read_csv(cell.folder / SCORES).set_index("image")
    changed = sorted(path.stem for path in (tmp_path / "out/cells/M3FD/Average/fuse").glob("*.png"))[1]
    path = data / "M3FD" / "Ir" / f"{changed}.png"
    images.write(path, 255 - images.read(path))
    go(experiment("average"), options(tmp_path, data))
    after = pd.read_csv(cell.folder / SCORES).set_index("image")
    differs = (before != after).any(axis=1)
    assert differs[differs].index.tolist() == [int(changed) if before.index.dtype.kind == "i" else changed]


def test_stages_alone_and_limit(scenes: Path, tmp_path: Path) -> None:
    wanted, first = experiment("average"), options(tmp_path, scenes, limit=2)
    outcome, _ = go(wanted, first, "score")
    assert outcome.status == 2
    assert "every pair needs its fused image" in outcome.refused[0]
    assert go(wanted, first, "fuse")[0].tables == []
    go(wanted, first, "score")
    outcome, _ = go(wanted, first, "table")
    assert rows(outcome).loc["Average", "images"] == 2
    outcome, _ = go(wanted, options(tmp_path, scenes), "table")
    assert "every pair needs its fused image" in rows(outcome).loc["Average", "status"]
    outcome, _ = go(wanted, options(tmp_path, scenes))
    assert rows(outcome).loc["Average", "status"] == "done"


def test_another_size_scores_again_but_does_not_fuse_again(scenes: Path, tmp_path: Path) -> None:
    native, _ = go(experiment("average"), options(tmp_path, scenes))
    ag = rows(native).loc["Average", "AG"]
    half, shown = go(experiment("average", size="64x48"), options(tmp_path, scenes))
    assert "Average · fuse: kept" in shown
    assert "Average · score: done" in shown
    assert rows(half).loc["Average", "AG"] > ag  # the same edges on fewer pixels


def test_one_more_metric_is_scored_alone(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go(experiment("average"), options(tmp_path, scenes))
    before = pd.read_csv(tmp_path / "out/cells/M3FD/Average/score" / SCORES).set_index("image")
    asked, evaluate = [], metrics.evaluate_triples

    def watched(triples: object, **given: object) -> object:
        asked.append((len(triples), given["metrics"]))  # type: ignore[arg-type]
        return evaluate(triples, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(metrics, "evaluate_triples", watched)
    more = replace(experiment("average"), score=ScoreSettings(size="native", metrics="paper,SSIM,MSE"))
    outcome, shown = go(more, options(tmp_path, scenes))
    assert asked == [(4, ("SSIM", "MSE"))]
    assert "Average · fuse: kept" in shown
    assert rows(outcome).loc["Average", ["EN", "SSIM", "MSE"]].notna().all()
    after = pd.read_csv(tmp_path / "out/cells/M3FD/Average/score" / SCORES).set_index("image")
    pd.testing.assert_frame_equal(after[before.columns], before)

    asked.clear()
    paper, _ = go(experiment("average"), options(tmp_path, scenes))
    everything, _ = go(more, options(tmp_path, scenes))
    assert asked == []
    assert rows(paper).loc["Average", "status"] == rows(everything).loc["Average", "status"] == "done"


def test_a_metric_whose_code_changed_is_scored_again_alone(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(experiment("average"), options(tmp_path, scenes))
    table = tmp_path / "out/cells/M3FD/Average/score" / SCORES
    before = pd.read_csv(table).set_index("image")
    rule = metrics.METRICS["SF"].rules["tang2022"]
    changed = replace(rule, options={"divisor": 51})
    monkeypatch.setitem(metrics.METRICS["SF"].rules, "tang2022", changed)  # type: ignore[arg-type]
    outcome, _ = go(experiment("average"), options(tmp_path, scenes), "table")
    assert rows(outcome).loc["Average", "status"] == "SF: scored by another version of the code; run score again"
    assert go(experiment("average"), options(tmp_path, scenes))[0].status == 0
    after = pd.read_csv(table).set_index("image")
    assert np.allclose(after["SF"], before["SF"] * 5)
    others = [name for name in before.columns if name != "SF"]
    pd.testing.assert_frame_equal(after[others], before[others])

    reworded = replace(changed, scale="levels 0-5")
    monkeypatch.setitem(metrics.METRICS["SF"].rules, "tang2022", reworded)  # type: ignore[arg-type]
    assert "score: kept" in go(experiment("average"), options(tmp_path, scenes))[1]


def test_images_fused_elsewhere(scenes: Path, tmp_path: Path) -> None:
    go(experiment("average"), options(tmp_path, scenes))
    shutil.copytree(tmp_path / "out/cells/M3FD/Average/fuse", tmp_path / "elsewhere/m3fd")
    wanted = experiment("average", f"Theirs=folder:{tmp_path}/elsewhere/{{dataset}}")
    found = rows(go(wanted, options(tmp_path, scenes))[0])
    ids = list(metrics.PAPER)
    pd.testing.assert_series_equal(found.loc["Theirs", ids], found.loc["Average", ids], check_names=False)


def damage_truncate(folder: Path) -> str:
    path = sorted((folder / "Vis").glob("*.png"))[-1]
    path.write_bytes(path.read_bytes()[:-2000])
    return f"{path.name} cannot be decoded"


def damage_size(folder: Path) -> str:
    path = sorted((folder / "Ir").glob("*.png"))[-1]
    images.write(path, np.zeros((96, 120), np.uint8))
    return f"{path.stem}.*120x96"


def damage_depth(folder: Path) -> str:
    from PIL import Image

    path = sorted((folder / "Ir").glob("*.png"))[-1]
    Image.fromarray(np.zeros((96, 128), np.uint16)).save(path)
    return f"{path.name} has more than 8 bits"


def damage_alpha(folder: Path) -> str:
    from PIL import Image

    path = sorted((folder / "Vis").glob("*.png"))[-1]
    Image.fromarray(np.zeros((96, 128, 4), np.uint8)).save(path)
    return f"{path.name} has an alpha channel"


def damage_partner(folder: Path) -> str:
    path = sorted((folder / "Ir").glob("*.png"))[-1]
    path.unlink()
    return path.stem


def damage_empty(folder: Path) -> str:
    for path in (folder / "Ir").glob("*.png"):
        path.unlink()
    return "Ir.*no image"


def damage_missing(folder: Path) -> str:
    shutil.rmtree(folder)
    return "M3FD is not a folder"


def damage_box(folder: Path) -> str:
    return _annotation(folder, lambda text: text.replace("<xmax>", "<xmax>9", 1), "128x96")


def damage_class(folder: Path) -> str:
    return _annotation(folder, lambda text: text.replace("<name>People", "<name>Zebra"), "Zebra.*People")


def _annotation(folder: Path, change: object, said: str) -> str:
    for path in sorted((folder / "Annotation").glob("*.xml")):
        text = path.read_text()
        if (changed := change(text)) != text:  # type: ignore[operator]
            path.write_text(changed)
            return f"{path.name}.*{said}"
    raise AssertionError("no scene has such a box")


DAMAGES = [
    damage_truncate,
    damage_size,
    damage_depth,
    damage_alpha,
    damage_partner,
    damage_empty,
    damage_missing,
    damage_box,
    damage_class,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.removeprefix("damage_"))
def test_bad_input_is_one_line_and_loses_nothing(
    data: Path, scenes: Path, tmp_path: Path, damage: object, capfd: pytest.CaptureFixture[str]
) -> None:
    import re

    from run_benchmark import main

    out = tmp_path / "out"
    go(experiment("average"), Options(out=out, data_root=scenes, workers=1, limit=3))
    finished = {path: path.read_bytes() for path in out.glob("cells/*/*/*/*.png")}
    assert len(finished) == 3
    expected = damage(data / "M3FD")  # type: ignore[operator]
    arguments = ["run", "m3fd", "--data-root", str(data), "--out", str(out), "--size", "native", "--workers", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["run_benchmark.py", *arguments, "--methods", "average"])
        assert main() == 2
    complaints = [line for line in capfd.readouterr().err.splitlines() if line]
    assert len(complaints) == 1, complaints
    assert complaints[0].startswith("error: ")
    assert re.search(expected, complaints[0]), complaints[0]
    assert {path: path.read_bytes() for path in finished} == finished


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--methods", "avrage"], "unknown method 'avrage'; known: infrared"),
        (["--convention", "tang2021"], "unknown metric convention 'tang2021'; known: .*tang2022"),
        (["--size", "640"], "expected 'native' or WIDTHxHEIGHT"),
        (["--methods", "average", "average"], "two methods are called 'Average'"),
        (["--limit", "0"], "expected at least 1"),
    ],
)
def test_names_that_nobody_knows(
    scenes: Path, tmp_path: Path, arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    import re

    from run_benchmark import main

    line = ["run_benchmark.py", "run", "m3fd", "--data-root", str(scenes), "--out", str(tmp_path / "out")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [*line, *arguments])
        assert main() == 2
    assert re.fullmatch(f"error: .*{said}.*\n", capfd.readouterr().err)


def test_one_data_set_that_is_not_there_does_not_stop_the_other(scenes: Path, tmp_path: Path) -> None:
    wanted = experiment("average")
    wanted.datasets.append(DatasetSettings("llvip"))
    outcome, _ = go(wanted, options(tmp_path, scenes))
    assert outcome.status == 2
    assert "LLVIP is not a folder" in outcome.refused[0]
    assert rows(outcome)["dataset"].tolist() == ["M3FD"]


def test_a_weightless_network_row_says_why(scenes: Path, tmp_path: Path) -> None:
    wanted = experiment("average")
    wanted.methods.append(MethodSettings("folder", weights=str(tmp_path / "nowhere"), label="Gone"))
    outcome, _ = go(wanted, options(tmp_path, scenes))
    assert outcome.status == 2
    assert "nowhere is not a folder" in str(rows(outcome).loc["Gone", "status"])


def test_weights_of_ones_own_are_told_from_the_authors(scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "from methods.network import NetworkMethod, fill, read_state\n"
        "from methods.record import Record, WeightFile\n"
        "from torch import nn\n"
        "class Net(NetworkMethod):\n"
        "    name = 'net'\n"
        "    record = Record('P', 2020, '-', '-', '-', (WeightFile('n.pth'),), 1, 'official outputs')\n"
        "    def load(self, files):\n"
        "        network = nn.Conv2d(1, 1, 1)\n"
        "        fill(network, read_state(files['n.pth']), files['n.pth'])\n"
        "        return network\n"
        "    def infer(self, infrared, visible):\n"
        "        return self.network(self.tensor(infrared))[0, 0]\n"
    )
    torch.save({"weight": torch.ones(1, 1, 1, 1), "bias": torch.zeros(1)}, tmp_path / "n.pth")
    wanted = experiment("infrared")
    wanted.methods.append(MethodSettings(f"{tmp_path}/net.py:Net", weights=str(tmp_path / "n.pth"), label="Net"))
    wanted.methods.append(MethodSettings(f"{tmp_path}/net.py:Net", weights=str(tmp_path / "gone.pth"), label="Gone"))
    outcome, _ = go(wanted, options(tmp_path, scenes))
    found = rows(outcome)
    assert found.loc["Net", "EN"] == found.loc["Infrared", "EN"]
    assert "weights are not the authors' own" in str(found.loc["Net", "notes"])
    assert "gone.pth is not there" in str(found.loc["Gone", "status"])
