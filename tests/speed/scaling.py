"""Seconds and peak memory of a run as images, workers and methods grow: python tests/speed/scaling.py --help."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import psutil
import tyro

from benchmark.synthetic import layouts as synthetic

ROOT = Path(__file__).parents[2]
DISTINCT = 10  # scenes that are drawn; more images are these again under other names
CLASSICAL = ("infrared", "visible", "average", "maximum", "laplacian")


@dataclass
class Scaling:
    """Measure whole runs (read, fuse, score, tabulate), each in a new process and a new folder."""

    images: tuple[int, ...] = (10, 100, 1000)
    """How many images, with one method (average)."""

    methods: tuple[int, ...] = (1, 5, 15)
    """How many methods, on the middle number of images."""

    workers: tuple[int, ...] = (1, 2)
    """How many processes."""

    size: tuple[int, int] = (1024, 768)
    """Width and height of the images."""

    out: Path = Path("results/reference/scaling/scaling.csv")
    """The table."""

    def __call__(self) -> pd.DataFrame:
        """Measure and write the table."""
        rows = []
        with TemporaryDirectory() as name:
            root = Path(name)
            synthetic.write(root / "drawn", layout="m3fd", train=1, test=DISTINCT, seed=0, size=self.size)
            middle = self.images[len(self.images) // 2]
            cases = [(images, 1) for images in self.images]
            cases += [(middle, methods) for methods in self.methods if methods != 1]
            for images, methods in cases:
                linked(root / "drawn", root / "data", images)
                for workers in self.workers:
                    rows.append(measured(root, images, methods, workers))
                    print(rows[-1], flush=True)
        table = pd.DataFrame(rows)
        self.out.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(self.out, index=False)
        return table


def linked(drawn: Path, data: Path, images: int) -> None:
    """Give the drawn test scenes as many names as there shall be images."""
    shutil.rmtree(data, ignore_errors=True)
    names = (drawn / "test.txt").read_text().split()
    for source, target in (("Ir", "ir"), ("Vis", "vi")):
        (data / target).mkdir(parents=True)
        for number in range(images):
            name = Path(names[number % len(names)]).stem
            os.link(drawn / source / f"{name}.png", data / target / f"{number:05d}.png")


def measured(root: Path, images: int, methods: int, workers: int) -> dict[str, float]:
    """Return one run's seconds, processor seconds and peak memory over all its processes."""
    out = root / "out"
    shutil.rmtree(out, ignore_errors=True)
    experiment = root / "scaling.toml"
    experiment.write_text(
        'title = "Scaling"\nmethods = ["average"]\n[[datasets]]\nname = "folders"\nroot = "."\ntitle = "Scaling"\n'
    )
    names = [f"M{number}={CLASSICAL[2 + number % 3]}" for number in range(methods)]
    command = [
        sys.executable,
        str(ROOT / "run_benchmark.py"),
        "run",
        str(experiment),
        "--data-root",
        str(root / "data"),
    ]
    command += ["--out", str(out), "--workers", str(workers), "--methods", *names]
    began = time.perf_counter()
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, memory(process))
        time.sleep(0.25)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: status {process.returncode}")
    seconds = time.perf_counter() - began
    return {
        "images": images,
        "methods": methods,
        "workers": workers,
        "seconds": round(seconds, 1),
        "seconds per image and method": round(seconds / images / methods, 3),
        "peak memory (MB)": round(peak / 1e6),
    }


def memory(process: psutil.Process) -> int:
    """Return the bytes that a process and its children hold, what they share counted once."""
    total = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            total += each.memory_full_info().pss
        except psutil.Error:  # it ended meanwhile
            continue
    return total


if __name__ == "__main__":
    print(tyro.cli(Scaling)().to_string(index=False))
