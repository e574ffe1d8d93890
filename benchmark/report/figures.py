"""The figures of a run's folder as the report embeds them: as they are, or smaller where they are many."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

WIDTH = 1600
_GROUPS = {
    "critical_difference": "Critical-difference diagrams",
    "sweep_experts": "Figure 7: number of experts",
    "sweep_alpha": "Figure 8: weight of the gradient loss",
    "figure6": "Figure 6: gates",
    "detections": "Detections",
    "curves": "Precision and recall",
}


@dataclass(frozen=True)
class Figure:
    """A figure: its file's name, its title, its source as a data URI; or why it is not shown."""

    name: str
    title: str
    source: str = ""
    width: int = 0
    height: int = 0
    missing: str = ""


@dataclass(frozen=True)
class Group:
    """Figures of one kind."""

    title: str
    figures: tuple[Figure, ...]


def figures(folder: Path, *, room: int) -> tuple[Group, ...]:
    """Return the figures that a run's folder has, of at most so many bytes.

    An image wider than 1600 pixels is reduced to that. What does not fit any more is named only.
    """
    found = []
    for prefix, title in _GROUPS.items():
        members = []
        for path in sorted((folder / "figures").glob(f"{prefix}*.png")):
            figure = _figure(path)
            if len(figure.source) > room:
                figure = Figure(figure.name, figure.title, missing="left out for the report's size; see figures/")
            room -= len(figure.source)
            members.append(figure)
        if members:
            found.append(Group(title, tuple(members)))
    return tuple(found)


def _figure(path: Path) -> Figure:
    title = path.stem.replace("_", " ")
    try:
        with Image.open(path, formats=["PNG"]) as image:
            width, height = image.size
            if width <= WIDTH:
                image.verify()
                return Figure(path.name, title, _uri("png", path.read_bytes()), width, height)
            height = max(round(height * WIDTH / width), 1)
            reduced = image.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS)
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        return Figure(path.name, title, missing=f"cannot be read ({error}); draw the figures again")
    buffer = io.BytesIO()
    reduced.save(buffer, "WEBP", quality=90, method=2)
    return Figure(path.name, title, _uri("webp", buffer.getvalue()), WIDTH, height)


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
