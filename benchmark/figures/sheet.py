"""Shared parts of all figures: sizes, colours, literal text and file output."""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from metrics.files import write_bytes

COLUMN, PAGE = 3.35, 6.9  # inches: one column of a two-column paper, and both
# Distinct to colour-blind eyes too. Reference: Okabe and Ito, "Color Universal Design", 2008.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREEN, RED = "#00A000", "#E00000"  # of the zoomed regions, as in the paper
SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "xtick.labelsize": 6,
    "ytick.labelsize": 6,
    "legend.fontsize": 6,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2,
    "ytick.major.size": 2,
    "text.usetex": False,
    "text.parse_math": False,  # a method may be called $x_1$
    "axes.unicode_minus": True,
    "pdf.fonttype": 42,  # TrueType, which journals take; Type 3 many refuse
    "savefig.dpi": 300,
}

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def styled(draw: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Return a function that draws in this style, whatever style the caller's own plots have."""

    @wraps(draw)
    def wrapper(*args: _Arguments.args, **options: _Arguments.kwargs) -> _Result:
        with style():
            return draw(*args, **options)

    return wrapper


@contextmanager
def style() -> Iterator[None]:
    """Draw in this style for a while."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS)
        yield


def blank(width: float, height: float) -> Figure:
    """Return an empty figure, in inches; it belongs to no window and to no global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path_stem: Path) -> list[Path]:
    """Write a figure as PDF and PNG, without dates; return their paths.

    Args:
        figure: What to write.
        path_stem: Folder and name without extension; the folder is made.
    """
    path_stem.parent.mkdir(parents=True, exist_ok=True)
    with _any_letter():
        figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out now, once for both files
    written = []
    for extension, metadata in (("pdf", {"CreationDate": None}), ("png", {"Software": None})):
        data = io.BytesIO()
        with _any_letter():
            figure.savefig(data, format=extension, metadata=metadata)
        written.append(path_stem.with_name(f"{path_stem.name}.{extension}"))
        write_bytes(written[-1], data.getvalue())
    return written


@contextmanager
def _any_letter() -> Iterator[None]:
    """Let a name in a script that the font lacks show as boxes; that is no reason to stop."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield
