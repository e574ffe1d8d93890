"""Cells: the stored result of one stage for one method and data set, with a manifest of its inputs.

A cell's folder holds its files and `manifest.json`. Its *recipe* (settings, weights, code) decides every item in
it; each item, one a pair, also has the fingerprint of its own inputs. A finished item is never made again while
recipe and fingerprint stand; a changed recipe empties the cell; a changed input drops that item alone.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from metrics.errors import InputError
from metrics.files import digest_all, remove_leftovers, write_bytes

MANIFEST, ERROR = "manifest.json", "error.txt"
MODEL = "model.safetensors"  # of a cell in which something was trained
PACKAGES = (
    "numpy",
    "scipy",
    "opencv-python",
    "opencv-python-headless",
    "pillow",
    "pandas",
    "torch",
    "torchvision",
)


class Environment(BaseModel):
    """Where and with what a cell was made. A record: it does not decide whether the cell is made again."""

    python: str
    packages: dict[str, str]
    machine: str
    cores: int
    commit: str | None


class Manifest(BaseModel):
    """What made a cell.

    Attributes:
        dataset, method, stage: The cell's coordinates; the method by its label.
        status: "running" also stands for a run that was killed.
        recipe: Everything besides the images that decides the cell's content.
        items: Pair name to the fingerprint of its inputs.
        layers: What every item has, such as metrics, each with the hash of what decides it.
        notes: What a reader of the numbers should know and no number says.
        reason: Why it failed, in one line.
        files: Results that are read without checking what they were made from, with their SHA-256.
        seconds: Time spent, summed over resumed runs.
    """

    model_config = ConfigDict(extra="forbid")

    dataset: str
    method: str
    stage: str
    status: Literal["running", "done", "failed"]
    recipe: dict[str, Any]
    items: dict[str, str]
    layers: dict[str, str] = {}
    notes: list[str] = []
    reason: str | None = None
    files: dict[str, str] = {}
    seconds: float = 0.0
    started: str = ""
    finished: str | None = None
    environment: Environment


class Cell:
    """One (data set, method, stage) on disk."""

    def __init__(self, root: Path, dataset: str, method: str, stage: str) -> None:
        self.dataset, self.method, self.stage = dataset, method, stage
        self.folder = root / "cells" / slug(dataset) / slug(method) / stage
        self._began = time.monotonic()

    def manifest(self) -> Manifest | None:
        """Return the stored manifest; None when there is none that can be read."""
        try:
            return Manifest.model_validate_json((self.folder / MANIFEST).read_bytes())
        except (OSError, ValidationError):
            return None

    def open(
        self,
        recipe: dict[str, Any],
        items: dict[str, str],
        layers: dict[str, str] | None = None,
        *,
        discard: Callable[[list[str], list[str]], None],
        redo: bool = False,
    ) -> None:
        """Prepare the cell for a run: keep what still holds, drop the rest, mark it as running.

        Args:
            recipe: What decides the cell; another one than the stored one empties the folder.
            items: The items wanted now, with their inputs' fingerprints.
            layers: The layers wanted now, with their hashes.
            discard: Removes finished items and layers that have changed; called before the new manifest is written,
                so that a run killed in between cannot take the old ones for new ones.
            redo: Empty the folder in any case.
        """
        if self.folder.is_symlink():
            raise InputError(f"{self.folder} is a link; a cell is emptied before it is recomputed. Remove the link.")
        stored = self.manifest()
        if redo or stored is None or stored.recipe != recipe:
            if self.folder.exists():
                shutil.rmtree(self.folder)  # or fail: what stayed would pass for this run's
            stored = None
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self.folder)
        layers = layers or {}
        kept, kept_layers = (stored.items, stored.layers) if stored else ({}, {})
        changed, changed_layers = _changed_values(kept, items), _changed_values(kept_layers, layers)
        if changed or changed_layers:
            discard(changed, changed_layers)
        self._began = time.monotonic()
        manifest = self._new(recipe, kept | items, kept_layers | layers)
        manifest.seconds = stored.seconds if stored else 0.0
        self._write(manifest)

    def require_unchanged(self) -> None:
        """Raise InputError when a result is no longer what the finished cell had."""
        stored = self.manifest()
        for name, known in stored.files.items() if stored else ():
            path = self.folder / name
            if Path(name).name == name and (not path.is_file() or digest_all([path]) != known):
                raise InputError(f"{path} is not what {self.stage} wrote; run {self.stage} again")

    def refuse_other(self, recipe: dict[str, Any]) -> None:
        """Refuse to take the place of what was made by another recipe: what was trained for hours stays.

        Raises:
            InputError: The cell was made otherwise, or nobody knows how.
        """
        stored = self.manifest()
        if stored is None or not stored.recipe:
            if any(self.folder.glob("*.safetensors")):
                raise InputError(
                    f"{self.folder / MANIFEST} does not say how the model beside it was trained; put the right one "
                    "back, take another --out, or --redo to train it again."
                )
            return
        if stored.recipe == recipe:
            return
        name, before, after = first_difference(stored.recipe, recipe)
        raise InputError(
            f"{self.folder} was trained with {name} {before!r}, but this run has {after!r}. Take another --out, or "
            "--redo to train it again."
        )

    def close(self, *, notes: Iterable[str] = (), files: Iterable[Path] = ()) -> None:
        """Mark the cell as done.

        Args:
            notes: What a reader of the numbers should know.
            files: Those of its files that `require_unchanged` compares from now on.
        """
        self._end("done", None, list(notes), {path.name: digest_all([path]) for path in files})
        (self.folder / ERROR).unlink(missing_ok=True)  # of an earlier try

    def fail(self, reason: str) -> None:
        """Mark the cell as failed, with the reason in one line; what it holds already stays."""
        if not self.folder.is_symlink():  # or the manifest would land elsewhere
            self._end("failed", reason, [], {})

    def _end(
        self, status: Literal["done", "failed"], reason: str | None, notes: list[str], files: dict[str, str]
    ) -> None:
        manifest = self.manifest() or self._new({}, {}, {})
        manifest.status, manifest.reason, manifest.notes, manifest.files = status, reason, notes, files
        manifest.seconds = round(manifest.seconds + time.monotonic() - self._began, 3)
        manifest.finished = _now()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write(manifest)

    def _new(self, recipe: dict[str, Any], items: dict[str, str], layers: dict[str, str]) -> Manifest:
        return Manifest(
            dataset=self.dataset,
            method=self.method,
            stage=self.stage,
            status="running",
            recipe=recipe,
            items=items,
            layers=layers,
            started=_now(),
            environment=environment(),
        )

    def _write(self, manifest: Manifest) -> None:
        write_bytes(self.folder / MANIFEST, manifest.model_dump_json(indent=1).encode())


def _changed_values(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return [name for name, value in before.items() if after.get(name, value) != value]


def first_difference(before: dict[str, Any], after: dict[str, Any], within: str = "") -> tuple[str, Any, Any]:
    """Return the first setting in which two recipes differ, and its values."""
    for name in (*before, *after):
        old, new = before.get(name), after.get(name)
        if old != new:
            both = isinstance(old, dict) and isinstance(new, dict)
            return first_difference(old, new, f"{within}{name}.") if both else (within + name, old, new)  # type: ignore[arg-type]
    raise AssertionError("the recipes are equal")


def is_first_process() -> bool:
    """Return whether this process keeps the cells: of those that torchrun starts, only the first does."""
    return not int(os.environ.get("RANK", "0"))


def slug(text: str) -> str:
    """Return a name as a file name: safe on every system, and never that of another name."""
    safe = re.sub(r"[^A-Za-z0-9_+-]+", "-", text).strip("-")[:80]
    return safe if safe and safe == text else f"{safe}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


@cache
def environment() -> Environment:
    """Return what this process runs on."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return Environment(
        python=sys.version.split()[0],
        packages=packages,
        machine=f"{platform.system()} {platform.machine()}",
        cores=os.cpu_count() or 1,
        commit=_commit(),
    )


def _commit() -> str | None:
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
