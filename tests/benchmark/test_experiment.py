"""Experiments: the ones that come along, and what is wrong with others."""

from pathlib import Path

import pytest

import methods
import metrics
from benchmark import datasets
from benchmark.engine import experiment
from benchmark.engine.experiment import MethodSettings, ScoreSettings
from metrics.errors import InputError


@pytest.mark.parametrize("name", experiment.names())
def test_every_experiment_reads(name: str) -> None:
    found = experiment.read(name)
    assert found.name == name
    assert found.methods
    for dataset in found.datasets:
        assert dataset.name in datasets.names()


def test_the_named_ones_are_there() -> None:
    assert {"demo", "m3fd", "flir", "llvip", "msrs", "all"} <= set(experiment.names())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title = ", "is not TOML"),
        ('title = "x"\nmethods = []', "datasets: Field required"),
        ('title = "x"\nmethods = []\ndatasets = [{name = "m3fd", rot = "x"}]', "datasets.0.rot: "),
        ('title = "x"\nmethods = [3]\ndatasets = []', "methods.0: "),
        ('title = "x"\nmethods = ["folder:"]\ndatasets = []', "methods.0: .*expected .LABEL=.NAME"),
        ('title = "x"\nmethods = []\ndatasets = []\nscore = {sise = "native"}', "score.sise: "),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=f"mine.toml.*{said}"):
        experiment.read(str(path))


def test_unknown_experiments_list_the_known() -> None:
    with pytest.raises(InputError, match="unknown experiment 'm3df'; known: all, demo, flir"):
        experiment.read("m3df")
    with pytest.raises(InputError, match="unknown experiment '/etc/passwd'"):
        experiment.read("/etc/passwd")


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("average", MethodSettings("average")),
        ("densefuse:tf-l1", MethodSettings("densefuse", variant="tf-l1")),
        ("Mine=average", MethodSettings("average", label="Mine")),
        (
            "folder:/data/fused_{dataset}",
            MethodSettings("folder", weights="/data/fused_{dataset}", label="fused_{dataset}"),
        ),
        ("Ours=folder:out", MethodSettings("folder", weights="out", label="Ours")),
        ("a/b.py:Net", MethodSettings("a/b.py:Net")),
        ("Net 2=a/b.py:Net", MethodSettings("a/b.py:Net", label="Net 2")),
        ("ifcnn:path/to/mine", MethodSettings("ifcnn", weights="path/to/mine")),
        ("Mine=ifcnn:mine.pth", MethodSettings("ifcnn", weights="mine.pth", label="Mine")),
        ("ifcnn:pyproject.toml", MethodSettings("ifcnn", weights="pyproject.toml")),  # a file that is there
        ("densefuse:tf-l1:mine.model", MethodSettings("densefuse", variant="tf-l1", weights="mine.model")),
        ("moefusion:mine", MethodSettings("moefusion", weights="mine")),
        ("average:x", MethodSettings("average", variant="x")),  # refused: it has no variants
    ],
)
def test_methods_on_the_command_line(text: str, settings: MethodSettings) -> None:
    assert experiment.method(text) == settings


def test_a_method_says_itself_what_it_is() -> None:
    names = methods.names()
    kinds = {name: experiment.method(name) for name in names}
    assert {name for name in names if kinds[name].is_source} == {"infrared", "visible"}
    assert {name for name in names if kinds[name].is_infrared} == {"infrared"}
    assert {name for name in names if kinds[name].trained} == {"moefusion"}
    assert not experiment.method("moefusion:mine.safetensors").trained
    assert not MethodSettings("gone.py:Net").trained


@pytest.mark.parametrize(("size", "pixels"), [("native", None), ("640x480", (640, 480))])
def test_sizes(size: str, pixels: tuple[int, int] | None) -> None:
    assert ScoreSettings(size=size).pixels == pixels


@pytest.mark.parametrize("size", ["640", "640x", "0x480", "-1x4", "axb", "640X480"])
def test_sizes_that_are_none(size: str) -> None:
    with pytest.raises(InputError, match="expected 'native' or WIDTHxHEIGHT"):
        _ = ScoreSettings(size=size).pixels


@pytest.mark.parametrize(
    "text", ['metrics = ["VIF", "EN"]', '[score]\nmetrics = ["VIF", "EN"]', '[score]\nmetrics = "VIF,EN"']
)
def test_metrics_stand_at_the_top_or_in_score(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'title = "x"\nmethods = []\ndatasets = []\n{text}\n')
    assert experiment.read(str(path)).score.ids == ("EN", "VIF")


def test_metrics_in_both_places_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('title = "x"\nmethods = []\ndatasets = []\nmetrics = "EN"\n[score]\nmetrics = "VIF"\n')
    with pytest.raises(InputError, match="metrics stands both at the top and in .score."):
        experiment.read(str(path))


def test_selections_of_metrics() -> None:
    assert ScoreSettings().ids == metrics.PAPER
    assert ScoreSettings(metrics="all").ids == metrics.select("all", "tang2022")
    with pytest.raises(InputError, match="unknown metric 'ENN'; known: paper, all, EN"):
        _ = ScoreSettings(metrics="ENN").ids
