"""Metrics from grey-level errors between the fused image and its sources: MSE, RMSE, PSNR."""

import math
from typing import Literal

from metrics.checks import require_grey
from metrics.definitions.correlation import squared_distance
from metrics.images import ImageArray
from metrics.metric import Metric, rule


def mean_squared_error(infrared: ImageArray, visible: ImageArray, fused: ImageArray, *, divisor: int = 1) -> float:
    """Return the mean squared difference to a source, averaged over both (MSE); lower is better.

    Args:
        infrared, visible, fused: uint8 (H, W) of one size.
        divisor: What grey levels are divided by first; 255 puts the images on 0-1.

    Examples:
        >>> import numpy as np
        >>> dark, bright = np.full((4, 4), 10, np.uint8), np.full((4, 4), 16, np.uint8)
        >>> mean_squared_error(dark, bright, dark)
        18.0
    """
    require_grey(1, infrared=infrared, visible=visible, fused=fused)
    squares = squared_distance(fused, infrared) + squared_distance(fused, visible)
    return squares / (2 * fused.size * divisor**2)


def root_error_per_pixel(infrared: ImageArray, visible: ImageArray, fused: ImageArray) -> float:
    """Return the Euclidean distance to a source over the number of pixels, averaged over both; lower is better.

    VIFB prints this as RMSE. It takes the root before it divides, so it is the root mean squared error over √(H·W)
    and falls as images grow.

    Args:
        infrared, visible, fused: uint8 (H, W) of one size; levels 0-255.
    """
    require_grey(1, infrared=infrared, visible=visible, fused=fused)
    distances = math.sqrt(squared_distance(fused, infrared)) + math.sqrt(squared_distance(fused, visible))
    return distances / (2 * fused.size)


def peak_signal_to_noise_ratio(
    infrared: ImageArray,
    visible: ImageArray,
    fused: ImageArray,
    *,
    peak: int | None = 255,
    divisor: int = 1,
    error: Literal["mean squared", "root per pixel"] = "mean squared",
) -> float:
    """Return 10 log10(peak² / error) in dB, the error being the mean of both sources' (PSNR); higher is better.

    NaN where there is no error, or no peak because the fused image is black.

    Args:
        infrared, visible, fused: uint8 (H, W) of one size.
        peak: The largest possible level; None takes the largest of the fused image.
        divisor: What grey levels, but not the peak, are divided by first. With 255 the result is 48.13 dB higher.
        error: The mean squared error, or what `root_error_per_pixel` returns.
    """
    require_grey(1, infrared=infrared, visible=visible, fused=fused)
    if error == "root per pixel":
        noise = root_error_per_pixel(infrared, visible, fused)
    else:
        noise = mean_squared_error(infrared, visible, fused, divisor=divisor)
    top = int(fused.max()) if peak is None else peak
    if not noise or not top:
        return math.nan
    return 20 * math.log10(top / math.sqrt(noise))


_MSE_UNIT = rule("levels 0-1, about 0.003 to 0.17; mean over both sources", divisor=255)
_PSNR_SHIFTED = rule("dB, peak 255 over the MSE of levels 0-1: 48.13 dB above the usual, about 56 to 73", divisor=255)

METRICS = (
    Metric(
        "MSE",
        "mean squared error",
        mean_squared_error,
        "fidelity",
        "½ Σ over S of mean (F - S)²",
        "Ma, Ma, Li, Information Fusion 2019",
        {
            "tang2022": _MSE_UNIT,
            "tang2023": _MSE_UNIT,
            "cddfuse": rule("levels 0-255, about 340 to 5800; mean over both sources"),
            "metric_python": _MSE_UNIT,
        },
        higher_is_better=False,
    ),
    Metric(
        "RMSE",
        "root of squared errors, per pixel",
        root_error_per_pixel,
        "fidelity",
        "½ Σ over S of √(Σ (F - S)²)/(HW)",
        "Zhang, Ye, Xiao, CVPR Workshops 2020",
        {"vifb": rule("no root mean squared error but that over √(HW), about 0.05 to 0.26")},
        higher_is_better=False,
    ),
    Metric(
        "PSNR",
        "peak signal-to-noise ratio",
        peak_signal_to_noise_ratio,
        "fidelity",
        "10 log10(peak²/MSE)",
        "Ma, Ma, Li, Information Fusion 2019",
        {
            "tang2022": _PSNR_SHIFTED,
            "tang2023": _PSNR_SHIFTED,
            "cddfuse": rule("dB, the peak is the fused image's largest level, about 10 to 23", peak=None),
            "vifb": rule("10 log10(255²/RMSE), no decibels, grows with size; about 54 to 60", error="root per pixel"),
            "metric_python": _PSNR_SHIFTED,
        },
        undefined="the fused image equals both sources",
    ),
)
