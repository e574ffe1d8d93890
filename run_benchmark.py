#!/usr/bin/env python3
"""The command line of the infrared-visible image fusion benchmark."""

import signal
import sys

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until `main` can say more than a traceback

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tyro.conf import OmitSubcommandPrefixes, Positional, arg, subcommand

from metrics.command_line import parse, print_progress, without_default
from metrics.errors import InputError, plain, unknown

if TYPE_CHECKING:
    from benchmark.engine.experiment import Experiment
    from benchmark.engine.runner import Options, Outcome
    from methods.record import Record

DESCRIPTION = """Reference benchmark for infrared-visible image fusion.

Fuses pairs of images by every method, scores the fused images by the metrics of a named convention, and
writes the paper's tables as CSV and LaTeX. What is finished is kept: the same command resumes where it was stopped.
To score a folder of fused images by itself: python -m metrics INFRARED_DIR VISIBLE_DIR FUSED_DIR."""


@dataclass
class _OnExperiment:
    """What all commands on an experiment take."""

    experiment: Positional[Annotated[str, arg(metavar="EXPERIMENT")]]
    """An experiment that comes with the benchmark (see `list experiments`), a data set's name, or a TOML file."""

    data_root: Annotated[Path, arg(metavar="FOLDER")] = Path("data")
    """The folder that holds the data sets' folders, such as M3FD or LLVIP."""

    out: Annotated[Path | None, without_default("FOLDER")] = None
    """Where results go; results/EXPERIMENT when not given."""

    limit: Annotated[int | None, without_default("N")] = None
    """Only the first N pairs of each data set; all when not given."""

    resize_pairs: Annotated[Literal["infrared", "visible"] | None, without_default("infrared|visible")] = None
    """Where the two images of a pair differ in size, scale the other one to the size of this one."""

    names: Annotated[tuple[str, str] | None, without_default("IR{} VIS{}")] = None
    """Patterns of the names in a data set of two folders, such as "IR{}.png" "VIS{}.png"."""

    def _experiment(self) -> "Experiment":
        import methods
        from benchmark.engine.experiment import method, read, with_overrides

        return with_overrides(
            read(self.experiment),
            methods=[method(text) for text in methods.expand(getattr(self, "methods", ()))],
            tables=getattr(self, "tables", ()),
            convention=getattr(self, "convention", None),
            size=getattr(self, "size", None),
            metrics=getattr(self, "metrics", None),
            resize_pairs=self.resize_pairs,
            names=self.names or (),
        )

    def _options(self) -> "Options":
        from benchmark.engine.runner import Options

        workers = getattr(self, "workers", None)
        if self.limit is not None and self.limit < 1:
            raise InputError(f"--limit {self.limit}: expected at least 1")
        if workers is not None and workers < 1:
            raise InputError(f"--workers {workers}: expected at least 1, or nothing for one a core")
        return Options(
            out=self.out or Path("results") / _folder_name(self.experiment),
            data_root=self.data_root,
            limit=self.limit,
            workers=workers,
            device=getattr(self, "device", "auto"),
            redo=getattr(self, "redo", False),
            colour=getattr(self, "colour", False),
            cluster=getattr(self, "cluster", None),
        )


def _folder_name(experiment: str) -> str:
    file, colon, function = experiment.rpartition(":")  # of a data set in a user's file
    return function if colon and file.endswith(".py") else Path(experiment).stem


@dataclass
class _WithMethods:
    methods: Annotated[tuple[str, ...], without_default("[LABEL=]METHOD ...")] = ()
    """Methods in place of the experiment's: NAME, NAME:VARIANT, NAME:path/to/weights, path/to/file.py:Class."""


@dataclass
class _WithTables:
    tables: Annotated[tuple[Literal[1, 2, 3], ...], without_default("1|2|3 ...")] = ()
    """Which tables, in place of the experiment's: 1 metrics, 2 ablations of MoE-Fusion, 3 detection."""


