"""The data sets: where their files lie, which pairs are for training and which for the test, what is in them.

Nothing is fetched; every reader takes the folder that a person downloaded.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from joblib import cpu_count

from benchmark.datasets import flir, folders, llvip, m3fd, msrs
from benchmark.datasets.base import Box, Dataset, Pair, fingerprint
from benchmark.datasets.findings import Findings, Parts, Scan, quoted, short
from benchmark.datasets.report import CheckReport, examine, render
from benchmark.synthetic import reader as embedded
from metrics.errors import InputError, unknown

__all__ = [
    "RECORDS",
    "Box",
    "CheckReport",
    "Dataset",
    "Pair",
    "Record",
    "Scan",
    "check",
    "fingerprint",
    "keywords",
    "load",
    "names",
    "record",
    "render",
    "scan",
    "titles",
]

_LONGEST = 4096  # characters of an option's value: the longest path that Linux takes


@dataclass(frozen=True)
class Record:
    """What is known of a data set before its folder is read.

    Attributes:
        name: What commands take.
        title: What tables print.
        folder: Its usual name under a folder of data sets.
        about: One line: what it shows, and whose it is.
        read: Its reader; the keyword-only arguments are the data set's options.
        published: Number of pairs of each part as published.
    """

    name: str
    title: str
    folder: str
    about: str
    read: Callable[..., Parts]
    published: Mapping[str, int] = field(default_factory=dict)

    @property
    def options(self) -> tuple[str, ...]:
        """What `load` takes besides the root."""
        return keywords(self.read)


RECORDS = {
    record.name: record
    for record in (
        Record(
            "m3fd",
            "M3FD",
            "M3FD",
            "4,200 annotated street and campus scenes, six classes (Liu et al., CVPR 2022)",
            m3fd.read,
            {"train": 3900, "test": 300},
        ),
        Record(
            "flir",
            "FLIR",
            "FLIR_aligned",
            "5,142 annotated driving scenes, aligned version: car, person, bicycle (Zhang et al., ICIP 2020)",
            flir.read,
            {"train": 4129, "test": 1013},
        ),
        Record(
            "llvip",
            "LLVIP",
            "LLVIP",
            "15,488 annotated night scenes: person (Jia et al., ICCV Workshops 2021)",
            llvip.read,
            {"train": 12025, "test": 3463},
        ),
        Record(
            "msrs",
            "MSRS",
            "MSRS",
            "1,444 driving scenes; boxes by others: person, bicycle, car (Tang et al., Inf. Fusion 2022)",
            msrs.read,
            {"train": 1083, "test": 361},
        ),
        Record(
            "m3fd_fusion",
            "M3FD-Fusion",
            "M3FD_Fusion",
            "300 more pairs of M3FD, without boxes (Liu et al., CVPR 2022)",
            partial(folders.read, infrared="Ir", visible="Vis"),
            {"test": 300},
        ),
        Record(
            "roadscene",
            "RoadScene",
            "RoadScene",
            "driving scenes cropped from FLIR frames, without boxes (Xu et al., AAAI 2020)",
            partial(folders.read, infrared="cropinfrared", visible="crop_LR_visible"),
            {"test": 221},
        ),
        Record(
            "tno",
            "TNO",
            "TNO",
            "military scenes, without boxes, in two folders (Toet, figshare 2014)",
            folders.read,
        ),
        Record(
            "synthetic",
            "Synthetic",
            "synthetic",
            "street scenes that the benchmark draws itself; scores say nothing about real data sets",
            embedded.read,
        ),
        Record("folders", "folders", "folders", "any two folders whose images match by name", folders.read),
    )
}


def keywords(function: Callable[..., object]) -> tuple[str, ...]:
    """Return the names of a function's keyword-only arguments."""
    parameters = inspect.signature(function).parameters.values()
    return tuple(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)


def names() -> tuple[str, ...]:
    """Return the names of the data sets."""
    return tuple(RECORDS)


def titles() -> dict[str, str]:
    """Return the title of each data set, by name."""
    return {name: record.title for name, record in RECORDS.items()}


def record(name: str) -> Record:
    """Return what is known of a data set.

    Raises:
        InputError: Nobody knows the name.
    """
    if name not in RECORDS:
        raise unknown("data set", name, names())
    return RECORDS[name]


def scan(name: str, root: str | Path, /, **options: str | Path) -> Scan:
    """Return a data set as far as it can be read, and every problem of its folder.

    Args:
        name: One of `names()`.
        root: The folder that holds its files.
        options: As its reader names them.

    Raises:
        InputError: The name or an option is unknown; never for what the folder holds.
    """
    known = record(name)
    for option in options:
        if option not in known.options:
            raise unknown(f"option of the data set {name}", short(option), known.options or ("none",))
        value = options[option]
        if not isinstance(value, str | Path | None) or "\0" in str(value) or len(str(value)) > _LONGEST:
            raise InputError(
                f"option {option} of the data set {name} is {quoted(value)}; expected a text, of {_LONGEST:,} "
                "characters at most."
            )
    root, findings, parts = Path(root), Findings(), Parts()
    try:
        if not root.is_dir():
            raise InputError(f"{root} is not a folder; expected the one that holds the files of {known.title}.")
        parts = known.read(root, findings, **options)
    except InputError as error:
        findings.problem("layout", str(error))
    except OSError as error:
        findings.problem("layout", f"{error.filename or root} cannot be read ({error.strerror}).")
    if not findings.problems and not parts.train and not parts.test:
        findings.problem("layout", f"{root} holds no pair of images that match by name.")
    for twice in sorted({pair.name for pair in parts.train} & {pair.name for pair in parts.test}):
        findings.problem("list", f"{twice} is in both the train and the test part of {root}; a pair is in one.")
    dataset = Dataset(
        known.name,
        known.title,
        parts.classes,
        parts.train,
        parts.test,
        parts.split,
        findings.notes,
    )
    return Scan(dataset, tuple(findings.problems), parts.layout, findings.annotation_hash, findings.more)


def load(name: str, root: str | Path, /, **options: str | Path) -> Dataset:
    """Return a data set whose folder has no problem.

    Args:
        name: One of `names()`.
        root: The folder that holds its files.
        options: As its reader names them.

    Raises:
        InputError: The first problem, and how many there are.
    """
    found = scan(name, root, **options)
    if found.problems:
        first, more = found.problems[0], len(found.problems) - 1 + sum(found.more.values())
        rest = f" And {more:,} more; `run_benchmark.py check {name} {root}` lists them." if more else ""
        raise InputError(first + rest)
    return found.dataset


def check(
    name: str,
    root: str | Path,
    /,
    *,
    jobs: int | None = 1,
    progress: Callable[[int, int], None] | None = None,
    **options: str | Path,
) -> CheckReport:
    """Return a report on a data set's folder; every image is decoded.

    Args:
        name: One of `names()`.
        root: The folder that holds its files.
        jobs: Number of processes that decode, of which a pair needs one at most; None for one a core.
        progress: Called with the number of pairs done and their total.
        options: As its reader names them.

    Raises:
        InputError: The name or an option is unknown, or there are no processes; never for what the folder holds.
    """
    jobs = cpu_count() if jobs is None else jobs
    if jobs < 1:
        raise InputError(f"workers is {jobs}; expected at least 1, or nothing for one a core.")
    return examine(scan(name, root, **options), str(root), record(name).published, jobs, progress)
