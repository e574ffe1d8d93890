"""Writes the files that data sets are made of."""

from collections.abc import Iterable
from pathlib import Path

from PIL import Image

SIZE = (40, 30)


def image(path: Path, *, size: tuple[int, int] = SIZE, mode: str = "L", level: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, (level,) * len(mode) if len(mode) > 1 else level).save(path)
    return path


def text(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def item(
    label: str = "Car",
    edges: Iterable[object] = (5, 6, 20, 25),
    *,
    difficult: int = 0,
    names: Iterable[str] = ("xmin", "ymin", "xmax", "ymax"),
) -> str:
    corners = "".join(f"<{name}>{edge}</{name}>" for name, edge in zip(names, edges, strict=False))
    return f"<object><name>{label}</name><difficult>{difficult}</difficult><bndbox>{corners}</bndbox></object>"


def xml(path: Path, *items: str, size: tuple[int, int] = SIZE) -> Path:
    stated = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    return text(path, f"<annotation>{stated}{''.join(items)}</annotation>")
