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

import tyro
from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table
from tyro.conf import OmitSubcommandPrefixes, Positional, arg, subcommand

from metrics.errors import InputError, plain, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmark.engine.experiment import Experiment
    from benchmark.engine.runner import Options, Outcome

DESCRIPTION = """Reference benchmark for infrared-visible image fusion.

Fuses pairs of images by every method, scores the fused images by the metrics of a named convention, and
writes the paper's tables as CSV and LaTeX. What is finished is kept: the same command resumes where it was stopped.
To score a folder of fused images by itself: python -m metrics INFRARED_DIR VISIBLE_DIR FUSED_DIR."""


PAPER_YEAR = 2023  # MoE-Fusion, ICCV


@dataclass
class _OnExperiment:
    """What all commands on an experiment take."""

    experiment: Positional[Annotated[str, arg(metavar="EXPERIMENT")]]
    """An experiment that comes with the benchmark (see `list experiments`), a data set's name, or a TOML file."""

    data_root: Path = Path("data")
    """The folder that holds the data sets' folders, such as M3FD or LLVIP."""

    out: Path | None = None
    """Where results go; results/EXPERIMENT when not given."""

    limit: int | None = None
    """Only the first pairs of each data set."""

    resize_pairs: Literal["infrared", "visible"] | None = None
    """Where the two images of a pair differ in size, scale the other one to the size of this one."""

    names: Annotated[tuple[str, str] | None, arg(metavar="IR{} VIS{}")] = None
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
    file, colon, function = experiment.rpartition(":")  # of a data set of a user's own
    return function if colon and file.endswith(".py") else Path(experiment).stem


@dataclass
class _WithMethods:
    methods: Annotated[tuple[str, ...], arg(metavar="[LABEL=]METHOD ...")] = ()
    """Methods in place of the experiment's: NAME, NAME:VARIANT, NAME:path/to/weights, path/to/file.py:Class."""


@dataclass
class _WithTables:
    tables: Annotated[tuple[Literal[1, 2, 3], ...], arg(metavar="1|2|3 ...")] = ()
    """Which tables, in place of the experiment's: 1 metrics, 2 ablations of MoE-Fusion, 3 detection."""


@dataclass
class _WithScoring:
    convention: str | None = None
    """Metric convention in place of the experiment's (see `list metrics`)."""

    size: str | None = None
    """Size scored in place of the experiment's: native, or WIDTHxHEIGHT."""

    metrics: Annotated[str | None, arg(metavar="paper|all|ID,...")] = None
    """Metrics in place of the experiment's: paper (its eight), all of the convention's, or ids such as EN,SSIM."""


@dataclass
class _WithWorkers:
    workers: int | None = None
    """Processes that fuse and score; one a core when not given."""

    cluster: Annotated[str | None, arg(metavar="ADDRESS")] = None
    """Fuse and score on the workers of a Dask scheduler, such as tcp://host:8786, that see the same files."""


@dataclass
class _WithDevice:
    device: str = "auto"
    """Where networks run: auto, cpu, cuda, cuda:1."""


@dataclass
class _WithRedo:
    redo: bool = False
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
    colour: bool = False
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
        return experiment if trains else with_overrides(experiment, methods=[method("moefusion")], tables=(1,))


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

    model: Path | None = None
    """A model.safetensors; the run's own MoE-Fusion when not given."""

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

    boxes: Path | None = None
    """A CSV file with the boxes to zoom at: image,x0,y0,x1,y1, and dataset where the run has several."""

    scenes: int | None = None
    """How many scenes of a data set the gallery shows at most; 24 in all, or as many as fit, when not given."""

    megabytes: float = 18.0
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

    out: Path = Path("results/demo")
    """Where scenes, images and tables go."""

    redo: bool = False
    """Make again what is there already."""

    def __call__(self, console: Console) -> int:
        """Run it; return the exit status."""
        return Run("demo", out=self.out, redo=self.redo)(console)


@dataclass
class List:
    """Say what there is: methods, metrics, datasets, splits or experiments."""

    what: Positional[Literal["methods", "metrics", "datasets", "splits", "experiments"]]

    name: Positional[Annotated[str | None, arg(metavar="ID")]] = None
    """Of a metric, such as VIF: print its formula, reference, and scale in each convention."""

    def __call__(self, console: Console) -> int:
        """Print it; return the exit status."""
        if self.name is not None:
            if self.what != "metrics":
                raise InputError(f"list {self.what} {self.name}: only metrics have details; leave the name out.")
            console.print(_metric(self.name))
            return 0
        listing: dict[str, Callable[[], Table | Group]] = {
            "methods": _methods,
            "metrics": _metrics,
            "datasets": _datasets,
            "splits": _splits,
            "experiments": _experiments,
        }
        console.print(listing[self.what]())
        return 0


