"""LLVIP: 15,488 annotated pairs of streets at night, 1280x1024.

Reference: Jia et al., "LLVIP: A Visible-infrared Paired Dataset for Low-light Vision", ICCV Workshops 2021.
"""

from functools import partial
from pathlib import Path

from benchmark.datasets import voc, yolo
from benchmark.datasets.findings import Findings, Parts
from benchmark.datasets.pairing import Annotations, Source, files, listing, pairs
from benchmark.datasets.record import Record
from metrics import images
from metrics.errors import InputError

CLASSES = ("person",)


def read(root: Path, findings: Findings, *, unlabelled: str = "error") -> Parts:
    """Return the pairs under `infrared` and `visible`, parted by their folders `train` and `test`.

    Detection repositories call the test part `val`, and put YOLO labels into `labels/train` and `labels/val`. The
    annotations were corrected on 2023-02-21, after the paper; the notes give their hash.

    Args:
        root: The folder that holds `infrared`, `visible`, and `Annotations` or `labels`.
        findings: Takes problems and notes.
        unlabelled: What an image without a label file is in `labels`: an `error`, or `background`.

    Raises:
        InputError: The folders are not there, or an option is unknown.
    """
    yolo.require_unlabelled(unlabelled)
    if not (root / "infrared").is_dir() or not (root / "visible").is_dir():
        raise InputError(f"{root} holds no folders infrared and visible (LLVIP's layout); found: {listing(root)}.")
    folders = {"train": "train", "test": _test_folder(root, findings)}
    annotations = _annotations(root, tuple(folders.values()), unlabelled, findings)
    train, test = (
        pairs(source, source.names, findings)
        for source in (_source(root, part, folder, annotations, findings) for part, folder in folders.items())
    )
    if findings.annotation_hash:
        findings.note(f"annotations sha256 {findings.annotation_hash}")
    kind = {"Annotations": "Annotations", "labels": "labels (YOLO)"}.get(_labels(root), "")
    layout = ", ".join(filter(None, ("infrared", "visible", kind)))
    return Parts(train, test, f"the folders {folders['train']} and {folders['test']}", layout, CLASSES)


def _test_folder(root: Path, findings: Findings) -> str:
    there = [
        name for name in ("test", "val") if (root / "infrared" / name).is_dir() or (root / "visible" / name).is_dir()
    ]
    if there == ["val"]:
        findings.note("no folder infrared/test: infrared/val is the test part")
        return "val"
    if len(there) > 1:
        findings.note("the folder infrared/val is in neither part")
    return "test"


def _source(root: Path, part: str, folder: str, annotations: dict[str, Annotations], findings: Findings) -> Source:
    infrared, visible = root / "infrared" / folder, root / "visible" / folder
    if not infrared.is_dir() and not visible.is_dir():
        findings.note(f"no folder infrared/{folder}: the {part} part is empty")
        return Source({}, {})
    return Source(images.index(infrared), images.index(visible), annotations.get(folder))


def _labels(root: Path) -> str:
    return next((name for name in ("Annotations", "labels") if (root / name).is_dir()), "")


def _annotations(root: Path, folders: tuple[str, ...], unlabelled: str, findings: Findings) -> dict[str, Annotations]:
    """Return the annotations of each part's folder; a part without any is not in it."""
    kind = _labels(root)
    if kind == "Annotations":
        folder = root / kind
        parse = partial(voc.boxes, classes={"person": "person"})
        return dict.fromkeys(folders, Annotations(str(folder), files(folder, ".xml"), parse, frame=voc.frame))
    if not kind:
        findings.note("no folder Annotations: images without boxes")
        return {}
    classes = yolo.class_names([root / kind, root], CLASSES, findings)
    found = {}
    for name in folders:
        if (root / kind / name).is_dir():
            found[name] = yolo.annotations(root / kind / name, classes, unlabelled)
        elif (root / "infrared" / name).is_dir():
            findings.note(f"no folder {kind}/{name}: its images are without boxes")
    return found


CITATION = """@inproceedings{jia2021llvip,
  author    = {Xinyu Jia and Chuang Zhu and Minzhen Li and Wenqi Tang and Wenli Zhou},
  title     = {{LLVIP}: A Visible-infrared Paired Dataset for Low-light Vision},
  booktitle = {IEEE/CVF International Conference on Computer Vision Workshops},
  pages     = {3496--3504},
  year      = {2021}
}"""

RECORD = Record(
    name="llvip",
    title="LLVIP",
    folder="LLVIP",
    about="15,488 annotated night scenes: person (Jia et al., ICCV Workshops 2021)",
    read=read,
    published={"train": 12025, "test": 3463},
    home_page="https://github.com/bupt-ai-cz/LLVIP",
    licence="its own Term of Use and License: non-commercial, cite the paper",
    citation=CITATION,
    position=3,
)
