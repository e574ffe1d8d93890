"""Table 3: average precision of each class, data set and method, as CSV and as LaTeX in the paper's form."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pylatexenc.latexencode import unicode_to_latex

from benchmark.detection.average_precision import LEVEL, SUMMARY, Precision
from benchmark.tables import latex
from benchmark.tables.origins import (
    MEASURED,
    PUBLISHED,
    SEPARATOR,
    add_paper_rows,
    explain_marks,
)
from benchmark.tables.published import read_published
from benchmark.tables.ranking import marks
from metrics.errors import InputError
from metrics.files import write_bytes

PAPER_PROTOCOL = "paper"
MEAN, LOW, HIGH = "mAP", "mAP_low", "mAP_high"
DIGITS = 2


@dataclass
class MethodPrecision:
    """One method on one data set.

    Attributes:
        method: Its label.
        precision: What the evaluation gave; None when the cell has none.
        interval: Bootstrap interval of mAP over images.
        status: "done", or the reason why there is no precision.
        ranked: Whether it competes; the two sources stand in the table but do not, as in Table 1.
        notes: What a reader should know; and what `origins.explain_marks` explains.
    """

    method: str
    precision: Precision | None
    interval: tuple[float, float] | None = None
    status: str = "done"
    ranked: bool = True
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class About:
    """How the detector came to be: what decides every number of a data set's rows.

    Attributes:
        protocol: "paper" (one detector, trained on both sources) or "retrain" (one a method, on its fused images).
        detector: Its name.
        weights: Where its weights began: none, backbone, COCO, or a file.
        epochs: Trained for.
        training_images: Trained on, fused or of both bands; None where no manifest says how many.
        colour: What it sees of a fused image.
    """

    protocol: str
    detector: str
    weights: str
    epochs: int
    training_images: int | None
    colour: str


@dataclass
class DatasetPrecision:
    """One data set of the table: its title, test images, their fingerprint, classes, detector, split and methods."""

    dataset: str
    images: int
    fingerprint: str
    classes: tuple[str, ...]
    about: About
    split: str = ""
    rows: list[MethodPrecision] = field(default_factory=list)


def table3(blocks: Sequence[DatasetPrecision]) -> pd.DataFrame:
    """Return Table 3 in long form, one row a data set, method and origin; every AP and AR in percent.

    Columns: dataset, method, origin ("measured", "paper", "difference" = measured - paper); AP at IoU 0.5 of every
    class of any data set, empty where a data set does not have it or lacks it in the test part (the notes then call
    it absent); mAP, their mean; mAP_low and mAP_high, its bootstrap interval over images; COCO's twelve numbers;
    ranked, images, protocol, detector, weights, epochs, training_images, colour, classes, fingerprint, split, notes,
    status. The paper's rows appear with a data set that the paper has, and only under the paper's protocol.

    Raises:
        InputError: A class has the name of a column.
    """
    paper = read_published(3)
    scores = [MEAN, LOW, HIGH, *SUMMARY]
    facts = ["ranked", "images", *About.__dataclass_fields__, "classes", "fingerprint", "split", "notes", "status"]
    classes: dict[str, None] = {}
    rows: list[dict[str, Any]] = []
    for block in blocks:
        theirs = _theirs(paper, block)
        shown = list(dict.fromkeys([*block.classes, *theirs.columns.drop(MEAN, errors="ignore")]))
        classes |= dict.fromkeys(shown)
        named = {"classes": SEPARATOR.join(shown)}
        about = {"images": block.images, **asdict(block.about), **named}
        about |= {"fingerprint": block.fingerprint, "split": block.split}
        measured = [
            {"dataset": block.dataset, "method": row.method, **_percent(row), "ranked": row.ranked, **about}
            | {"notes": SEPARATOR.join([*row.notes, *_absences(row.precision)]), "status": row.status}
            for row in block.rows
        ]
        other_means = {(row.method, MEAN) for row in block.rows if _present(row) != set(theirs.columns) - {MEAN}}
        rows += add_paper_rows(measured, theirs, about, paper_facts=named, incomparable=other_means)
    columns = ["dataset", "method", "origin", *classes, *scores, *facts]
    if len(set(columns)) < len(columns):
        taken = next(label for label in classes if columns.count(label) > 1)
        raise InputError(f"class {taken!r} bears the name of a column of Table 3; give the data set's class another.")
    whole = {"images": "Int64", "epochs": "Int64", "training_images": "Int64"}
    return pd.DataFrame(rows, columns=columns).astype(whole | dict.fromkeys([*classes, *scores], "float64"))


def to_latex(table: pd.DataFrame, title: str) -> str:
    r"""Return Table 3 as a LaTeX table; it needs the packages booktabs, multirow and xcolor.

    AP of each class, mAP and its interval in percent. Best, second and third are bold red, blue and cyan as in Table 1.
    The paper's own rows and the differences to them are grey, in italics and named so. A class that a data set does
    not have leaves its cell empty; "--" is absent from the test part, or failed.
    """
    shown = table.reset_index(drop=True)
    columns = compared_columns(shown)
    body = pd.DataFrame({column: _cells(shown, column) for column in columns})
    body["interval"] = [_interval(row) for row in shown.to_dict("records")]
    body.columns = pd.Index([*(unicode_to_latex(column) for column in columns), rf"{LEVEL:.0%}".replace("%", r"\%")])
    return latex.to_latex(shown, body, marks(shown, columns, DIGITS), caption=_caption(shown, title), label="table3")


def write(folder: Path, table: pd.DataFrame, title: str) -> None:
    """Write table3.csv and table3.tex into a folder."""
    write_bytes(folder / "table3.csv", table.to_csv(index=False).encode())
    write_bytes(folder / "table3.tex", to_latex(table, title).encode())


def _theirs(paper: pd.DataFrame, block: DatasetPrecision) -> pd.DataFrame:
    """Return the paper's rows for a block by method, with the classes that the paper has for its data set."""
    wanted = (paper["dataset"] == block.dataset) & (block.about.protocol == PAPER_PROTOCOL)
    return paper[wanted].set_index("method").drop(columns="dataset").dropna(axis="columns", how="all")


