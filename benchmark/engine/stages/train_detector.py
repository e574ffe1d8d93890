"""Train a detector: the cell holds model.safetensors, its checkpoint and a log. Importable without torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from benchmark.datasets.base import Pair, fingerprint
from benchmark.detection.settings import WITHOUT_EFFECT, DetectionSettings
from benchmark.engine.cells import MODEL, Cell
from benchmark.engine.stage import Finished, Progress, TrainingStage
from metrics.errors import InputError
from metrics.files import digest, digest_all, require_there
from metrics.images import size

if TYPE_CHECKING:
    from benchmark.detection.samples import Example

SHARED = "infrared+visible"  # what the detector of the protocol "paper" learns from
DETECTOR = "detector"


def detector_cell(out: Path, dataset: str, method: str = SHARED) -> Cell:
    """Return the cell of the detector that all methods share, or of a method's own."""
    return Cell(out, dataset, method, DETECTOR)


def source_examples(pairs: Sequence[Pair]) -> list[Example]:
    """Return what the detector of the protocol "paper" learns from: both bands of the training pairs."""
    from benchmark.detection.samples import infrared_examples, visible_examples

    return [*infrared_examples(pairs), *visible_examples(pairs)]


def fused_examples(pairs: Sequence[Pair], folder: Path, *, grey: bool) -> list[Example]:
    """Return fused images as examples; `grey` ones never get the visible image's chroma.

    Raises:
        InputError: An image is missing, is none, or is of another size than its sources, whose boxes it has.
    """
    from benchmark.detection import samples

    examples = samples.fused_examples(pairs, folder)
    for pair, example in zip(pairs, examples, strict=True):
        _require_size(example.image, pair)
    if not grey:
        return examples
    return [samples.Example(example.name, example.image, None, example.boxes) for example in examples]


def _require_size(image: Path, pair: Pair) -> None:
    require_there(image)
    (width, height), own = size(image), size(pair.visible)
    if (width, height) != own:
        raise InputError(
            f"{image} is {width}x{height} but its sources are {own[0]}x{own[1]}; a fused image keeps its sources' "
            "size. Re-run the method; if a run fused it, delete it: the next run fuses it again."
        )


class TrainDetector(TrainingStage):
    """Trains a detector; a training that was stopped is resumed from its checkpoint."""

    name: ClassVar[str] = DETECTOR

    def __init__(
        self,
        examples: Sequence[Example],
        pairs: Sequence[Pair],
        classes: tuple[str, ...],
        settings: DetectionSettings,
        *,
        device: str = "auto",
        progress: Progress = lambda done, of: None,
    ) -> None:
        """Prepare to train.

        Args:
            examples: What to train on.
            pairs: The pairs that the examples are images of.
            classes: The data set's.
            settings: How.
            device: Where to train.
            progress: Called with (steps done, all).
        """
        self.examples, self.pairs, self.classes, self.settings = examples, pairs, classes, settings
        self.device, self.progress = device, progress

    def recipe(self) -> dict[str, Any]:
        """Return all settings that decide what is learned, the classes and the images."""
        settings = self.settings
        recipe: dict[str, Any] = {
            "settings": {name: value for name, value in asdict(settings).items() if name not in WITHOUT_EFFECT},
            "protocol": settings.protocol,
            "classes": list(self.classes),
            "images": len(self.examples),
            "data": fingerprint(self.pairs),
            "files": digest_all(example.image for example in self.examples),
        }
        if Path(settings.weights).is_file():
            recipe["weights"] = digest(Path(settings.weights))
        return recipe

    def prepare(self, cell: Cell) -> None:
        """Build the network: its weights may not be there."""
        from benchmark.detection.detectors import build

        self._model = build(self.settings, len(self.classes))

    def make(self, missing: list[str], cell: Cell) -> Iterator[str]:
        """Train to the end.

        Raises:
            InputError: An image or the checkpoint cannot be used, or a loss is not finite any more.
        """
        from benchmark.detection import training

        training.train(
            self._model,
            self.examples,
            self.classes,
            cell.folder,
            self.settings,
            device=self.device,
            progress=self.progress,
        )
        yield MODEL

    def finish(self, cell: Cell) -> Finished:
        """Return where the first weights came from."""
        return Finished([f"{self.settings.detector} from {self._model.origin}"], [cell.folder / MODEL])
