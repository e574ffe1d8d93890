"""Runs of the command line in a process of their own, on small scenes."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "run_benchmark.py"
METHODS = ("infrared", "average", "maximum", "laplacian")


def command(data: Path, out: Path, *verb: str, methods: tuple[str, ...] = METHODS, workers: int = 1) -> list[str]:
    """Return a command line; `verb` is "run", "fuse" and so on, with further options."""
    name, *more = verb or ("run",)
    given = ["--data-root", str(data), "--out", str(out)]
    if name != "table":
        given += ["--workers", str(workers)]
    if name != "fuse":
        given += ["--size", "native"]
    return [sys.executable, str(SCRIPT), name, "m3fd", *given, "--methods", *methods, *more]


def start(line: list[str], **options: object) -> subprocess.Popen[str]:
    """Start a command in a process group of its own."""
    environment = dict(os.environ) | dict(options.pop("more", {}))  # type: ignore[call-overload]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    settings = {"cwd": ROOT, "env": environment, "start_new_session": True, **pipes, **options}
    return subprocess.Popen(line, **settings)  # type: ignore[call-overload,no-any-return]


def finish(line: list[str], **options: object) -> tuple[int, str, list[str]]:
    """Run a command to its end; return its status, what it showed, and its complaints line by line."""
    process = start(line, **options)
    shown, complaints = process.communicate(timeout=120)
    return process.returncode, shown, complaints.splitlines()


def results(out: Path) -> dict[str, bytes]:
    """Return the files that a run is for, by name: tables, scores, fused images; not records of when and where."""
    found = [path for kind in ("*.csv", "*.tex", "*.png") for path in sorted(out.rglob(kind))]
    return {str(path.relative_to(out)): path.read_bytes() for path in found}


def left_behind(out: Path) -> list[Path]:
    """Return temporary files."""
    return [path for path in out.rglob("*") if path.name.endswith(".tmp")]


def one_error(complaints: list[str]) -> str:
    """Return the only line of complaint."""
    assert len(complaints) == 1, complaints
    assert complaints[0].startswith("error: ")
    return complaints[0]
