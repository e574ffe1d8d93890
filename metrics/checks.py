"""The shape check that every metric shares."""

import numpy as np

from metrics.errors import InputError
from metrics.images import ImageArray


def require_grey(smallest: int, /, **images: ImageArray) -> None:
    """Raise unless all images are uint8 (H, W) of one size, with no side under `smallest` pixels."""
    for band, image in images.items():
        if image.dtype != np.uint8 or image.ndim != 2:
            raise InputError(
                f"{band}: expected a uint8 array of shape (H, W), got {image.dtype} {image.shape}; "
                "metrics are defined on 8-bit grey levels."
            )
    require_one_size({band: image.shape for band, image in images.items()})
    height, width = next(iter(images.values())).shape
    if min(height, width) < smallest:
        raise InputError(
            f"the image is {width}x{height}; expected at least {smallest}x{smallest} pixels for this metric."
        )


def require_one_size(shapes: dict[str, tuple[int, ...]]) -> None:
    """Raise unless all shapes, by name of their image, begin with the same height and width."""
    sizes = {name: f"{shape[1]}x{shape[0]}" for name, shape in shapes.items()}
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"{name} is {size}" for name, size in sizes.items())
        raise InputError(f"expected images of one size, but {found}; register or resize them first.")
