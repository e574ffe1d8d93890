"""The conventions: named programs whose numbers are reproduced.

Published values of one metric disagree because programs disagree. Each convention is one program; numbers of
different conventions never belong in one column. How a convention computes a metric stands with the metric.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from metrics.errors import unknown
from metrics.images import ImageArray, grey
from metrics.metric import Rule
from metrics.opencv import cv2
from metrics.registry import METRICS


@dataclass(frozen=True)
class Convention:
    """A program whose numbers are reproduced.

    Attributes:
        name: As commands take it.
        program: Whose program, and how it computes.
        grey: Turns the program's colour images into grey.
        by_channel: Whether the program scores the channels of a colour fused image and takes the plain mean, where
            others turn it to grey. A grey source then serves for each channel. A grey fused image is scored against
            grey sources.
    """

    name: str
    program: str
    grey: Callable[[ImageArray], ImageArray]
    by_channel: bool = False

    def prepare(self, infrared: ImageArray, visible: ImageArray, fused: ImageArray) -> tuple[ImageArray, ...]:
        """Return a triple as the program scores it: all grey, or as it is where channels are scored.

        Args:
            infrared, visible, fused: uint8, (H, W) grey or (H, W, 3) RGB.
        """
        if self.by_channel and fused.ndim == 3:
            return infrared, visible, fused
        return self.grey(infrared), self.grey(visible), self.grey(fused)

    @property
    def rules(self) -> Mapping[str, Rule]:
        """The rule of each metric that the program has, by the metric's id."""
        return {name: metric.rules[self.name] for name, metric in METRICS.items() if self.name in metric.rules}


def grey_opencv(image: ImageArray) -> ImageArray:
    """Return an image as (H, W) luma as OpenCV computes it in float32, rounded half to even.

    Args:
        image: uint8, (H, W) or (H, W, 3) RGB; grey is returned as it is.
    """
    if image.ndim == 2:
        return image
    return np.rint(cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2GRAY)).astype(np.uint8)


CONVENTIONS: dict[str, Convention] = {
    convention.name: convention
    for convention in (
        Convention(
            "tang2022",
            "Linfeng-Tang/Evaluation-for-Image-Fusion before 2023-03-03, MATLAB, partly in 8-bit arithmetic; the "
            "paper's",
            grey,
        ),
        Convention(
            "tang2023",
            "Linfeng-Tang/Evaluation-for-Image-Fusion since 2023-03-03, MATLAB, in floating point",
            grey,
        ),
        # The program works in float32, which moves its numbers by less than 3e-7; here all is float64.
        Convention("cddfuse", "Zhaozixiang1228/MMIF-CDDFuse utils/Evaluator.py, Python", grey_opencv),
        Convention("vifb", "xingchenzhang/VIFB, MATLAB", grey, by_channel=True),
        Convention(
            "metric_python", "Metric_Python (Metric.py, Nabf.py, ssim.py), a port that many repositories carry", grey
        ),
        Convention("kumar2013", "Shreyamsha Kumar's N_abf as published in 2013, MATLAB", grey),
        # Its programs are those of Z. Liu et al., TPAMI 2012, with the visible image as the first source.
        Convention("mefb", "xingchenzhang/MEFB, MATLAB", grey),
        Convention("han2013", "VIFF_Public.m of Han, Cai, Cao, Xu, 2013, MATLAB", grey),
    )
}


def convention_of(name: str) -> Convention:
    """Return a convention by its name; raises InputError that lists the known ones."""
    if name not in CONVENTIONS:
        raise unknown("convention", name, tuple(CONVENTIONS))
    return CONVENTIONS[name]


def describe() -> pd.DataFrame:
    """Return what each metric is: one row a metric, the scale of its values in one column a convention.

    Columns: metric, title, group, formula, direction, undefined (for which images), reference, then the conventions'
    names; a scale is empty where the convention lacks the metric.
    """
    rows = []
    for name, metric in METRICS.items():
        scales = {
            convention: metric.rules[convention].scale if convention in metric.rules else ""
            for convention in CONVENTIONS
        }
        direction = "higher is better" if metric.higher_is_better else "lower is better"
        row = {"metric": name, "title": metric.title, "group": metric.group, "formula": metric.formula}
        row |= {"direction": direction, "undefined": metric.undefined, "reference": metric.reference}
        rows.append(row | scales)
    return pd.DataFrame(rows)
