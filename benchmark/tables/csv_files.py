"""CSV files, a run's own and a person's: whole, rectangular and of known values, or refused in one line."""

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path

from benchmark.datasets.findings import quoted, short
from benchmark.tables.latex import DIFFERENCE, MEASURED, PUBLISHED
from metrics.errors import InputError

ANEW = "run the experiment again to write it anew"
TRUTH = ("True", "False", "")

Rows = dict[int, dict[str, str]]


def read(path: Path, remedy: str = ANEW, *, whole: bool = True) -> tuple[tuple[str, ...], Rows]:
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


def require(path: Path, rows: Rows, key: tuple[str, ...], choices: Mapping[str, tuple[str, ...]]) -> None:
    """Require of a file's rows that no two have the same key, and that columns hold nothing but what they may.

    Raises:
        InputError: One does.
    """
    lines: dict[tuple[str, ...], int] = {}
    for line, row in rows.items():
        for column, known in choices.items():
            if row.get(column, known[0]) not in known:
                expected = ", ".join(value or "nothing" for value in known)
                raise InputError(
                    f"{path}, line {line}, column {column}: expected {expected}, got {quoted(row[column])}; {ANEW}"
                )
        if (first := lines.setdefault(tuple(row[name] for name in key), line)) != line:
            raise InputError(f"{path}, line {line}: the {', '.join(key)} of line {first} again; {ANEW}")


def require_table(path: Path, rows: Rows) -> None:
    """Require of the rows of Table 1, 2 or 3 that there are any, each with its own place and of a known origin.

    Raises:
        InputError: They are not so.
    """
    if not rows:
        raise InputError(f"{path} has no rows; {ANEW}")
    choices = {"origin": (MEASURED, PUBLISHED, DIFFERENCE), "ranked": TRUTH}
    require(path, rows, ("dataset", "method", "origin"), choices)


def number(text: str, where: object, column: str, remedy: str = ANEW) -> float | None:
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
