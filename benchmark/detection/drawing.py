"""Images of detections: boxes on fused images, a sheet of methods side by side, precision-recall curves."""

import io
import itertools
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image, ImageDraw, ImageFont

from benchmark.datasets.base import Box, Pair
from benchmark.detection.average_precision import IOU, RECALLS, Precision
from benchmark.detection.detections import Detections
from metrics import images
from metrics.errors import InputError
from metrics.files import write_bytes
from metrics.images import ImageArray

Colour = tuple[int, int, int]
_Area = tuple[float, float, float, float]

# Told apart by the colour-blind too (after Okabe and Ito, 2008), and bright enough for a dark image.
COLOURS: tuple[Colour, ...] = (
    (255, 170, 0),
    (86, 190, 245),
    (0, 200, 140),
    (240, 228, 66),
    (255, 120, 80),
    (235, 145, 205),
    (160, 225, 90),
    (175, 155, 255),
)
_TRUTH, _DIFFICULT, _DARK = (255, 255, 255), (170, 170, 170), (0, 0, 0)
_STYLES = ("-", "--", "-.", ":")
_PANELS = 3  # panels of curves in a row
_GAP = 6  # pixels between the images of a sheet


def draw(
    image: ImageArray,
    truth: Iterable[Box],
    detections: Detections | None,
    classes: Sequence[str],
    *,
    threshold: float = 0.5,
    width: int | None = None,
) -> ImageArray:
    """Return an image with annotated boxes dashed in white and detections in their class's colour, RGB uint8.

    Difficult boxes are dashed in grey. Lines and text are sized for the image that is returned; a label that would
    cover a better detection's is left out.

    Args:
        image: uint8, (H, W) or (H, W, 3) RGB.
        truth: Annotated boxes, in pixels of the image.
        detections: Its detections; None draws the truth alone.
        classes: The data set's, in its order.
        threshold: Detections below this score are left out.
        width: Of the returned image, in pixels; its height follows. None keeps the size.

    Raises:
        InputError: A detection's label is none of the classes.
    """
    drawn = Image.fromarray(image).convert("RGB")
    scale = 1.0 if width is None else width / drawn.width
    if width is not None:
        drawn = drawn.resize((width, max(1, round(scale * drawn.height))), Image.Resampling.LANCZOS)
    canvas, line = ImageDraw.Draw(drawn), max(1, round(min(drawn.size) / 300))
    annotated = [(box, _placed((box.x0, box.y0, box.x1, box.y1), scale, drawn.size)) for box in truth]
    labelled = [] if detections is None else _shown(detections, classes, threshold, scale, drawn.size)
    for _, area in annotated:  # dark between the dashes, to be seen on bright ground; a detection's colour covers it
        canvas.rectangle(area, outline=_DARK, width=line)
    for _, colour, area in reversed(labelled):  # the best on top
        canvas.rectangle(area, outline=colour, width=2 * line)
    for box, area in annotated:
        _dashed(canvas, area, _DIFFICULT if box.difficult else _TRUTH, line)
    taken: list[_Area] = []
    for text, colour, area in labelled:
        _label(canvas, text, colour, area, taken)
    return np.array(drawn)


def scenes(pairs: Iterable[Pair], count: int = 4) -> list[Pair]:
    """Return the pairs that a sheet shows: those with most boxes, ties by name."""
    return sorted(pairs, key=lambda pair: (-len(pair.boxes), pair.name))[:count]


