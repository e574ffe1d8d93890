"""A run's tables on the screen."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from benchmark.tables import csv_files, detection_table, metric_table
from benchmark.tables.latex import format_number
from benchmark.tables.origins import MEASURED, SEPARATOR, explain_marks, has_other_weights, leakage_notes
from benchmark.tables.ranking import heading, split_columns
from metrics.registry import METRICS

_BETWEEN = 2  # characters between two columns


def render_table(path: Path, width: int) -> Group:
    """Return the measured part of a run's table or sweep; metrics that are too many for a line stand in groups.

    Args:
        path: Its CSV file.
        width: Of the screen, in characters.

    Raises:
        InputError: The file cannot be read.
    """
    if path.stem.startswith("table"):
        table, name = csv_files.read_table(path), "method"
        table = table[table["origin"] == MEASURED]
        remarks = explain_marks(table)
        table = table.assign(method=_mark_methods(table))
    else:
        table, name = csv_files.read_frame(path, "dataset", "setting"), "setting"
        remarks = []
    about = table.iloc[0]
    if detection_table.MEAN in table:
        columns = [*about["classes"].split(SEPARATOR), detection_table.MEAN, detection_table.LOW, detection_table.HIGH]
        title = f"AP at IoU 0.5 in percent: protocol {about['protocol']}, detector {about['detector']}"
        parts, digits = {"": columns}, 1
    else:
        columns, digits = [column for column in METRICS if column in table], metric_table.DIGITS
        title = f"convention {about['convention']}, size {about['size']}"
        parts = _fit(table, columns, name, width)
    titles = {part: f"{path.stem}: {title}" + (f"; {part}" if part else "") for part in parts}
    tables = (_render(table, columns, name, titles[part], digits) for part, columns in parts.items())
    return Group(*tables, *map(Text, remarks))


def _mark_methods(table: pd.DataFrame) -> list[str]:
    """Return the methods with the marks that `explain_marks` explains."""
    rows = zip(table["method"], has_other_weights(table), leakage_notes(table), strict=True)
    return [f"{method}{' *' if other else ''}{' ‡' if note else ''}" for method, other, note in rows]


def _fit(table: pd.DataFrame, columns: Sequence[str], name: str, width: int) -> dict[str, list[str]]:
    """Return columns in parts that a screen holds beside the names of the rows."""
    widths = [
        _BETWEEN + max(len(heading(column)), *(len(format_number(value, "", 4)) for value in table[column]))
        for column in columns
    ]
    room = width - _BETWEEN - max(map(len, table[name])) - 2
    return {"": list(columns)} if sum(widths) <= room else split_columns(columns, max(1, room // max(widths)))


def _render(table: pd.DataFrame, columns: Sequence[str], name: str, title: str, digits: int) -> Table:
    shown = Table(title=escape(title), box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shown.add_column(name, overflow="fold")
    for column in columns:
        shown.add_column(escape(heading(column)), justify="right", no_wrap=True)
    for dataset, rows in table.groupby("dataset", sort=False):
        shown.add_row(f"[bold]{escape(str(dataset))}[/], {rows['images'].iloc[0]:.0f} images")
        for row in rows.to_dict("records"):
            values = [format_number(row.get(column), MEASURED, digits, "–") for column in columns]
            shown.add_row(escape(str(row[name])), *values)
    return shown
