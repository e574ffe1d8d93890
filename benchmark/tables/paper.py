"""Comparison with the paper: a run's numbers beside its own, and which methods lead in the paper's own tables.

`python -m benchmark.tables.paper` writes the second as results/reference/paper/claims.md.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmark.datasets.findings import quoted
from benchmark.engine import run_record
from benchmark.tables import csv_files
from benchmark.tables.markdown import in_markdown, markdown_table
from benchmark.tables.origins import DIFFERENCE, MEASURED, PUBLISHED
from benchmark.tables.published import read_published
from benchmark.tables.ranking import heading, losses, places
from metrics.errors import InputError
from metrics.files import write_bytes

OURS = "MoE-Fusion"
CLAIMS = Path("results/reference/paper/claims.md")
TABLES = {1: "Table 1, comparison of methods", 2: "Table 2, ablations", 3: "Table 3, detection (AP at IoU 0.5, %)"}
_KEYS = ["dataset", "method", "origin"]
_PROTOCOL = (
    "The paper scored a test split that was never published, at a size it does not state (most likely 640×480), with "
    "weights and detectors of its own. A difference is one of protocol and images as well as of implementation."
)


def against(folder: Path) -> pd.DataFrame:
    """Return every number that both a run and the paper have, as `compare` does.

    Args:
        folder: Of the run: table1.csv, table2.csv and table3.csv, as far as they are there.

    Raises:
        InputError: The folder holds none of the tables, or one that is not this benchmark's.
    """
    run = run_record.read(folder) if (folder / run_record.FILE).is_file() else None
    paths = {number: folder / f"table{number}.csv" for number in TABLES}
    tables = {
        number: csv_files.read_table(path)
        for number, path in paths.items()
        if path.is_file() and (run is None or run.has_written(path.name))
    }
    if not tables:
        raise InputError(
            f"{folder} holds no table1.csv, table2.csv or table3.csv; expected the folder of a finished run"
        )
    return compare(tables, folder)


def compare(tables: Mapping[int, pd.DataFrame], folder: Path) -> pd.DataFrame:
    """Return every number that both a run's tables and the paper have.

    Columns: table, dataset, method, metric, ours, paper, difference (ours - paper), relative_difference (a fraction
    of the paper's), images, size; size is that of scoring, and empty for Table 3.

    Args:
        tables: By number, in long form.
        folder: Of the run, for messages.

    Raises:
        InputError: Rows of differences lack their partners, or are not measured - paper.
    """
    for number, table in tables.items():
        _require_partners(folder / f"table{number}.csv", table.set_index(["dataset", "method"]), _shared(table))
    return pd.concat([_compared(number, table) for number, table in tables.items()], ignore_index=True)


def write(folder: Path) -> list[Path]:
    """Write against_paper.csv and against_paper.md into a run's folder; return their paths.

    Raises:
        InputError: As for `against`.
    """
    cells = against(folder)
    written = [folder / "against_paper.csv", folder / "against_paper.md"]
    write_bytes(written[0], cells.to_csv(index=False).encode())
    write_bytes(written[1], to_markdown(cells).encode())
    return written


def to_markdown(cells: pd.DataFrame) -> str:
    """Return the page on what `against` found: for each table and data set, ours / the paper's and the difference."""
    parts = ["# Against the paper", f"Ours / the paper's, and the difference in percent of the paper's. {_PROTOCOL}"]
    if cells.empty:
        parts.append("This run and the paper have no cell in common.")
    for _, group in cells.groupby(["table", "dataset"], sort=False):
        about = group.iloc[0]
        size = "" if pd.isna(about["size"]) else f", scored at {about['size']}"
        parts.append(f"## {TABLES[about['table']]}: {in_markdown(about['dataset'])}")
        parts.append(f"Ours: {about['images']} images{size}.")
        shown = group.assign(cell=[_cell(row) for row in group.to_dict("records")])
        wide = shown.pivot_table(index="method", columns="metric", values="cell", aggfunc="first")
        wide = wide.reindex(index=group["method"].unique(), columns=group["metric"].unique()).fillna("")
        parts.append(_markdown_table(wide.rename(columns=heading)))
    return "\n\n".join(parts) + "\n"


def claims() -> pd.DataFrame:
    """Return who is best in the paper's own tables, one row a table, data set and metric, by the printed numbers.

    Columns: table, dataset, metric; best, second, third with their values, methods that share a place joined by
    " = ", a place that is not taken empty; moe_fusion, its value; place, its rank, 1 the highest; shared, with how
    many others; lead, its value minus the highest of the others; relative_lead, a fraction of that.
    """
    rows = []
    for number in TABLES:
        for dataset, group in read_published(number).groupby("dataset", sort=False):
            values = group.set_index("method").drop(columns="dataset").dropna(axis="columns", how="all")
            rows += [
                {"table": number, "dataset": dataset, "metric": metric, **_leaders(column, str(metric))}
                for metric, column in values.items()
            ]
    return pd.DataFrame(rows)


def write_claims(path: Path) -> None:
    """Write the page on which values are highest in the paper's own tables."""
    found = claims()
    parts = [
        "# The highest values in the paper's own tables",
        "By the numbers as printed (`benchmark/tables/published/`), higher is better everywhere. *Lead* is "
        f"{OURS} minus the highest of the others. The paper gives no spread, so a small lead may be chance. "
        "Written by `python -m benchmark.tables.paper`.",
    ]
    for number, title in TABLES.items():
        cells = found[found["table"] == number]
        parts += [f"## {title}", _counted(cells)]
        for dataset, group in cells.groupby("dataset", sort=False):
            parts += [f"### {in_markdown(dataset)}", _markdown_table(_shown(group, 2 if number == 3 else 4))]
    write_bytes(path, ("\n\n".join(parts) + "\n").encode())


def _require_partners(path: Path, table: pd.DataFrame, metrics: list[str]) -> None:
    """Require that each method of ours and the paper's has its difference, and that it is measured - paper."""
    ours, theirs, differences = (table[table["origin"] == origin] for origin in (MEASURED, PUBLISHED, DIFFERENCE))
    if lone := sorted(set(differences.index) ^ (set(ours.index) & set(theirs.index))):
        where = quoted(", ".join(lone[0]))
        raise InputError(
            f"{path}: of {where} there are only some of the rows measured, paper and difference; {csv_files.REMEDY}"
        )
    compared = ours.loc[differences.index]
    if not ((compared["images"] >= 0) & (compared["images"] % 1 == 0)).all():  # nor is an empty cell
        raise InputError(f"{path}, column images: expected whole numbers; {csv_files.REMEDY}")
    gaps = compared[metrics] - theirs.loc[differences.index, metrics]
    wrong = differences[metrics].notna() & ~np.isclose(differences[metrics], gaps, rtol=0, atol=1e-6)
    if wrong.any(axis=None):
        metric = wrong.columns[wrong.any()][0]
        where = quoted(", ".join(wrong.index[wrong[metric]][0]))
        raise InputError(f"{path}: the {metric} of {where}: the difference is not measured - paper; {csv_files.REMEDY}")


def _shared(table: pd.DataFrame) -> list[str]:
    """Return the columns that rows of differences have numbers in."""
    differences = table[table["origin"] == DIFFERENCE]
    numbers = differences.select_dtypes("float").drop(columns=["images", "epochs", "training_images"], errors="ignore")
    return list(numbers.dropna(axis="columns", how="all").columns)


def _compared(number: int, table: pd.DataFrame) -> pd.DataFrame:
    # The rows of differences say what compares: Table 3's mAP does not where it is over other classes.
    differences = table[table["origin"] == DIFFERENCE]
    long = differences.melt(["dataset", "method"], _shared(table), "metric", "difference")
    long = long.dropna(subset="difference")
    by_cell = {
        origin: table[table["origin"] == origin].set_index(["dataset", "method"]) for origin in (MEASURED, PUBLISHED)
    }
    order = {key: place for place, key in enumerate(by_cell[MEASURED].index)}
    rows = [
        {
            "table": number,
            "dataset": dataset,
            "method": method,
            "metric": metric,
            "ours": by_cell[MEASURED].loc[(dataset, method), metric],
            "paper": (theirs := by_cell[PUBLISHED].loc[(dataset, method), metric]),
            "difference": difference,
            "relative_difference": difference / theirs if theirs else np.nan,
            "images": int(by_cell[MEASURED].loc[(dataset, method), "images"]),
            "size": by_cell[MEASURED].loc[(dataset, method)].get("size") or None,
        }
        for dataset, method, metric, difference in long.itertuples(index=False)
    ]
    rows.sort(key=lambda row: order[row["dataset"], row["method"]])
    columns = ["table", "dataset", "method", "metric", "ours", "paper", "difference", "relative_difference"]
    return pd.DataFrame(rows, columns=[*columns, "images", "size"])


def _leaders(values: "pd.Series[float]", metric: str) -> dict[str, object]:
    ranks = places(values, metric)
    found: dict[str, object] = {}
    for place, name in enumerate(("best", "second", "third"), start=1):
        taken = values[ranks == place]
        found |= {name: " = ".join(taken.index), f"{name}_value": taken.iloc[0] if len(taken) else np.nan}
    others = losses(values, metric).drop(OURS).min()
    place = int(ranks[OURS])
    found |= {"moe_fusion": values[OURS], "place": place, "shared": int((ranks == place).sum()) - 1}
    lead = others - losses(values, metric)[OURS]
    # Of printed decimals: what floats add to their difference is not the paper's.
    return found | {"lead": round(lead, 4), "relative_lead": lead / abs(others)}


def _counted(cells: pd.DataFrame) -> str:
    alone = (cells["place"] == 1) & (cells["shared"] == 0)
    text = f"{OURS} has the highest value in {(cells['place'] == 1).sum()} of {len(cells)} cells"
    shared = (cells["place"] == 1) & ~alone
    text += f", {shared.sum()} of them shared." if shared.any() else ", none of them shared."
    if alone.any():
        leads = cells.loc[alone, "relative_lead"]
        text += (
            f" Where it is highest, it leads by {leads.min():.1%} to {leads.max():.1%}, "
            f"by less than 1% in {(leads < 0.01).sum()} cells."
        )
    behind = cells[cells["place"] > 1]
    if len(behind):
        listed = (f"{row['dataset']} {row['metric']} (place {row['place']})" for row in behind.to_dict("records"))
        text += " It is not highest in " + ", ".join(listed) + "."
    return text


def _shown(cells: pd.DataFrame, decimals: int) -> pd.DataFrame:
    def place(row: dict[Any, Any], name: str) -> str:
        return f"{row[name]} {row[f'{name}_value']:.{decimals}f}" if row[name] else ""

    rows = [
        {
            "metric": row["metric"],
            **{"highest" if name == "best" else name: place(row, name) for name in ("best", "second", "third")},
            f"place of {OURS}": f"{row['place']}" + (f", shared with {row['shared']}" if row["shared"] else ""),
            "lead": f"{row['lead']:+.{decimals}f} ({row['relative_lead']:+.1%})",
        }
        for row in cells.to_dict("records")
    ]
    return pd.DataFrame(rows).set_index("metric")


def _cell(row: dict[Any, Any]) -> str:
    decimals = 2 if row["table"] == 3 else 4
    return f"{row['ours']:.{decimals}f} / {row['paper']:.{decimals}f} ({row['relative_difference']:+.1%})"


def _markdown_table(frame: pd.DataFrame) -> str:
    head = [frame.index.name, *frame.columns]
    return markdown_table([head, *([name, *row] for name, row in zip(frame.index, frame.to_numpy(), strict=True))])


if __name__ == "__main__":
    write_claims(CLAIMS)
