"""Tables 1 to 3, average ranks and sweeps of a run, as the report shows them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from benchmark.engine.run_record import Record
from benchmark.tables import csv_files, detection_table, metric_table
from benchmark.tables.latex import format_number
from benchmark.tables.origins import DIFFERENCE, LEAKAGE, MEASURED, PUBLISHED, SEPARATOR
from benchmark.tables.ranking import marks, split_columns
from benchmark.tables.statistics import ALL, COLUMNS
from metrics.registry import METRICS

ORIGINS = {PUBLISHED: "the paper's", DIFFERENCE: "difference"}
UNDEFINED, MINUS = "–", "−"
_Key = TypeVar("_Key")
NO_STATISTICS = pd.DataFrame(columns=COLUMNS)
_HIDDEN = (detection_table.LOW, detection_table.HIGH)  # shown as the interval of mAP
_NO_FACTS = ("ranked", "classes", "notes", "status")
_TITLES = {1: "Table 1 · Fusion quality", 2: "Table 2 · Ablation", 3: "Table 3 · Object detection"}
_SWEEPS = {
    "sweep_experts": "Sweep over the number of experts",
    "sweep_alpha": "Sweep over the weight of the gradient loss",
}


@dataclass(frozen=True)
class Value:
    """A number of a sheet.

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
class Line:
    """One method and origin, or one setting of a sweep, with its values by column and the numbers of its notes."""

    label: str
    numbers: Mapping[str, Value]
    origin: str = MEASURED
    ranked: bool = True
    reason: str = ""
    notes: tuple[int, ...] = ()

    def belongs_to(self, columns: Sequence[str]) -> bool:
        """Whether the line stands in a part with these columns: the paper has no number of some."""
        return self.origin == MEASURED or any(self.numbers[name].value is not None for name in columns)


@dataclass(frozen=True)
class Sheet:
    """One data set of a table.

    Attributes:
        dataset: Its title.
        parts: Columns in titled parts that a page holds.
        lines: The rows.
        facts: What holds for all measured numbers, as (name, text).
        notes: What lines refer to by number, 1 the first.
        foot: A sentence below it.
    """

    dataset: str
    parts: Mapping[str, Sequence[str]]
    lines: tuple[Line, ...]
    facts: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    foot: str = ""

    @property
    def has_leakage(self) -> bool:
        """Whether a note says that weights were trained on this data set."""
        return any(LEAKAGE.search(note) for note in self.notes)

    @property
    def has_paper(self) -> bool:
        """Whether there are rows of the paper's."""
        return any(line.origin != MEASURED for line in self.lines)

    @property
    def has_intervals(self) -> bool:
        """Whether any number has an interval."""
        return any(value.interval for line in self.lines for value in line.numbers.values())


@dataclass(frozen=True)
class SheetGroup:
    """One of the paper's tables or a sweep: a sheet a data set."""

    key: str
    title: str
    sheets: tuple[Sheet, ...]


@dataclass(frozen=True)
class Tables:
    """The tables of a run as data frames: Tables 1 to 3 and the statistics of 1 and 2, by number, and sweeps."""

    tables: Mapping[int, pd.DataFrame]
    statistics: Mapping[int, pd.DataFrame]
    sweeps: Mapping[str, pd.DataFrame]


def read_tables(folder: Path, run: Record) -> Tables:
    """Return the tables that a run has written, of its data sets.

    Raises:
        InputError: A file is not of the form that the benchmark writes.
    """
    titles = [part.title for part in run.parts]

    def read(name: str, reader: Callable[[Path], pd.DataFrame], *, by: str) -> pd.DataFrame:
        path = folder / f"{name}.csv"
        if not (run.has_written(f"{by}.csv") and path.is_file()):
            return pd.DataFrame()
        frame = reader(path)
        return frame[frame["dataset"].isin(titles)].reset_index(drop=True)

    tables = {number: read(f"table{number}", csv_files.read_table, by=f"table{number}") for number in _TITLES}
    statistics = {
        number: read(f"table{number}_statistics", csv_files.read_statistics, by=f"table{number}") for number in _TITLES
    }
    sweeps = {key: read(key, lambda path: csv_files.read_frame(path, "dataset", "setting"), by=key) for key in _SWEEPS}
    return Tables(_drop_empty(tables), _drop_empty(statistics), _drop_empty(sweeps))


