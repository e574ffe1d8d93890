"""Fuse with a forced choice of global experts: what each keeps, and what the metrics say of it, a Markdown table.

python results/reference/answer/forced.py flir data/FLIR_aligned

"lamps" is what is left of the visible image's excess where it is above level 200 and the infrared one below 100: 1 is
the visible level, 0 the infrared one, ½ their mean.
"""

import sys

import numpy as np
import pandas as pd
import torch

import methods
import metrics
from benchmark import datasets
from benchmark.tables.markdown import markdown_table
from metrics import images
from moefusion.experts import Gate, Routing

CHOICES = {"the gate's own": None, "1 and 4": (0, 3), "2 and 3": (1, 2), "1": (0,), "2": (1,), "3": (2,), "4": (3,)}
LAMP, COLD, FEWEST = 200, 100, 50  # levels, and pixels


def force(gate: Gate, experts: tuple[int, ...] | None) -> "torch.utils.hooks.RemovableHandle":
    """Let a gate give equal shares to some experts, whatever it sees; None leaves it alone."""

    def replaced(_: Gate, __: object, own: Routing) -> Routing:
        if experts is None:
            return own
        gates = torch.zeros_like(own.gates)
        gates[:, list(experts)] = 1 / len(experts)
        return Routing(gates, own.load)

    return gate.register_forward_hook(replaced)


def describe(infrared: images.ImageArray, visible: images.ImageArray, fused: images.ImageArray) -> dict[str, float]:
    """Return how near a fused image is to its sources, and its scores."""
    bands = [band.astype(np.float64) for band in (infrared, visible, fused)]
    lamps = (visible > LAMP) & (infrared < COLD)
    excess = [(band - bands[0])[lamps] for band in bands]
    return {
        "correlation with infrared": np.corrcoef(bands[2].ravel(), bands[0].ravel())[0, 1],
        "with visible": np.corrcoef(bands[2].ravel(), bands[1].ravel())[0, 1],
        "levels from the mean": np.abs(bands[2] - (bands[0] + bands[1]) / 2).mean(),
        "lamps": (excess[2] / excess[1]).mean() if lamps.sum() >= FEWEST else np.nan,
    } | metrics.evaluate(infrared, visible, fused)


def main() -> None:
    """Print a row for each choice: means over the test part, at the images' own size."""
    name, root = sys.argv[1:]
    method = methods.create("moefusion")
    gate = method.model.fusion.global_experts.gate
    rows: dict[str, list[dict[str, float]]] = {choice: [] for choice in CHOICES}
    for pair in datasets.load(name, root, needs_boxes=False).test:
        infrared, visible = (images.grey(images.read(path)) for path in (pair.infrared, pair.visible))
        for choice, experts in CHOICES.items():
            handle = force(gate, experts)
            rows[choice].append(describe(infrared, visible, method.fuse(infrared, visible)))
            handle.remove()
    means = {choice: pd.DataFrame(each).mean() for choice, each in rows.items()}
    head = ["global experts", *means["the gate's own"].index]
    print(markdown_table([head, *([choice, *row.map("{:.3f}".format)] for choice, row in means.items())]))


if __name__ == "__main__":
    main()
