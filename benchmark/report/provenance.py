"""Provenance of a run's numbers: the manifests of its cells, as the report shows them."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from benchmark.engine.cells import MANIFEST, Environment, Manifest, slug
from benchmark.engine.run_record import Part

STAGES = ("fuse", "score")
_SHORT = 12


@dataclass(frozen=True)
class Weights:
    """A weight file: its name, its SHA-256, and whether it is the authors' own (None when nothing says so)."""

    name: str
    digest: str
    official: bool | None


@dataclass(frozen=True)
class CellRecord:
    """One cell: what its manifest says, and the letter of the environment that it was made in."""

    manifest: Manifest
    weights: tuple[Weights, ...]
    code: str
    environment: str
    recipe: str

    @property
    def time(self) -> str:
        """When it was made, in words."""
        if not self.manifest.finished:
            return f"{_moment(self.manifest.started)}, not finished"
        return f"{_moment(self.manifest.started)} to {_moment(self.manifest.finished)}"


@dataclass(frozen=True)
class Provenance:
    """A data set's cells, method by method."""

    part: Part
    cells: tuple[CellRecord, ...]


def provenance(
    folder: Path, parts: Collection[Part], labels: Collection[str]
) -> tuple[tuple[Provenance, ...], tuple[tuple[str, Environment], ...]]:
    """Return the cells of each data set, and the environments that they name by letter.

    Args:
        folder: The run's.
        parts: Its data sets.
        labels: Methods, in order; what an earlier run fused or scored with others is left out.
    """
    order = {label: index for index, label in enumerate(labels)}
    environments: list[Environment] = []
    found = []
    for part in parts:
        manifests = [
            manifest
            for path in sorted((folder / "cells" / slug(part.title)).glob(f"*/*/{MANIFEST}"))
            if (manifest := _read(path)) and (manifest.method in order or manifest.stage not in STAGES)
        ]
        manifests.sort(key=lambda one: (order.get(one.method, len(order)), one.method, _place(one.stage), one.stage))
        found.append(Provenance(part, tuple(_describe_cell(manifest, environments) for manifest in manifests)))
    return tuple(found), tuple((_letter(index), one) for index, one in enumerate(environments))


def _read(path: Path) -> Manifest | None:
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _describe_cell(manifest: Manifest, environments: list[Environment]) -> CellRecord:
    if manifest.environment not in environments:
        environments.append(manifest.environment)
    letter = _letter(environments.index(manifest.environment))
    recipe = json.dumps(manifest.recipe, indent=1, ensure_ascii=False, sort_keys=True)
    return CellRecord(manifest, _weights(manifest.recipe), str(manifest.recipe.get("code", "")), letter, recipe)


def _weights(recipe: dict[str, Any]) -> tuple[Weights, ...]:
    settings = recipe.get("settings")
    files = settings.get("weights") if isinstance(settings, dict) else None
    if not isinstance(settings, dict) or not files:
        return ()
    official = settings.get("official weights")
    known = official if isinstance(official, bool) else None
    items = files.items() if isinstance(files, dict) else [("weights", files)]
    return tuple(Weights(str(name), str(value), known) for name, value in items)


def _place(stage: str) -> int:
    return STAGES.index(stage) if stage in STAGES else len(STAGES)


def _letter(index: int) -> str:
    return chr(ord("A") + index) if index < 26 else f"Z{index - 25}"


def _moment(text: str) -> str:
    return text.replace("T", " ").replace("+00:00", " UTC")


def short(digest: str) -> str:
    """Return the beginning of a hash, enough to tell it from others."""
    return digest[:_SHORT]
