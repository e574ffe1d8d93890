"""FLIR, aligned version: 5,142 annotated pairs of driving scenes, 640x512.

Reference: Zhang et al., "Multispectral Fusion for Object Detection with Cyclic Fuse-and-Refine Blocks",
ICIP 2020.
"""

from functools import partial
from pathlib import Path

from benchmark.datasets import lists, voc
from benchmark.datasets.findings import Findings, Parts
from benchmark.datasets.pairing import Annotations, Source, files, listing, pairs
from benchmark.datasets.record import Record
from benchmark.datasets.splits import choose_lists
from metrics import images
from metrics.errors import InputError

CLASSES = ("car", "person", "bicycle")
_SPELLINGS = {"car": "car", "person": "person", "bicycle": "bicycle", "bike": "bicycle", "dog": None}
_INFRARED, _VISIBLE = "_PreviewData", "_RGB"


def read(
    root: Path,
    findings: Findings,
    *,
    split: str | None = None,
    train_list: str | Path | None = None,
    test_list: str | Path | None = None,
) -> Parts:
    """Return the pairs of the folder `align`; its validation part is the test part.

    Unlike Pascal VOC, the annotations count pixels from 0: over the official 640x512 images xmin begins at 0 and xmax
    ends at 639. A box from 212 on begins with the left edge of pixel 212, at x = 212.

    Args:
        root: Where `align` or its content lies.
        findings: Takes problems and notes; among these `dog` boxes and images without an annotation file.
        split: A published split by name (`list splits`); it comes before the folder's own lists.
        train_list: File with a name a line; it comes before the folder's own lists.
        test_list: The same for the test part; a part without a list is then empty.

    Raises:
        InputError: The folders are not there.
    """
    folder = root / "align" if (root / "align").is_dir() else root
    missing = [name for name in ("JPEGImages", "Annotations") if not (folder / name).is_dir()]
    if missing:
        raise InputError(
            f"{folder} holds no folder {' and no folder '.join(missing)}; expected the content of "
            f"FLIR's `align`; found: {listing(folder)}."
        )
    found = images.index(folder / "JPEGImages")
    annotations = folder / "Annotations"
    parse = partial(voc.boxes, classes=_SPELLINGS, first_pixel=0)
    strays = [path for name, path in found.items() if not name.endswith((_INFRARED, _VISIBLE))]
    findings.count("files of JPEGImages named neither ..._PreviewData nor ..._RGB, left out", len(strays))
    boxes = files(annotations, f"{_INFRARED}.xml", ".xml")
    source = Source(
        _band(found, _INFRARED),
        _band(found, _VISIBLE),
        Annotations(str(annotations), boxes, parse, optional=True, frame=voc.frame),
    )
    used = choose_lists("flir", split, train_list, test_list)
    used = used or lists.own(folder / "align_train.txt", folder / "align_validation.txt")
    if used is None:
        raise InputError(
            f"{folder} holds no align_train.txt and align_validation.txt; found: {listing(folder)}. Add "
            "them, or give the options train_list and test_list."
        )
    train, test = lists.read(used, source.names, findings, suffixes=(_INFRARED, _VISIBLE))
    return Parts(
        pairs(source, train, findings),
        pairs(source, test, findings),
        str(used),
        "align/JPEGImages, align/Annotations",
        CLASSES,
    )


def _band(found: dict[str, Path], suffix: str) -> dict[str, Path]:
    return {name.removesuffix(suffix): path for name, path in found.items() if name.endswith(suffix)}


CITATION = """@inproceedings{zhang2020cfr,
  author    = {Heng Zhang and Elisa Fromont and S{\\'e}bastien Lef{\\`e}vre and Bruno Avignon},
  title     = {Multispectral Fusion for Object Detection with Cyclic Fuse-and-Refine Blocks},
  booktitle = {IEEE International Conference on Image Processing (ICIP)},
  pages     = {276--280},
  year      = {2020}
}"""

RECORD = Record(
    name="flir",
    title="FLIR",
    folder="FLIR_aligned",
    about="5,142 annotated driving scenes, aligned version: car, person, bicycle (Zhang et al., ICIP 2020)",
    read=read,
    published={"train": 4129, "test": 1013},
    home_page="https://www.flir.com/oem/adas/adas-dataset-form/",
    licence="terms of use of Teledyne FLIR's ADAS data set",
    citation=CITATION,
    position=2,
)
