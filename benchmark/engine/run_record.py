"""The record of a run, `run.json` in its folder, from which the report and the figures are made."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from benchmark.datasets.base import Pair
from benchmark.engine.experiment import Experiment
from metrics.errors import InputError
from metrics.files import write_bytes

FILE = "run.json"


@dataclass(frozen=True)
class Part:
    """The pairs of one data set that a run works on, with their split and notes.

    Attributes:
        name: The data set's name.
        title: As the tables print it, and as its cells are called.
        classes: What its boxes are labelled with.
        pairs: What is fused and scored.
        split: Which part of which split the pairs are, in words.
        fingerprint: Of the pairs, as `datasets.base.fingerprint` gives it.
        notes: What its reader left out or corrected.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    pairs: tuple[Pair, ...]
    split: str
    fingerprint: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """One run.

    Attributes:
        experiment: What it does.
        labels: Its methods' labels: rows of the tables and names of cells.
        parts: The pairs that it found.
        files: Names of the tables that runs in this folder wrote; None where nothing says so.
    """

    experiment: Experiment
    labels: tuple[str, ...]
    parts: tuple[Part, ...]
    files: tuple[str, ...] | None = None

    def has_written(self, name: str) -> bool:
        """Whether a table is of this run; of a run that lists none, each one is."""
        return self.files is None or name in self.files


_RECORD = TypeAdapter(Record)


def write(folder: Path, record: Record) -> None:
    """Write a run's record into its folder."""
    write_bytes(folder / FILE, _RECORD.dump_json(record, indent=1))


def add_files(folder: Path, paths: Iterable[Path]) -> None:
    """Add tables to those that a run's record lists."""
    record = read(folder)
    write(folder, replace(record, files=tuple(sorted({*(record.files or ()), *(path.name for path in paths)}))))


def read_files(folder: Path) -> tuple[str, ...]:
    """Return the tables that the record of earlier runs in a folder lists; none without a record."""
    try:
        return read(folder).files or ()
    except InputError:
        return ()


def read(folder: Path) -> Record:
    """Return the record of a run's folder.

    Raises:
        InputError: The folder holds no run, or its record is damaged.
    """
    path = folder / FILE
    try:
        return _RECORD.validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); expected the folder of a run, such as results/demo"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}, {where}: {first['msg']}; run the experiment again to rewrite it") from error
