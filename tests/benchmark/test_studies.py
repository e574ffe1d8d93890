"""Table 2 and the sweeps, trained for real on a few tiny scenes."""

import io

import pandas as pd
import pytest
from rich.console import Console

import metrics
from benchmark.engine import experiment
from benchmark.engine.runner import Options, Outcome
from benchmark.studies import sweeps
from benchmark.studies.experiment_run import run
from benchmark.studies.sweeps import sweep
from benchmark.synthetic import layouts as synthetic
from metrics.errors import InputError
from moefusion import FusionConfig


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Options:
    """One folder for all tests here, as a user has: the whole model is trained once."""
    folder = tmp_path_factory.mktemp("studies")
    synthetic.write(folder / "M3FD", layout="m3fd", train=3, test=2, seed=1, size=(128, 96))
    return Options(out=folder / "out", data_root=folder, workers=1)


def tiny(*tables: int, **training: object) -> experiment.Experiment:
    return experiment.Experiment(
        title="Tiny",
        datasets=[experiment.DatasetSettings(name="m3fd")],
        methods=[experiment.method("average")],
        tables=list(tables),  # type: ignore[arg-type]
        train=experiment.TrainSettings(
            fusion={"local_gate_grid": [6, 8], "global_gate_grid": [6, 8]},
            detector={"backbone": "small"},
            training={"epochs": 1, "batch": 2, "resize": [64, 96], "workers": 0} | training,
        ),
    )


def quietly(outcome: Outcome) -> Outcome:
    assert outcome.reasons == []
    return outcome


def test_table_two_trains_and_scores_its_four_rows(options: Options) -> None:
    console = Console(file=io.StringIO())
    quietly(run(tiny(2), options, console=console))
    found = pd.read_csv(options.out / "table2.csv")
    mine = found[found["origin"] == "measured"].set_index("method")
    assert list(mine.index) == ["w/o MoLE", "w/o MoGE", "Att-Local", "MoE-Fusion"]
    assert mine[list(metrics.PAPER)].notna().all(axis=None)
    assert len(mine[list(metrics.PAPER)].drop_duplicates()) == 4, "four models"
    # Three pairs in batches of two are two steps: a reader must see how little that is.
    assert mine["notes"].str.contains("trained by this run: 2 steps of 2 pairs at 96x64, from 3 pairs").all()
    assert set(found.loc[found["origin"] == "paper", "method"]) == set(mine.index)  # the paper's Table 2 has M3FD
    latex = (options.out / "table2.tex").read_text()
    assert "tab:table2" in latex
    assert "w/o MoLE" in latex

    shown = io.StringIO()
    quietly(run(tiny(2), options, console=Console(file=shown, width=200)))
    assert shown.getvalue().count("kept") == 12


def test_a_sweep_shares_the_whole_model_with_table_two(options: Options) -> None:
    shown = io.StringIO()
    outcome = quietly(sweep("alpha", tiny(1), options, console=Console(file=shown, width=200)))
    assert outcome.tables == [options.out / "sweep_alpha.csv"]
    found = pd.read_csv(outcome.tables[0])
    assert found["alpha"].tolist() == [1, 5, 10, 20, 40]
    assert found[list(metrics.PAPER)].notna().all(axis=None)
    whole = pd.read_csv(options.out / "table2.csv").set_index(["origin", "method"]).loc[("measured", "MoE-Fusion")]
    assert found.loc[2, "EN"] == whole["EN"]
    assert found["EN"].nunique() == 5
    assert "MoE-Fusion · train: kept" in shown.getvalue()
    assert (options.out / "figures" / "sweep_alpha.png").stat().st_size > 1000
    assert (options.out / "figures" / "sweep_alpha.pdf").stat().st_size > 1000


def test_other_training_settings_do_not_take_a_trained_models_place(options: Options) -> None:
    model = options.out / "cells/M3FD/MoE-Fusion/train/model.safetensors"
    run(tiny(2), options, stage="train", console=Console(file=io.StringIO()))
    before = model.read_bytes()
    outcome = run(tiny(2, epochs=2), options, stage="train", console=Console(file=io.StringIO()))
    assert outcome.status == 2
    assert "was trained with training.epochs 1, but this run has 2. Take another --out, or --redo" in outcome.refused[0]
    assert model.read_bytes() == before
    quietly(run(tiny(2), options, stage="train", console=Console(file=io.StringIO())))


def test_the_points_of_the_sweeps() -> None:
    """Spec of the paper's Figures 7 and 8."""
    base = FusionConfig.paper().to_dict()
    points = sweeps.settings_of("experts", base)
    assert [point.name for point in points] == ["E2K2", "E4K2", "E6K2", "E8K2", "E4K1", "E4K3", "E4K4"]
    for point in points:
        config = FusionConfig.from_dict(base | point.method.fusion)
        assert f"E{config.experts}K{config.top_k}" == point.name
    assert [point.method.fusion for point in sweeps.settings_of("alpha", base)][2] == {}, (
        "alpha 10 is the paper's model"
    )
    with pytest.raises(InputError, match="unknown sweep 'gates'; known: experts, alpha"):
        sweeps.settings_of("gates", base)
