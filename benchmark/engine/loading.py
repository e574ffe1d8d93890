"""Load the part of a data set that a run works on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from joblib import Parallel, delayed

from benchmark import datasets
from benchmark.datasets.base import Dataset, Pair, fingerprint
from benchmark.datasets.findings import quoted, short
from benchmark.engine.experiment import DatasetSettings, TrainingData
from benchmark.engine.run_record import Part
from benchmark.synthetic import layouts as synthetic
from metrics.errors import InputError, unknown

_LONGEST = 255  # characters of a folder's name


@dataclass(frozen=True)
class LoadedPart:
    """A data set as a run has it: the part that it fuses, and the pairs of its training part."""

    part: Part
    train: tuple[Pair, ...]


class TrainingPairs(NamedTuple):
    """What MoE-Fusion is trained on: pairs, and the classes of their boxes."""

    pairs: tuple[Pair, ...]
    classes: tuple[str, ...]


def load_part(
    wanted: DatasetSettings,
    data_root: Path,
    rendered: Path,
    *,
    limit: int | None = None,
    needs_boxes: bool = False,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> LoadedPart:
    """Return a data set's pairs, every image file of the fused part read once.

    Args:
        wanted: Which data set and part.
        data_root: The folder that holds the data sets' folders.
        rendered: Where the synthetic data set is drawn, and where resized images are written.
        limit: Only the first pairs of each part; None for all.
        needs_boxes: Whether objects are detected, or a method is trained: Table 1 needs no boxes.
        progress: Called with (pairs read, all).

    Raises:
        InputError: The data set or one of its images cannot be read, the part is empty, or it lacks boxes.
    """
    found = _load(wanted, data_root, rendered, needs_boxes=needs_boxes)
    title = wanted.title or found.title
    pairs = _chosen(found, wanted.part)[:limit]
    if not pairs:
        raise InputError(f"the {wanted.part} part of {title} is empty")
    if needs_boxes and not any(pair.boxes for pair in (*pairs, *found.train)):
        raise InputError(
            f"{title} has no boxes, which Tables 2 and 3 and training need; its layout is read as {found.split}. Add "
            "the annotations, or make Table 1 alone: --tables 1."
        )
    # Read here, so that a file that is gone is met before any work is done. Threads: this waits for the disk.
    results = Parallel(n_jobs=-1, prefer="threads", return_as="generator")(delayed(_read)(pair) for pair in pairs)
    for done, _ in enumerate(results, start=1):
        progress(done, len(pairs))
    split = f"{wanted.part} part of {found.split}"
    part = Part(found.name, title, found.classes, pairs, split, fingerprint(pairs), found.notes)
    return LoadedPart(part, found.train[:limit])


def load_training(
    wanted: Sequence[TrainingData], data_root: Path, rendered: Path, *, limit: int | None = None
) -> TrainingPairs:
    """Return the pairs of several data sets, in their order; classes of one name are one class.

    Args:
        wanted: Which; pairs without boxes are welcome.
        data_root: The folder that holds the data sets' folders.
        rendered: Where the synthetic data set is drawn, and where resized images are written.
        limit: Only the first pairs of each data set; None for all.

    Raises:
        InputError: A data set cannot be read, has no such pairs, or lacks one that is to be left out.
    """
    pairs: list[Pair] = []
    classes: dict[str, None] = {}
    for data in wanted:
        found = _load(data, data_root, rendered, needs_boxes=False)
        chosen = (*found.train, *found.test) if data.part == "all" else _chosen(found, data.part)
        if unknown_names := set(data.leave_out) - {pair.name for pair in chosen}:
            raise InputError(
                f"leave_out of the training data {data.name} names {quoted(min(unknown_names))}, which is not among "
                f"the {len(chosen)} pairs of its part {data.part!r}"
            )
        kept = [pair for pair in chosen if pair.name not in data.leave_out][:limit]
        if not kept:
            raise InputError(f"the training data {data.name} have no pairs in part {data.part!r} ({found.split})")
        pairs += kept
        classes |= dict.fromkeys(label for label in found.classes if any(label in pair.labels for pair in kept))
    return TrainingPairs(tuple(pairs), tuple(classes))


def _load(wanted: DatasetSettings | TrainingData, data_root: Path, rendered: Path, *, needs_boxes: bool) -> Dataset:
    folder = wanted.root or datasets.record(wanted.name).folder
    if wanted.name == "synthetic":
        return datasets.load(wanted.name, _rendered(rendered, folder, wanted.options))
    options = dict(wanted.options)
    return datasets.load(
        wanted.name,
        _root(wanted, data_root / folder, data_root),
        needs_boxes=needs_boxes,
        resize_pairs=options.pop("resize_pairs", None),
        resized_into=rendered / "resized" / datasets.record(wanted.name).name,
        **options,
    )


def _root(wanted: DatasetSettings | TrainingData, usual: Path, data_root: Path) -> Path:
    """Return a data set's folder; for `folders`, which has no name of its own, that may be the data root itself."""
    return data_root if wanted.name == "folders" and not wanted.root and not usual.is_dir() else usual


def _chosen(found: Dataset, part: str) -> tuple[Pair, ...]:
    parts = {"train": found.train, "test": found.test}
    if part not in parts:
        raise InputError(f"{found.title} has no part {quoted(part)}; known: {', '.join(parts)}")
    return parts[part]


def _read(pair: Pair) -> None:
    pair.fingerprint  # noqa: B018  (kept with the pair)


def _rendered(folder: Path, name: str, settings: dict[str, Any]) -> Path:
    """Write the synthetic scenes into a folder of this name unless they are there; return that folder."""
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or len(name) > _LONGEST:
        raise InputError(
            f"root of the synthetic data set is {quoted(name)}; expected a name within the run's folder, where the "
            f"scenes are drawn, of {_LONGEST} characters at most."
        )
    known = datasets.keywords(synthetic.write)
    for option in settings:
        if option not in known:
            raise unknown("option of the data set synthetic", short(option), known)
    synthetic.write(folder / path, **settings)
    return folder / path
