"""Fused images from another program, read from a folder."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from methods.base import Method
from metrics import images
from metrics.errors import InputError
from metrics.images import ImageArray
from metrics.names import NamedFiles, Pattern, difference, index_by


class Folder(Method):
    """Reads each fused image from a folder, by the pair's name.

    `weights` is the folder. It may hold `{dataset}`, which becomes the data set's name, so that one method's
    images for several data sets can lie side by side. It may end in a pattern of the names, such as `fused/Fuse{}.png`;
    without one, a beginning or end that all names have in common is passed over.
    """

    reads_weights = True

    def __init__(self, *, variant: str | None = None, weights: str | None = None, device: str = "auto") -> None:
        super().__init__(variant=variant, weights=weights, device=device)
        self._files = functools.cache(_files)
        self._used: dict[Path, str] = {}
        if weights is None:
            raise InputError("method 'folder' needs the folder of fused images; write it as folder:PATH")

    def forward(self, infrared: ImageArray, visible: ImageArray) -> NDArray[np.float32]:
        """Raise: a folder knows images by name, not by their sources."""
        raise InputError("method 'folder' finds images by name; call fuse_named(dataset, name, infrared, visible)")

    def fuse_named(self, dataset: str, name: str, infrared: ImageArray, visible: ImageArray) -> ImageArray:
        """Return the folder's image of that name, as grey.

        Raises:
            InputError: The image is missing, damaged, or of another size than its sources.
        """
        path = self._path(dataset, name)
        fused = images.grey(images.read(path))
        if fused.shape != infrared.shape[:2]:
            height, width = infrared.shape[:2]
            raise InputError(
                f"{path} is {fused.shape[1]}x{fused.shape[0]} but its sources are {width}x{height}; "
                "a fused image keeps its sources' size. Run the method again at that size."
            )
        return fused

    def inputs(self, dataset: str, name: str) -> tuple[Path, ...]:
        """Return the fused image's file: when it changes, the result does."""
        return (self._path(dataset, name),)

    def settings(self) -> dict[str, Any]:
        """Return nothing: the images themselves decide the output, wherever they lie."""
        return {}

    def _path(self, dataset: str, name: str) -> Path:
        place = Path(str(self.weights).replace("{dataset}", dataset))
        files = self._files(place)
        index = files.index
        path = index.get(name) if "{}" in place.name else files.find(name)
        if path is None:
            raise InputError(
                f"{place} has no image named {name} (of {len(index)} there, such as {next(iter(index))})"
                f"{difference([name], index)}; fused images are matched by name without extension, or by a pattern: "
                "folder:PATH/Fuse{}.png."
            )
        if self._used.setdefault(path, name) != name:
            raise InputError(
                f"{path} would be the image of {self._used[path]} and of {name}; give a pattern of the names."
            )
        return path


def _files(place: Path) -> NamedFiles:
    """Return the images of a folder by name, or those that fit a pattern, `folder/Fuse{}.png`, by what is in its {}."""
    if "{}" in place.name:
        return NamedFiles(index_by(place.parent, Pattern.parse(place.name)))
    return NamedFiles(images.index(place))
