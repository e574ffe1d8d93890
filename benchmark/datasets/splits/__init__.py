"""Published splits by name: `options = {split = "damsdet"}`. The lists of ids lie beside this file."""

from dataclasses import dataclass
from pathlib import Path

from benchmark.datasets.lists import Lists
from metrics.errors import InputError, unknown

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class PublishedSplit:
    """A split that somebody published.

    Attributes:
        dataset: The data set's name.
        name: What the option `split` takes.
        train, test: Number of pairs of each part.
        source: Whose it is, and where it is published.
    """

    dataset: str
    name: str
    train: int
    test: int
    source: str

    @property
    def lists(self) -> Lists:
        """The two lists, which say the split's name and source."""
        train, test = (_FOLDER / f"{self.dataset}_{self.name}_{part}.txt" for part in ("train", "test"))
        return Lists(train, test, f"published split {self.name} of {self.source}")


SPLITS = (
    PublishedSplit("m3fd", "damsdet", 3368, 831, "DAMSDet (github.com/gjj45/DAMSDet)"),
    PublishedSplit("m3fd", "bdlfusion", 3600, 600, "BDLFusion (github.com/LiuZhu-CV/BDLFusion)"),
    PublishedSplit(
        "m3fd", "voc2coco", 2727, 840, "voc2coco (github.com/ganlumomo/voc2coco), without its 633 for validation"
    ),
    PublishedSplit("flir", "official", 4129, 1013, "the aligned version's authors (Zhang et al., ICIP 2020)"),
)


def choose_lists(dataset: str, split: str | None, train: str | Path | None, test: str | Path | None) -> Lists | None:
    """Return the lists that options name: those of a published split, or a user's own; None without such options.

    Args:
        dataset: The data set's name.
        split: Name of a published split.
        train, test: A user's own lists.

    Raises:
        InputError: The split is unknown, or lists are given beside it.
    """
    if split is None:
        if not train and not test:
            return None
        return Lists(Path(train) if train else None, Path(test) if test else None, "lists given by option")
    known = {known.name: known for known in SPLITS if known.dataset == dataset}
    if split not in known:
        raise unknown(f"split of {dataset}", split, tuple(known))
    if train or test:
        raise InputError(f"split {split} and lists were given for {dataset}; give one of them.")
    return known[split].lists
