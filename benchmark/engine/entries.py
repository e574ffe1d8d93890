"""What an experiment asks for: its methods with their rows and stages, under names that can be used."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import methods
import metrics
from benchmark.engine import parts
from benchmark.engine.experiment import Experiment, MethodSettings
from benchmark.studies import settings as studies
from metrics.errors import InputError, unknown

STAGES = ("train", "fuse", "score", "detect")
MEASURED, DETECTED = frozenset({"fuse", "score"}), frozenset({"fuse", "detect"})


@dataclass(frozen=True)
class Entry:
    """One method of a run: its label and what is done with it."""

    label: str
    method: MethodSettings
    stages: frozenset[str]


def label(method: MethodSettings) -> str:
    """Return a method's row in the tables, and its folder in the results."""
    if method.label:
        return unicodedata.normalize("NFC", method.label)
    try:
        found = methods.find(method.name)
    except InputError:
        return method.name  # its cell will fail and say why
    title = found.title or found.__name__
    return f"{title} ({method.variant})" if method.variant else title


def entries(experiment: Experiment) -> list[Entry]:
    """Return every method of the tables once, with what is done with it.

    Raises:
        InputError: There is no method, or two have one label.
    """
    if not experiment.methods:
        raise InputError(f"experiment {experiment.name!r} names no methods; see `run_benchmark.py list methods`")
    labels = [label(method) for method in experiment.methods]
    for each in labels:
        if labels.count(each) > 1:
            raise _two_called(each)
        if not each.isprintable():
            raise InputError(f"method label {each!r}: expected printable characters, in one line")
    wanted = set(experiment.tables)
    found: dict[str, Entry] = {}
    for method in experiment.methods if wanted & {1, 3} else []:
        work = (MEASURED if 1 in wanted else set()) | (DETECTED if 3 in wanted else set())
        _add(found, method, frozenset(work))
    for method in studies.ablations() if 2 in wanted else []:
        _add(found, method, MEASURED)
    return list(found.values())


def _add(entries: dict[str, Entry], method: MethodSettings, work: frozenset[str]) -> None:
    name = label(method)
    before = entries.get(name)
    if before and before.method != method:
        raise _two_called(name)
    if method.trained:
        work |= {"train"}
    entries[name] = Entry(name, method, work | (before.stages if before else frozenset()))


def _two_called(name: str) -> InputError:
    return InputError(f"two methods are called {name!r}; give one of them another label, as LABEL=NAME")


def columns(entries: Sequence[Entry], stage: str | None) -> list[str]:
    """Return the stages that a run shows and does."""
    used = set().union(*(entry.stages for entry in entries))
    return [name for name in STAGES if (stage is None and name in used) or name == stage] or ["data"]


def check_names(experiment: Experiment) -> None:
    """Raise InputError for a name that nobody knows or no table could hold."""
    for method in experiment.methods:
        if method.name not in methods.names() and not method.name.rpartition(":")[0].endswith(".py"):
            raise unknown("method", method.name, (*methods.names(), "path/to/file.py:Class"))
    titles = [parts.title(dataset) for dataset in experiment.datasets]
    for title in titles:
        if not title.isprintable():
            raise InputError(f"data set title {title!r}: expected printable characters, in one line")
        if titles.count(title) > 1:
            raise InputError(f"two data sets are called {title!r}; give one of them another title")
    for dataset in experiment.datasets:
        if dataset.part not in ("train", "test"):
            raise unknown(f"part of data set {dataset.name}", dataset.part, ("train", "test"))
    if experiment.score.convention not in metrics.CONVENTIONS:
        raise unknown("metric convention", experiment.score.convention, tuple(metrics.CONVENTIONS))
    experiment.score.pixels, experiment.score.ids  # noqa: B018  (refuse a size that is none, an unknown id)