@dataclass
class Check:
    """Say what a data set's folder holds, beside what was published; decodes every image."""

    dataset: Positional[Annotated[str, arg(metavar="DATASET")]]
    """One of `list datasets`."""

    root: Positional[Annotated[Path, arg(metavar="ROOT")]]
    """The data set's folder."""

    options: Annotated[dict[str, str], arg(metavar="NAME VALUE ...")] = field(default_factory=dict)
    """Options of its reader, such as `test_list my_test.txt`."""

    names: Annotated[tuple[str, str] | None, arg(metavar="IR{} VIS{}")] = None
    """Patterns of the names in two folders, such as "IR{}.png" "VIS{}.png"."""

    resize_pairs: Literal["infrared", "visible"] | None = None
    """Where the two images of a pair differ in size, scale the other one to the size of this one."""

    workers: int | None = None
    """Processes that decode; one a core when not given."""

    show: int = 50
    """Problems of each kind printed in full."""

    def __call__(self, console: Console) -> int:
        """Print the report; return 2 when the folder has problems."""
        from rich.progress import Progress

        from benchmark import datasets

        if odd := {"jobs", "progress", "resize_pairs", "resized_into"} & self.options.keys():
            raise InputError(f"--options {min(odd)}: no data set has this option")
        options: dict[str, Any] = self.options | ({"names": self.names} if self.names else {})
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task("decoding", total=None)
            report = datasets.check(
                self.dataset,
                self.root,
                jobs=self.workers,
                progress=lambda done, of: progress.update(task, completed=done, total=of),
                resize_pairs=self.resize_pairs,
                **options,
            )
        console.print(datasets.render(report, self.show))
        return 2 if report.problems else 0


@dataclass
class Weights:
    """List, fetch or add official weight files."""

    action: Positional[Literal["list", "fetch", "add"]]
    """list: what there is; fetch: download a method's files; add: take over files that you fetched by hand."""

    method: Positional[Annotated[str, arg(metavar="METHOD")]] = ""
    """Which method; all when not given."""

    path: Positional[Annotated[Path | None, arg(metavar="PATH")]] = None
    """For add: the file, or a folder that holds the files."""

    def __call__(self, console: Console) -> int:
        """Do it; return 2 when a file could not be had."""
        import methods
        from methods import weights

        records = methods.records()
        if self.method and self.method not in records:
            raise unknown("method with weights", self.method, tuple(records))
        chosen = [self.method] if self.method else list(records)
        if self.action == "list":
            console.print(_weights(chosen))
            return 0
        if self.action == "add":
            if not self.method or self.path is None:
                raise InputError("weights add: expected METHOD and PATH, such as `weights add rfn_nest ~/Downloads`")
            for added in weights.add(self.method, records[self.method], self.path):
                console.print(f"added {added}", soft_wrap=True)
            return 0
        failed = False
        for method in chosen:
            for file in records[method].files:
                try:
                    console.print(f"{weights.fetch(method, records[method], file)}", soft_wrap=True)
                except InputError as error:
                    failed = True
                    _say(str(error))
        return 2 if failed else 0


@dataclass
class Profile:
    """Measure parameters, multiply-adds and milliseconds of methods."""

    methods: Annotated[tuple[str, ...], arg(metavar="METHOD ...")] = ()
    """Which methods; all with a network when not given."""

    size: str = "640x480"
    """Size of the pair, WIDTHxHEIGHT."""

    repeats: int = 5
    """Fusions timed; the median is reported."""

    device: str = "auto"
    """Where networks run: auto, cpu, cuda, cuda:1."""

    out: Path = Path("results/profile")
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
        command = tyro.cli(Command, prog="run_benchmark.py", description=DESCRIPTION)
        return command(Console())
    except InputError as error:
        _say(str(error))
        return 2
    except OSError as error:
        _say(f"{error.filename or 'a file'} cannot be used ({error.strerror or error}); make room or mend it")
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


