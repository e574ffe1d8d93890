"""LLVIP: 15,488 annotated pairs of streets at night, 1280x1024.

Reference: Jia et al., "LLVIP: A Visible-infrared Paired Dataset for Low-light Vision", ICCV Workshops 2021.
"""

from functools import partial
from pathlib import Path

from benchmark.datasets import voc
from benchmark.datasets.findings import Findings, Parts
from benchmark.datasets.pairing import Annotations, Source, files, listing, pairs
from benchmark.datasets.record import Record
from metrics import images
from metrics.errors import InputError

CLASSES = ("person",)


def read(root: Path, findings: Findings) -> Parts:
    """Return the pairs under `infrared` and `visible`, parted by their folders `train` and `test`.

    The annotations were corrected on 2023-02-21, after the paper; the notes give their hash.

    Args:
        root: The folder that holds `infrared`, `visible` and `Annotations`.
        findings: Takes problems and notes.

    Raises:
        InputError: The folders are not there.
    """
    if not (root / "infrared").is_dir() or not (root / "visible").is_dir():
        raise InputError(f"{root} holds no folders infrared and visible (LLVIP's layout); found: {listing(root)}.")
    annotations = _annotations(root / "Annotations", findings)
    train, test = (
        pairs(source, source.names, findings)
        for source in (_part(root, part, annotations, findings) for part in ("train", "test"))
    )
    if annotations:
        findings.note(f"annotations sha256 {findings.annotation_hash}")
    layout = "infrared, visible, Annotations" if annotations else "infrared, visible"
    return Parts(train, test, "the folders train and test", layout, CLASSES)


def _part(root: Path, part: str, annotations: Annotations | None, findings: Findings) -> Source:
    infrared, visible = root / "infrared" / part, root / "visible" / part
    if not infrared.is_dir() and not visible.is_dir():
        findings.note(f"no folder infrared/{part}: the {part} part is empty")
        return Source({}, {})
    return Source(images.index(infrared), images.index(visible), annotations)


def _annotations(folder: Path, findings: Findings) -> Annotations | None:
    if not folder.is_dir():
        findings.note(f"no folder {folder.name}: images without boxes")
        return None
    return Annotations(str(folder), files(folder, ".xml"), partial(voc.boxes, classes={"person": "person"}))


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
)
