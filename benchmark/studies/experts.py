"""The paper's Figure 6: the responses of a trained MoE-Fusion's experts, and how often each expert is selected."""

from pathlib import Path

from rich.console import Console

from benchmark.engine.cells import MODEL, Cell
from benchmark.engine.experiment import Experiment, MethodSettings, check_names
from benchmark.engine.runner import Options, Outcome, start_run
from moefusion import PACKAGED


def experts(
    experiment: Experiment, options: Options, model: Path | None = None, *, console: Console | None = None
) -> Outcome:
    """Write Figure 6 of a trained MoE-Fusion.

    Args:
        experiment: On which data sets.
        options: How.
        model: Its file; None for the one that the run trained, or the packaged one where it trains none.
        console: Where the state of the run is shown.

    Raises:
        InputError: A name of the experiment is unknown, another run works in the same folder, or the model cannot be
            used.
    """
    from benchmark.figures.run_figures import experts as draw  # not above: torch takes seconds to load

    check_names(experiment)
    label = MethodSettings(name="moefusion").label_or_title
    with start_run(experiment, options, ["data"], console) as run:
        for loaded in run.load():
            trained = Cell(options.out, experiment.train.place(loaded.part.title), label, "train").folder / MODEL
            usual = trained if experiment.trains else PACKAGED
            run.outcome.figures += draw(loaded.part, model or usual, options.out, device=options.device)
    return run.outcome
