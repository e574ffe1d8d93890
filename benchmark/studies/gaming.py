"""Gaming check: which metrics improve when a fused image is changed in ways that fuse nothing better.

The fused image is the average of both sources; noise, stretched contrast and sharpening of it know nothing of the
sources that the average does not.
"""

import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console

import metrics
from benchmark.datasets.base import Pair
from benchmark.engine.experiment import Experiment, ScoreSettings, check_names
from benchmark.engine.runner import Options, Outcome, show_progress, start_run
from benchmark.tables.markdown import in_markdown, markdown_table
from benchmark.tables.ranking import heading, losses
from methods.classical import Average, Infrared, Maximum, Visible
from metrics import images
from metrics.errors import InputError
from metrics.files import write_bytes
from metrics.images import ImageArray
from metrics.opencv import cv2
from metrics.workers import Workers

MEAN, CHANGE, IMPROVED = "mean", "change", "improved"
_KEYS, _FACTS = ["dataset", "variant", "quantity"], ["images", "convention", "size"]
_SIGMAS = (5, 10, 20)
_TAILS = (1, 99)  # percentiles that the stretch maps to black and white
_TILES, _CLIP = (8, 8), 2.0  # of CLAHE: OpenCV's tiles, and the limit of its tutorials
_BLUR, _AMOUNT = 2.0, 1.0  # of the unsharp mask: sigma in pixels, and the share of the detail that is added

_BATCH = 32  # pairs whose images are on disk at a time

Change = Callable[[ImageArray, np.random.Generator], ImageArray]


