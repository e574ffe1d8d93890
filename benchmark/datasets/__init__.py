"""Data sets: their file layouts, training and test splits, and annotations.

Nothing is fetched; every reader takes the folder that a person downloaded.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from joblib import cpu_count

from benchmark.datasets.base import Box, Dataset, Pair, fingerprint
from benchmark.datasets.findings import Findings, Parts, Scan, quoted, short
from benchmark.datasets.pairing import MISSING_ANNOTATION, safe
from benchmark.datasets.record import Record, keywords
from benchmark.datasets.registry import names, record, titles
from benchmark.datasets.report import CheckReport, examine, render
from benchmark.datasets.resizing import Resizing
from metrics.errors import InputError, unknown

__all__ = [
    "Box",
    "CheckReport",
    "Dataset",
    "Findings",
    "Pair",
    "Parts",
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


def scan(
    name: str,
    root: str | Path,
    /,
    *,
    resize_pairs: str | None = None,
    resized_into: Path | None = None,
    **options: str | Path | Sequence[str],
) -> Scan:
    """Return a data set as far as it can be read, and every problem of its folder.

    Args:
        name: One of `names()`.
        root: The folder that holds its files.
        resize_pairs: `infrared` or `visible`: where the two images of a pair differ in size, the other one is scaled to
            the size of this one. None: such pairs are a problem.
        resized_into: Where scaled images are written.
        options: As its reader names them.

    Raises:
        InputError: The name or an option is unknown; never for what the folder holds.
    """
    known = record(name)
    for option in options:
        if option not in known.options:
            raise unknown(f"option of the data set {name}", short(option), known.options or ("none",))
        value = options[option]
        texts = value if option == "names" and isinstance(value, list | tuple) else [value]
        if any(not isinstance(one, str | Path | None) or "\0" in str(one) or len(str(one)) > _LONGEST for one in texts):
            raise InputError(
                f"option {option} of the data set {name} is {quoted(value)}; expected a text, of {_LONGEST:,} "
                "characters at most."
            )
    if resize_pairs is not None and resized_into is None:
        raise InputError(
            f"resize_pairs is {quoted(resize_pairs)}; expected resized_into as well: a folder to write to."
        )
    resizing = Resizing(resize_pairs, resized_into) if resize_pairs is not None and resized_into is not None else None
    root, findings, parts = Path(root), Findings(resizing), Parts()
    try:
        if not root.is_dir():
            raise InputError(f"{root} is not a folder; expected the one that holds the files of {known.title}.")
        parts = _read(known, root, findings, options)
    except InputError as error:
        findings.problem("layout", str(error))
    except OSError as error:
        findings.problem("layout", f"{error.filename or root} cannot be read ({error.strerror}).")
    if not findings.problems and not parts.train and not parts.test:
        findings.problem("layout", f"{root} holds no pair of images that match by name.")
    _check_names(parts, root, findings)
    dataset = Dataset(
        known.name,
        known.title,
        parts.classes,
        parts.train,
        parts.test,
        parts.split + _resized_text(findings),
        findings.notes,
    )
    return Scan(dataset, tuple(findings.problems), parts.layout, findings.annotation_hash, findings.more)


def _resized_text(findings: Findings) -> str:
    """Return what a split says of scaled images, so that every table says it."""
    if not findings.resizing or not findings.resized:
        return ""
    scaled, band = findings.resizing.scaled, findings.resizing.band
    return f"; {scaled} images of {findings.resized:,} pairs scaled bilinearly to the {band} image's size"


def _read(known: Record, root: Path, findings: Findings, options: Mapping[str, str | Path | Sequence[str]]) -> Parts:
    """Return what a reader makes of a folder; a user's reader may raise or return anything."""
    try:
        parts = known.read(root, findings, **options)
    except (InputError, OSError):
        raise
    except Exception as error:
        if getattr(known.read, "__module__", "benchmark.").startswith("benchmark."):
            raise  # a fault of the benchmark's own
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(f"the reader of the data set {known.name} failed on {root} ({short(reason)}).") from error
    if not isinstance(parts, Parts):
        raise InputError(f"the reader of the data set {known.name} returned {quoted(parts)}; expected Parts.")
    return parts


