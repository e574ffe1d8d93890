"""Scores of a folder of fused images."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from metrics.conventions import convention_of
from metrics.errors import InputError
from metrics.names import match_folders
from metrics.opencv import cv2
from metrics.registry import METRICS, Selection, select
from metrics.remarks import ROUNDING, Remark, remarks_on, summarise, unread_files
from metrics.scoring import evaluate_files, find_rounding, require_size
from metrics.workers import Workers, as_workers

_NAMED = 5  # names that an error spells out before it only counts


def evaluate_folder(
    infrared_dir: str | Path,
    visible_dir: str | Path,
    fused_dir: str | Path,
    *,
    convention: str = "tang2022",
    size: tuple[int, int] | None = None,
    metrics: Selection = "paper",
    names: Sequence[str] = (),
    ignore_extra: bool = False,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Return the metrics of every fused image: one row an image, columns image and the ids of the metrics.

    Files belong together by their names without extension, or by one pattern of names for each folder, see
    `metrics.names.match_folders`. The fused folder decides what is scored: names of sources without a fused image are
    in `frame.attrs["unscored"]`, those of fused images that were left out in `frame.attrs["extra"]`, and what should be
    told about the files, a line each, in `frame.attrs["remarks"]`.

    Args:
        infrared_dir, visible_dir, fused_dir: Folders of image files.
        convention: A key of `metrics.CONVENTIONS`.
        size: (width, height) to score at, see `evaluate_files`; None is the files' own size.
        metrics: Which, as `metrics.select` takes it.
        names: Patterns of the names in the three folders, such as ("IR{}.png", "VIS{}.png", "Fuse{}.png").
        ignore_extra: Leave out fused images that have no sources, instead of refusing them.
        workers: Processes; None is one a core. The values do not depend on it.
        progress: Called with (images done, images in all) after each.

    Raises:
        InputError: A folder or file cannot be used, a fused image lacks a source, or an option is wrong.
    """
    _require_options(convention, size, workers)
    folders = {"infrared": Path(infrared_dir), "visible": Path(visible_dir), "fused": Path(fused_dir)}
    match = match_folders(folders, names, leader=None if ignore_extra else "fused")
    infrared, visible, fused = match.files.values()
    extra = sorted(fused.keys() - (infrared.keys() & visible.keys())) if ignore_extra else []
    fused = {name: path for name, path in fused.items() if name not in extra}
    if not fused:
        raise InputError(f"no fused image in {fused_dir} has both its sources; rename them as their sources.")
    _require_sources(fused, infrared, infrared_dir, "infrared")
    _require_sources(fused, visible, visible_dir, "visible")
    for name in fused:
        if infrared[name].samefile(visible[name]):
            raise InputError(
                f"{infrared[name]} is both the infrared and the visible image of {name}; give two folders."
            )

    rows: list[dict[str, Any]] = []
    remarks: list[tuple[str, Remark]] = []
    triples = [(infrared[name], visible[name], path) for name, path in fused.items()]
    results = _in_processes(_evaluate_and_remark, triples, convention, size, metrics, workers)
    for name, (values, found) in zip(fused, results, strict=True):
        rows.append({"image": name} | values)
        remarks += [(name, remark) for remark in found]
        if progress:
            progress(len(rows), len(fused))
    frame = pd.DataFrame(rows)
    frame.attrs["unscored"] = sorted((infrared.keys() | visible.keys()) - fused.keys())
    frame.attrs["extra"] = extra
    frame.attrs["remarks"] = [match.remark] * bool(match.remark) + summarise(remarks) + unread_files(folders.values())
    return frame


def evaluate_triples(
    triples: Sequence[tuple[Path, Path, Path]],
    *,
    convention: str = "tang2022",
    size: tuple[int, int] | None = None,
    metrics: Selection = "paper",
    workers: int | Workers | None = None,
) -> Iterator[dict[str, float]]:
    """Return the metrics of each triple of files (infrared, visible, fused), in their order, as they get ready.

    Args:
        triples: Image files.
        convention: A key of `metrics.CONVENTIONS`.
        size: (width, height) to score at, see `evaluate_files`; None is the files' own size.
        metrics: Which, as `metrics.select` takes it.
        workers: `metrics.workers.Workers`, or a number of processes; None is one a core. The values do not depend
            on it.

    Raises:
        InputError: A file cannot be used, or an option is wrong.
    """
    _require_options(convention, size, workers)
    return _in_processes(evaluate_files, triples, convention, size, metrics, workers)


def find_rounding_in_triples(
    triples: Sequence[tuple[Path, Path, Path]],
    *,
    convention: str,
    size: tuple[int, int] | None,
    metrics: Selection,
    workers: int | Workers | None = None,
) -> dict[str, int]:
    """Return on how many triples a metric's value rests on rounding errors, by its id; the arguments as above."""
    sensitive = [name for name in select(metrics, convention) if METRICS[name].rests_on_rounding]
    if not sensitive:
        return {}
    found = list(_in_processes(find_rounding, triples, convention, size, sensitive, workers))
    counts = {name: sum(name in names for names in found) for name in sensitive}
    return {name: count for name, count in counts.items() if count}


def _in_processes(
    score: Callable[..., Any],
    triples: Sequence[tuple[Path, Path, Path]],
    convention: str,
    size: tuple[int, int] | None,
    metrics: Selection,
    workers: int | Workers | None,
) -> Iterator[Any]:
    """Return what a function like `evaluate_files` gives for each triple, in their order, as they get ready."""
    selection = metrics if isinstance(metrics, str) else tuple(metrics)
    select(selection, convention)
    if not triples:
        return iter(())
    pool = as_workers(workers)
    here = min(pool.number, len(triples)) == 1 and not pool.remote
    options = {"convention": convention, "size": size, "metrics": selection}
    work = partial(score, **options) if here else partial(_score_in_worker, score, **options)
    return pool.starmap(work, triples)


def _require_options(convention: str, size: tuple[int, int] | None, workers: int | Workers | None) -> None:
    convention_of(convention)
    if size is not None:
        require_size(size)
    if isinstance(workers, int) and workers < 1:
        raise InputError(f"workers is {workers}; expected at least 1, or nothing for one a core.")


def _score_in_worker(score: Callable[..., Any], *triple: Path, **options: Any) -> Any:
    cv2.setNumThreads(1)  # the processes already keep all cores busy
    return score(*triple, **options)


def _evaluate_and_remark(
    infrared: Path, visible: Path, fused: Path, **options: Any
) -> tuple[dict[str, float], list[Remark]]:
    values = evaluate_files(infrared, visible, fused, **options)
    rounding = find_rounding(infrared, visible, fused, **options)
    remarks = [(", ".join(rounding), ROUNDING)] if rounding else []
    return values, remarks_on({"infrared": infrared, "visible": visible, "fused": fused}) + remarks


def _require_sources(fused: dict[str, Path], sources: dict[str, Path], folder: str | Path, band: str) -> None:
    lost = [path.name for name, path in fused.items() if name not in sources]
    if lost:
        more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
        there = [path.name for name, path in sources.items() if name not in fused] or ["no other image"]
        rest = f" and {len(there) - _NAMED} more" if len(there) > _NAMED else ""
        raise InputError(
            f"{len(lost)} of {len(fused)} fused images have no {band} image of the same name in {folder}: "
            f"{', '.join(lost[:_NAMED])}{more}; there is {', '.join(there[:_NAMED])}{rest}. Rename them as their "
            "sources, or leave them out by --ignore-extra."
        )