@dataclass
class _WithScoring:
    convention: Annotated[str | None, without_default("NAME")] = None
    """Metric convention in place of the experiment's (see `list metrics`)."""

    size: Annotated[str | None, without_default("WxH|native")] = None
    """Size scored in place of the experiment's: native, or WIDTHxHEIGHT."""

    metrics: Annotated[str | None, without_default("paper|all|ID,...")] = None
    """Metrics in place of the experiment's: paper (its eight), all of the convention's, or ids such as EN,SSIM."""


@dataclass
class _WithWorkers:
    workers: Annotated[int | None, without_default("N")] = None
    """Processes that fuse and score; one a core when not given."""

    cluster: Annotated[str | None, without_default("ADDRESS")] = None
    """Fuse and score on the workers of a Dask scheduler, such as tcp://host:8786, that see the same files."""


@dataclass
class _WithDevice:
    device: Annotated[str, arg(metavar="DEVICE")] = "auto"
    """Where networks run: auto, cpu, cuda, cuda:1."""


@dataclass
class _WithRedo:
    redo: Annotated[bool, without_default()] = False
    """Make again what is there already."""


@dataclass
class _Stages(_OnExperiment):
    """A run, or one of its stages alone."""

    stage: ClassVar[str | None] = None

    def __call__(self, console: Console) -> int:
        """Do the work; return the exit status."""
        from benchmark.studies.experiment_run import run

        return _report(run(self._experiment(), self._options(), stage=self.stage, console=console), console)


@dataclass
class _WithColour:
    colour: Annotated[bool, without_default()] = False
    """Write a colour image beside every fused one, which is scored in grey: the visible image's chroma is added."""


# The fields of the last base come first on the command line.
@dataclass
class Run(_WithColour, _WithRedo, _WithDevice, _WithWorkers, _WithScoring, _WithTables, _WithMethods, _Stages):
    """Train what is to be trained, fuse, score, detect and tabulate an experiment."""


@dataclass
class Train(_WithRedo, _WithDevice, _WithTables, _WithMethods, _Stages):
    """Only train: the experiment's own MoE-Fusion, or the one that its [train] describes."""

    stage: ClassVar[str | None] = "train"

    def _experiment(self) -> "Experiment":
        from benchmark.engine.experiment import method, with_overrides

        experiment = super()._experiment()
        trains = 2 in experiment.tables or any(method.trained for method in experiment.methods)
        return experiment if trains else with_overrides(experiment, methods=[method("moefusion:train")], tables=(1,))


@dataclass
class Fuse(_WithColour, _WithRedo, _WithDevice, _WithWorkers, _WithTables, _WithMethods, _Stages):
    """Only write the fused images."""

    stage: ClassVar[str | None] = "fuse"


@dataclass
class Score(_WithRedo, _WithWorkers, _WithScoring, _WithTables, _WithMethods, _Stages):
    """Only score images that are fused already."""

    stage: ClassVar[str | None] = "score"


@dataclass
class Detect(_WithRedo, _WithDevice, _WithWorkers, _WithMethods, _Stages):
    """Only train the detector, run it on images that are fused already, and write Table 3."""

    stage: ClassVar[str | None] = "detect"

    def _experiment(self) -> "Experiment":
        from benchmark.engine.experiment import with_overrides

        return with_overrides(super()._experiment(), tables=(3,))


@dataclass
class Tables(_WithScoring, _WithTables, _WithMethods, _Stages):
    """Only write the tables from what is done already."""

    stage: ClassVar[str | None] = "table"


@dataclass
class _Kind:
    kind: Positional[Literal["experts", "alpha"]]
    """experts: how many there are and how many an image gets; alpha: the weight of the gradient loss."""


@dataclass
class Sweep(_WithRedo, _WithDevice, _WithWorkers, _WithScoring, _OnExperiment, _Kind):
    """Train, fuse and score MoE-Fusion at several settings: the paper's Figures 7 and 8."""

    def __call__(self, console: Console) -> int:
        """Do it; return the exit status."""
        from benchmark.studies.sweeps import sweep

        return _report(sweep(self.kind, self._experiment(), self._options(), console=console), console)


