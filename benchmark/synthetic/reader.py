"""The embedded data set: a folder that `synthetic.write` made, read as the data set whose layout it has."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from benchmark.datasets.findings import Findings, Parts, quoted
from benchmark.datasets.pairing import listing
from benchmark.datasets.readers import flir, llvip, m3fd, msrs
from benchmark.datasets.record import Record
from benchmark.synthetic import layouts as synthetic
from metrics.errors import InputError

READERS: dict[str, Callable[[Path, Findings], Parts]] = {
    "m3fd": m3fd.read,
    "flir": flir.read,
    "llvip": llvip.read,
    "msrs": msrs.read,
}


def read(root: Path, findings: Findings) -> Parts:
    """Return the pairs of a synthetic data set; its classes are those that the generator draws.

    Args:
        root: The folder that `synthetic.write` made.
        findings: Takes problems and notes.

    Raises:
        InputError: The folder is not one of these.
    """
    path = root / synthetic.SETTINGS
    settings = synthetic.record(root)
    if settings is None:
        raise InputError(
            f"{root} is no synthetic data set (no readable {path.name}); found: {listing(root)}. Let the "
            "benchmark write one."
        )
    layout = settings.get("layout")
    if layout not in tuple(READERS):  # as any JSON value may stand there, hashable or not
        raise InputError(f"unknown layout in {path} {quoted(layout)}; known: {', '.join(READERS)}")
    parts = READERS[layout](root, findings)
    drawn = synthetic.LAYOUTS[layout].labels.values()
    classes = tuple(label for label in parts.classes if label in drawn)
    return dataclasses.replace(parts, classes=classes)


RECORD = Record(
    name="synthetic",
    title="Synthetic",
    folder="synthetic",
    about="street scenes that the benchmark draws itself; scores say nothing about real data sets",
    read=read,
    position=20,
)
