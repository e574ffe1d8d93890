"""MSRS: 1,444 pairs of driving scenes by day and night, 640x480, with third-party boxes.

Reference: Tang et al., "PIAFusion: A Progressive Infrared and Visible Image Fusion Network Based on
Illumination Aware", Information Fusion 2022.
"""

from pathlib import Path

from benchmark.datasets import lists, yolo
from benchmark.datasets.findings import Findings, Parts
from benchmark.datasets.pairing import Annotations, Source, listing, pairs
from benchmark.datasets.record import Record
from benchmark.datasets.splits import choose_lists
from metrics import images
from metrics.errors import InputError, unknown

CLASSES = ("person", "bicycle", "car")
LABELS = ("fusion", "infrared", "visible", "authors")
_AUTHORS_HINT = " The option labels authors reads the pairs of detection."


def read(
    root: Path,
    findings: Findings,
    *,
    labels: str = "fusion",
    train_list: str | Path | None = None,
    test_list: str | Path | None = None,
    unlabelled: str = "error",
) -> Parts:
    """Return the pairs under `train` and `test`, or the 80 that the authors annotated.

    A folder without `train` may part its test images by dev_train.txt and dev_test.txt.

    Args:
        root: The folder that holds `train`, `test` and `labels`.
        findings: Takes problems and notes.
        labels: Which boxes: by others, of objects seen in the infrared or the visible image, or in either (`fusion`);
            or the `authors`' own, with the 80 pairs of `detection`, all of them in the test part.
        train_list: File with a name a line; it comes before the folders.
        test_list: The same for the test part; a part without a list is then empty.
        unlabelled: What an image without a label file is: an `error`, or `background`.

    Raises:
        InputError: The folders are not there, or an option is unknown.
    """
    if labels not in LABELS:
        raise unknown("kind of MSRS labels", labels, LABELS)
    yolo.require_unlabelled(unlabelled)
    if labels == "authors":
        return _authors(root, train_list, test_list, unlabelled, findings)
    sources = {
        part: _source(root, part, labels, unlabelled, findings)
        for part in ("train", "test")
        if (root / part / "ir").is_dir() or (root / part / "vi").is_dir()
    }
    if not sources:
        raise InputError(
            f"{root} holds neither train/ir and train/vi nor test/ir and test/vi (MSRS's layout); "
            f"found: {listing(root)}.{_AUTHORS_HINT if (root / 'detection').is_dir() else ''}"
        )
    used = choose_lists("msrs", None, train_list, test_list)
    if not used and "train" not in sources:
        used = lists.own(root / "dev_train.txt", root / "dev_test.txt")
    if used:
        split = str(used)
        merged = _merged(list(sources.values()), findings)
        train, test = (pairs(merged, names, findings) for names in lists.read(used, merged.names, findings))
    else:
        split = f"the folders: {' and '.join(sources)}"
        parts = {part: pairs(source, source.names, findings) for part, source in sources.items()}
        train, test = parts.get("train", ()), parts.get("test", ())
    layout = [*sources, *([f"labels/{labels}"] if any(source.annotations for source in sources.values()) else [])]
    return Parts(train, test, split, ", ".join(layout), CLASSES)


def _authors(
    root: Path, train_list: str | Path | None, test_list: str | Path | None, unlabelled: str, findings: Findings
) -> Parts:
    folder = root / "detection"
    missing = [name for name in ("ir", "vi", "labels") if not (folder / name).is_dir()]
    if missing:
        there = listing(folder) if folder.is_dir() else f"{listing(root)} in {root}"
        raise InputError(f"{folder} does not hold {', '.join(missing)}; expected ir, vi and labels; found: {there}.")
    classes = yolo.class_names([folder / "labels", folder, root / "labels", root], CLASSES, findings)
    annotations = yolo.annotations(folder / "labels", classes, unlabelled)
    source = Source(images.index(folder / "ir"), images.index(folder / "vi"), annotations)
    used = choose_lists("msrs", None, train_list, test_list)
    if used:
        train, test = (pairs(source, names, findings) for names in lists.read(used, source.names, findings))
    else:
        train, test = (), pairs(source, source.names, findings)
    labels = {label for pair in (*train, *test) for label in pair.labels}
    if "bicycle" in labels and "car" not in labels:
        findings.problem(
            "annotation",
            f"{folder / 'labels'} has boxes of class number 1, read as bicycle, and none of number 2, car: is 1 the "
            "car there? Write the classes into classes.txt beside the labels, a line each, in the order of numbers.",
        )
    split = str(used) if used else "the authors' annotated pairs, all for the test"
    return Parts(train, test, split, "detection/ir, detection/vi, detection/labels (the authors' boxes)", CLASSES)


def _source(root: Path, part: str, labels: str, unlabelled: str, findings: Findings) -> Source:
    infrared, visible = images.index(root / part / "ir"), images.index(root / part / "vi")
    folder = root / "labels" / labels / part
    if not folder.is_dir():
        findings.note(f"no folder {folder.relative_to(root)}: {part} images without boxes")
        return Source(infrared, visible)
    classes = yolo.class_names([root / "labels", folder, folder.parent, root], CLASSES, findings)
    return Source(infrared, visible, yolo.annotations(folder, classes, unlabelled))


def _merged(sources: list[Source], findings: Findings) -> Source:
    infrared: dict[str, Path] = {}
    visible: dict[str, Path] = {}
    annotations = [source.annotations for source in sources if source.annotations]
    for source in sources:
        for name in sorted(set(source.names) & infrared.keys()):
            findings.problem("list", f"{source.infrared.get(name, name)} has the name of {infrared[name]}; rename one.")
        infrared |= source.infrared
        visible |= source.visible
    if not annotations:
        return Source(infrared, visible)
    found = {name: path for part in annotations for name, path in part.files.items()}
    folders = " or ".join(part.folder for part in annotations)
    return Source(infrared, visible, Annotations(folders, found, annotations[0].parse))


CITATION = """@article{tang2022piafusion,
  author  = {Linfeng Tang and Jiteng Yuan and Hao Zhang and Xingyu Jiang and Jiayi Ma},
  title   = {{PIAFusion}: A Progressive Infrared and Visible Image Fusion Network Based on Illumination Aware},
  journal = {Information Fusion},
  volume  = {83--84},
  pages   = {79--92},
  year    = {2022}
}"""

RECORD = Record(
    name="msrs",
    title="MSRS",
    folder="MSRS",
    about="1,444 driving scenes; boxes by others: person, bicycle, car (Tang et al., Inf. Fusion 2022)",
    read=read,
    published={"train": 1083, "test": 361},
    home_page="https://github.com/Linfeng-Tang/MSRS",
    licence="none found; cite the paper",
    citation=CITATION,
    position=4,
)