@dataclass
class Experts(_WithDevice, _OnExperiment):
    """Show what a trained MoE-Fusion's experts answer to, and how often each is picked: the paper's Figure 6."""

    model: Annotated[Path | None, without_default("FILE")] = None
    """A model.safetensors; when not given the run's own MoE-Fusion, or the packaged one where the run trains none."""

    def __call__(self, console: Console) -> int:
        """Do it; return the exit status."""
        from benchmark.studies.experts import experts

        return _report(experts(self._experiment(), self._options(), self.model, console=console), console)


@dataclass
class Gaming(_WithWorkers, _WithScoring, _OnExperiment):
    """Measure which metrics improve without better fusion: noise, contrast, sharpening of an experiment's images."""

    def __call__(self, console: Console) -> int:
        """Do it; return the exit status."""
        from benchmark.studies.gaming import check_experiment

        return _report(check_experiment(self._experiment(), self._options(), console=console), console)


@dataclass
class Report:
    """Write figures, the comparison with the paper, and one self-contained report.html of a finished run."""

    run: Positional[Annotated[Path, arg(metavar="RUN")]]
    """The run's folder, such as results/demo."""

    boxes: Annotated[Path | None, without_default("FILE")] = None
    """A CSV file with the boxes to zoom at: image,x0,y0,x1,y1, and dataset where the run has several."""

    scenes: Annotated[int | None, without_default("N")] = None
    """How many scenes of a data set the gallery shows at most; 24 in all, or as many as fit, when not given."""

    megabytes: Annotated[float, arg(metavar="N")] = 18.0
    """How large the report may become."""

    def __call__(self, console: Console) -> int:
        """Write them; return the exit status."""
        from benchmark import report
        from benchmark.figures.run_figures import illustrate
        from benchmark.tables import paper

        written = [*paper.write(self.run), *illustrate(self.run)]
        written.append(report.write(self.run, boxes=self.boxes, scenes=self.scenes, megabytes=self.megabytes))
        for path in written:
            console.print(f"written: {path}", soft_wrap=True, markup=False, highlight=False)
        return 0


@dataclass
class Demo:
    """Run the whole way on synthetic street scenes: no data set, weights or network needed."""

    out: Annotated[Path, arg(metavar="FOLDER")] = Path("results/demo")
    """Where scenes, images and tables go."""

    redo: Annotated[bool, without_default()] = False
    """Make again what is there already."""

    def __call__(self, console: Console) -> int:
        """Run it; return the exit status."""
        return Run("demo", out=self.out, redo=self.redo)(console)


@dataclass
class List:
    """Say what there is, a line each: methods, metrics, data sets, splits, experiments or detectors."""

    what: Positional[
        Annotated[Literal["methods", "metrics", "datasets", "splits", "experiments", "detectors"], arg(metavar="WHAT")]
    ]
    """methods, metrics, datasets, splits, experiments or detectors."""

    name: Positional[Annotated[str | None, without_default("[NAME]")]] = None
    """One of them, such as VIF of the metrics: print all that is known of it."""

    def __call__(self, console: Console) -> int:
        """Print it; return the exit status."""
        from benchmark.studies.listings import render_details, render_list

        console.print(render_list(self.what) if self.name is None else render_details(self.what, self.name))
        return 0


