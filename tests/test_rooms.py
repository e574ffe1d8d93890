"""Imports point down the list of rooms in CONTRIBUTING.md, and nowhere else."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Lowest first; rooms on one floor know nothing of each other.
FLOORS = (
    ("metrics",),
    ("moefusion",),
    ("methods",),
    ("benchmark.datasets",),
    ("benchmark.synthetic",),
    ("benchmark.detection",),
    ("benchmark.engine",),
    ("benchmark.tables",),
    ("benchmark.figures",),
    ("benchmark.report",),
    ("benchmark.studies",),
    ("run_benchmark",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def room_of(module: str) -> str | None:
    return next((room for room in FLOOR if module == room or module.startswith(f"{room}.")), None)


def imported_modules(path: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return modules


def files() -> list[Path]:
    folders = ("metrics", "moefusion", "methods", "benchmark")
    return [ROOT / "run_benchmark.py", *(path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))]


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    own = room_of(module)
    if own is None:
        assert module == "benchmark"  # no file on the first level but the package's own
        return
    for other in filter(None, map(room_of, imported_modules(path))):
        assert other == own or FLOOR[other] < FLOOR[own], f"{module} imports {other}, which is above it"


def test_the_ground_floor_needs_no_torch() -> None:
    for path in (ROOT / "metrics").rglob("*.py"):
        assert not {name.partition(".")[0] for name in imported_modules(path)} & {"torch", "torchvision"}, path
