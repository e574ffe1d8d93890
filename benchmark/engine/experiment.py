"""Experiments: data sets, methods and scoring, read from TOML files into typed settings."""

import os
import re
import tomllib
import unicodedata
from collections.abc import Sequence
from dataclasses import field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

import methods
import metrics
from benchmark import datasets
from benchmark.detection.settings import DetectionSettings
from metrics.errors import InputError, unknown
from metrics.plugins import split_file_name
from metrics.registry import select

FOLDER = Path(__file__).parent / "experiments"
_STRICT = ConfigDict(extra="forbid")
_WEIGHTS = (".pth", ".pt", ".ckpt", ".model", ".pkl", ".h5", ".npz", ".tar", ".safetensors")  # suffixes of files
TRAINING = "training data"  # in a data set's place in cells where one model is trained for all that are tested
TRAIN = "train"  # behind the name of a method that can be trained: the run trains it
_MOST = 64 << 10  # bytes of a file; the time that a hostile one takes to parse grows with the square


@dataclass(config=_STRICT)
class DatasetSettings:
    """One data set of an experiment.

    Attributes:
        name: As `list datasets` gives it.
        root: Its folder, below the data root unless absolute; empty for the data set's usual folder name.
        part: The part that is fused and scored, "test" or "train".
        title: The table's block; empty for the data set's own.
        options: What its reader takes, for example a list of ids.
    """

    name: str
    root: str = ""
    part: str = "test"
    title: str = ""
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(config=_STRICT)
class MethodSettings:
    """One method of an experiment.

    Attributes:
        name: As `list methods` gives it, or path/to/file.py:Class.
        variant: One of its variants; None for its default; "train" for a `moefusion` that the run itself trains.
        weights: File or folder of its weights; for `folder` the folder of fused images.
        label: Its row in the tables and its folder in the results; empty for its title.
        fusion: For `moefusion` without weights, which the run trains itself: fields of `moefusion.FusionConfig`
            that differ from the experiment's.
    """

    name: str
    variant: str | None = None
    weights: str | None = None
    label: str = ""
    fusion: dict[str, Any] = field(default_factory=dict)

    @property
    def label_or_title(self) -> str:
        """Its row in the tables, and its folder in the results."""
        if self.label:
            return unicodedata.normalize("NFC", self.label)
        if self.kind is None:
            return self.name  # its cell will fail and say why
        title = self.kind.title or self.kind.__name__
        return f"{title} ({self.variant})" if self.variant else title

    @cached_property
    def kind(self) -> type[methods.Method] | None:
        """The method's class; None when it does not load."""
        try:
            return methods.find(self.name)
        except InputError:
            return None

    @property
    def trained(self) -> bool:
        """Whether the run trains it: it can be trained, and neither weights nor a packaged model are named."""
        return self.weights is None and self.variant in (None, TRAIN) and self.kind is not None and self.kind.trains

    @property
    def is_source(self) -> bool:
        """Whether it gives one of the two sources, unfused, which tables do not rank."""
        return self.kind is not None and self.kind.source

    @property
    def is_infrared(self) -> bool:
        """Whether its images are infrared ones."""
        return self.kind is not None and self.kind.infrared


def method(text: str) -> MethodSettings:
    """Return the method that a command line names.

    What follows NAME: is a file or folder of weights where it is there, has a path separator or the suffix of a
    weights file, or where the method always reads one, as `folder` and `moefusion` do; otherwise it is a variant, or
    "train" for a method that the run can train.

    Args:
        text: [LABEL=]NAME, [LABEL=]NAME:VARIANT, [LABEL=]NAME:PATH, [LABEL=]NAME:VARIANT:PATH, or
            [LABEL=]path/to/file.py:Class.
    """
    label, equals, rest = text.partition("=")
    if not equals:
        label, rest = "", text
    name, colon, detail = rest.partition(":")
    if not rest or (colon and not detail):
        raise InputError(f"method {text!r}: expected [LABEL=]NAME[:VARIANT][:WEIGHTS] or path/to/file.py:Class")
    if rest.rpartition(":")[0].endswith(".py"):
        return MethodSettings(name=rest, label=label)
    if not detail:
        return MethodSettings(name=name, label=label)
    kind = MethodSettings(name=name).kind
    variants = kind.variants if kind else ()
    if kind is not None and kind.trains and detail == TRAIN:
        return MethodSettings(name=name, variant=TRAIN, label=label)
    if kind is not None and kind.reads_weights and detail not in variants:
        return MethodSettings(
            name=name, weights=detail, label=label or ("" if kind.title else _folder_name(Path(detail)))
        )
    variant, colon, path = detail.partition(":")
    if colon and variant in variants:
        return MethodSettings(name=name, variant=variant, weights=path, label=label)
    if detail not in variants and _is_path(detail):
        return MethodSettings(name=name, weights=detail, label=label)
    return MethodSettings(name=name, variant=detail, label=label)


