"""Pictures that somebody else has fused already."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from methods.base import Method
from metrics import pictures
from metrics.errors import InputError
from metrics.pictures import Picture


class Folder(Method):
    """Reads each fused picture from a folder, by the pair's name.

    `weights` is the folder. It may hold `{dataset}`, which becomes the data set's name, so that one method's
    pictures for several data sets can lie side by side.
    """

    def __init__(self, *, variant: str | None = None, weights: str | None = None, device: str = "auto") -> None:
        super().__init__(variant=variant, weights=weights, device=device)
        self._index = functools.cache(pictures.index)
        if weights is None:
            raise InputError("method 'folder' needs the folder of fused pictures; write it as folder:PATH")

    def forward(self, infrared: Picture, visible: Picture) -> NDArray[np.float32]:
        """Raise: a folder knows pictures by name, not by their sources."""
        raise InputError("method 'folder' finds pictures by name; call fuse_named(dataset, name, infrared, visible)")

    def fuse_named(self, dataset: str, name: str, infrared: Picture, visible: Picture) -> Picture:
        """Return the folder's picture of that name, as grey.

        Raises:
            InputError: The picture is missing, damaged, or of another size than its sources.
        """
        path = self._path(dataset, name)
        fused = pictures.grey(pictures.read(path))
        if fused.shape != infrared.shape[:2]:
            height, width = infrared.shape[:2]
            raise InputError(
                f"{path} is {fused.shape[1]}x{fused.shape[0]} but its sources are {width}x{height}; "
                "a fused picture keeps its sources' size. Run the method again at that size."
            )
        return fused

    def inputs(self, dataset: str, name: str) -> tuple[Path, ...]:
        """Return the fused picture's file: when it changes, the result does."""
        return (self._path(dataset, name),)

    def settings(self) -> dict[str, Any]:
        """Return nothing: the pictures themselves decide the output, wherever they lie."""
        return {}

    def _path(self, dataset: str, name: str) -> Path:
        folder = Path(str(self.weights).replace("{dataset}", dataset))
        found = self._index(folder)
        if name not in found:
            raise InputError(
                f"{folder} has no picture named {name} (of {len(found)} there); "
                "fused pictures are matched by name without extension."
            )
        return found[name]