def gaming(
    pairs: Sequence[Pair],
    score: ScoreSettings,
    *,
    dataset: str = "",
    seed: int = 0,
    workers: int | Workers | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> pd.DataFrame:
    """Return what each way of changing an image does to the metrics, three rows a variant.

    Columns: dataset, variant ("Infrared", "Visible", "Average", "Average, noise 5", ...), quantity, the metrics,
    images, convention, size. The quantities: "mean" over images; "change" of the mean against that of "Average", a
    fraction; "improved", the fraction of the images on which the metric is better than the average's: higher or
    lower, as the metric's direction is. An undefined metric is left out of its image, and is NaN where no image has it.

    Args:
        pairs: What is fused.
        score: Convention, size and metrics.
        dataset: Its title.
        seed: Of the noise, which also depends on the pair's name.
        workers: Processes that score, or their number; None for one a core.
        progress: Called with (scored, all).

    Raises:
        InputError: There is no pair, an image cannot be used, or the convention or size is unknown.
    """
    if not pairs:
        raise InputError(f"{dataset or 'the data set'} has no pairs; a gaming check needs at least one")
    rows: list[dict[str, float]] = []
    for start in range(0, len(pairs), _BATCH):
        with tempfile.TemporaryDirectory() as folder:
            triples = [
                triple for pair in pairs[start : start + _BATCH] for triple in _written(pair, Path(folder), seed)
            ]
            for row in metrics.evaluate_triples(
                triples, convention=score.convention, size=score.pixels, metrics=score.ids, workers=workers
            ):
                rows.append(row)
                progress(len(rows), len(pairs) * len(VARIANTS))
    index = pd.MultiIndex.from_product([[pair.name for pair in pairs], VARIANTS], names=["image", "variant"])
    scores = pd.DataFrame(rows, index=index)[list(score.ids)]
    found = _quantities(scores)
    found = found.assign(dataset=dataset, images=len(pairs), convention=score.convention, size=score.size)
    return found[[*_KEYS, *score.ids, *_FACTS]]


def check_experiment(experiment: Experiment, options: Options, *, console: Console | None = None) -> Outcome:
    """Measure which metrics of an experiment's pairs improve without better fusion; write gaming.csv and gaming.md.

    Args:
        experiment: On which data sets, and how scored; its methods are not used.
        options: How.
        console: Where the state of the run is shown.

    Raises:
        InputError: A name of the experiment is unknown, or another run works in the same folder.
    """
    check_names(experiment)
    with start_run(experiment, options, ["score"], console) as run:
        frames = []
        for loaded in run.load():
            part = loaded.part
            task = run.board.add(part.title, "changed images", "score")
            task.state = "running"
            progress = show_progress(task)
            frames.append(
                gaming(part.pairs, experiment.score, dataset=part.title, workers=run.workers, progress=progress)
            )
            run.board.end(task, "done")
        if frames:
            run.outcome.figures += write(options.out, pd.concat(frames, ignore_index=True))
    return run.outcome


def find_gains(found: pd.DataFrame) -> pd.DataFrame:
    """Return for each data set and metric whether it improves without better fusion.

    Columns: dataset, metric; gained, whether a variant of the average improves its mean; variant, the one that
    improves it most, by change, a fraction, on improved, the fraction of the images; source, the one of the two
    unfused sources that scores better, and source_change, how far from the average, a fraction. A change is negative
    where the mean falls, which improves a metric whose lower values are better.

    Args:
        found: As `gaming` gives it, of one data set or several.
    """
    rows: list[dict[str, object]] = []
    for dataset, group in found.groupby("dataset", sort=False):
        changes, improved = (group[group["quantity"] == name].set_index("variant") for name in (CHANGE, IMPROVED))
        for metric in _ids(found):
            variants, sources = changes.loc[list(CHANGES), metric].dropna(), changes.loc[SOURCES, metric].dropna()
            if variants.empty:
                continue
            top = str(losses(variants, metric).idxmin())
            source = str(losses(sources, metric).idxmin()) if len(sources) else ""
            row = {"gained": bool(losses(variants, metric)[top] < 0), "variant": top, "change": variants[top]}
            row |= {"improved": improved.loc[top, metric]}
            row |= {"source": source, "source_change": sources[source] if source else np.nan}
            rows.append({"dataset": dataset, "metric": metric, **row})
    columns = ["dataset", "metric", "gained", "variant", "change", "improved", "source", "source_change"]
    return pd.DataFrame(rows, columns=columns)


def to_markdown(found: pd.DataFrame) -> str:
    """Return the changes of the means in percent, and which metrics gain by what: two tables a data set.

    Args:
        found: As `gaming` gives it, of one data set or several.
    """
    parts = []
    ids, best = _ids(found), find_gains(found)
    for dataset, group in found.groupby("dataset", sort=False):
        about = group.iloc[0]
        size = "native size" if about["size"] == "native" else about["size"]
        parts.append(f"**{in_markdown(dataset)}**: {about['images']} pairs, {about['convention']}, {size}.")
        means = group[(group["quantity"] == MEAN) & (group["variant"] == "Average")]
        changes = group[(group["quantity"] == CHANGE) & (group["variant"] != "Average")]
        rows = [["variant", *map(heading, ids)]]
        rows += [["Average", *("–" if pd.isna(means[name].iloc[0]) else f"{means[name].iloc[0]:.4f}" for name in ids)]]
        for row in changes.to_dict("records"):
            rows.append([row["variant"], *("–" if pd.isna(row[name]) else f"{row[name]:+.1%}" for name in ids)])
        parts.append(markdown_table(rows))
        rows = [
            [
                "metric",
                "improves without better fusion",
                "best",
                "mean",
                "images on which it improves",
                "a source alone",
            ]
        ]
        for row in best[best["dataset"] == dataset].to_dict("records"):
            gain = ["yes" if row["gained"] else "no", row["variant"], f"{row['change']:+.1%}", f"{row['improved']:.0%}"]
            source = f"{row['source']} {row['source_change']:+.1%}" if row["source"] else "–"
            rows.append([heading(row["metric"]), *gain, source])
        parts.append(markdown_table(rows))
    return "\n\n".join(parts) + "\n"


def write(folder: Path, found: pd.DataFrame) -> list[Path]:
    """Write gaming.csv and gaming.md into a folder; return their paths."""
    written = [folder / "gaming.csv", folder / "gaming.md"]
    write_bytes(written[0], found.to_csv(index=False).encode())
    write_bytes(written[1], to_markdown(found).encode())
    return written


def noisy(image: ImageArray, sigma: float, generator: np.random.Generator) -> ImageArray:
    """Return an image with Gaussian noise.

    Args:
        image: uint8 (H, W).
        sigma: Its standard deviation in grey levels.
        generator: Draws it.
    """
    return _levels(image + generator.normal(0, sigma, image.shape))


def stretched(image: ImageArray) -> ImageArray:
    """Return an image whose 1st and 99th percentiles become black and white, linearly between them."""
    low, high = np.percentile(image, _TAILS)
    return image if high <= low else _levels((image - low) * (255 / (high - low)))


def equalised(image: ImageArray) -> ImageArray:
    """Return an image with its histogram equalised tile by tile (CLAHE, 8x8 tiles, clip limit 2).

    Reference:
        Zuiderveld, "Contrast Limited Adaptive Histogram Equalization", Graphics Gems IV, 1994.
    """
    return np.asarray(cv2.createCLAHE(clipLimit=_CLIP, tileGridSize=_TILES).apply(image), np.uint8)


def sharpened(image: ImageArray) -> ImageArray:
    """Return an image plus what a Gaussian blur of two pixels takes from it: an unsharp mask."""
    levels = image.astype(np.float32)
    blurred = np.asarray(cv2.GaussianBlur(levels, (0, 0), _BLUR), np.float32)
    return _levels(levels + np.float32(_AMOUNT) * (levels - blurred))


def _noise(sigma: float) -> Change:
    return lambda image, draw: noisy(image, sigma, draw)


CHANGES: dict[str, Change] = {
    **{f"Average, noise {sigma}": _noise(sigma) for sigma in _SIGMAS},
    "Average, stretched": lambda image, draw: stretched(image),
    "Average, CLAHE": lambda image, draw: equalised(image),
    "Average, sharpened": lambda image, draw: sharpened(image),
}
SOURCES = ["Infrared", "Visible"]
VARIANTS = [*SOURCES, "Average", *CHANGES, "Maximum"]
_FUSED = {"Infrared": Infrared(), "Visible": Visible(), "Average": Average(), "Maximum": Maximum()}


def _written(pair: Pair, folder: Path, seed: int) -> list[tuple[Path, Path, Path]]:
    """Write the fused images of a pair; return what is to be scored, in the order of `VARIANTS`."""
    infrared, visible = images.read(pair.infrared), images.read(pair.visible)
    try:
        made = {name: method.fuse(infrared, visible) for name, method in _FUSED.items()}
    except InputError as error:
        raise InputError(f"{pair.infrared}: {error}") from error
    for name, change in CHANGES.items():
        draw = np.random.default_rng([seed, zlib.crc32(pair.name.encode())])
        made[name] = change(made["Average"], draw)
    below = Path(tempfile.mkdtemp(dir=folder))
    triples = []
    for number, name in enumerate(VARIANTS):
        path = below / f"{number}.png"
        images.write(path, made[name])
        triples.append((pair.infrared, pair.visible, path))
    return triples


def _quantities(scores: pd.DataFrame) -> pd.DataFrame:
    means = scores.groupby(level="variant", sort=False).mean()
    average = scores.xs("Average", level="variant").reindex(scores.index, level="image")
    gains = pd.DataFrame({metric: -losses(column, str(metric)) for metric, column in (scores - average).items()})
    improved = gains.gt(0).astype(float).mask(gains.isna()).groupby(level="variant", sort=False).mean()
    base = means.loc["Average"]
    changes = means.sub(base).div(base.abs().replace(0, np.nan))
    quantities = pd.concat({MEAN: means, CHANGE: changes, IMPROVED: improved}, names=["quantity"])
    return quantities.swaplevel().reindex(VARIANTS, level="variant").reset_index()


def _ids(found: pd.DataFrame) -> list[str]:
    """Return the metrics of a result of `gaming`."""
    return [name for name in found.columns if name not in (*_KEYS, *_FACTS)]


def _levels(values: NDArray[np.floating]) -> ImageArray:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)