def _folder_name(path: Path) -> str:
    """Return the name of a folder, also of one with a pattern behind it: fused/Fuse{}.png."""
    return path.parent.name if "{}" in path.name else path.name


def _is_path(text: str) -> bool:
    return "/" in text or os.sep in text or text.endswith(_WEIGHTS) or Path(text).exists()


def _join_ids(selection: object) -> object:
    if isinstance(selection, list) and all(isinstance(name, str) for name in selection):
        return ",".join(selection)
    return selection


@dataclass(config=_STRICT)
class ScoreSettings:
    """How fused images are scored.

    Attributes:
        convention: The metric convention.
        size: The size scored, "native" or WIDTHxHEIGHT.
        metrics: Which metrics: "paper", "all", or ids, as a list or separated by commas.
    """

    convention: str = "tang2022"
    size: str = "native"
    metrics: Annotated[str, BeforeValidator(_join_ids)] = "paper"

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the metrics, in the tables' order.

        Raises:
            InputError: An id is unknown.
        """
        return select(self.metrics, self.convention)

    @property
    def pixels(self) -> tuple[int, int] | None:
        """Return (width, height), or None for native.

        Raises:
            InputError: The size is neither "native" nor WIDTHxHEIGHT.
        """
        if self.size == "native":
            return None
        sides = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", self.size)
        if not sides:
            raise InputError(f"size {self.size[:80]!r}: expected 'native' or WIDTHxHEIGHT such as 640x480")
        return int(sides[1]), int(sides[2])


@dataclass(config=_STRICT)
class TrainingData:
    """One of the data sets that MoE-Fusion is trained on together.

    Attributes:
        name: As `list datasets` gives it.
        root: Its folder, below the data root unless absolute; empty for the data set's usual folder name.
        part: "train", "test", or "all": both.
        leave_out: Names of pairs that are not trained on, such as frames of another data set's test part.
        options: What its reader takes.
    """

    name: str
    root: str = ""
    part: Literal["train", "test", "all"] = "train"
    leave_out: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(config=_STRICT)
class TrainSettings:
    """How MoE-Fusion is trained.

    Attributes:
        datasets: On which data sets together, one model for all that is tested; when there are none, one model for
            each of the experiment's data sets, on its training part.
        preset: What `fusion` and `training` start from: "paper" or "public".
        fusion: Fields of `moefusion.FusionConfig` that differ.
        detector: Fields of `moefusion.DetectorConfig` that differ; weights may be the text "none".
        training: Fields of `moefusion.TrainingConfig` that differ.
    """

    datasets: list[TrainingData] = field(default_factory=list)
    preset: Literal["paper", "public"] = "paper"
    fusion: dict[str, Any] = field(default_factory=dict)
    detector: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)

    def place(self, dataset: str) -> str:
        """Return the name under which the cell of a data set's model lies: the data set's, or one for all."""
        return TRAINING if self.datasets else dataset


@dataclass(config=_STRICT)
class Experiment:
    """What one run does.

    Attributes:
        title: The tables' captions begin with it.
        datasets: On what.
        methods: Rows of Tables 1 and 3; each a table of settings, or a text as on the command line.
        tables: Which are made: 1, the metrics; 2, the ablations of MoE-Fusion; 3, detection.
        score: How images are scored.
        train: How MoE-Fusion is trained, where the run trains it.
        detection: How objects are detected in the fused images.
        name: The file's name without its ending.
        trains: Whether `moefusion` alone is one that the run trains, because the file says how in [train], instead of
            the packaged model.
    """

    title: str
    datasets: list[DatasetSettings]
    methods: list[
        Annotated[MethodSettings, BeforeValidator(lambda text: method(text) if isinstance(text, str) else text)]
    ]
    tables: list[Literal[1, 2, 3]] = field(default_factory=lambda: [1])
    score: ScoreSettings = field(default_factory=ScoreSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    detection: DetectionSettings = field(default_factory=DetectionSettings)
    name: str = ""
    trains: bool = True


def names() -> tuple[str, ...]:
    """Return the experiments that come with the benchmark, and the data sets whose experiment is Table 1 on them."""
    files = {path.stem for path in FOLDER.glob("*.toml")}
    return tuple(sorted(files | {name for name in datasets.names() if name != "synthetic"}))  # which is demo's


def _on_dataset(name: str) -> "Experiment":
    """Return the experiment of a data set that has no file: Table 1 by the methods of `m3fd`, at native size."""
    record = datasets.record(name)
    settings = [DatasetSettings(name=name)]
    return Experiment(f"Table 1 on {record.title}", settings, read("m3fd").methods, name=record.name, trains=False)


def read(name: str) -> Experiment:
    """Return an experiment's settings.

    Args:
        name: One of `names()`, the path of a TOML file, or a data set in a user's file, path/to/file.py:function.

    Raises:
        InputError: Nobody knows the name, or the file holds something else than an experiment.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file() and (split_file_name(name) or name in datasets.names()) and name != "synthetic":
        return _on_dataset(name)
    if not path.is_file() and name.endswith(".toml"):
        raise InputError(f"{path} is not there; expected a TOML file, or one of {', '.join(names())}")
    if not path.is_file():
        raise unknown("experiment", name, (*names(), "path/to/file.toml"))
    try:
        with path.open("rb") as file:
            text = file.read(_MOST + 1)
        if len(text) > _MOST:
            raise ValueError(f"it has more than {_MOST} bytes")
        settings = _with_metrics(tomllib.loads(text.decode()), path)
        found = TypeAdapter(Experiment).validate_python(settings | {"name": path.stem, "trains": "train" in settings})
        return replace(found, methods=_chosen_models(found.methods, trains=found.trains))
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}, {where}: {first['msg']}; see benchmark/engine/experiments for examples") from error
    except (ValueError, RecursionError) as error:  # tomllib's own, decode's, and int's for thousands of digits
        raise InputError(f"{path} is not TOML ({error})") from error


