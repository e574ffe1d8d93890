"""Box plots: how a metric spreads over images, method by method."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmark.figures.sheet import COLOURS, COLUMN, blank, save, styled
from benchmark.tables.ranking import heading, part_slug, split_columns
from metrics.errors import InputError

_ACROSS, _MOST = 2, 8  # panels side by side in one column of a paper, and in one figure
_LINE, _REST = 0.105, 0.30  # inches a method, and a panel besides


@styled
def box_plots(scores: Mapping[str, pd.DataFrame], path_stem: Path) -> list[Path]:
    """Write box plots of metrics, a panel each, and return the files; of more than eight, a figure for each group.

    A box spans the quartiles with the median in it, whiskers reach to the last image within 1.5 times their
    distance, circles are the images beyond, the diamond is the mean. A metric that a method does not have is empty.

    Args:
        scores: By method, a row an image and a column a metric.
        path_stem: Folder and name of the files without extension.

    Raises:
        InputError: There are no scores.
    """
    if not scores:
        raise InputError(f"{path_stem}: there are no scores to draw; box plots need at least one scored method")
    ids = list(next(iter(scores.values())).columns)
    written = []
    for part, columns in split_columns(ids, _MOST).items():
        stem = path_stem.with_name(f"{path_stem.name}_{part_slug(part)}") if part else path_stem
        written += save(_draw_panels(scores, columns), stem)
    return written


def _draw_panels(scores: Mapping[str, pd.DataFrame], ids: list[str]) -> Figure:
    rows = -(-len(ids) // _ACROSS)
    figure = blank(COLUMN, rows * (_REST + _LINE * len(scores)))
    panels = figure.subplots(rows, _ACROSS, sharey=True, squeeze=False)
    places = np.arange(len(scores))
    for axes in panels.flat[len(ids) :]:
        axes.set_visible(False)
    for metric, axes in zip(ids, panels.flat, strict=False):
        values = [frame[metric].dropna().to_numpy() for frame in scores.values()]
        axes.boxplot(
            values,
            positions=places,
            orientation="horizontal",
            widths=0.65,
            showmeans=True,
            patch_artist=True,
            manage_ticks=False,
            boxprops={"facecolor": "#DCE9F2", "linewidth": 0.5},
            medianprops={"color": COLOURS[1], "linewidth": 1.0},
            whiskerprops={"linewidth": 0.5},
            capprops={"linewidth": 0.5},
            flierprops={"marker": "o", "markersize": 1.6, "markeredgewidth": 0.3},
            meanprops={
                "marker": "D",
                "markersize": 1.7,
                "markerfacecolor": COLOURS[0],
                "markeredgecolor": COLOURS[0],
            },
        )
        axes.set_title(heading(metric), pad=2)
        axes.set_ylim(len(scores) - 0.4, -0.6)
        axes.set_yticks(places, list(scores))
        axes.tick_params(axis="y", length=0)
        axes.locator_params(axis="x", nbins=4)
        axes.grid(axis="x", linewidth=0.3, color="#CCCCCC")
        axes.set_axisbelow(True)
    return figure
