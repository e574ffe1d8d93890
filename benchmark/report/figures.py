"""The figures of a run's folder as the report embeds them: as they are, or smaller where they are many."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from benchmark.engine.cells import slug
from benchmark.engine.run_record import Record

WIDTH = 1600
_GROUPS = {  # of figures of one data set
    "critical_difference": "Critical-difference diagrams",
    "figure6": "Figure 6: gates",
    "detections": "Detections",
    "curves": "Precision and recall",
}
_SWEEPS = {"sweep_experts": "Figure 7: number of experts", "sweep_alpha": "Figure 8: weight of the gradient loss"}


@dataclass(frozen=True)
class EmbeddedFigure:
    """A figure: its file's name, its title, its source as a data URI; or why it is not shown."""

    name: str
    title: str
    source: str = ""
    width: int = 0
    height: int = 0
    missing: str = ""


@dataclass(frozen=True)
class FigureGroup:
    """Figures of one kind."""

    title: str
    figures: tuple[EmbeddedFigure, ...]


def embed_figures(folder: Path, run: Record, *, room: int) -> tuple[FigureGroup, ...]:
    """Return the figures that a run has made, of at most so many bytes.

    An image wider than 1600 pixels is reduced to that. What does not fit any more is named only.

    Args:
        folder: The run's.
        run: What it worked on.
        room: Bytes in the report.
    """
    found = []
    endings = tuple(f"_{slug(part.title)}" for part in run.parts)
    for prefix, title in (_GROUPS | _SWEEPS).items():
        paths = sorted((folder / "figures").glob(f"{prefix}*.png"))
        if prefix in _SWEEPS:
            paths = [path for path in paths if path.stem == prefix and run.has_written(f"{prefix}.csv")]
        else:
            paths = [path for path in paths if path.stem.endswith(endings)]
        members = []
        for path in paths:
            figure = _embed(path)
            if len(figure.source) > room:
                figure = EmbeddedFigure(
                    figure.name, figure.title, missing="left out for the report's size; see figures/"
                )
            room -= len(figure.source)
            members.append(figure)
        if members:
            found.append(FigureGroup(title, tuple(members)))
    return tuple(found)


def _embed(path: Path) -> EmbeddedFigure:
    title = path.stem.replace("_", " ")
    try:
        with Image.open(path, formats=["PNG"]) as image:
            width, height = image.size
            if width <= WIDTH:
                image.verify()
                return EmbeddedFigure(path.name, title, _uri("png", path.read_bytes()), width, height)
            height = max(round(height * WIDTH / width), 1)
            reduced = image.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS)
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        return EmbeddedFigure(path.name, title, missing=f"cannot be read ({error}); draw the figures again")
    buffer = io.BytesIO()
    reduced.save(buffer, "WEBP", quality=90, method=2)
    return EmbeddedFigure(path.name, title, _uri("webp", buffer.getvalue()), WIDTH, height)


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