def _check_names(parts: Parts, root: Path, findings: Findings) -> None:
    """Report names that cannot be those of files, that stand twice, and labels of no class."""
    for pair in (*parts.train, *parts.test):
        if not safe(pair.name):
            findings.problem("list", f"{short(pair.name)!r} cannot be the name of a pair's files; choose a plain name.")
        if unknown_labels := sorted(set(pair.labels) - set(parts.classes)):
            known = ", ".join(parts.classes) or "none"
            findings.problem("unknown class", f"{pair.name}: unknown class {unknown_labels[0]!r}; known: {known}.")
    for part in (parts.train, parts.test):
        for name, number in Counter(pair.name for pair in part).items():
            if number > 1:
                findings.problem("list", f"{name} stands {number} times in one part of {root}; a pair is listed once.")
    for twice in sorted({pair.name for pair in parts.train} & {pair.name for pair in parts.test}):
        findings.problem("list", f"{twice} is in both the train and the test part of {root}; a pair is in one.")


def load(
    name: str,
    root: str | Path,
    /,
    *,
    needs_boxes: bool = True,
    resize_pairs: str | None = None,
    resized_into: Path | None = None,
    **options: str | Path | Sequence[str],
) -> Dataset:
    """Return a data set whose folder has no problem.

    Args:
        name: One of `names()`.
        root: The folder that holds its files.
        needs_boxes: Whether a missing annotation file is a problem, as it is for detection and for training; Table 1
            needs no boxes, and only notes how many are missing.
        resize_pairs: As `scan` has it.
        resized_into: As `scan` has it.
        options: As its reader names them.

    Raises:
        InputError: The first problem, and how many there are.
    """
    found = scan(name, root, resize_pairs=resize_pairs, resized_into=resized_into, **options)
    ignored = () if needs_boxes else (MISSING_ANNOTATION,)
    problems = [problem.text for problem in found.findings if problem.kind not in ignored]
    if problems:
        more = len(problems) - 1 + sum(number for kind, number in found.more.items() if kind not in ignored)
        rest = f" And {more:,} more; `run_benchmark.py check {name} {root}` lists them." if more else ""
        raise InputError(problems[0] + rest)
    missing = len(found.findings) + sum(found.more.values())
    if not missing:
        return found.dataset
    note = f"annotation files that are missing, which Tables 2 and 3 need: {missing:,}, first: {found.problems[0]}"
    return replace(found.dataset, notes=(*found.dataset.notes, note))


def check(
    name: str,
    root: str | Path,
    /,
    *,
    jobs: int | None = 1,
    progress: Callable[[int, int], None] | None = None,
    resize_pairs: str | None = None,
    **options: str | Path | Sequence[str],
) -> CheckReport:
    """Return a report on a data set's folder; every image is decoded.

    Args:
        name: One of `names()`.
        root: The folder that holds its files.
        jobs: Number of processes that decode, of which a pair needs one at most; None for one a core.
        progress: Called with the number of pairs done and their total.
        resize_pairs: As `scan` has it; the scaled images are removed again.
        options: As its reader names them.

    Raises:
        InputError: The name or an option is unknown, or there are no processes; never for what the folder holds.
    """
    jobs = cpu_count() if jobs is None else jobs
    if jobs < 1:
        raise InputError(f"workers is {jobs}; expected at least 1, or nothing for one a core.")
    with tempfile.TemporaryDirectory() as folder:
        found = scan(name, root, resize_pairs=resize_pairs, resized_into=Path(folder), **options)
        return examine(found, str(root), record(name).published, jobs, progress)