def _present(row: MethodPrecision) -> set[str]:
    """Return the classes that a row's mean is over."""
    return set(row.precision.classes) - set(row.precision.absent) if row.precision else set()


def _absences(precision: Precision | None) -> list[str]:
    return [f"{label}: absent from the test part" for label in precision.absent] if precision else []


def _percent(row: MethodPrecision) -> dict[str, float]:
    if row.precision is None:
        return {}
    low, high = row.interval or (None, None)
    values = {**row.precision.classes, MEAN: row.precision.mean, LOW: low, HIGH: high, **row.precision.summary}
    return {name: np.nan if value is None else round(100 * value, 10) for name, value in values.items()}


def compared_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns of a Table 3 in long form that methods are compared by: its classes and mAP."""
    return [*dict.fromkeys(label for text in table["classes"] for label in text.split(SEPARATOR) if label), MEAN]


def _cells(table: pd.DataFrame, column: str) -> list[str]:
    """Return a column as LaTeX; a class that a row's data set does not have is empty."""
    return [
        ""
        if column != MEAN and column not in row["classes"].split(SEPARATOR)
        else latex.format_number(row[column], row["origin"], DIGITS)
        for row in table.to_dict("records")
    ]


def _interval(row: dict[Any, Any]) -> str:
    return "" if pd.isna(row[LOW]) else f"{row[LOW]:.2f}--{row[HIGH]:.2f}"


def _caption(table: pd.DataFrame, title: str) -> str:
    measured = table[table["origin"] == MEASURED]
    parts = [f"{title}. Average precision at IoU 0.5 by COCO's rules, in percent; mAP is the mean over classes."]
    for row in measured.drop_duplicates("dataset").to_dict("records"):
        images = "an unknown number of" if pd.isna(row["training_images"]) else row["training_images"]
        parts.append(
            f"{row['dataset']}: protocol {row['protocol']}, {row['detector']}, initial weights {row['weights']}, "
            f"{row['epochs']} epochs on {images} images, seeing {row['colour']}; "
            f"{row['images']} test images, data {str(row['fingerprint'])[:12]}."
        )
    parts.append(f"{LEVEL:.0%}: bootstrap interval of mAP over the test images.")
    parts.append("Best, second and third fusion method in bold red, blue and cyan; the sources infrared and visible")
    parts.append("are not ranked; -- is a class absent from the test part, which no mean counts, a failed method, or a")
    parts.append("difference of means over different classes.")
    parts += explain_marks(table)
    if (table["origin"] == PUBLISHED).any():
        parts.append("Grey rows are the paper's own numbers, by its own detector and fused images, not ours.")
    return str(unicode_to_latex(" ".join(parts)))
