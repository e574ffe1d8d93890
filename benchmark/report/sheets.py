"""Tables 1 to 3, the ranks and the other CSV files of a run's folder, as the report shows them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import metrics
from benchmark.datasets.findings import quoted
from benchmark.tables import csv_files
from benchmark.tables.csv_files import number
from benchmark.tables.latex import DIFFERENCE, MEASURED, PUBLISHED
from metrics.errors import InputError

ORIGINS = {PUBLISHED: "the paper's", DIFFERENCE: "difference"}
ALL = "all"
UNDEFINED = "–"
MINUS = "−"
_HIDDEN = ("mAP_low", "mAP_high")  # shown as the interval of mAP
_NO_FACTS = ("ranked", "classes", "notes", "status")
_TITLES = {
    "table1": "Table 1 · Fusion quality",
    "table2": "Table 2 · Ablation",
    "table3": "Table 3 · Object detection",
}
_SHEETS = {
    "sweep_experts": "Sweep over the number of experts",
    "sweep_alpha": "Sweep over the weight of the gradient loss",
    "against_paper": "Against the paper, cell by cell",
}

Records = list[dict[str, str]]


@dataclass(frozen=True)
class Number:
    """A number of a table.

    Attributes:
        value: None where it is undefined or was not measured.
        text: As printed.
        interval: 95 % interval of the mean; empty when not known.
        spread: Standard deviation; empty when not known.
        place: 1, 2 or 3 among the ranked methods of its column, else 0; equal values share it.
        tied: Not the best, but not significantly different from it.
    """

    value: float | None
    text: str
    interval: str = ""
    spread: str = ""
    place: int = 0
    tied: bool = False


@dataclass(frozen=True)
class Row:
    """One method and origin of a data set; `reason` says why there are no numbers."""

    method: str
    origin: str
    ranked: bool
    reason: str
    notes: str
    numbers: tuple[Number, ...]


@dataclass(frozen=True)
class Block:
    """One data set of a table; `facts` are what holds for all its measured numbers."""

    dataset: str
    columns: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]
    foot: str = ""

    @property
    def published(self) -> bool:
        """Whether there are rows of the paper's."""
        return any(row.origin != MEASURED for row in self.rows)

    @property
    def statistics(self) -> bool:
        """Whether any number has an interval."""
        return any(number.interval for row in self.rows for number in row.numbers)


@dataclass(frozen=True)
class Table:
    """One of the paper's tables, a block a data set."""

    key: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Sheet:
    """A CSV file as it is: columns, which of them are numbers, cells as (sort value or None, text)."""

    key: str
    title: str
    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[tuple[float | None, str], ...], ...]


def tables(folder: Path) -> tuple[Table, ...]:
    """Return Tables 1 to 3, as far as the folder has them.

    Raises:
        InputError: A file is not of the form that the benchmark writes.
    """
    return tuple(_table(folder, key, title) for key, title in _TITLES.items() if (folder / f"{key}.csv").is_file())


def ranks(folder: Path) -> tuple[Block, ...]:
    """Return each data set's average ranks, a column a metric and one over all; empty without statistics."""
    path = folder / "table1_statistics.csv"
    found = [row for row in _statistics(path, "rank") if row["rank"]]
    return tuple(_ranks(path, dataset, _of(found, dataset)) for dataset in _datasets(found))


def sheets(folder: Path) -> tuple[Sheet, ...]:
    """Return the sweeps and the comparison with the paper, as far as the folder has them."""
    return tuple(
        _sheet(folder / f"{key}.csv", title) for key, title in _SHEETS.items() if (folder / f"{key}.csv").is_file()
    )


def _table(folder: Path, key: str, title: str) -> Table:
    path = folder / f"{key}.csv"
    by_line = _records(path, "dataset", "method", "origin", "status")
    csv_files.require_table(path, by_line)
    rows = list(by_line.values())
    statistics = _statistics(folder / f"{key}_statistics.csv")
    known = {(row["dataset"], row["method"], row["metric"]): row for row in statistics}
    return Table(key, title, tuple(_block(path, dataset, _of(rows, dataset), known) for dataset in _datasets(rows)))


def _statistics(path: Path, *required: str) -> Records:
    """Return the rows of a table's statistics; none of a file that is not there."""
    if not path.is_file():
        return []
    key = ("dataset", "method", "metric")
    rows = _records(path, *key, *required)
    csv_files.require(path, rows, key, {"not_worse": csv_files.TRUTH})
    return list(rows.values())


def _records(path: Path, *required: str) -> csv_files.Rows:
    columns, rows = csv_files.read(path)
    if missing := [name for name in required if name not in columns]:
        raise InputError(f"{path} has no column {missing[0]!r}, only {quoted(', '.join(columns))}; {csv_files.ANEW}")
    return rows


