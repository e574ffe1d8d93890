"""Check annotated boxes against the size of their image."""

import math

from benchmark.datasets.base import Box
from benchmark.datasets.findings import Findings

OVERHANG = 1.0  # pixels: what counting from 0 instead of 1, or a box on the border, makes
ROUNDING = 0.01  # pixels: what six written digits of a normalised edge lose


def fitted(
    edges: tuple[float, float, float, float],
    label: str,
    difficult: bool,
    size: tuple[int, int],
    where: str,
    findings: Findings,
) -> Box | None:
    """Return the box within its image, or None when it has no area or cannot be right.

    Args:
        edges: (x0, y0, x1, y1) in pixels, x1 and y1 exclusive.
        label: Its class.
        difficult: As Box has it.
        size: (width, height) of the image.
        where: File and line or object, for the findings.
        findings: Takes the problem, or the count of clipped and of empty boxes.
    """
    x0, y0, x1, y1 = edges
    width, height = size
    box = f"{label} box ({x0:g}, {y0:g}, {x1:g}, {y1:g})"
    if not all(math.isfinite(edge) for edge in edges):
        findings.problem("annotation", f"{where}: {box} has edges that are no finite numbers.")
        return None
    if x1 < x0 or y1 < y0:
        findings.problem("annotation", f"{where}: {box} is inverted; expected x0 <= x1 and y0 <= y1.")
        return None
    overhang = max(-x0, -y0, x1 - width, y1 - height)
    if overhang > OVERHANG + ROUNDING:
        findings.problem(
            "annotation",
            f"{where}: {box} reaches {overhang:.1f} pixels outside its image of {width}x{height}; does the "
            "annotation belong to this image?",
        )
        return None
    if overhang > ROUNDING:
        findings.count("boxes that reached up to one pixel outside their image, clipped")
    x0, y0, x1, y1 = max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
    if x0 >= x1 or y0 >= y1:
        findings.count("boxes without area, left out")
        return None
    return Box(x0, y0, x1, y1, label, difficult)
