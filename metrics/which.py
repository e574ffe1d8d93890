"""Find the conventions that can have produced published values: `python -m metrics which SF=0.0364 SD=8.60`."""

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from metrics.conventions import CONVENTIONS
from metrics.errors import InputError, unknown
from metrics.registry import METRICS

Limits = tuple[float, float]

# Means over images lie within these limits: by definition, or, where a limit is no round number of the definition, far
# outside anything measured. A convention that is missing has the metric's limits for all others, under "".
LIMITS: dict[str, dict[str, Limits]] = {
    "EN": {"": (0, 8)},
    "SF": {"tang2022": (0, math.sqrt(2)), "": (2, 361)},
    "SD": {"tang2022": (0, math.sqrt(255)), "": (5, 127.5)},
    "MI": {"": (0, 16)},
    "SCD": {"": (-2, 2)},
    "Q_abf": {"": (0, 0.9994 * 0.9879)},
    "CC": {"": (-1, 1)},
    "MSE": {"cddfuse": (20, 255**2), "": (0, 1)},
    "RMSE": {"": (0, 2)},
    "PSNR": {"cddfuse": (0, 45), "vifb": (45, 80), "": (20 * math.log10(255), 110)},
    "SSIM": {"tang2022": (-1, 1), "tang2023": (-1, 1), "": (-2, 2)},
    "MS_SSIM": {"metric_python": (0, 2), "": (0, 1)},
    "N_abf": {"": (0, 1)},
    "FMI_pixel": {"": (0, 1)},
    "FMI_dct": {"": (0, 1)},
    "FMI_w": {"": (0, 1)},
    "NMI": {"": (0, 2)},
    "Q_ncie": {"": (0.8, 1)},
}
_NATS = {"cddfuse": math.log(2), "vifb": math.log(2)}  # of MI, per bit


def exclude_conventions(row: Mapping[str, float]) -> dict[str, list[str]]:
    """Return for each convention the reasons why it cannot have printed a row; none where it can.

    Args:
        row: Published values by the metrics' ids, means over a data set.

    Raises:
        InputError: An id is unknown, a value is not finite, or the row is empty.

    Examples:
        >>> [name for name, reasons in exclude_conventions({"SF": 0.0364, "SD": 8.6}).items() if not reasons]
        ['tang2022']
    """
    if not row:
        raise InputError("no value was given; expected some such as SF=0.0364 SD=8.60.")
    for name, value in row.items():
        if name not in METRICS:
            raise unknown("metric", name, tuple(METRICS))
        if not math.isfinite(value):
            raise InputError(f"{name}={value}: expected a finite number.")
    return {convention: _reasons(row, convention) for convention in CONVENTIONS}


def parse_row(texts: list[str]) -> dict[str, float]:
    """Return values by id from texts such as "SF=0.0364".

    Raises:
        InputError: A text is none.
    """
    row = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            row[name] = float(value)
        except ValueError:
            raise InputError(f"{text!r}: expected ID=VALUE, such as SF=0.0364.") from None
    return row


def read_rows(path: Path) -> list[tuple[str, dict[str, float]]]:
    """Return the rows of a table, each with its label and its values by the metrics' ids.

    Args:
        path: A CSV file. Columns named like metrics hold values, of which some may be missing; the columns before the
            first of them are the label, and all others are left out. Rows without any value are left out.

    Raises:
        InputError: It cannot be read, has no such column or row, or a value is no number.
    """
    try:
        table = pd.read_csv(path, dtype=str, skipinitialspace=True)
    except ValueError as error:  # pandas' own, and decode's
        raise InputError(f"{path} is not a CSV file ({str(error).splitlines()[0]}); save the table as CSV.") from None
    table.columns = table.columns.str.strip()
    columns = [column for column in table.columns if column in METRICS]
    if not columns:
        raise InputError(f"{path} has no column that is named like a metric; known: {', '.join(METRICS)}.")
    labels = list(table.columns[: list(table.columns).index(columns[0])])
    rows = []
    for number, cells in enumerate(table.to_dict("records"), start=2):
        values = {}
        for column in columns:
            if not pd.isna(cells[column]):
                try:
                    values[column] = float(cells[column])
                except ValueError:
                    raise InputError(
                        f"{path}, line {number}, column {column}: {cells[column]!r}; expected a number alone."
                    ) from None
        if values:
            label = " · ".join(str(cells[name]) for name in labels if not pd.isna(cells[name]))
            rows.append((label or f"line {number}", values))
    if not rows:
        raise InputError(f"{path} has no row with a value; expected one below the names of the columns.")
    return rows


def _reasons(row: Mapping[str, float], convention: str) -> list[str]:
    reasons = [f"has no {name}" for name in row if convention not in METRICS[name].rules]
    for name, value in row.items():
        limits = LIMITS.get(name, {})
        low, high = limits.get(convention, limits.get("", (-math.inf, math.inf)))
        if convention in METRICS[name].rules and not low <= value <= high:
            reasons.append(f"{name} lies within {low:.4g} to {high:.4g}")
    most = 2 * row.get("EN", math.inf) * _NATS.get(convention, 1.0)
    if row.get("MI", 0) > most:
        reasons.append(f"MI is at most twice EN, {most:.4g} in its units")
    return reasons
