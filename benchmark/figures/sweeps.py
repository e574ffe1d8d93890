"""Sweeps: metrics over one setting of a model, as in the paper's Figures 7 and 8."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from pandas.api.types import is_numeric_dtype

from benchmark.figures.sheet import COLOURS, MARKERS, PAGE, blank, save, styled
from benchmark.tables.ranking import heading
from metrics.errors import InputError

_ACROSS = 4  # panels side by side on a page
_TALL, _REST = 1.2, 0.5  # inches a row of panels, and of the figure besides
_TITLES = {"alpha": "α, weight of the gradient loss", "setting": "experts E, of which K a sample"}


@styled
def sweep(frame: pd.DataFrame, column: str, path_stem: Path, ids: Sequence[str]) -> list[Path]:
    """Write metrics over a setting, a panel each with a line for every data set; return the files.

    Args:
        frame: Columns dataset, the setting, and the metrics; a row a data set and value of the setting. What a row
            lacks is a gap in its line.
        column: The setting's: numbers in rising order, evenly spaced, joined by lines; texts in the order in which they
            first come, joined by dots, since there is nothing between two of them.
        path_stem: Folder and name of the files without extension.
        ids: The metrics.

    Raises:
        InputError: A column is missing, there are no rows, or two for the same value.
    """
    missing = [name for name in ("dataset", column, *ids) if name not in frame]
    if missing or frame.empty:
        raise InputError(
            f"{path_stem}: got {len(frame)} rows without {', '.join(missing) or 'anything missing'}; a sweep needs the "
            f"columns dataset, {column} and {', '.join(ids)}, and at least one row"
        )
    twice = frame[frame.duplicated(["dataset", column])]
    if len(twice):
        where, point = twice[["dataset", column]].iloc[0]
        raise InputError(f"{path_stem}: {where} has two rows for {column} {point}; a sweep has one row for each")
    scale = is_numeric_dtype(frame[column])
    points = sorted(frame[column].unique()) if scale else list(dict.fromkeys(frame[column]))
    rows = -(-len(ids) // _ACROSS)
    figure = blank(PAGE, _TALL * rows + _REST)
    panels = figure.subplots(rows, _ACROSS, sharex=True, squeeze=False)
    for axes in panels.flat[len(ids) :]:
        axes.set_visible(False)
    datasets = list(frame.groupby("dataset", sort=False))
    for metric, axes in zip(ids, panels.flat, strict=False):
        for number, (dataset, group) in enumerate(datasets):
            values = group.set_index(column)[metric].reindex(points)
            axes.plot(
                range(len(points)),
                values,
                label=str(dataset),
                color=COLOURS[number % len(COLOURS)],
                marker=MARKERS[number % len(MARKERS)],
                linewidth=1.0,
                linestyle="-" if scale else ":",
                markersize=3,
            )
        axes.set_title(heading(metric), pad=3)
        axes.grid(linewidth=0.3, color="#CCCCCC")
        axes.margins(y=0.15)
        axes.locator_params(axis="y", nbins=4)
        axes.tick_params(labelbottom=metric in ids[-_ACROSS:])  # also above a place that is left empty
        names = [f"{point:g}" if scale else str(point) for point in points]
        axes.set_xticks(range(len(points)), names, rotation=0 if scale else 90)
    figure.supxlabel(_TITLES.get(column, column), fontsize=7)
    handles, titles = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, titles, loc="outside upper center", ncols=max(1, min(len(titles), 6)), frameon=False)
    return save(figure, path_stem)
