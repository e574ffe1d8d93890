"""The responses of the experts and how often the gates select them, as in the paper's Figure 6."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from benchmark.figures.sheet import COLOURS, PAGE, blank, save, styled
from metrics.errors import InputError
from metrics.images import ImageArray

Shares = Mapping[str, Mapping[str, NDArray[np.floating]]]
_TITLE, _BARS = 0.3, 1.25  # inches: a row's title, and the row of bar charts
_HATCHES = ("", "///", "...", "xxx")


@styled
def experts(
    infrared: ImageArray,
    visible: ImageArray,
    maps: Mapping[str, NDArray[np.floating]],
    shares: Shares,
    path_stem: Path,
) -> list[Path]:
    """Write a sheet of the sources, every expert's response to them, and how often each is picked; return the files.

    A part's maps share one colour scale, from its 1st to its 99th percentile, so that the strength of its experts
    compares; parts do not compare.

    Args:
        infrared, visible: The scene: uint8, (H, W) or (H, W, 3) RGB.
        maps: By part, such as "foreground" and "background": (experts, H, W), any scale.
        shares: By gate, by group of images such as "day" and "night", or one group for all: the fraction of the
            group's images for which each expert is picked, (experts,).
        path_stem: Folder and name of the files without extension.

    Raises:
        InputError: There are neither maps nor shares, or one is of another shape.
    """
    _require(maps, shares, path_stem)
    height, width = infrared.shape[:2]
    across = max([2, *(len(part) for part in maps.values())])
    tall = PAGE / max(across, 4) * height / width + _TITLE
    rows = [1.4 * tall, *(tall for _ in maps), *([_BARS] if shares else [])]
    figure = blank(PAGE, sum(rows))
    strips = figure.subfigures(len(rows), 1, height_ratios=rows, squeeze=False)[:, 0]
    _draw_sources(strips[0], infrared, visible)
    for strip, (part, responses) in zip(strips[1:], maps.items(), strict=False):
        _draw_maps(strip, part, responses)
    if shares:
        _draw_shares(strips[-1], shares)
    return save(figure, path_stem)


def _draw_sources(strip: SubFigure | Figure, infrared: ImageArray, visible: ImageArray) -> None:
    shape, (across, tall) = infrared.shape, strip.bbox.size
    side = max(0.01, across / (2 * tall * shape[1] / shape[0]) - 1)  # of an image's width: what keeps the two together
    panels = strip.subplots(1, 4, width_ratios=(side, 1, 1, side))
    for axes in panels[[0, 3]]:
        axes.axis("off")
    for axes, title, image in zip(panels[1:3], ("infrared", "visible"), (infrared, visible), strict=True):
        axes.imshow(image, cmap="gray", vmin=0, vmax=255)
        _bare(axes, title)


def _draw_maps(strip: SubFigure | Figure, part: str, responses: NDArray[np.floating]) -> None:
    low, high = np.percentile(responses, [1, 99])
    strip.suptitle(part, fontsize=7)
    panels = strip.subplots(1, len(responses), squeeze=False)[0]
    for number, (axes, response) in enumerate(zip(panels, responses, strict=True), start=1):
        image = axes.imshow(response, cmap="viridis", vmin=low, vmax=max(high, np.nextafter(low, np.inf)))
        _bare(axes, f"expert {number}")
    bar = strip.colorbar(image, ax=panels, shrink=0.7, aspect=15, pad=0.01)
    bar.ax.locator_params(nbins=3)
    bar.outline.set_linewidth(0.4)


def _draw_shares(strip: SubFigure | Figure, shares: Shares) -> None:
    panels = strip.subplots(1, len(shares), squeeze=False, sharey=True)[0]
    for axes, (gate, groups) in zip(panels, shares.items(), strict=True):
        thickness = 0.8 / len(groups)
        for number, (group, values) in enumerate(groups.items()):
            places = np.arange(1, len(values) + 1) + (number - (len(groups) - 1) / 2) * thickness
            axes.bar(
                places,
                100 * np.asarray(values),
                thickness,
                label=group,
                color=COLOURS[number % len(COLOURS)],
                hatch=_HATCHES[number % len(_HATCHES)],
                edgecolor="white",
                linewidth=0.3,
            )
        axes.set_title(gate, pad=3)
        axes.set_xticks(np.arange(1, len(values) + 1))
        axes.set_ylim(0, 100)
        axes.grid(axis="y", linewidth=0.3, color="#CCCCCC")
        axes.set_axisbelow(True)
        axes.set_xlabel("expert")
    panels[0].set_ylabel("picked, % of images")
    handles, names = panels[0].get_legend_handles_labels()
    if len(names) > 1:
        strip.legend(handles, names, loc="outside right upper", frameon=False)


def _bare(axes: Axes, title: str) -> None:
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, pad=2, fontsize=6)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _require(maps: Mapping[str, NDArray[np.floating]], shares: Shares, path_stem: Path) -> None:
    if not maps and not shares:
        raise InputError(f"{path_stem}: there are neither maps nor shares of experts to draw")
    for part, responses in maps.items():
        if responses.ndim != 3 or not responses.size or not np.isfinite(responses).all():
            raise InputError(
                f"{path_stem}: the maps of {part} are {responses.shape}; expected finite (experts, H, W), none 0"
            )
    for gate, groups in shares.items():
        counts = {len(values) for values in groups.values()}
        if len(counts) != 1:
            raise InputError(
                f"{path_stem}: the groups of gate {gate} have {sorted(counts)} experts; expected one number for all"
            )
