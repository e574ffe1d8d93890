"""The base class of all fusion methods: two 8-bit images in, one 8-bit grey image of the same size out."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError, unknown
from metrics.images import ImageArray, grey


class Method(ABC):
    """A fusion method. A subclass gives `forward`; the rest has defaults.

    Attributes:
        title: As tables print it; the class name when empty.
        variants: Names of the published variants, the default first; empty when there is only one.
        colour: Whether `forward` takes the images as RGB; otherwise it takes their grey luma.
        source: Whether it gives one of the two sources, unfused; tables show it without a rank.
        infrared: Whether its images are infrared ones, which a detector never sees with the visible image's chroma.
        trains: Whether a run can train it. Its first variant, if it has any, is then a trained model that it brings.
        reads_weights: Whether what follows its name on the command line is always a file or folder of weights.
    """

    title: ClassVar[str] = ""
    variants: ClassVar[tuple[str, ...]] = ()
    colour: ClassVar[bool] = False
    source: ClassVar[bool] = False
    infrared: ClassVar[bool] = False
    trains: ClassVar[bool] = False
    reads_weights: ClassVar[bool] = False

    def __init__(self, *, variant: str | None = None, weights: str | None = None, device: str = "auto") -> None:
        """Prepare the method.

        Args:
            variant: One of `variants`; None is the first.
            weights: A file or folder with the method's weights; None for methods that need none.
            device: "auto", "cpu", "cuda" or "cuda:1"; methods without a network ignore it.

        Raises:
            InputError: The variant is unknown, or the weights cannot be used.
        """
        if variant is not None and variant not in self.variants:
            if not self.variants:
                raise InputError(f"{type(self).__name__} has no variants, but {variant!r} was asked for; leave it out")
            raise unknown(f"variant of {type(self).__name__}", variant, self.variants)
        self.variant = variant or (self.variants[0] if self.variants else None)
        self.weights = weights

    @abstractmethod
    def forward(self, infrared: ImageArray, visible: ImageArray) -> NDArray[np.float32]:
        """Return the method's own output, before any clamping, stretching or rounding.

        Args:
            infrared, visible: uint8 (H, W) grey; both (H, W, 3) RGB when the class says `colour`.
        """

    def image(self, raw: NDArray[np.float32]) -> ImageArray:
        """Return the 8-bit image that is saved for a raw output: here levels 0-255, clipped and rounded."""
        return np.clip(np.rint(raw), 0, 255).astype(np.uint8)

    def raw(self, infrared: ImageArray, visible: ImageArray) -> NDArray[np.float32]:
        """Return the method's own output for a pair, float32, on the method's own scale.

        Args:
            infrared, visible: uint8 images of one size, (H, W) grey or (H, W, 3) RGB.

        Raises:
            InputError: The images are not 8-bit, not images, or differ in size, or the method gave no numbers.
        """
        prepare = rgb if self.colour else grey
        for band, pixels in (("infrared", infrared), ("visible", visible)):
            if (
                not pixels.size
                or pixels.dtype != np.uint8
                or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3))
            ):
                raise InputError(
                    f"{band} image: expected uint8 of shape (H, W) or (H, W, 3), got {pixels.dtype} {pixels.shape}"
                )
        if infrared.shape[:2] != visible.shape[:2]:
            raise InputError(
                f"infrared is {infrared.shape[1]}x{infrared.shape[0]} but visible is "
                f"{visible.shape[1]}x{visible.shape[0]}; fusion needs registered images of one size."
            )
        raw = np.asarray(self.forward(prepare(infrared), prepare(visible)))
        if raw.dtype.kind not in "fiub":
            raise InputError(f"{type(self).__name__} gave an array of {raw.dtype}; expected real numbers.")
        with np.errstate(over="ignore"):  # `fuse` refuses what is not finite
            return raw.astype(np.float32, copy=False)

    def fuse(self, infrared: ImageArray, visible: ImageArray) -> ImageArray:
        """Return the fused image, uint8 (H, W), at the pair's own size.

        Args:
            infrared, visible: uint8 images of one size, (H, W) grey or (H, W, 3) RGB.

        Raises:
            InputError: The images cannot be used, or the method gave something of another size or not finite.
        """
        raw = self.raw(infrared, visible)
        if not np.isfinite(raw).all():
            raise InputError(f"{type(self).__name__} gave numbers that are not finite; an image cannot hold them.")
        fused = self.image(raw)
        if fused.dtype != np.uint8 or fused.shape != infrared.shape[:2]:
            raise InputError(
                f"{type(self).__name__} gave {fused.dtype} {fused.shape}; expected uint8 {infrared.shape[:2]}, "
                "the size of its sources."
            )
        return fused

    def fuse_named(self, dataset: str, name: str, infrared: ImageArray, visible: ImageArray) -> ImageArray:
        """Return the fused image of a named pair; what `benchmark` calls. Only `folder` needs the names."""
        return self.fuse(infrared, visible)

    def inputs(self, dataset: str, name: str) -> tuple[Path, ...]:
        """Return further files that the fused image of a named pair is made from."""
        return ()

    @classmethod
    def leakage(cls, variant: str | None, dataset: str) -> str | None:
        """Return a note for tables of a data set that the official weights were trained on, else None.

        Args:
            variant: One of `variants`; None is the first.
            dataset: The data set's title.
        """
        return None

    def settings(self) -> dict[str, Any]:
        """Return what decides this method's output besides its code and weights; stored with every result."""
        return {"variant": self.variant}


def rgb(image: ImageArray) -> ImageArray:
    """Return an image as (H, W, 3), grey repeated three times."""
    return image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)


def stretch(raw: NDArray[np.floating], low: float, high: float) -> ImageArray:
    """Return a raw output as 8-bit levels, `low` at 0 and `high` at 255, rounded half up: SciPy 1.1's `imsave`.

    Args:
        raw: Of any shape and scale.
        low, high: Where equal, a difference of 1 is assumed.
    """
    levels = np.clip((raw - low) * (255 / ((high - low) or 1)), 0, 255) + 0.5
    stretched: ImageArray = levels.astype(np.uint8)
    return stretched
