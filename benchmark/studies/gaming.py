"""Gaming check: which metrics rise when a fused image is changed in ways that fuse nothing better.

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

import metrics
from benchmark.datasets.base import Pair
from benchmark.engine.experiment import ScoreSettings
from benchmark.tables.metric_table import in_markdown, markdown_table
from methods.classical import Average, Infrared, Maximum, Visible
from metrics import images
from metrics.errors import InputError
from metrics.images import ImageArray, write_bytes
from metrics.opencv import cv2

IDS = list(metrics.PAPER)
MEAN, CHANGE, RISEN = "mean", "change", "risen"
COLUMNS = ["dataset", "variant", "quantity", *IDS, "images", "convention", "size"]
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
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> pd.DataFrame:
    """Return what each way of changing an image does to the eight metrics, three rows an image.

    Columns: dataset, image ("Infrared", "Visible", "Average", "Average, noise 5", ...), quantity, the metrics,
    images, convention, size. The quantities: "mean" over images; "change" of the mean against that of "Average", a
    fraction; "risen", the fraction of the images on which the metric is higher than the average's. An undefined
    metric is left out of its image, and is NaN where no image has it.

    Args:
        pairs: What is fused.
        score: Convention and size.
        dataset: Its title.
        seed: Of the noise, which also depends on the pair's name.
        workers: Processes that score; None for one a core.
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
                triples, convention=score.convention, size=score.pixels, workers=workers
            ):
                rows.append(row)
                progress(len(rows), len(pairs) * len(IMAGES))
    index = pd.MultiIndex.from_product([[pair.name for pair in pairs], IMAGES], names=["image", "variant"])
    scores = pd.DataFrame(rows, index=index)[IDS]
    found = _quantities(scores)
    found = found.assign(dataset=dataset, images=len(pairs), convention=score.convention, size=score.size)
    return found[COLUMNS]


def gained(found: pd.DataFrame) -> pd.DataFrame:
    """Return for each data set and metric whether it rises without better fusion.

    Columns: dataset, metric; gained, whether a change of the average raises its mean; image, the change that raises
    it most, by change, a fraction, on risen, the fraction of the images; source, the one of the two unfused sources
    that scores higher, and source_change, how much above the average, a fraction.

    Args:
        found: As `gaming` gives it, of one data set or several.
    """
    rows: list[dict[str, object]] = []
    for dataset, group in found.groupby("dataset", sort=False):
        changes, risen = (group[group["quantity"] == name].set_index("variant")[IDS] for name in (CHANGE, RISEN))
        for metric in IDS:
            processed, sources = changes.loc[list(CHANGES), metric].dropna(), changes.loc[SOURCES, metric].dropna()
            if processed.empty:
                continue
            top = str(processed.idxmax())
            row = {"gained": bool(processed[top] > 0), "variant": top, "change": processed[top]}
            row |= {"risen": risen.loc[top, metric]}
            row |= {"source": str(sources.idxmax()) if len(sources) else "", "source_change": sources.max()}
            rows.append({"dataset": dataset, "metric": metric, **row})
    columns = ["dataset", "metric", "gained", "variant", "change", "risen", "source", "source_change"]
    return pd.DataFrame(rows, columns=columns)


def to_markdown(found: pd.DataFrame) -> str:
    """Return the changes of the means in percent, and which metrics gain by what: two tables a data set.

    Args:
        found: As `gaming` gives it, of one data set or several.
    """
    parts = []
    best = gained(found)
    for dataset, group in found.groupby("dataset", sort=False):
        about = group.iloc[0]
        size = "native size" if about["size"] == "native" else about["size"]
        parts.append(f"**{in_markdown(dataset)}**: {about['images']} pairs, {about['convention']}, {size}.")
        means = group[(group["quantity"] == MEAN) & (group["variant"] == "Average")]
        changes = group[(group["quantity"] == CHANGE) & (group["variant"] != "Average")]
        rows = [["variant", *IDS]]
        rows += [["Average", *("–" if pd.isna(means[name].iloc[0]) else f"{means[name].iloc[0]:.4f}" for name in IDS)]]
        for row in changes.to_dict("records"):
            rows.append([row["variant"], *("–" if pd.isna(row[name]) else f"{row[name]:+.1%}" for name in IDS)])
        parts.append(markdown_table(rows))
        rows = [
            ["metric", "rises without better fusion", "most by", "mean", "images on which it rises", "a source alone"]
        ]
        for row in best[best["dataset"] == dataset].to_dict("records"):
            said = ["yes" if row["gained"] else "no", row["variant"], f"{row['change']:+.1%}", f"{row['risen']:.0%}"]
            source = f"{row['source']} {row['source_change']:+.1%}" if row["source"] else "–"
            rows.append([row["metric"], *said, source])
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
IMAGES = [*SOURCES, "Average", *CHANGES, "Maximum"]
_FUSED = {"Infrared": Infrared(), "Visible": Visible(), "Average": Average(), "Maximum": Maximum()}


def _written(pair: Pair, folder: Path, seed: int) -> list[tuple[Path, Path, Path]]:
    """Write the fused images of a pair; return what is to be scored, in the order of `IMAGES`."""
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
    for number, name in enumerate(IMAGES):
        path = below / f"{number}.png"
        images.write(path, made[name])
        triples.append((pair.infrared, pair.visible, path))
    return triples


def _quantities(scores: pd.DataFrame) -> pd.DataFrame:
    means = scores.groupby(level="variant", sort=False).mean()
    average = scores.xs("Average", level="variant").reindex(scores.index, level="image")
    higher = (scores - average).gt(0).astype(float).mask((scores - average).isna())
    risen = higher.groupby(level="variant", sort=False).mean()
    base = means.loc["Average"]
    changes = means.sub(base).div(base.abs().replace(0, np.nan))
    quantities = pd.concat({MEAN: means, CHANGE: changes, RISEN: risen}, names=["quantity"])
    return quantities.swaplevel().reindex(IMAGES, level="variant").reset_index()


def _levels(values: NDArray[np.floating]) -> ImageArray:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)
