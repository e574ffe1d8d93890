"""A run's figures as files: sheets of scenes, distributions, critical differences, and what the experts do."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark import figures
from benchmark.datasets.base import Pair
from benchmark.engine import run_record as record
from benchmark.engine.cells import Cell, slug
from benchmark.engine.run_record import Part, Record
from benchmark.tables import metric_rows as rows
from benchmark.tables import metric_table as tables
from benchmark.tables.statistics import LEVEL
from metrics import images
from metrics.errors import InputError
from metrics.files import write_bytes
from metrics.images import ImageArray

SCENES = 3  # of a data set on its sheet: those with most boxes
_DARK = 64.0  # mean level of the visible image below which a scene counts as night


def illustrate(folder: Path) -> list[Path]:
    """Write a run's sheets of scenes, box plots and critical-difference diagrams into figures/; return the files.

    What a data set lacks (scores, images, methods enough to compare) has no figure.

    Args:
        folder: The run's.

    Raises:
        InputError: The folder holds no run, or an image in it cannot be read.
    """
    run = record.read(folder)
    (folder / "figures").mkdir(exist_ok=True)
    written: list[Path] = []
    for part in run.parts:
        written += _scenes(folder, run, part)
        block = rows.block(part, zip(run.labels, run.experiment.methods, strict=True), run.experiment.score, folder)
        scores = {row.method: row.scores for row in block.rows if row.scores is not None}
        if scores:
            written += figures.box_plots(scores, _stem(folder, "box_plots", part))
            written += _ranks(tables.significance([block]), _stem(folder, "critical_difference", part))
    return written


def _scenes(folder: Path, run: Record, part: Part) -> list[Path]:
    chosen = sorted(part.pairs, key=lambda pair: (-len(pair.boxes), pair.name))[:SCENES]
    scenes = []
    for pair in chosen:
        files = {label: Cell(folder, part.title, label, "fuse").folder / f"{pair.name}.png" for label in run.labels}
        shown = {label: images.read(path) for label, path in files.items() if path.is_file()}
        if shown:
            size = next(iter(shown.values())).shape
            scenes.append(figures.Scene(shown, figures.regions(pair.boxes, (size[1], size[0]))))
    return figures.qualitative(scenes, _stem(folder, "scenes", part)) if scenes else []


def _ranks(statistics: pd.DataFrame, stem: Path) -> list[Path]:
    every = statistics[(statistics["metric"] == "all") & statistics["rank"].notna()]
    if len(every) < 2 or every["critical_difference"].isna().any():
        return []
    ranks = dict(zip(every["method"], every["rank"], strict=True))
    first = every.iloc[0]  # without a rejection by Friedman's test no two methods are told apart
    difference = float(first["critical_difference"]) if first["friedman_p"] < LEVEL else float("inf")
    return figures.critical_difference(ranks, difference, stem)


def experts(part: Part, model_file: Path, folder: Path, *, device: str = "auto") -> list[Path]:
    """Write Figure 6 of a trained MoE-Fusion on a data set: its sheet, and how often each expert is picked as CSV.

    A scene counts as night where the mean level of its visible image is below 64. The sheet shows the scene with
    most boxes of each kind that there is.

    Args:
        part: The pairs.
        model_file: The model.safetensors.
        folder: The run's.
        device: Where the model runs.

    Raises:
        InputError: The model or an image cannot be read, or the model has no local experts.

    Reference: Cao et al., "Multi-modal Gated Mixture of Local-to-Global Experts for Dynamic Image Fusion",
        ICCV 2023, Figure 6.
    """
    import moefusion  # not above: it takes torch seconds to load, which the other figures need not
    from benchmark.engine.stages.train import PairSamples
    from moefusion.distributed import usable_device

    (folder / "figures").mkdir(exist_ok=True)
    # Without boxes, which neither gates nor experts look at: the model may know other classes.
    samples = PairSamples(tuple(replace(pair, boxes=()) for pair in part.pairs), ())
    try:
        model = moefusion.load_checkpoint(model_file).to(usable_device(device))
        night = np.array([_visible(pair).mean() < _DARK for pair in part.pairs])
        gates = {name: shares.numpy() > 0 for name, shares in moefusion.gate_shares(model, samples).items()}
        groups = {name: kind for name, kind in (("day", ~night), ("night", night)) if kind.any()}
        shares = {
            gate: {group: picked[kind].mean(axis=0) for group, kind in groups.items()} for gate, picked in gates.items()
        }
        written = [_picked(part, shares, groups, folder)]
        for group, kind in groups.items():
            pair = max((pair for pair, chosen in zip(part.pairs, kind, strict=True) if chosen), key=_busy)
            sample = samples[part.pairs.index(pair)]
            responses = moefusion.expert_responses(model, sample.infrared, sample.visible)
            maps = {name: each.numpy() for name, each in responses.items()}
            stem = _stem(folder, f"figure6_{group}", part)
            written += figures.experts(images.read(pair.infrared), images.read(pair.visible), maps, shares, stem)
    except ValueError as error:
        raise error if isinstance(error, InputError) else InputError(f"{model_file}: {error}") from error
    return written


def _picked(
    part: Part,
    shares: Mapping[str, Mapping[str, NDArray[np.float64]]],
    groups: Mapping[str, NDArray[np.bool_]],
    folder: Path,
) -> Path:
    found = pd.DataFrame(
        {"dataset": part.title, "gate": gate, "group": group, "images": int(groups[group].sum()), "expert": number}
        | {"picked": share}
        for gate, by_group in shares.items()
        for group, values in by_group.items()
        for number, share in enumerate(values, start=1)
    )
    path = folder / f"experts_{slug(part.title)}.csv"
    write_bytes(path, found.to_csv(index=False).encode())
    return path


def _visible(pair: Pair) -> ImageArray:
    return images.grey(images.read(pair.visible))


def _busy(pair: Pair) -> tuple[int, Sequence[int]]:
    return len(pair.boxes), [-ord(letter) for letter in pair.name]


def _stem(folder: Path, kind: str, part: Part) -> Path:
    return folder / "figures" / f"{kind}_{slug(part.title)}"
