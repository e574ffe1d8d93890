"""Score fused images: the cell holds `scores.csv`, a row an image and a column a metric.

In the file a metric that is undefined for an image is `nan`, and one that is not scored yet is empty.
"""

import csv
import hashlib
import io
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

import metrics
from benchmark.datasets.base import Pair
from benchmark.engine.cells import Cell
from benchmark.engine.experiment import ScoreSettings
from benchmark.engine.stage import Finished, Stage
from benchmark.engine.stages.fuse import combined_digest
from metrics import images
from metrics.code import code_digest
from metrics.errors import InputError
from metrics.files import require_there, require_unchanged, stamp_files, write_bytes
from metrics.folder import find_rounding_in_triples
from metrics.registry import is_everything
from metrics.workers import Workers

SCORES = "scores.csv"
_FLUSH = 64  # images scored between two writes of the rows: what a killed run loses at most

Rows = dict[str, dict[str, float]]  # by image and metric


class Score(Stage):
    """Writes the metrics of every fused image; a metric that a cell has is not computed again for another one."""

    name: ClassVar[str] = "score"
    done: ClassVar[str] = "scored"

    def __init__(
        self, pairs: Iterable[Pair], fused: Path, settings: ScoreSettings, *, workers: Workers | None = None
    ) -> None:
        """Prepare to score.

        Args:
            pairs: The sources.
            fused: The folder with a fused image NAME.png for each pair.
            settings: Convention, size and metrics.
            workers: Processes that score.
        """
        self.pairs = {pair.name: pair for pair in sorted(pairs, key=lambda pair: pair.name)}
        self.fused, self.settings, self.workers = fused, settings, workers or Workers()

    def recipe(self) -> dict[str, Any]:
        """Return convention and size, and the code that reads images and turns them grey."""
        convention = _facts(metrics.CONVENTIONS[self.settings.convention], without=("name", "program"))
        code = f"{code_digest('metrics.scoring:evaluate_files')} {convention}"
        return {
            "convention": self.settings.convention,
            "size": self.settings.size,
            "code": hashlib.sha256(code.encode()).hexdigest(),
        }

    def items(self) -> dict[str, str]:
        """Return each pair with a hash of its images and of the fused one."""
        paths = {name: self._path(name) for name in self.pairs}
        for path in paths.values():
            require_there(path)
        self._stamps = {name: stamp_files([path]) for name, path in paths.items()}
        return {name: combined_digest(self.pairs[name].fingerprint, path) for name, path in paths.items()}

    def layers(self) -> dict[str, str]:
        """Return each metric with a hash of its code and options."""
        return {metric: _metric_digest(metric, self.settings.convention) for metric in self.settings.ids}

    def prepare(self, cell: Cell) -> None:
        """Remove damaged rows: all are scored again."""
        try:
            cell.require_unchanged()
            _read_rows(cell)
        except InputError:
            (cell.folder / SCORES).unlink(missing_ok=True)

    def missing(self, cell: Cell) -> list[str]:
        """Return the images that lack a metric."""
        rows = _read_rows(cell)
        return [name for name in self.pairs if not rows.get(name, {}).keys() >= set(self.settings.ids)]

    def discard(self, cell: Cell, items: list[str], layers: list[str]) -> None:
        """Remove rows and columns."""
        rows = {name: row for name, row in _read_rows(cell).items() if name not in items}
        _write_rows(cell, {name: {id_: row[id_] for id_ in row if id_ not in layers} for name, row in rows.items()})

    def make(self, missing: list[str], cell: Cell) -> Iterator[str]:
        """Score images by the metrics that they lack.

        Raises:
            InputError: An image is damaged, of another size than its sources, or changed meanwhile.
        """
        rows = _read_rows(cell)
        groups: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
        for name in missing:
            ids = tuple(metric for metric in self.settings.ids if metric not in rows.get(name, {}))
            groups.setdefault((ids, self._computable(name, ids)), []).append(name)
        count = 0
        try:
            for (ids, computable), names in groups.items():
                triples = [(self.pairs[name].infrared, self.pairs[name].visible, self._path(name)) for name in names]
                results = metrics.evaluate_triples(
                    triples,
                    convention=self.settings.convention,
                    size=self.settings.pixels,
                    metrics=computable,
                    workers=self.workers,
                )
                for name, values in zip(names, results, strict=True):
                    self.pairs[name].require_unchanged()
                    require_unchanged(self._stamps[name])
                    rows[name] = rows.get(name, {}) | dict.fromkeys(ids, math.nan) | values
                    count += 1
                    if count % _FLUSH == 0:
                        _write_rows(cell, rows)
                    yield name
        except InputError as error:
            if str(error).startswith(f"{self.fused}{os.sep}"):
                raise InputError(f"{error} If a run fused it, delete it: the next run fuses it again.") from error
            raise
        finally:
            _write_rows(cell, rows)

    def _computable(self, name: str, ids: Sequence[str]) -> tuple[str, ...]:
        """Return which metrics are computed: under "all", those that an image is too small for are undefined."""
        if not is_everything(self.settings.metrics):
            return tuple(ids)
        shortest, convention = min(self.settings.pixels or images.size(self._path(name))), self.settings.convention
        rules = metrics.CONVENTIONS[convention].rules
        large_enough = (
            id_ for id_ in ids if id_ in rules and shortest >= metrics.METRICS[id_].smallest_side(convention)
        )
        return tuple(large_enough) or tuple(ids)

    def _path(self, name: str) -> Path:
        return self.fused / f"{name}.png"

    def finish(self, cell: Cell) -> Finished:
        """Return on how many images which metric is undefined, or rests on rounding errors."""
        frame = _frame(_read_rows(cell), self.pairs, self.settings.ids)
        triples = [(pair.infrared, pair.visible, self._path(name)) for name, pair in self.pairs.items()]
        rounding = find_rounding_in_triples(
            triples,
            convention=self.settings.convention,
            size=self.settings.pixels,
            metrics=self.settings.ids,
            workers=self.workers,
        )
        remarks = [
            f"{metric}: rests on rounding errors in flat areas of {count} of {len(triples)} images"
            for metric, count in rounding.items()
        ]
        return Finished([*count_undefined(frame), *remarks], [cell.folder / SCORES])