@dataclass
class Check:
    """Say what a data set's folder holds, beside what was published; decodes every image."""

    dataset: Positional[Annotated[str, arg(metavar="DATASET")]]
    """One of `list datasets`."""

    root: Positional[Annotated[Path, arg(metavar="ROOT")]]
    """The data set's folder."""

    options: Annotated[dict[str, str], without_default("NAME VALUE ...")] = field(default_factory=dict)
    """Options of its reader, such as `test_list my_test.txt`."""

    names: Annotated[tuple[str, str] | None, without_default("IR{} VIS{}")] = None
    """Patterns of the names in two folders, such as "IR{}.png" "VIS{}.png"."""

    resize_pairs: Annotated[Literal["infrared", "visible"] | None, without_default("infrared|visible")] = None
    """Where the two images of a pair differ in size, scale the other one to the size of this one."""

    workers: Annotated[int | None, without_default("N")] = None
    """Processes that decode; one a core when not given."""

    show: Annotated[int, arg(metavar="N")] = 50
    """Problems of each kind printed in full."""

    def __call__(self, console: Console) -> int:
        """Print the report; return 2 when the folder has problems."""
        from rich.progress import Progress

        from benchmark import datasets

        if odd := {"jobs", "progress", "resize_pairs", "resized_into"} & self.options.keys():
            raise InputError(f"--options {min(odd)}: no data set has this option")
        options: dict[str, Any] = self.options | ({"names": self.names} if self.names else {})
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("decoding", total=None)
            print_line = print_progress("decoded") if not console.is_terminal else lambda done, of: None

            def show(done: int, of: int) -> None:
                progress.update(task, completed=done, total=of)
                print_line(done, of)

            report = datasets.check(
                self.dataset,
                self.root,
                jobs=self.workers,
                progress=show,
                resize_pairs=self.resize_pairs,
                **options,
            )
        console.print(datasets.render(report, self.show))
        return 2 if report.problems else 0


@dataclass
class _OnWeights:
    method: Positional[Annotated[str, without_default("[METHOD]")]] = ""
    """Of which method; of all when not given."""

    def _chosen(self) -> "dict[str, Record]":
        """Return the records of the methods, by name."""
        import methods

        records = methods.records()
        if self.method and self.method not in records:
            raise unknown("method with weights", self.method, tuple(records))
        return {self.method: records[self.method]} if self.method else records


@dataclass
class ListWeights(_OnWeights):
    """Say which official weight files are here, and how the others are obtained."""

    def __call__(self, console: Console) -> int:
        """Print it; return the exit status."""
        from benchmark.studies.listings import render_weights

        console.print(render_weights(list(self._chosen())))
        return 0


@dataclass
class FetchWeights(_OnWeights):
    """Download official weight files and check them; those that are here are kept."""

    def __call__(self, console: Console) -> int:
        """Do it; return 2 when a file could not be fetched."""
        from methods import weights

        failed = False
        for method, record in self._chosen().items():
            for file in record.files:
                try:
                    console.print(f"{weights.fetch(method, record, file)}", soft_wrap=True)
                except InputError as error:
                    failed = True
                    _say(str(error))
        return 2 if failed else 0


@dataclass
class AddWeights:
    """Copy official weight files that you obtained by hand to where methods look for them."""

    method: Positional[Annotated[str, arg(metavar="METHOD")]]
    """Of which method, such as rfn_nest."""

    path: Positional[Annotated[Path, arg(metavar="PATH")]]
    """The file, or a folder that holds the files, such as ~/Downloads."""

    def __call__(self, console: Console) -> int:
        """Do it; return the exit status."""
        import methods
        from methods import weights

        records = methods.records()
        if self.method not in records:
            raise unknown("method with weights", self.method, tuple(records))
        for added in weights.add(self.method, records[self.method], self.path):
            console.print(f"added {added}", soft_wrap=True)
        return 0


@dataclass
class Weights:
    """List, fetch or add official weight files."""

    action: (
        Annotated[ListWeights, subcommand("list")]
        | Annotated[FetchWeights, subcommand("fetch")]
        | Annotated[AddWeights, subcommand("add")]
    )

    def __call__(self, console: Console) -> int:
        """Do it; return the exit status."""
        status: int = self.action(console)
        return status


