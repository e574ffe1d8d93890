"""Images of detections: what is drawn where, sheets, and curves that are the same file every time."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from benchmark.datasets.base import Box, Pair
from benchmark.detection import drawing
from benchmark.detection.average_precision import RECALLS, SUMMARY, Precision
from benchmark.detection.detections import Detections
from benchmark.detection.drawing import COLOURS
from metrics import images
from metrics.errors import InputError

CLASSES = ("person", "car")
GREY = np.full((240, 320), 90, np.uint8)


def detections(*found: tuple[tuple[float, float, float, float], int, float]) -> Detections:
    boxes = np.array([box for box, _, _ in found], dtype=float).reshape(-1, 4)
    labels = np.array([label for _, label, _ in found], dtype=np.int64)
    return Detections("a", boxes, labels, np.array([score for _, _, score in found], dtype=float))


def at(image: images.ImageArray, x: int, y: int) -> tuple[int, ...]:
    return tuple(int(level) for level in image[y, x])


def test_a_detection_has_its_classs_colour_and_its_box_stays_clear() -> None:
    drawn = drawing.draw(GREY, [], detections(((100, 80, 200, 180), 2, 0.9)), CLASSES)
    assert (drawn.shape, drawn.dtype) == ((240, 320, 3), np.uint8)
    for x, y in ((100, 130), (199, 130), (150, 80), (150, 179)):
        assert at(drawn, x, y) == COLOURS[1]
    assert at(drawn, 150, 130) == (90, 90, 90)
    assert at(drawn, 101, 76) == COLOURS[1]  # its label, above the box
    assert not GREY[GREY != 90].size  # what was given stays as it is


def test_below_the_threshold_nothing_is_drawn() -> None:
    found = detections(((100, 80, 200, 180), 1, 0.49))
    assert (drawing.draw(GREY, [], found, CLASSES) == 90).all()
    assert not (drawing.draw(GREY, [], found, CLASSES, threshold=0.4) == 90).all()


def test_annotated_boxes_are_dashed_in_white_or_grey() -> None:
    boxes = [Box(40, 50, 120, 150, "person"), Box(200, 50, 280, 150, "car", difficult=True)]
    drawn = drawing.draw(GREY, boxes, None, CLASSES)
    for left, colour in ((40, (255, 255, 255)), (200, (170, 170, 170))):
        edge = {at(drawn, x, 50) for x in range(left, left + 80)}
        assert edge == {colour, (0, 0, 0)}
        assert edge == {at(drawn, left + 79, y) for y in range(50, 150)}
        assert at(drawn, left - 1, 100) == (90, 90, 90)


@pytest.mark.parametrize("edges", [(0, 0, 320, 240), (-3.5, -2, 330, 250)])
def test_a_box_at_the_border_is_seen_on_all_sides(edges: tuple[float, float, float, float]) -> None:
    drawn = drawing.draw(GREY, [], detections((edges, 1, 0.9)), CLASSES)
    for x, y in ((0, 120), (319, 120), (160, 0), (160, 239)):
        assert at(drawn, x, y) == COLOURS[0]


def test_text_and_boxes_follow_the_width() -> None:
    wide = drawing.draw(GREY, [], detections(((100, 80, 200, 180), 2, 0.9)), CLASSES, width=640)
    assert wide.shape == (480, 640, 3)
    assert at(wide, 200, 260) == at(wide, 399, 260) == COLOURS[1]
    assert at(wide, 198, 260) == (90, 90, 90)


def test_labels_do_not_cover_each_other() -> None:
    """Five detections of one place have room for four labels: two above and below, two within."""
    box = (140.0, 80.0, 190.0, 180.0)
    one = drawing.draw(GREY, [], detections((box, 1, 0.99)), CLASSES)
    many = drawing.draw(GREY, [], detections(*((box, 1, 0.99 - 0.1 * n) for n in range(5))), CLASSES)
    label = one[60:80, 140:]
    np.testing.assert_array_equal(many[60:80, 140:], label)  # the best keeps its own
    assert (many[180:200] == COLOURS[0]).all(axis=2).any()


def test_a_label_that_is_no_class_is_refused() -> None:
    for label in (0, 3):
        with pytest.raises(InputError, match=f"a: label {label} is none of the 2 classes"):
            drawing.draw(GREY, [], detections(((0, 0, 9, 9), label, 0.9)), CLASSES)


def test_any_size_and_any_box_can_be_drawn() -> None:
    for shape in ((8, 8), (1, 40), (40, 1), (768, 1024)):
        image = np.zeros((*shape, 3), np.uint8)
        found = detections(((0, 0, shape[1], shape[0]), 1, 0.9), ((3, 3, 3, 3), 2, 0.8), ((900, 900, 950, 950), 2, 0.8))
        assert drawing.draw(image, [Box(0, 0, 1, 1, "car")], found, CLASSES).shape == image.shape


def test_scenes_are_those_with_most_boxes() -> None:
    box = Box(0, 0, 1, 1, "car")
    pairs = [
        Pair(name, Path("i"), Path("v"), (box,) * count) for name, count in (("d", 1), ("c", 2), ("b", 1), ("a", 1))
    ]
    assert [pair.name for pair in drawing.scenes(pairs, 3)] == ["c", "a", "b"]
    assert len(drawing.scenes(pairs)) == 4


def test_a_sheet_has_a_row_a_scene_and_a_column_a_method(tmp_path: Path) -> None:
    red, blue = (np.full((60, 80, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))
    drawing.sheet(["scene", "other"], {"a": [red, blue], "b_$\n" * 30: [blue, None]}, tmp_path / "sheet.png")
    sheet = images.read(tmp_path / "sheet.png")
    height, width = sheet.shape[:2]
    assert width >= 160
    assert height >= 120
    place = {}
    for colour in ((255, 0, 0), (0, 0, 255), (225, 225, 225)):
        rows, columns = np.nonzero((sheet == colour).all(axis=2))
        place[colour] = (int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max()))
    top, bottom, left, right = place[255, 0, 0]
    assert (bottom - top, right - left) == (59, 79)
    assert place[0, 0, 255][0] == top  # b's first beside a's first
    assert place[0, 0, 255][2] == left  # a's second below a's first
    assert place[225, 225, 225][0] > bottom  # the missing one, in the second row
    assert place[225, 225, 225][2] > right


def test_sheets_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no method has an image"):
        drawing.sheet(["scene"], {"a": [None]}, tmp_path / "sheet.png")
    with pytest.raises(InputError, match="'a' has 1 images for 2 scenes"):
        drawing.sheet(["scene", "other"], {"a": [None]}, tmp_path / "sheet.png")


def precision(*levels: float | None) -> Precision:
    curves = {f"class_${n}": None if top is None else np.where(RECALLS < 0.8, top, 0) for n, top in enumerate(levels)}
    classes = {label: None if curve is None else float(curve.mean()) for label, curve in curves.items()}
    present = [value for value in classes.values() if value is not None]
    return Precision(classes, sum(present) / len(present) if present else None, dict.fromkeys(SUMMARY), curves)


PRECISIONS = {
    r"$\frac{": precision(0.9, None, 0.5),
    "_b$c_d$": precision(0.8, None, 0.0),
    "é": precision(0.7, None, 0.1),
}


def test_curves_are_the_same_files_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawing.curves(PRECISIONS, tmp_path / "one.png")
    monkeypatch.setitem(mpl.rcParams, "axes.facecolor", "black")
    drawing.curves(PRECISIONS, tmp_path / "other")
    for suffix in (".png", ".pdf"):
        assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"other{suffix}").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.pdf", "one.png", "other.pdf", "other.png"]
    assert mpl.rcParams["axes.facecolor"] == "black"
    data = (tmp_path / "one.pdf").read_bytes()
    assert b"/FontFile2" in data  # an embedded TrueType font
    assert b"/Type3" not in data
    assert b"CreationDate" not in data


def test_curves_show_names_as_they_are_and_leave_absent_classes_out() -> None:
    with mpl.rc_context({"text.parse_math": False}):
        figure = drawing._figure(PRECISIONS, ["class_$0", "class_$2"])
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [text.rpartition(" (mAP")[0] for text in texts] == list(PRECISIONS)
    assert [axes.get_title() for axes in figure.axes] == ["class_$0", "class_$2"]
    line = figure.axes[0].lines[0]
    assert line.get_xdata()[-1] == pytest.approx(0.79)  # nothing is reached beyond
    assert set(line.get_ydata()) == {0.9}


def test_many_methods_and_classes_have_lines_and_panels_of_their_own() -> None:
    figure = drawing._figure(
        {f"method {n}": precision(*[0.5] * 4) for n in range(12)}, [f"class_${n}" for n in range(4)]
    )
    assert len(figure.axes) == 4
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[3].lines}
    assert len(looks) == 12


def test_no_curve_at_all_is_refused(tmp_path: Path) -> None:
    for nothing in ({}, {"a": precision(None)}):
        with pytest.raises(InputError, match="no precision to draw"):
            drawing.curves(nothing, tmp_path / "curves")
