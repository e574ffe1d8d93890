"""The report command on a run, and Figure 6 of a model that was just built."""

import io
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from rich.console import Console

import moefusion
from benchmark.engine import experiment
from benchmark.engine.runner import Options
from benchmark.studies.experiment_run import run
from benchmark.studies.experts import experts
from benchmark.synthetic import layouts as synthetic
from metrics.errors import InputError
from run_benchmark import main


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Options:
    folder = tmp_path_factory.mktemp("illustrate")
    synthetic.write(folder / "M3FD", layout="m3fd", train=1, test=5, seed=3, size=(128, 96))
    return Options(out=folder / "out", data_root=folder, workers=1)


WANTED = experiment.Experiment(
    title="Tiny",
    datasets=[experiment.DatasetSettings(name="m3fd")],
    methods=[experiment.method(text) for text in ("infrared", "average", "maximum", "laplacian")],
)


def test_the_report_command_writes_figures_comparison_and_page(
    options: Options, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(WANTED, options, console=Console(file=io.StringIO()))
    monkeypatch.setattr(sys, "argv", ["run_benchmark.py", "report", str(options.out)])
    assert main() == 0
    said = capsys.readouterr().out
    names = {path.name for path in (options.out / "figures").iterdir()}
    kinds = {name.partition("_M3FD")[0] for name in names}
    assert kinds == {"scenes", "box_plots", "critical_difference"}
    assert len(names) == 6, "a PDF and a PNG of each"
    page = (options.out / "report.html").read_text()
    assert "Laplacian" in page
    assert "Critical-difference diagrams" in page
    for name in ("report.html", "against_paper.csv", "against_paper.md", *names):
        assert name in said


def test_a_folder_without_a_run_has_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["run_benchmark.py", "report", str(tmp_path)])
    assert main() == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_figure_six_counts_what_the_gates_pick(options: Options, tmp_path: Path) -> None:
    torch.manual_seed(0)
    grids = {"local_gate_grid": (6, 8), "global_gate_grid": (6, 8)}
    model = moefusion.MoEFusion(moefusion.FusionConfig(**grids), moefusion.DetectorConfig.small(), 3)
    moefusion.save_checkpoint(tmp_path / "model.safetensors", model)
    outcome = experts(WANTED, options, tmp_path / "model.safetensors", console=Console(file=io.StringIO()))
    found = pd.read_csv(options.out / "experts_M3FD.csv")
    picked = found.groupby(["gate", "group"])["picked"].sum()
    assert (picked == 2).all(), "every scene gets two of the four experts"
    assert set(found["gate"]) == {"local_foreground", "local_background", "global"}
    assert found.drop_duplicates("group")["images"].sum() == 5
    assert all(path.is_file() for path in outcome.figures)

    whole = moefusion.MoEFusion(moefusion.FusionConfig(**grids, local_experts=False), None, 3)
    moefusion.save_checkpoint(tmp_path / "none.safetensors", whole)
    with pytest.raises(InputError, match="no local experts to look at"):
        experts(WANTED, options, tmp_path / "none.safetensors", console=Console(file=io.StringIO()))