def sheet(names: Sequence[str], columns: Mapping[str, Sequence[ImageArray | None]], path: Path) -> None:
    """Write a PNG of images side by side: a row a scene, a column a method, as in the paper's Figure 1.

    Args:
        names: The scenes; the same for every method.
        columns: The method's label to its image of each scene, RGB as `draw` returns it; None where it has none.
            Images of one scene have one size.
        path: Where to.

    Raises:
        InputError: There is no image at all, or a method has another number of them than there are scenes.
    """
    for label, column in columns.items():
        if len(column) != len(names):
            raise InputError(f"{path}: {label!r} has {len(column)} images for {len(names)} scenes; expected as many.")
    sizes = [_size(column[row] for column in columns.values()) for row in range(len(names))]
    known = [size for size in sizes if size]
    if not known:
        raise InputError(f"{path}: no method has an image of any scene; run the stages before this one.")
    wide, rows = max(size[0] for size in known), [size[1] if size else known[0][1] for size in sizes]
    text = max(12, wide // 24)
    margin = text + 2 * _GAP
    extent = (margin + len(columns) * (wide + _GAP), margin + sum(rows) + _GAP * len(rows))
    page = Image.new("RGB", extent, "white")
    canvas = ImageDraw.Draw(page)
    for place, (label, column) in enumerate(columns.items()):
        left, top = margin + place * (wide + _GAP), margin
        canvas.text((left + wide / 2, margin / 2), _cut(label, wide, text), _DARK, _font(text), anchor="mm")
        for image, height in zip(column, rows, strict=True):
            if image is None:
                canvas.rectangle((left, top, left + wide - 1, top + height - 1), fill=(225, 225, 225))
                canvas.text((left + wide / 2, top + height / 2), "no image", _DARK, _font(text), anchor="mm")
            else:
                page.paste(Image.fromarray(image), (left, top))
            top += height + _GAP
    top = margin
    for name, height in zip(names, rows, strict=True):
        strip = Image.new("RGB", (height, margin), "white")
        middle = (height / 2, margin / 2)
        ImageDraw.Draw(strip).text(middle, _cut(name, height, text), _DARK, _font(text), anchor="mm")
        page.paste(strip.transpose(Image.Transpose.ROTATE_90), (0, top))
        top += height + _GAP
    images.write(path, np.array(page))


def curves(precisions: Mapping[str, Precision], path: Path) -> None:
    """Write precision-recall curves at IoU 0.5, a panel a class and a line a method, as PNG and as PDF.

    Args:
        precisions: The method's label to what its evaluation gave, all on the same ground truth. Classes that are
            absent have no panel.
        path: Where to; its suffix becomes .png and .pdf.

    Raises:
        InputError: No class is present, or no method was given.
    """
    panels = list(dict.fromkeys(label for one in precisions.values() for label in one.classes))
    panels = [label for label in panels if any(one.classes.get(label) is not None for one in precisions.values())]
    if not panels:
        raise InputError(f"{path}: there is no precision to draw; no method was evaluated, or no class is present.")
    # parse_math: a method may be called a$b_c$; fonttype 42 embeds whole TrueType fonts, as publishers ask.
    with mpl.rc_context():
        mpl.rcdefaults()  # whatever a matplotlibrc on this machine says
        mpl.rcParams.update({"text.parse_math": False, "pdf.fonttype": 42, "font.size": 9})
        figure = _figure(precisions, panels)
        for suffix, metadata in ((".png", {"Software": None}), (".pdf", {"CreationDate": None})):
            data = io.BytesIO()  # without dates, so that the same curves are the same file
            figure.savefig(data, format=suffix[1:], dpi=150, metadata=metadata)
            write_bytes(path.with_suffix(suffix), data.getvalue())


def _figure(precisions: Mapping[str, Precision], panels: Sequence[str]) -> Figure:
    across = min(len(panels), _PANELS)
    down = -(-len(panels) // across)
    legend = 0.25 + 0.2 * -(-len(precisions) // across)  # inches
    figure = Figure(figsize=(max(3.4 * across, 4.0), 3.0 * down + legend), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharey=True).ravel()
    for place, (axes, label) in enumerate(zip(grid, panels, strict=False)):
        _panel(axes, label, precisions)
        if place % across == 0:
            axes.set_ylabel(f"precision at IoU {IOU}")
        if place + across >= len(panels):
            axes.set_xlabel("recall")
    for axes in grid[len(panels) :]:
        axes.remove()
    lines = [Line2D([], [], **_look(place)) for place in range(len(precisions))]
    drawn = figure.legend(lines, ["-"] * len(lines), loc="outside lower center", ncols=across, frameon=False)
    for text, (label, one) in zip(drawn.get_texts(), precisions.items(), strict=True):
        text.set_text(f"{label} (mAP {_hundred(one.mean)})")  # as a legend leaves out labels that begin with "_"
    return figure


def _panel(axes: Axes, label: str, precisions: Mapping[str, Precision]) -> None:
    for place, one in enumerate(precisions.values()):
        curve = one.curves.get(label)
        if curve is not None:
            reached = curve > 0  # beyond the last recall that is reached, COCO counts 0
            axes.plot(RECALLS[reached], curve[reached], **_look(place))
    axes.set(xlim=(0, 1), ylim=(0, 1.02), title=label)
    axes.grid(alpha=0.3)


def _look(place: int) -> dict[str, Any]:
    """Return colour and dashes of the method at this place: ten colours, then the same with other dashes."""
    return {"color": f"C{place % 10}", "linestyle": _STYLES[place // 10 % len(_STYLES)], "linewidth": 1.5}


def _hundred(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _shown(
    detections: Detections, classes: Sequence[str], threshold: float, scale: float, size: tuple[int, int]
) -> list[tuple[str, Colour, _Area]]:
    """Return text, colour and place of the detections to draw, best first."""
    labelled = []
    for place in np.argsort(-detections.scores, kind="stable"):
        label, score = int(detections.labels[place]), float(detections.scores[place])
        if not 1 <= label <= len(classes):
            raise InputError(f"{detections.name}: label {label} is none of the {len(classes)} classes, from 1.")
        if score >= threshold:
            colour = COLOURS[(label - 1) % len(COLOURS)]
            x0, y0, x1, y1 = (float(edge) for edge in detections.boxes[place])
            labelled.append((f"{classes[label - 1]} {score:.2f}", colour, _placed((x0, y0, x1, y1), scale, size)))
    return labelled


def _placed(box: _Area, scale: float, size: tuple[int, int]) -> _Area:
    """Return the outermost pixels of a box, within the image: on the border its line would not be seen."""
    right, bottom = size[0] - 1, size[1] - 1
    x0, y0 = (min(max(scale * box[0], 0), right), min(max(scale * box[1], 0), bottom))
    return x0, y0, min(max(scale * box[2] - 1, x0), right), min(max(scale * box[3] - 1, y0), bottom)


def _dashed(canvas: ImageDraw.ImageDraw, area: _Area, colour: Colour, line: int) -> None:
    """Draw the dashes of a rectangle."""
    x0, y0, x1, y1 = area
    dash = 4 * line
    for start in np.arange(x0, x1, 2 * dash):
        for y in (y0, y1 - line + 1):
            canvas.rectangle((start, y, min(start + dash, x1), y + line - 1), fill=colour)
    for start in np.arange(y0, y1, 2 * dash):
        for x in (x0, x1 - line + 1):
            canvas.rectangle((x, start, x + line - 1, min(start + dash, y1)), fill=colour)


def _label(canvas: ImageDraw.ImageDraw, text: str, colour: Colour, area: _Area, taken: list[_Area]) -> None:
    """Write a label above its box, or below or within it, where it stays in the image and covers no other one."""
    width, height = canvas.im.size
    font = _font(max(10, round(min(width, height) / 40)))
    _, _, right, bottom = font.getbbox(text)
    wide, high = right + 4, bottom + 3
    x0, y0, x1, y1 = area
    for x, y in itertools.product((x0, x1 + 1 - wide), (y0 - high, y1 + 1, y0, y1 + 1 - high)):
        x = max(min(x, width - wide), 0)
        place = (x, y, x + wide, y + high)
        if 0 <= y <= height - high and not any(_overlap(place, other) for other in taken):
            taken.append(place)
            canvas.rectangle((x, y, x + wide - 1, y + high - 1), fill=colour)
            canvas.text((x + 2, y + 1), text, _DARK, font)
            return


def _overlap(one: _Area, other: _Area) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _size(column: Iterable[ImageArray | None]) -> tuple[int, int] | None:
    """Return (width, height) of the first image there is."""
    return next(((image.shape[1], image.shape[0]) for image in column if image is not None), None)


def _cut(text: str, width: int, size: int) -> str:
    """Return a text in one line, shortened to a width in pixels."""
    text = " ".join(text.split())
    if _font(size).getlength(text) <= width:
        return text
    while text and _font(size).getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font that comes with matplotlib, so that a class may be called by any European name."""
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)
