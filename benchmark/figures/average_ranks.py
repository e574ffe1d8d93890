"""The critical-difference diagram: average ranks, and which of them a test cannot distinguish."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from benchmark.figures.sheet import COLOURS, COLUMN, blank, save, styled
from metrics.errors import InputError

_LINE = 0.14  # inches a line of text, the unit of height here
_BAR = 0.5  # lines from one bar to the next
_ABOVE = 2.6  # lines above the axis: its numbers, and the critical difference


@styled
def critical_difference(ranks: Mapping[str, float], difference: float, path_stem: Path) -> list[Path]:
    """Write a critical-difference diagram and return the files.

    Methods that a bar joins are not significantly different from each other.

    Args:
        ranks: By method, its average rank, 1 the best.
        difference: The critical difference between two ranks, as `tables.statistics.summary` gives it; infinite
            where Friedman's test did not reject, and no two methods are told apart.
        path_stem: Folder and name of the files without extension.

    Raises:
        InputError: There are fewer than two methods, or a rank or the difference is not a number.

    Reference:
        Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, 2006, figure 1.
    """
    if len(ranks) < 2 or not np.isfinite(list(ranks.values())).all() or np.isnan(difference):
        raise InputError(
            f"{path_stem}: got {len(ranks)} ranks and a critical difference of {difference}; a diagram needs the ranks "
            "of at least two methods, and a test between them"
        )
    ordered = sorted(ranks.items(), key=lambda item: item[1])
    joined = bars([rank for _, rank in ordered], difference)
    first = 1 + _BAR * len(joined)  # lines from the axis down to the first name
    half = (len(ordered) + 1) // 2
    lines = _ABOVE + first + half
    figure = blank(COLUMN, _LINE * lines)
    axes = figure.subplots()
    axes.set(xlim=(1, len(ordered)), ylim=(_ABOVE - lines, _ABOVE))
    axes.axis("off")
    axes.plot([1, len(ordered)], [0, 0], color="black", linewidth=0.6, clip_on=False)
    for tick in range(1, len(ordered) + 1, 1 + len(ordered) // 16):
        axes.plot([tick, tick], [0, 0.3], color="black", linewidth=0.6, clip_on=False)
        axes.text(tick, 0.45, str(tick), ha="center", va="bottom", fontsize=6)
    for place, (method, rank) in enumerate(ordered):
        left = place < half
        line = place if left else len(ordered) - 1 - place
        _name(axes, method, rank, -(first + line), 1 if left else len(ordered), left=left)
    for level, (low, high) in enumerate(joined, start=1):
        axes.plot([low, high], [-_BAR * level] * 2, color=COLOURS[1], linewidth=2, solid_capstyle="butt", clip_on=False)
    if np.isfinite(difference):
        axes.plot([1, 1 + difference], [2.0, 2.0], color=COLOURS[1], linewidth=2, solid_capstyle="butt", clip_on=False)
        axes.text(1 + difference, 2.0, f"  critical difference {difference:.2f}", ha="left", va="center", fontsize=6)
    else:
        axes.text(1, 2.0, "no significant difference", ha="left", va="center", fontsize=6)
    return save(figure, path_stem)


def bars(ranks: list[float], difference: float) -> list[tuple[float, float]]:
    """Return the longest runs of rising ranks of which no two are further apart than a difference, as (first, last)."""
    found: list[tuple[float, float]] = []
    for number, low in enumerate(ranks):
        high = max(rank for rank in ranks[number:] if rank - low <= difference)
        last = max(place for place, rank in enumerate(ranks) if rank == high)
        if last > number and (not found or high > found[-1][1]):
            found.append((low, high))
    return found


def _name(axes: Axes, method: str, rank: float, y: float, side: float, *, left: bool) -> None:
    """Draw a method's mark on the axis, its elbow, and its name at one side."""
    x = side - 0.15 if left else side + 0.15
    axes.plot([rank, rank, x], [0, y, y], color="#777777", linewidth=0.6, clip_on=False)
    axes.plot([rank], [0], color=COLOURS[0], marker="o", markersize=3, clip_on=False, zorder=3)
    text = f"{method} ({rank:.2f}) " if left else f" ({rank:.2f}) {method}"
    axes.text(x, y, text, ha="right" if left else "left", va="center", fontsize=6)