def _drop_empty(frames: Mapping[_Key, pd.DataFrame]) -> dict[_Key, pd.DataFrame]:
    return {key: frame for key, frame in frames.items() if len(frame)}


def show_tables(found: Tables) -> tuple[SheetGroup, ...]:
    """Return Tables 1 to 3, as far as the run has them."""
    groups = []
    for number, table in found.tables.items():
        digits = detection_table.DIGITS if number == 3 else metric_table.DIGITS
        ids = metric_table.metric_ids(table)
        compared = [name for name in ids if number != 3 or name in detection_table.compared_columns(table)]
        places = marks(table, compared, digits)
        statistics = found.statistics.get(number, NO_STATISTICS)
        sheets = [
            _table_sheet(number, str(dataset), rows, places.loc[rows.index], statistics, digits)
            for dataset, rows in table.groupby("dataset", sort=False)
        ]
        groups.append(SheetGroup(f"table{number}", _TITLES[number], tuple(sheets)))
    return tuple(groups)


def show_ranks(found: Tables) -> tuple[Sheet, ...]:
    """Return each data set's average ranks, a column a metric and one over all; empty without statistics."""
    statistics = found.statistics.get(1, NO_STATISTICS)
    tied = metric_table.not_worse(statistics)
    ranked = statistics[statistics["rank"].notna()]
    return tuple(_rank_sheet(str(dataset), rows, tied) for dataset, rows in ranked.groupby("dataset", sort=False))


def show_sweeps(found: Tables) -> tuple[SheetGroup, ...]:
    """Return the sweeps that the run has made."""
    return tuple(
        SheetGroup(
            key,
            _SWEEPS[key],
            tuple(_sweep_sheet(str(name), rows) for name, rows in frame.groupby("dataset", sort=False)),
        )
        for key, frame in found.sweeps.items()
    )


def _table_sheet(
    number: int, dataset: str, rows: pd.DataFrame, places: pd.DataFrame, statistics: pd.DataFrame, digits: int
) -> Sheet:
    ids = metric_table.metric_ids(rows)
    columns = [name for name in ids if name not in _HIDDEN and (number != 3 or rows[name].notna().any())]
    known = statistics[statistics["dataset"] == dataset].set_index(["method", "metric"]).to_dict("index")
    tied = metric_table.not_worse(statistics)
    notes = _Notes()
    lines = []
    for index, row in zip(rows.index, rows.to_dict("records"), strict=True):
        method, measured = str(row["method"]), row["origin"] == MEASURED
        values = {}
        for name in columns:
            value = None if np.isnan(row[name]) else float(row[name])
            place = int(places.loc[index, name]) if name in places else 0
            interval = spread = ""
            if value is not None and measured:
                interval, spread = _uncertainty(row, name, known.get((method, name)), digits - 1)
            is_tied = measured and value is not None and place != 1 and (dataset, method, name) in tied
            text = format_number(value, row["origin"], digits, UNDEFINED).replace("-", MINUS)
            values[name] = Value(value, text, interval, spread, place, is_tied)
        reason = row["status"] if measured and row["status"] != "done" else ""
        references = notes.number([reason, *row["notes"].split(SEPARATOR)])
        lines.append(Line(method, values, row["origin"], bool(row["ranked"]), reason, references))
    first = next(iter(rows[rows["origin"] == MEASURED].to_dict("records")), rows.iloc[0].to_dict())
    names = list(rows.columns)[list(rows.columns).index("ranked") :]
    facts = tuple((name.replace("_", " "), _fact(first[name])) for name in names if name not in _NO_FACTS)
    return Sheet(dataset, split_columns(columns), tuple(lines), facts, notes.texts)