def read_scores(cell: Cell, pairs: Iterable[Pair], ids: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the rows of a scored cell for these pairs: index `image`, one column a metric.

    Args:
        cell: The cell.
        pairs: The pairs.
        ids: Which metrics; None for all that every one of these images has.

    Raises:
        InputError: The cell's file is damaged, or lacks a pair or a metric.
    """
    cell.require_unchanged()
    rows = _read_rows(cell)
    names = sorted(pair.name for pair in pairs)
    if missing := [name for name in names if name not in rows]:
        raise InputError(f"{cell.folder / SCORES} lacks {len(missing)} of {len(names)} images; run score again")
    stored = [id_ for id_ in metrics.METRICS if all(id_ in rows[name] for name in names)]
    if lacking := [metric for metric in ids or () if metric not in stored]:
        raise InputError(f"{cell.folder / SCORES} lacks {', '.join(lacking)}; run score again")
    return _frame(rows, names, stored if ids is None else ids)


def count_undefined(scores: pd.DataFrame) -> list[str]:
    """Return on how many images which metric is undefined, in words."""
    counts = scores.isna().sum()
    return [f"{metric}: undefined on {count} of {len(scores)} images" for metric, count in counts.items() if count]


def _frame(rows: Rows, names: Iterable[str], ids: Iterable[str]) -> pd.DataFrame:
    names = sorted(names)
    return pd.DataFrame(
        [[rows[name][id_] for id_ in ids] for name in names],
        index=pd.Index(names, name="image"),
        columns=list(ids),
        dtype=float,
    )


def _metric_digest(metric: str, convention: str) -> str:
    rule = metrics.METRICS[metric].rules.get(convention)
    if rule is None:
        return "not in this convention"
    code = code_digest(rule.function or metrics.METRICS[metric].function)
    facts = f"{code} {_facts(rule, without=('scale',))} {metrics.METRICS[metric].sources}"
    return hashlib.sha256(facts.encode()).hexdigest()


def _facts(record: Any, *, without: Sequence[str]) -> dict[str, object]:
    """Return the fields of a record, without its prose, functions by their code."""
    facts = {one.name: getattr(record, one.name) for one in fields(record) if one.name not in without}
    options = facts.pop("options", {})
    return {name: code_digest(value) if callable(value) else value for name, value in sorted((facts | options).items())}


def _read_rows(cell: Cell) -> Rows:
    """Return the rows of a table that is whole; none where there is no table.

    Raises:
        InputError: The table is damaged.
    """
    # Read by hand: every version of pandas must give back the very numbers, and the image "NA" its name.
    table = cell.folder / SCORES
    if not table.is_file():
        return {}
    rows: Rows = {}
    try:
        text = table.read_bytes().decode()
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        first, *ids = next(reader, None) or [""]
        if first != "image" or len(set(ids)) != len(ids) or not text.endswith("\n"):
            raise ValueError("its first or last line is not whole")
        for name, *values in reader:
            rows[name] = {id_: float(value) for id_, value in zip(ids, values, strict=True) if value}
            if any(map(math.isinf, rows[name].values())):
                raise ValueError(f"the row of {name}")
        if len(rows) != reader.line_num - 1:
            raise ValueError("an image has two rows")
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{table} is damaged ({error}); run score again") from error
    return {name: {id_: row[id_] for id_ in row if id_ in metrics.METRICS} for name, row in rows.items()}


def _write_rows(cell: Cell, rows: Rows) -> None:
    ids = [id_ for id_ in metrics.METRICS if any(id_ in row for row in rows.values())]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", *ids])
    for name in sorted(rows):
        writer.writerow([name, *(repr(float(rows[name][id_])) if id_ in rows[name] else "" for id_ in ids)])
    write_bytes(cell.folder / SCORES, text.getvalue().encode())
