"""Ground truth and detections as COCO's JSON files, which any evaluation tool reads.

Difficult boxes are written with `iscrowd` 1, the only mark that every COCO evaluator honours: pycocotools overwrites
an annotation's `ignore` with it. A detection that falls on such a box is then neither right nor wrong, as VOC asks
for. COCO measures the overlap with a crowd against the detection's own area, not against the union; that is never
less than the IoU, so everything VOC ignores is ignored, and a small detection within a difficult box is too.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError

from benchmark.datasets.base import Box, Pair
from benchmark.datasets.boxes import OVERHANG, ROUNDING
from benchmark.detection.detections import Detections
from metrics import images
from metrics.errors import InputError, unknown
from metrics.files import write_bytes

GroundTruth = dict[str, Any]
Results = list[dict[str, Any]]

_Id = Annotated[int, Field(ge=1)]  # pycocotools takes the id 0 of a matched annotation for "no match"
LARGEST = 2.0**31  # pixels, which no image has; beyond, a box's far edge or area may not be a finite number
_Corner = Annotated[FiniteFloat, Field(ge=-LARGEST, le=LARGEST)]
_Side = Annotated[FiniteFloat, Field(ge=0, le=LARGEST)]
_Bbox = tuple[_Corner, _Corner, _Side, _Side]
_T = TypeVar("_T")


class _Record(BaseModel):
    model_config = ConfigDict(strict=True)  # other tools add keys of their own, which are left out


class _Image(_Record):
    id: _Id
    file_name: str
    width: _Id
    height: _Id


class _Category(_Record):
    id: _Id
    name: str


class _Annotation(_Record):
    id: _Id
    image_id: int
    category_id: int
    bbox: _Bbox
    area: Annotated[FiniteFloat, Field(ge=0)]
    iscrowd: Literal[0, 1] = 0


class _GroundTruth(_Record):
    images: list[_Image]
    categories: list[_Category]
    annotations: list[_Annotation]


class _Result(_Record):
    image_id: int
    category_id: int
    bbox: _Bbox
    score: FiniteFloat


_GROUND_TRUTH, _RESULTS = TypeAdapter(_GroundTruth), TypeAdapter(list[_Result])


def ground_truth(pairs: Iterable[Pair], classes: Sequence[str]) -> GroundTruth:
    """Return the annotations of pairs as COCO has them: images, categories and annotations, ids from 1.

    Image ids follow the pairs, category ids the classes. A bbox is x, y, width, height in pixels; boxes that reach
    up to one pixel outside their image are cut at its border.

    Args:
        pairs: What was annotated; the images' sizes are read from the visible files.
        classes: The data set's, in its order.

    Raises:
        InputError: An image cannot be read, a name occurs twice, a label is none of the classes, or a box lies
            outside its image.
    """
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    category = {label: number for number, label in enumerate(classes, start=1)}
    names = set()
    for number, pair in enumerate(pairs, start=1):
        if pair.name in names:
            raise InputError(f"two images are called {pair.name!r}; every image needs a name of its own.")
        names.add(pair.name)
        width, height = images.size(pair.visible)
        entries.append({"id": number, "file_name": f"{pair.name}.png", "width": width, "height": height})
        for box in pair.boxes:
            if box.label not in category:
                raise unknown(f"class in the boxes of {pair.name}", box.label, tuple(classes))
            x0, y0, x1, y1 = _within(box, width, height, pair.name)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": category[box.label],
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    "iscrowd": int(box.difficult),
                }
            )
    categories = [{"id": number, "name": label} for label, number in category.items()]
    return {"images": entries, "categories": categories, "annotations": annotations}


def image_ids(truth: GroundTruth) -> dict[str, int]:
    """Return the image id of each image name."""
    return {Path(image["file_name"]).stem: image["id"] for image in truth["images"]}


def results(detections: Iterable[Detections], image_ids: Mapping[str, int]) -> Results:
    """Return detections as COCO's result list: image_id, category_id, bbox (x, y, width, height) and score of each.

    Args:
        detections: One per image; an image without any adds nothing to the list.
        image_ids: The image id of each image name, as `image_ids` gives it.

    Raises:
        InputError: An image's name is unknown, or a box is inverted or not finite.
    """
    entries: Results = []
    for one in detections:
        if one.name not in image_ids:
            raise InputError(f"detections for {one.name!r}, which is no image of the ground truth; run detect again.")
        boxes = np.asarray(one.boxes, dtype=float).reshape(-1, 4)
        sides = boxes[:, 2:] - boxes[:, :2]
        if not (np.isfinite(boxes).all() and np.isfinite(one.scores).all() and (sides >= 0).all()):
            raise InputError(f"a detection in {one.name} is inverted or not finite; expected x0 <= x1 and y0 <= y1.")
        for (x, y), (width, height), label, score in zip(boxes[:, :2], sides, one.labels, one.scores, strict=True):
            bbox = [float(x), float(y), float(width), float(height)]
            entry = {"image_id": image_ids[one.name], "category_id": int(label), "bbox": bbox, "score": float(score)}
            entries.append(entry)
    return entries


def detections(entries: Results, truth: GroundTruth) -> list[Detections]:
    """Return COCO results as the detections of each image of the ground truth, in its order, best first."""
    by_image: dict[int, Results] = {image["id"]: [] for image in truth["images"]}
    for entry in check(entries, truth):
        by_image[entry["image_id"]].append(entry)
    number = {category["id"]: place for place, category in enumerate(truth["categories"], start=1)}
    by_name = []
    for name, image in image_ids(truth).items():
        ordered = sorted(by_image[image], key=lambda entry: -entry["score"])
        boxes = np.array([entry["bbox"] for entry in ordered], dtype=np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        labels = np.array([number[entry["category_id"]] for entry in ordered], dtype=np.int64)
        scores = np.array([entry["score"] for entry in ordered], dtype=np.float64)
        by_name.append(Detections(name, boxes, labels, scores))
    return by_name


def check(entries: Results, truth: GroundTruth, where: str = "detections") -> Results:
    """Return COCO results unchanged after holding their images and categories against the ground truth.

    Raises:
        InputError: One of them is unknown there: the two belong to different data.
    """
    images = {image["id"] for image in truth["images"]}
    categories = {category["id"] for category in truth["categories"]}
    for key, known in (("image_id", images), ("category_id", categories)):
        foreign = sorted({entry[key] for entry in entries} - known)
        if foreign:
            raise InputError(
                f"{where}: {key} {foreign[0]} is not in the ground truth, which has {len(known)} such ids; "
                "these detections belong to other data. Run detect again."
            )
    return entries


def write_json(path: Path, content: GroundTruth | Results) -> None:
    """Write COCO content as JSON; the file appears whole or not at all."""
    write_bytes(path, json.dumps(content, allow_nan=False, separators=(",", ":")).encode())


def read_ground_truth(path: Path) -> GroundTruth:
    """Return the ground truth in a COCO JSON file; of keys that other tools add, nothing.

    Raises:
        InputError: The file is missing, damaged, no COCO ground truth, or contradicts itself.
    """
    truth: GroundTruth = _read(path, _GROUND_TRUTH, "COCO ground truth").model_dump(mode="json")
    for part in ("images", "categories", "annotations"):
        if len({entry["id"] for entry in truth[part]}) != len(truth[part]):
            raise InputError(f"{path}: two {part} have the same id; expected ids of their own. Write the file again.")
    for what, names in (("images", image_ids(truth)), ("categories", {entry["name"] for entry in truth["categories"]})):
        if len(names) != len(truth[what]):
            raise InputError(f"{path}: two {what} have the same name; expected names of their own. Write it again.")
    check(truth["annotations"], truth, str(path))
    return truth


def read_results(path: Path, truth: GroundTruth) -> Results:
    """Return the detections in a COCO result file that belongs to this ground truth.

    Raises:
        InputError: The file is missing, damaged, no COCO result list, or belongs to other data.
    """
    entries = _read(path, _RESULTS, "list of COCO results")
    return check([entry.model_dump(mode="json") for entry in entries], truth, str(path))


def _read(path: Path, form: TypeAdapter[_T], what: str) -> _T:
    try:
        return form.validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); expected a {what}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"]) or "the whole file"
        raise InputError(f"{path} is no {what} ({place}: {first['msg']}). Write it again.") from None


def _within(box: Box, width: int, height: int, name: str) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = max(box.x0, 0.0), max(box.y0, 0.0), min(box.x1, float(width)), min(box.y1, float(height))
    overhang = max(-box.x0, -box.y0, box.x1 - width, box.y1 - height)
    if not (overhang <= OVERHANG + ROUNDING and x0 < x1 and y0 < y1):  # not: as an edge may be nan
        edges = f"({box.x0:g}, {box.y0:g}, {box.x1:g}, {box.y1:g})"
        raise InputError(
            f"{name}: {box.label} box {edges} has no area within its image of {width}x{height}, or reaches more than "
            f"{OVERHANG:g} pixel outside; does the annotation belong to this image?"
        )
    return x0, y0, x1, y1
