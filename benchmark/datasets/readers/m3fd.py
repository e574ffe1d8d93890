"""M3FD: 4,200 annotated pairs of streets and campuses, most of them 1024x768.

Reference: Liu et al., "Target-aware Dual Adversarial Learning and a Multi-scenario Multi-Modality Benchmark
to Fuse Infrared and Visible for Object Detection", CVPR 2022.
"""

import hashlib
from functools import partial
from pathlib import Path

from benchmark.datasets import lists, voc, yolo
from benchmark.datasets.findings import Findings, Parts
from benchmark.datasets.pairing import Annotations, Source, files, listing, pairs
from benchmark.datasets.record import Record
from benchmark.datasets.splits import choose_lists
from metrics import images
from metrics.errors import InputError, unknown

CLASSES = ("People", "Car", "Bus", "Motorcycle", "Lamp", "Truck")
# Class numbers in YOLO labels without classes.txt: TarDAL's own order, and that of DAMSDet and others.
ORDERS = {"tardal": ("People", "Car", "Bus", "Lamp", "Motorcycle", "Truck"), "damsdet": CLASSES}
_SPELLINGS = {
    "person": "People",
    "pedestrian": "People",
    "light": "Lamp",
    "moto": "Motorcycle",
    "motorbike": "Motorcycle",
    "trunk": "Truck",  # as DCEvo's labels have it
}
PAIRS, TEST = 4200, 300


def read(
    root: Path,
    findings: Findings,
    *,
    split: str | None = None,
    train_list: str | Path | None = None,
    test_list: str | Path | None = None,
    class_order: str | None = None,
    unlabelled: str = "error",
) -> Parts:
    """Return the pairs of a folder in MoE-Fusion's layout or in TarDAL's.

    Args:
        root: The folder that holds the layout's folders.
        findings: Takes problems and notes.
        split: A published split by name (`list splits`); it comes before the folder's own lists.
        train_list: File with a name a line; it comes before the folder's own lists.
        test_list: The same for the test part; a part without a list is then empty.
        class_order: Of the numbers in TarDAL's layout, `tardal` or `damsdet`; it comes before `labels/classes.txt`,
            without which it is TarDAL's.
        unlabelled: What an image without a label file is in TarDAL's layout: an `error`, or `background`.

    Raises:
        InputError: Neither layout is there, or an option is unknown.
    """
    if class_order is not None and class_order not in ORDERS:
        raise unknown("order of M3FD's classes", class_order, tuple(ORDERS))
    yolo.require_unlabelled(unlabelled)
    if all((root / name).is_dir() for name in ("Vis", "Ir", "Annotation")):
        layout = "Vis, Ir, Annotation (MoE-Fusion's layout)"
        source = Source(images.index(root / "Ir"), images.index(root / "Vis"), _voc(root / "Annotation"))
        own = root / "train.txt", root / "test.txt"
    elif all((root / name).is_dir() for name in ("vi", "ir", "labels")):
        layout = "vi, ir, labels, meta (TarDAL's layout)"
        source = Source(
            images.index(root / "ir"),
            images.index(root / "vi"),
            _yolo(root / "labels", class_order, unlabelled, findings),
        )
        own = root / "meta" / "train.txt", root / "meta" / "val.txt"
    else:
        raise InputError(
            f"{root} holds neither the folders Vis, Ir and Annotation (MoE-Fusion's layout) nor vi, ir and "
            f"labels (TarDAL's); found: {listing(root)}. The data set `folders` reads images without "
            "boxes."
        )
    used = choose_lists("m3fd", split, train_list, test_list) or lists.own(*own)
    if used:
        about = str(used)
        train, test = lists.read(used, source.names, findings)
    else:
        train, test = seeded_split(source.names)
        about = (
            f"the benchmark's seeded list ({len(train)} train, {len(test)} test), as no list was published "
            f"and the folder has none; sha256 of the test list {list_hash(test)}"
        )
    return Parts(pairs(source, train, findings), pairs(source, test, findings), about, layout, CLASSES)


def seeded_split(names: list[str]) -> lists.Split:
    """Return the training and test names of a split that anyone can make again: 3,900 and 300 of all 4,200.

    The paper scores 300 pairs that it never names. These are the names with the smallest SHA-256 of
    `ivif-m3fd-1:NAME`, in the same proportion (one at least) where a folder holds another number of pairs.
    Both lists are sorted.
    """
    number = min(len(names), max(1, (len(names) * TEST + PAIRS // 2) // PAIRS))
    drawn = sorted(names, key=lambda name: hashlib.sha256(f"ivif-m3fd-1:{name}".encode()).hexdigest())
    return sorted(drawn[number:]), sorted(drawn[:number])


def list_hash(names: list[str]) -> str:
    """Return the SHA-256 of a list file: a name a line, each line ended by a newline."""
    return hashlib.sha256("".join(f"{name}\n" for name in names).encode()).hexdigest()


def _voc(folder: Path) -> Annotations:
    parse = partial(voc.boxes, classes={label: label for label in CLASSES})
    return Annotations(str(folder), files(folder, ".xml"), parse, frame=voc.frame)


def _yolo(folder: Path, class_order: str | None, unlabelled: str, findings: Findings) -> Annotations:
    if class_order is None:
        classes = yolo.class_names(
            [folder, folder.parent],
            ORDERS["tardal"],
            findings,
            otherwise=" (TarDAL's order; the option class_order damsdet takes 3 Motorcycle, 4 Lamp)",
            spellings=_SPELLINGS,
        )
    else:
        classes = ORDERS[class_order]
        order = ", ".join(f"{number} {label}" for number, label in enumerate(classes))
        findings.note(f"class numbers read as {order} (option class_order {class_order})")
    return yolo.annotations(folder, classes, unlabelled)


CITATION = """@inproceedings{liu2022tardal,
  author    = {Jinyuan Liu and Xin Fan and Zhanbo Huang and Guanyao Wu and Risheng Liu and Wei Zhong and Zhongxuan Luo},
  title     = {Target-aware Dual Adversarial Learning and a Multi-scenario Multi-Modality Benchmark to Fuse Infrared and
               Visible for Object Detection},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages     = {5802--5811},
  year      = {2022}
}"""

RECORD = Record(
    name="m3fd",
    title="M3FD",
    folder="M3FD",
    about="4,200 annotated street and campus scenes, six classes (Liu et al., CVPR 2022)",
    read=read,
    published={"train": 3900, "test": 300},
    home_page="https://github.com/JinyuanLiu-CV/TarDAL",
    licence="none found for the images; research use, cite the paper",
    citation=CITATION,
    position=1,
)