def _chosen_models(methods: Sequence[MethodSettings], *, trains: bool) -> list[MethodSettings]:
    """Return methods where those that can be trained say which model they are: the packaged one, or the run's own."""
    return [_chosen_model(settings, trains=trains) for settings in methods]


def _chosen_model(settings: MethodSettings, *, trains: bool) -> MethodSettings:
    if not settings.trained:
        return settings
    packaged = settings.kind.variants if settings.kind else ()
    if trains or settings.variant == TRAIN or settings.fusion or not packaged:
        return replace(settings, variant=None)
    return replace(settings, variant=packaged[0])


def _with_metrics(settings: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return an experiment's settings with a `metrics` that stands at the top moved into [score]."""
    if "metrics" not in settings:
        return settings
    score = settings.get("score", {})
    if not isinstance(score, dict) or "metrics" in score:
        raise InputError(f"{path}: metrics stands both at the top and in [score]; keep one of them")
    rest = {name: value for name, value in settings.items() if name != "metrics"}
    return rest | {"score": score | {"metrics": settings["metrics"]}}


def check_names(experiment: Experiment) -> None:
    """Raise InputError for a name that is unknown, stands twice, or that no table could hold."""
    for settings in experiment.methods:
        if settings.name not in methods.names() and not settings.name.rpartition(":")[0].endswith(".py"):
            raise unknown("method", settings.name, (*methods.names(), "path/to/file.py:Class"))
    titles = [dataset.title or datasets.record(dataset.name).title for dataset in experiment.datasets]
    for title in titles:
        if not title.isprintable():
            raise InputError(f"data set title {title!r}: expected printable characters, in one line")
        if titles.count(title) > 1:
            raise InputError(f"two data sets are called {title!r}; give one of them another title")
    for data in experiment.train.datasets:
        datasets.record(data.name)
    for dataset in experiment.datasets:
        if dataset.part not in ("train", "test"):
            raise unknown(f"part of data set {dataset.name}", dataset.part, ("train", "test"))
    if experiment.score.convention not in metrics.CONVENTIONS:
        raise unknown("metric convention", experiment.score.convention, tuple(metrics.CONVENTIONS))
    experiment.score.pixels, experiment.score.ids  # noqa: B018  (refuse a size that is none, an unknown id)


def with_overrides(
    experiment: Experiment,
    *,
    methods: Sequence[MethodSettings] = (),
    tables: Sequence[Literal[1, 2, 3]] = (),
    convention: str | None = None,
    size: str | None = None,
    metrics: str | None = None,
    resize_pairs: str | None = None,
    names: Sequence[str] = (),
) -> Experiment:
    """Return an experiment with what the command line sets in place of its own."""
    given = {"resize_pairs": resize_pairs, "names": list(names)}
    options = {name: value for name, value in given.items() if value}
    score = replace(
        experiment.score,
        convention=convention or experiment.score.convention,
        size=size or experiment.score.size,
        metrics=metrics or experiment.score.metrics,
    )
    return replace(
        experiment,
        datasets=[replace(dataset, options=dataset.options | options) for dataset in experiment.datasets],
        methods=_chosen_models(methods, trains=experiment.trains) or experiment.methods,
        tables=list(tables) or experiment.tables,
        score=score,
    )