def _uncertainty(row: Mapping[Any, Any], name: str, known: Mapping[Any, Any] | None, digits: int) -> tuple[str, str]:
    """Return the interval of a mean and the standard deviation over images, as texts."""
    if known:
        deviation = known["standard_deviation"]
        return _interval(known["low"], known["high"], digits), "" if np.isnan(deviation) else f"{deviation:.{digits}f}"
    if name == detection_table.MEAN and detection_table.LOW in row:
        return _interval(row[detection_table.LOW], row[detection_table.HIGH], digits), ""
    return "", ""


def _interval(low: float, high: float, digits: int) -> str:
    return "" if np.isnan(low) or np.isnan(high) else f"{low:.{digits}f}–{high:.{digits}f}"


def _rank_sheet(dataset: str, rows: pd.DataFrame, tied: set[tuple[str, str, str]]) -> Sheet:
    methods, ids = list(rows["method"].unique()), [name for name in rows["metric"].unique() if name != ALL]
    ranks = rows.pivot_table(index="method", columns="metric", values="rank").reindex(methods, columns=[*ids, ALL])
    places = ranks.rank(method="min")
    lines = []
    for method in methods:
        values = {}
        for name, rank in ranks.loc[method].items():
            place = 0 if np.isnan(rank) or places.loc[method, name] > 3 else int(places.loc[method, name])
            is_tied = place != 1 and (dataset, method, str(name)) in tied
            text = UNDEFINED if np.isnan(rank) else f"{rank:.2f}"
            values[str(name)] = Value(None if np.isnan(rank) else float(rank), text, place=place, tied=is_tied)
        lines.append(Line(method, values))
    parts = split_columns([*ids, ALL])
    if len(parts) > 1:
        parts = {"over all metrics": [ALL], **split_columns(ids)}
    return Sheet(dataset, parts, tuple(lines), foot=_describe_test(rows))


def _describe_test(rows: pd.DataFrame) -> str:
    """Return in words what was tested over all metrics."""
    row = next(iter(rows[rows["metric"] == ALL].to_dict("records")), {})
    texts = []
    for column, name in (("friedman_p", "Friedman's test"), ("wilcoxon_p", "Wilcoxon's signed-rank test")):
        p = row.get(column, np.nan)
        if not np.isnan(p):
            texts.append(f"{name}: p {f'= {p:.3f}' if p >= 0.001 else '< 0.001'}")
    difference = row.get("critical_difference", np.nan)
    if not np.isnan(difference):
        texts.append(f"critical difference of average ranks at 0.05 (Nemenyi): {difference:.2f}")
    return f"Over all metrics: {'; '.join(texts)}." if texts else ""


def _sweep_sheet(dataset: str, rows: pd.DataFrame) -> Sheet:
    columns = [name for name in rows.select_dtypes("number").columns if name in METRICS]
    notes = _Notes()
    lines = []
    for row in rows.to_dict("records"):
        reason = "" if row.get("status", "done") == "done" else row["status"]
        values = {}
        for name in columns:
            text = format_number(row[name], MEASURED, metric_table.DIGITS, UNDEFINED).replace("-", MINUS)
            values[name] = Value(None if np.isnan(row[name]) else row[name], text)
        references = notes.number([reason, *row.get("notes", "").split(SEPARATOR)])
        lines.append(Line(row["setting"], values, reason=reason, notes=references))
    facts = tuple((name, _fact(rows[name].iloc[0])) for name in ("images", "convention", "size") if name in rows)
    return Sheet(dataset, split_columns(columns), tuple(lines), facts, notes.texts)


def _fact(value: object) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.0f}"
    return str(value)


class _Notes:
    """The notes of a sheet, each once."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, notes: Sequence[str]) -> tuple[int, ...]:
        """Return the number of each note that is not empty."""
        return tuple(self._numbers.setdefault(note, len(self._numbers) + 1) for note in notes if note)

    @property
    def texts(self) -> tuple[str, ...]:
        """The notes by their numbers."""
        return tuple(self._numbers)