def _methods() -> Group:
    import methods

    records = methods.records()
    networks = Table("method", "title", "year", "of the paper", "made for", "checked by", "variants")
    networks.title = "published networks, by year"
    for name, record in records.items():
        method = methods.find(name)
        origin = "Table 1" if record.row else "came after" if record.year >= PAPER_YEAR else "no"
        facts = (method.title, str(record.year), origin, record.task, record.verified, ", ".join(method.variants))
        networks.add_row(name, *map(escape, facts))
    networks.caption = "groups: paper (those of its Table 1), all-verified (all but those checked by architecture only)"
    others = Table("method", "what it is", title="other methods")
    for name in methods.names():
        if name not in records:
            try:
                about = (methods.find(name).__doc__ or "").strip().splitlines()
            except InputError as error:
                about = [str(error)]
            others.add_row(name, escape(about[0]) if about else "")
    others.caption = "and path/to/file.py:Class for a method in a file, folder:PATH for images that are fused already"
    for table in (networks, others):
        for column in table.columns:
            column.overflow = "fold"
    return Group(networks, others)


def _metrics() -> Table:
    """Return one line a metric, short enough for 80 columns."""
    import metrics

    letters = dict(zip(metrics.CONVENTIONS, "abcdefghijklmnopqrstuvwxyz", strict=False))
    table = Table()
    table.add_column("metric", no_wrap=True)
    table.add_column("name", no_wrap=True, max_width=36)
    table.add_column("looks at", no_wrap=True)
    table.add_column("programs", no_wrap=True)
    for metric in metrics.METRICS.values():
        programs = "".join(letter if name in metric.rules else "·" for name, letter in letters.items())
        table.add_row(f"{metric.id} {metric.arrow}", metric.title, metric.group, programs)
    programs = ", ".join(f"{letter} {name}" for name, letter in letters.items())
    table.caption = f"↑ higher is better, ↓ lower. Programs (conventions): {programs}. Details: list metrics ID"
    return table


def _metric(name: str) -> Table:
    """Return all that is known of one metric."""
    import metrics
    from metrics.errors import unknown

    if name not in metrics.METRICS:
        raise unknown("metric", name, tuple(metrics.METRICS))
    metric = metrics.METRICS[name]
    table = Table(title=f"{metric.id} {metric.arrow} {metric.title}", show_header=False)
    direction = "higher is better" if metric.higher_is_better else "lower is better"
    about = {
        "direction": direction,
        "looks at": metric.group,
        "formula": metric.formula,
        "proposed by": metric.reference,
    }
    if metric.undefined:
        about["undefined"] = f"where {metric.undefined}"
    for key, text in about.items():
        table.add_row(key, escape(text))
    table.add_section()
    for convention, rule in metric.rules.items():
        smallest = metric.smallest_side(convention)
        needs = f"; images of at least {smallest}x{smallest}" if smallest > 1 else ""
        table.add_row(convention, escape(rule.scale + needs))
    return table


def _datasets() -> Table:
    from benchmark import datasets

    table = Table("data set", "title", "folder below --data-root", "what it is", "home page and terms of use")
    for name in datasets.names():
        try:
            known = datasets.record(name)
        except InputError as error:  # of an installed package that does not load
            table.add_row(name, "", "", escape(str(error)), "")
            continue
        terms = "\n".join(filter(None, (known.home_page, known.licence)))
        table.add_row(name, known.title, known.folder, escape(known.about), escape(terms))
    table.columns[-1].overflow = "fold"  # an address that is cut short leads nowhere
    table.caption = "and path/to/file.py:function for one of your own"
    return table


def _splits() -> Table:
    from benchmark.datasets.splits import SPLITS

    table = Table("data set", "split", "train", "test", "whose")
    for split in SPLITS:
        table.add_row(split.dataset, split.name, f"{split.train:,}", f"{split.test:,}", split.source)
    table.caption = 'chosen by options = {split = "NAME"} in an experiment, or --options split NAME of check'
    return table


def _experiments() -> Table:
    from benchmark.engine import experiment

    table = Table("experiment", "title", "data sets", "convention", "size scored")
    for name in experiment.names():
        known = experiment.read(name)
        sets = ", ".join(dataset.name for dataset in known.datasets)
        table.add_row(name, known.title, sets, known.score.convention, known.score.size)
    return table


def _weights(chosen: "Sequence[str]") -> Table:
    import methods
    from methods import weights

    table = Table("method", "file", "state", "ours was checked by", title=f"weights in {weights.folder('')}")
    table.columns[1].overflow = "fold"
    records = methods.records()
    for method in chosen:
        for file in records[method].files:
            path = weights.folder(method) / file.name
            state = "can be fetched" if file.url else "to be fetched by hand"
            if path.is_file():
                state = "here" if weights.usable(path, file) else "here, but not the official file"
            table.add_row(method, escape(file.name), state, records[method].verified)
    return table


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