@dataclass
class Profile:
    """Measure parameters, multiply-adds and milliseconds of methods."""

    methods: Annotated[tuple[str, ...], without_default("METHOD ...")] = ()
    """Which methods; all with a network when not given."""

    size: Annotated[str, arg(metavar="WxH")] = "640x480"
    """Size of the pair, WIDTHxHEIGHT."""

    repeats: Annotated[int, arg(metavar="N")] = 5
    """Fusions timed; the median is reported."""

    device: Annotated[str, arg(metavar="DEVICE")] = "auto"
    """Where networks run: auto, cpu, cuda, cuda:1."""

    out: Annotated[Path, arg(metavar="FOLDER")] = Path("results/profile")
    """Where profile.csv and profile.tex go."""

    def __call__(self, console: Console) -> int:
        """Measure and write; return 2 when a method could not be measured."""
        import methods
        from benchmark.engine import experiment
        from benchmark.studies import profile

        size = experiment.ScoreSettings(size=self.size).pixels
        if size is None:
            raise InputError("--size native: expected WIDTHxHEIGHT, such as 640x480")
        wanted = [experiment.method(text) for text in methods.expand(self.methods) or methods.records()]
        frame = profile.profile(wanted, size=size, repeats=max(self.repeats, 1), device=self.device)
        profile.write(self.out, frame)
        shown = frame.drop(columns="reason")
        table = Table(*shown.columns, title=frame.attrs["about"])
        for row in shown.to_dict("records"):
            table.add_row(*map(_cell, row.values()))
        console.print(table)
        for reason in frame["reason"].dropna():
            _say(reason)
        return 2 if frame["reason"].notna().any() else 0


Command = Annotated[
    Annotated[Demo, subcommand("demo")]
    | Annotated[Run, subcommand("run")]
    | Annotated[Fuse, subcommand("fuse")]
    | Annotated[Score, subcommand("score")]
    | Annotated[Detect, subcommand("detect")]
    | Annotated[Tables, subcommand("table")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Sweep, subcommand("sweep")]
    | Annotated[Report, subcommand("report")]
    | Annotated[Experts, subcommand("experts")]
    | Annotated[Gaming, subcommand("gaming")]
    | Annotated[List, subcommand("list")]
    | Annotated[Check, subcommand("check")]
    | Annotated[Weights, subcommand("weights")]
    | Annotated[Profile, subcommand("profile")],
    OmitSubcommandPrefixes,
]


def main() -> int:
    """Run the command that the arguments name; return the exit status.

    0: done. 1: a method broke, the rest is done. 2: something given cannot be used; what is finished is kept.
    130, 143: interrupted by Ctrl-C, by SIGTERM; what is finished is kept.
    """
    _have_streams()
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        command = parse(Command, prog="run_benchmark.py", description=DESCRIPTION)
        status: int = command(Console())
        return status
    except InputError as error:
        _say(str(error))
        return 2
    except OSError as error:
        _say(f"{error.filename or 'a file'} cannot be used ({error.strerror or error}); free space or repair it")
        return 2
    except KeyboardInterrupt as stop:
        _say("interrupted; what is finished is kept, and the same command resumes there")
        return 143 if stop.args else 130


def _have_streams() -> None:
    """Make sure that there is somewhere to write to, and that no character stops the writing."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # it took the place of a stream that was closed; the next file opened would have got it
    os.close(number)
    sys.stdout, sys.stderr = sys.stdout or open(1, "w"), sys.stderr or open(2, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # for terminals that lack a character


def _terminate(number: int, frame: object) -> None:
    raise KeyboardInterrupt(number)


def _report(outcome: "Outcome", console: Console) -> int:
    from benchmark.tables.screen import render_table

    for path in outcome.tables:
        console.print(render_table(path, console.width))
    for path in outcome.tables + outcome.figures:
        console.print(f"written: {path}", soft_wrap=True, markup=False, highlight=False)
    for reason in outcome.reasons:
        _say(reason)
    return outcome.status


def _cell(value: object) -> str:
    import pandas as pd

    if pd.isna(value):  # type: ignore[call-overload]
        return ""
    return (
        f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else escape(str(value))
    )


def _say(message: str) -> None:
    print(f"error: {plain(message)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
