"""The cost of each network: parameters, multiply-adds and milliseconds for one fusion."""

import platform
import statistics
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pylatexenc.latexencode import unicode_to_latex
from torch.utils.flop_counter import FlopCounterMode

import methods
from benchmark.engine.experiment import MethodSettings
from methods.network import NetworkMethod
from metrics.errors import InputError
from metrics.files import write_bytes


def profile(
    wanted: list[MethodSettings], *, size: tuple[int, int] = (640, 480), repeats: int = 5, device: str = "auto"
) -> pd.DataFrame:
    """Return one row a method: parameters, multiply-adds in billions, milliseconds (median), or why there is no figure.

    Multiply-adds are counted by torch's own `FlopCounterMode` (convolutions and matrix products; half its
    floating-point operations) while the method runs, so they are those of our code: modules that the original runs
    without effect are not among them, and convolutions that ours does as one count once. Parameters are those of the
    published network. Methods without a network have neither parameters nor a count.

    Args:
        wanted: The methods.
        size: (width, height) of the pair fused.
        repeats: Fusions timed, after one that is not.
        device: Where networks run.
    """
    random = np.random.default_rng(0)
    infrared, visible = random.integers(0, 256, (2, size[1], size[0]), dtype=np.uint8)
    rows = []
    for settings in wanted:
        row: dict[str, object] = {"method": settings.label or settings.name, "variant": settings.variant or ""}
        try:
            method = methods.create(settings.name, variant=settings.variant, weights=settings.weights, device=device)
            row["variant"] = method.variant or ""
            if isinstance(method, NetworkMethod):
                row["parameters"] = method.record.parameters
                with FlopCounterMode(display=False) as counter:
                    method.raw(infrared, visible)
                row["multiply-adds as computed (billions)"] = counter.get_total_flops() / 2e9
            row["milliseconds"] = _milliseconds(method, infrared, visible, repeats)
        except InputError as error:
            row["reason"] = str(error)
        rows.append(row)
    columns = ["method", "variant", "parameters", "multiply-adds as computed (billions)", "milliseconds", "reason"]
    frame = pd.DataFrame(rows, columns=columns).astype({"parameters": "Int64"})
    frame.attrs["about"] = f"{size[0]}x{size[1]}, float32, {_hardware(device)}, median of {repeats}"
    return frame


def write(folder: Path, frame: pd.DataFrame) -> None:
    """Write profile.csv and profile.tex; both say on what the figures were taken."""
    folder.mkdir(parents=True, exist_ok=True)
    about = str(frame.attrs["about"])
    write_bytes(folder / "profile.csv", frame.assign(measured=about).to_csv(index=False).encode())
    shown = frame.drop(columns="reason").rename(columns=unicode_to_latex)
    for column in ("method", "variant"):
        shown[column] = shown[column].map(unicode_to_latex)
    styler = shown.style.hide(axis="index").format(precision=1, thousands=",", na_rep="--")
    latex = styler.to_latex(
        hrules=True,
        column_format="llrrr",
        position_float="centering",
        caption=f"Cost of fusing one pair: {unicode_to_latex(about)}.",
        label="tab:profile",
    )
    write_bytes(folder / "profile.tex", f"% needs \\usepackage{{booktabs}}\n{latex}".encode())


def _milliseconds(method: methods.Method, infrared: np.ndarray, visible: np.ndarray, repeats: int) -> float:
    # `fuse` ends with the image in main memory, so there is nothing of a GPU's left to wait for.
    method.fuse(infrared, visible)
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        method.fuse(infrared, visible)
        seconds.append(time.perf_counter() - began)
    return 1000 * statistics.median(seconds)


def _hardware(device: str) -> str:
    if device != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU {_processor()}, {torch.get_num_threads()} threads"


def _processor() -> str:
    """Return the processor's name; Linux tells it in a file only."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
