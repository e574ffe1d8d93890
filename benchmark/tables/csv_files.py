"""Read CSV files of a run or of a user strictly: complete, rectangular and with valid values, or an error."""

import csv
import io
import math
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from benchmark.datasets.findings import quoted, short
from benchmark.tables.origins import DIFFERENCE, MEASURED, PUBLISHED
from benchmark.tables.statistics import COLUMNS
from metrics.errors import InputError

REMEDY = "run the experiment again to write it again"
_TRUTH = ("True", "False", "")
_TEXTS = {"dataset", "method", "origin", "ranked", "convention", "size", "fingerprint", "split", "notes", "status"} | {
    "protocol",
    "detector",
    "weights",
    "colour",
    "classes",
}  # columns of Tables 1 to 3; all others are numbers

Rows = dict[int, dict[str, str]]


def read(path: Path, remedy: str = REMEDY, *, whole: bool = True) -> tuple[tuple[str, ...], Rows]:
    """Return the columns of a CSV file, and its rows by the line that each ends on, every cell as text.

    Args:
        path: The file.
        remedy: What to do about one that cannot be used.
        whole: Whether its last line must end: where a program wrote it, one that does not is cut short.

    Raises:
        InputError: It cannot be read, or a column is there twice, or a row is longer or shorter than the first line.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")  # Excel begins a file with a mark that is part of no column
        if "\0" in text:
            raise ValueError("it holds NUL bytes")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        columns = tuple(next(reader, ()))
        rows = [(reader.line_num, cells) for cells in reader if cells]
        if not columns:
            raise ValueError("its first line is empty")
        if whole and not text.endswith("\n"):
            raise ValueError("its last line is cut short")
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path} cannot be read ({error}); {remedy}") from error
    if twice := [name for index, name in enumerate(columns) if name in columns[:index]]:
        raise InputError(f"{path} has the column {quoted(twice[0])} twice; {remedy}")
    for line, cells in rows:
        if len(cells) != len(columns):
            kind = "more" if len(cells) > len(columns) else "fewer"
            raise InputError(f"{path}, line {line}: {kind} cells than the {len(columns)} columns; {remedy}")
    return columns, {line: dict(zip(columns, cells, strict=True)) for line, cells in rows}


def read_table(path: Path) -> pd.DataFrame:
    """Return Table 1, 2 or 3 of a run in long form: numbers as floats, texts as they are, "" where there is none.

    Raises:
        InputError: The file cannot be read, or is none that this benchmark writes.
    """
    columns, rows = read(path)
    _require_columns(path, columns, ("dataset", "method", "origin", "images", "status"))
    if not rows:
        raise InputError(f"{path} has no rows; {REMEDY}")
    _require_values(path, rows, "origin", (MEASURED, PUBLISHED, DIFFERENCE))
    _require_values(path, rows, "ranked", _TRUTH)
    _require_keys(path, rows, ("dataset", "method", "origin"))
    table = _typed(path, columns, rows, numbers=set(columns) - _TEXTS)
    if "ranked" not in table:
        table.insert(columns.index("images"), "ranked", table["origin"] == MEASURED)
    table["ranked"] = table["ranked"].isin(["True", True])
    return table.assign(notes=table.get("notes", ""))


def read_statistics(path: Path) -> pd.DataFrame:
    """Return the statistics of a run's Table 1 or 2, as `statistics.summary` gives them.

    Raises:
        InputError: As for `read_table`.
    """
    columns, rows = read(path)
    _require_columns(path, columns, COLUMNS)
    _require_values(path, rows, "not_worse", _TRUTH)
    _require_keys(path, rows, ("dataset", "method", "metric"))
    table = _typed(path, columns, rows, numbers=set(columns) - {"dataset", "method", "metric", "not_worse"})
    return table.assign(not_worse=table["not_worse"] == "True")


def read_frame(path: Path, *required: str) -> pd.DataFrame:
    """Return any other CSV file of a run; a column is of numbers where each of its cells is one or empty.

    Args:
        path: The file.
        required: Columns that it must have, as texts.

    Raises:
        InputError: The file cannot be read, or lacks a column.
    """
    columns, rows = read(path)
    _require_columns(path, columns, required)
    numbers = {
        name
        for name in columns
        if name not in required
        and all(_is_number(row[name]) for row in rows.values())
        and any(row[name] for row in rows.values())
    }
    return _typed(path, columns, rows, numbers)


def _typed(path: Path, columns: tuple[str, ...], rows: Rows, numbers: Collection[str]) -> pd.DataFrame:
    table = pd.DataFrame(list(rows.values()), columns=list(columns), dtype=object)
    for name in numbers:
        values = [number(row[name], f"{path}, line {line}", name) for line, row in rows.items()]
        table[name] = pd.Series(values, dtype=float)
    return table


def _is_number(text: str) -> bool:
    try:
        return not text or math.isfinite(float(text))
    except ValueError:
        return False


def _require_columns(path: Path, columns: Collection[str], required: Collection[str]) -> None:
    if missing := [name for name in required if name not in columns]:
        only = quoted(", ".join(columns))
        raise InputError(f"{path} has no column {', '.join(missing)}, only {only}; {REMEDY}")


def _require_values(path: Path, rows: Rows, column: str, known: tuple[str, ...]) -> None:
    for line, row in rows.items():
        if row.get(column, known[0]) not in known:
            expected = ", ".join(value or "nothing" for value in known)
            raise InputError(
                f"{path}, line {line}, column {column}: expected {expected}, got {quoted(row[column])}; {REMEDY}"
            )


def _require_keys(path: Path, rows: Rows, key: tuple[str, ...]) -> None:
    lines: dict[tuple[str, ...], int] = {}
    for line, row in rows.items():
        if (first := lines.setdefault(tuple(row[name] for name in key), line)) != line:
            raise InputError(f"{path}, line {line}: the {', '.join(key)} of line {first} again; {REMEDY}")


def number(text: str, where: object, column: str, remedy: str = REMEDY) -> float | None:
    """Return the number in a cell; None for an empty one.

    Args:
        text: The cell.
        where: The file, and the line where it is known.
        column: Its column.
        remedy: What to do about a cell that holds something else.

    Raises:
        InputError: The cell holds something else, or infinity.
    """
    try:
        value = float(text) if text else math.nan
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise InputError(f"{where}, column {_cut(column)}: expected a number, got {quoted(text)}; {remedy}")
    return None if math.isnan(value) else value


def _cut(name: str) -> str:
    return name if short(name) == name else quoted(name)