def _block(path: Path, dataset: str, rows: Records, known: dict[tuple[str, str, str], dict[str, str]]) -> Block:
    header = list(rows[0])
    end = header.index("ranked") if "ranked" in header else len(header)
    scored = [name for name in header[header.index("origin") + 1 : end] if name not in _HIDDEN]
    columns = tuple(name for name in scored if any(row[name] for row in rows) or name in metrics.PAPER)
    marked = columns[: columns.index("mAP") + 1] if "mAP" in columns else columns
    values = {name: [number(row[name], path, name) for row in rows] for name in columns}
    competing = [row["origin"] == MEASURED and row.get("ranked", "True") == "True" for row in rows]
    places = {name: _places(values[name], competing) if name in marked else [0] * len(rows) for name in columns}
    found = []
    for index, row in enumerate(rows):
        numbers = tuple(
            _number(
                path, row, name, values[name][index], places[name][index], known.get((dataset, row["method"], name))
            )
            for name in columns
        )
        reason = row["status"] if row["origin"] == MEASURED and row["status"] != "done" else ""
        found.append(Row(row["method"], row["origin"], competing[index], reason, row.get("notes", ""), numbers))
    first = next((row for row in rows if row["origin"] == MEASURED), rows[0])
    facts = tuple((name.replace("_", " "), first[name]) for name in header[end:] if name not in _NO_FACTS)
    return Block(dataset, columns, facts, tuple(found))


def _number(
    path: Path, row: dict[str, str], name: str, value: float | None, place: int, known: dict[str, str] | None
) -> Number:
    digits = 4 if name in metrics.PAPER else 2
    if value is None:
        return Number(None, UNDEFINED)
    text = f"{value:{'+' if row['origin'] == DIFFERENCE else ''}.{digits}f}".replace("-", MINUS)
    if row["origin"] != MEASURED:
        return Number(value, text)
    interval = spread = ""
    tied = False
    if known:
        interval = _interval(path, known.get("low", ""), known.get("high", ""), digits - 1)
        deviation = number(known.get("standard_deviation", ""), path, "standard_deviation")
        spread = "" if deviation is None else f"{deviation:.{digits - 1}f}"
        tied = known.get("not_worse") == "True" and place != 1
    elif name == "mAP":
        interval = _interval(path, row.get("mAP_low", ""), row.get("mAP_high", ""), digits - 1)
    return Number(value, text, interval, spread, place, tied)


def _interval(path: Path, low: str, high: str, digits: int) -> str:
    first, last = number(low, path, "low"), number(high, path, "high")
    return "" if first is None or last is None else f"{first:.{digits}f}–{last:.{digits}f}"


def _places(values: Sequence[float | None], competing: Sequence[bool]) -> list[int]:
    rivals = [value for value, competes in zip(values, competing, strict=True) if competes and value is not None]
    places = []
    for value, competes in zip(values, competing, strict=True):
        place = 0 if value is None or not competes else 1 + sum(rival > value for rival in rivals)
        places.append(place if place <= 3 else 0)
    return places


def _ranks(path: Path, dataset: str, rows: Records) -> Block:
    metric_names = dict.fromkeys(row["metric"] for row in rows)
    columns = tuple(name for name in (*metrics.PAPER, ALL) if name in metric_names)
    by = {(row["method"], row["metric"]): row for row in rows}
    methods = tuple(dict.fromkeys(row["method"] for row in rows))
    values = {
        name: [number(by.get((method, name), {}).get("rank", ""), path, "rank") for method in methods]
        for name in columns
    }
    places = {
        name: _places([None if v is None else -v for v in values[name]], [True] * len(methods)) for name in columns
    }
    found = []
    for index, method in enumerate(methods):
        numbers = []
        for name in columns:
            value, place = values[name][index], places[name][index]
            tied = by.get((method, name), {}).get("not_worse") == "True" and place != 1
            text = UNDEFINED if value is None else f"{value:.2f}"
            numbers.append(Number(value, text, place=place, tied=tied and value is not None))
        found.append(Row(method, MEASURED, True, "", "", tuple(numbers)))
    return Block(dataset, columns, (), tuple(found), _test(path, rows))


def _test(path: Path, rows: Records) -> str:
    """Return in words what was tested over all metrics."""
    row = next((row for row in rows if row["metric"] == ALL), {})
    texts = []
    for column, name in (("friedman_p", "Friedman's test"), ("wilcoxon_p", "Wilcoxon's signed-rank test")):
        if (p := number(row.get(column, ""), path, column)) is not None:
            texts.append(f"{name}: p {f'= {p:.3f}' if p >= 0.001 else '< 0.001'}")
    if (difference := number(row.get("critical_difference", ""), path, "critical_difference")) is not None:
        texts.append(f"critical difference of average ranks at 0.05 (Nemenyi): {difference:.2f}")
    return f"Over all metrics: {'; '.join(texts)}." if texts else ""


def _sheet(path: Path, title: str) -> Sheet:
    columns, by_line = csv_files.read(path)
    rows = list(by_line.values())
    numeric = tuple(all(_is_number(row[name]) for row in rows) and any(row[name] for row in rows) for name in columns)
    cells = tuple(
        tuple(
            (number(row[name], path, name), _short(row[name])) if is_number else (None, row[name])
            for name, is_number in zip(columns, numeric, strict=True)
        )
        for row in rows
    )
    return Sheet(path.stem, title, columns, numeric, cells)


def _is_number(text: str) -> bool:
    try:
        return not text or math.isfinite(float(text))
    except ValueError:
        return False


def _short(text: str) -> str:
    if not text:
        return UNDEFINED
    return text if text.lstrip("+-").isdecimal() else f"{float(text):.4f}".replace("-", MINUS)


def _datasets(rows: Records) -> tuple[str, ...]:
    return tuple(dict.fromkeys(row["dataset"] for row in rows))


def _of(rows: Records, dataset: str) -> Records:
    return [row for row in rows if row["dataset"] == dataset]
