"""Luma and chroma as published fusion code computes them in floating point, without rounding or clamping in between."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from metrics.images import ImageArray


def compute_luma(image: Tensor) -> Tensor:
    """Return the luma of ITU-R 601, (N, 1, H, W), of an RGB image (N, 3, H, W), on the image's scale."""
    red, green, blue = image.split(1, dim=1)
    luma: Tensor = 0.299 * red + 0.587 * green + 0.114 * blue
    return luma


def recolour(luma: NDArray[np.float32], visible: ImageArray) -> NDArray[np.float32]:
    """Return fused luma with the chroma of the visible image, as RGB (H, W, 3) clipped to [0, 1].

    Args:
        luma: (H, W), scale 0-1.
        visible: uint8 (H, W, 3) RGB.
    """
    red, green, blue = np.moveaxis(visible.astype(np.float32) / 255, 2, 0)
    visible_luma = 0.299 * red + 0.587 * green + 0.114 * blue
    cr, cb = 0.713 * (red - visible_luma), 0.564 * (blue - visible_luma)
    colours = (luma + 1.403 * cr, luma - 0.714 * cr - 0.344 * cb, luma + 1.773 * cb)
    coloured: NDArray[np.float32] = np.clip(np.stack(colours, axis=2), 0, 1)
    return coloured
