"""Scores of a folder of fused images."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
from joblib import cpu_count, delayed

from metrics.conventions import convention_of
from metrics.errors import InputError
from metrics.images import index
from metrics.opencv import cv2
from metrics.registry import Selection, select
from metrics.scoring import evaluate_files, require_size
from metrics.workers import in_workers

_NAMED = 5  # names that an error spells out before it only counts


def evaluate_folder(
    infrared_dir: str | Path,
    visible_dir: str | Path,
    fused_dir: str | Path,
    *,
    convention: str = "tang2022",
    size: tuple[int, int] | None = None,
    metrics: Selection = "paper",
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Return the metrics of every fused image: one row an image, columns image and the ids of the metrics.

    Files belong together by their names without extension. The fused folder decides what is scored: names of
    sources without a fused image are in `frame.attrs["unscored"]`.

    Args:
        infrared_dir, visible_dir, fused_dir: Folders of image files.
        convention: A key of `metrics.CONVENTIONS`.
        size: (width, height) to score at, see `evaluate_files`; None is the files' own size.
        metrics: Which, as `metrics.select` takes it.
        workers: Processes; None is one a core. The values do not depend on it.
        progress: Called with (images done, images in all) after each.

    Raises:
        InputError: A folder or file cannot be used, a fused image lacks a source, or an option is wrong.
    """
    _require_options(convention, size, workers)
    infrared, visible, fused = index(infrared_dir), index(visible_dir), index(fused_dir)
    _require_sources(fused, infrared, infrared_dir, "infrared")
    _require_sources(fused, visible, visible_dir, "visible")

    rows = []
    triples = [(infrared[name], visible[name], path) for name, path in fused.items()]
    scores = evaluate_triples(triples, convention=convention, size=size, metrics=metrics, workers=workers)
    for name, values in zip(fused, scores, strict=True):
        rows.append({"image": name} | values)
        if progress:
            progress(len(rows), len(fused))
    frame = pd.DataFrame(rows)
    frame.attrs["unscored"] = sorted((infrared.keys() | visible.keys()) - fused.keys())
    return frame


def evaluate_triples(
    triples: Sequence[tuple[Path, Path, Path]],
    *,
    convention: str = "tang2022",
    size: tuple[int, int] | None = None,
    metrics: Selection = "paper",
    workers: int | None = None,
) -> Iterator[dict[str, float]]:
    """Return the metrics of each triple of files (infrared, visible, fused), in their order, as they get ready.

    Args:
        triples: Image files.
        convention: A key of `metrics.CONVENTIONS`.
        size: (width, height) to score at, see `evaluate_files`; None is the files' own size.
        metrics: Which, as `metrics.select` takes it.
        workers: Processes; None is one a core. The values do not depend on it.

    Raises:
        InputError: A file cannot be used, or an option is wrong.
    """
    _require_options(convention, size, workers)
    if not triples:
        return iter(())
    selection = metrics if isinstance(metrics, str) else tuple(metrics)
    select(selection, convention)
    processes = min(workers or cpu_count(), len(triples))
    score = partial(
        evaluate_files if processes == 1 else _evaluate_in_worker,
        convention=convention,
        size=size,
        metrics=selection,
    )
    return in_workers((delayed(score)(*triple) for triple in triples), processes)


def _require_options(convention: str, size: tuple[int, int] | None, workers: int | None) -> None:
    convention_of(convention)
    if size is not None:
        require_size(size)
    if workers is not None and workers < 1:
        raise InputError(f"workers is {workers}; expected at least 1, or nothing for one a core.")


def _evaluate_in_worker(
    infrared: Path, visible: Path, fused: Path, *, convention: str, size: tuple[int, int] | None, metrics: Selection
) -> dict[str, float]:
    cv2.setNumThreads(1)  # the processes already keep all cores busy
    return evaluate_files(infrared, visible, fused, convention=convention, size=size, metrics=metrics)


def _require_sources(fused: dict[str, Path], sources: dict[str, Path], folder: str | Path, band: str) -> None:
    lost = [path.name for name, path in fused.items() if name not in sources]
    if lost:
        more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
        raise InputError(
            f"{len(lost)} of {len(fused)} fused images have no {band} image of the same name in {folder}: "
            f"{', '.join(lost[:_NAMED])}{more}. Rename them as their sources, or check the folder."
        )
