"""Report on a data set's folder: its content compared with the published numbers."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from joblib import Parallel, delayed
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from benchmark.datasets.base import Pair, fingerprint
from benchmark.datasets.findings import Problem, Scan
from benchmark.datasets.pairing import unlike_sizes
from benchmark.datasets.registration import Shift, estimate_shift
from metrics import images
from metrics.errors import InputError
from metrics.images import ImageArray
from metrics.remarks import PAGES, Remark, remarks_on_pixels, summarise

MOST_SHIFT = 2.0  # pixels between the two images of a pair, before `check` remarks on it
LEAST_RESPONSE = 0.06  # of the correlation; below it, scenes with little in common give any shift
_SHOWN = 3  # pairs that a note names
_TINT = 32  # levels between the channels of one pixel; JPEG makes a few out of grey


@dataclass(frozen=True)
class PartReport:
    """One part of a data set.

    Attributes:
        part: `train` or `test`.
        pairs: Number of pairs that could be read.
        published: Number of pairs as published; None where there is no such number.
        boxes: Number of boxes of each class.
        difficult: How many of these are marked as difficult.
        fingerprint: As `benchmark.datasets.base.fingerprint`; empty when an image cannot be decoded.
    """

    part: str
    pairs: int
    published: int | None
    boxes: dict[str, int]
    difficult: int
    fingerprint: str


@dataclass(frozen=True)
class CheckReport:
    """What `check` found; a folder is fit for use when there are no problems.

    Attributes:
        name, title, root: The data set and its folder.
        layout: The folders that were found, in words; empty when none was.
        split: Where the parts come from, in words.
        parts: Train and test.
        sizes: Number of pairs of each size, as `widthxheight`, most frequent first.
        annotations: SHA-256 over the annotation files; empty without any.
        problems: Lines of text by kind of problem, the first of each.
        more: Number of the others, by kind.
        notes: What was left out or corrected, with counts.
        more: Number of the other problems, by kind.
        remarks: What is odd about the images, though they can be used: shifted, equal or black ones.
    """

    name: str
    title: str
    root: str
    layout: str
    split: str
    parts: tuple[PartReport, ...]
    sizes: dict[str, int]
    annotations: str
    problems: dict[str, list[str]]
    notes: tuple[str, ...]
    more: dict[str, int]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Decoded:
    pair: Pair
    size: tuple[int, int] | None
    coloured: bool
    problems: tuple[Problem, ...]
    remarks: tuple[Remark, ...] = ()
    shift: Shift | None = None


def examine(
    scan: Scan,
    root: str,
    published: Mapping[str, int],
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> CheckReport:
    """Return the report on a scan, after decoding every image.

    Args:
        scan: The data set as far as it could be read.
        root: Its folder.
        published: Number of pairs of each part.
        jobs: Number of processes that decode.
        progress: Called with the number of pairs done and their total.
    """
    dataset = scan.dataset
    decoded = _decode((*dataset.train, *dataset.test), jobs, progress)
    sizes = Counter(f"{one.size[0]}x{one.size[1]}" for one in decoded if one.size)
    coloured = sum(one.coloured for one in decoded)
    notes = (f"infrared images in colour (are the bands swapped?): {coloured:,}",) if coloured else ()
    remarks = (
        *summarise((one.pair.name, remark) for one in decoded for remark in one.remarks),
        *_shifts(decoded),
        *_twins(decoded[: len(dataset.train)], decoded[len(dataset.train) :]),
    )
    problems: dict[str, list[str]] = {}
    for problem in (*scan.findings, *(problem for one in decoded for problem in one.problems)):
        problems.setdefault(problem.kind, []).append(problem.text)
    count = len(dataset.train)
    return CheckReport(
        dataset.name,
        dataset.title,
        root,
        scan.layout,
        dataset.split,
        (
            _part("train", decoded[:count], dataset.classes, published),
            _part("test", decoded[count:], dataset.classes, published),
        ),
        dict(sizes.most_common()),
        scan.annotations,
        problems,
        dataset.notes + notes,
        dict(scan.more),
        remarks,
    )


def render(report: CheckReport, limit: int = 50) -> RenderableType:
    """Return the report as text and a table for `rich` to print.

    Args:
        report: As `check` returns it.
        limit: Number of problems of each kind to print in full.
    """
    parts = report.parts
    table = Table("", title=f"{report.title}: {escape(report.root)}")
    for part in parts:
        table.add_column(part.part, justify="right")
    table.add_row("pairs", *(f"{part.pairs:,}" for part in parts))
    table.add_row("published", *("-" if part.published is None else f"{part.published:,}" for part in parts))
    for label in parts[0].boxes:
        table.add_row(label, *(f"{part.boxes[label]:,}" for part in parts))
    if parts[0].boxes:
        table.add_row("difficult", *(f"{part.difficult:,}" for part in parts))
    table.add_row("fingerprint", *(part.fingerprint[:16] or "-" for part in parts))
    sizes = [f"{size} ({number:,})" for size, number in report.sizes.items()]
    more = f" and {len(sizes) - 8} more" if len(sizes) > 8 else ""
    lines = [
        f"layout: {escape(report.layout) or 'none found'}",
        f"split: {escape(report.split) or 'none'}",
        f"sizes: {', '.join(sizes[:8]) or 'none'}{more}",
        f"annotations: {f'sha256 {report.annotations}' if report.annotations else 'none'}",
        *(f"note: {escape(note)}" for note in report.notes),
        *(f"remark: {escape(remark)}" for remark in report.remarks),
    ]
    for kind, texts in report.problems.items():
        number, shown = len(texts) + report.more.get(kind, 0), texts[:limit]
        lines.append(f"[bold red]{kind}: {number:,}[/]")
        lines += [f"  {escape(text)}" for text in shown]
        lines += [f"  and {number - len(shown):,} more"] if number > len(shown) else []
    lines.append("[bold red]not fit for use[/]" if report.problems else "[bold green]fit for use[/]")
    return Group(table, *lines)


def _part(part: str, decoded: list[_Decoded], classes: tuple[str, ...], published: Mapping[str, int]) -> PartReport:
    pairs = [one.pair for one in decoded]
    boxes = [box for pair in pairs for box in pair.boxes]
    count = Counter(box.label for box in boxes)
    whole = pairs and not any(one.problems for one in decoded)
    return PartReport(
        part,
        len(pairs),
        published.get(part),
        {label: count[label] for label in classes},
        sum(box.difficult for box in boxes),
        fingerprint(pairs) if whole else "",
    )


def _shifts(decoded: list[_Decoded]) -> tuple[str, ...]:
    """Return a note on pairs whose two images look shifted against each other, the surest first."""
    measured = [(one.pair.name, one.shift) for one in decoded if one.shift and one.shift.response >= LEAST_RESPONSE]
    shifted = [(name, shift) for name, shift in measured if shift.length > MOST_SHIFT]
    if not shifted:
        return ()
    shifted.sort(key=lambda item: -item[1].response)
    shown = ", ".join(
        f"{name} by ({shift.x:+.1f}, {shift.y:+.1f}), response {shift.response:.2f}" for name, shift in shifted[:_SHOWN]
    )
    more = ", ..." * (len(shifted) > _SHOWN)
    return (
        f"pairs that look shifted by more than {MOST_SHIFT:g} pixels: {len(shifted):,} of {len(measured):,} that can "
        f"be measured ({shown}{more}); the response says how sure this is, from 0 to 1",
    )


def _twins(train: list[_Decoded], test: list[_Decoded]) -> tuple[str, ...]:
    """Return a note on pairs of the test part whose images are in the training part under another name."""
    known = {one.pair.fingerprint: one.pair.name for one in train if not one.problems}
    twins = [
        f"{one.pair.name} is {known[one.pair.fingerprint]}"
        for one in test
        if not one.problems and one.pair.fingerprint in known
    ]
    if not twins:
        return ()
    shown = ", ".join(twins[:_SHOWN]) + ", ..." * (len(twins) > _SHOWN)
    return (f"test pairs whose images are in the training part under another name: {len(twins):,} ({shown})",)


def _decode(pairs: tuple[Pair, ...], jobs: int, progress: Callable[[int, int], None] | None) -> list[_Decoded]:
    done = []
    jobs = max(min(jobs, len(pairs)), 1)  # joblib starts as many as it is told, whether or not there is work
    for one in Parallel(n_jobs=jobs, return_as="generator")(delayed(_decode_pair)(pair) for pair in pairs):
        done.append(one)
        if progress:
            progress(len(done), len(pairs))
    return done


def _decode_pair(pair: Pair) -> _Decoded:
    problems, sizes = [], []
    size, coloured = None, False
    pixels: dict[str, ImageArray] = {}
    for band, path in (("infrared", pair.infrared), ("visible", pair.visible)):
        try:
            image = images.read(path)
        except InputError as error:
            problems.append(Problem("unreadable file", str(error)))
            continue
        pixels[band] = image
        size = image.shape[1], image.shape[0]
        sizes.append(size)
        if band == "infrared" and image.ndim == 3:
            coloured = bool((image.max(axis=2) - image.min(axis=2)).max() > _TINT)
    if len(sizes) == 2 and sizes[0] != sizes[1]:
        problems.append(Problem("size", unlike_sizes(pair.infrared, sizes[0], pair.visible, sizes[1])))
    if not problems:
        pair.fingerprint  # noqa: B018 - kept in the pair, so that this process reads the bytes once for all
        remarks = tuple(remarks_on_pixels(pixels))
        if images.header(pair.infrared).pages > 1 or images.header(pair.visible).pages > 1:
            remarks = (*remarks, ("pairs", PAGES))
        return _Decoded(pair, size, coloured, (), remarks, estimate_shift(pixels["infrared"], pixels["visible"]))
    return _Decoded(pair, size, coloured, tuple(problems))
