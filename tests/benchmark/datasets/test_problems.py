"""Every kind of bad content: what `scan` says of it, and that it never raises."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark import datasets
from benchmark.datasets.findings import MOST
from metrics.errors import InputError
from tests.benchmark.datasets.trees import image, item, text, xml
from tests.faults.cases import time_limit

BOMB = """<?xml version="1.0"?>
<!DOCTYPE annotation [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;">]>
<annotation><object><name>&c;</name></object></annotation>"""
THIEF = """<?xml version="1.0"?>
<!DOCTYPE annotation [<!ENTITY a SYSTEM "file:///etc/hostname">]>
<annotation><object><name>&a;</name></object></annotation>"""


def problem(name: str, root: Path) -> tuple[str, str]:
    """The one problem of a folder: its kind and text; `load` raises it."""
    found = datasets.scan(name, root)
    assert len(found.findings) == 1, found.problems
    kind, line = found.findings[0]
    assert found.problems == [line]
    assert "\n" not in line
    with pytest.raises(InputError) as raised:
        datasets.load(name, root)
    assert str(raised.value) == line
    return kind, line


def test_missing_root(tmp_path: Path) -> None:
    assert problem("m3fd", tmp_path / "none") == (
        "layout",
        f"{tmp_path / 'none'} is not a folder; expected the one that holds the files of M3FD.",
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("m3fd", "neither the folders Vis, Ir and Annotation (MoE-Fusion's layout) nor vi, ir and labels (TarDAL's)"),
        ("flir", "holds no folder JPEGImages and no folder Annotations"),
        ("llvip", "holds no folders infrared and visible"),
        ("msrs", "holds neither train/ir and train/vi nor test/ir and test/vi"),
        ("roadscene", "does not hold the folders cropinfrared and crop_LR_visible"),
        ("m3fd_fusion", "does not hold the folders Ir and Vis"),
        ("folders", "does not hold the folders ir and vi or Ir and Vis or infrared and visible or cropinfrared and"),
    ],
)
def test_missing_layout_says_what_is_there(name: str, expected: str, tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"d{number}").mkdir()
    kind, line = problem(name, tmp_path)
    assert kind == "layout"
    assert expected in line
    assert "found: d0/, d1/, d2/, d3/, d4/, d5/, d6/, d7/ and 2 more" in line


def test_empty_root(tmp_path: Path) -> None:
    assert "found: nothing." in problem("llvip", tmp_path)[1]


def test_folders_without_a_match(tmp_path: Path) -> None:
    image(tmp_path / "ir" / "a.png")
    image(tmp_path / "vi" / "b.png")
    found = datasets.scan("tno", tmp_path, unmatched="skip")
    (line,) = found.problems
    assert line.startswith("no name is the same in all folders. Found infrared in ")
    assert "ir: a.png; visible in" in line


@pytest.mark.parametrize("name", ["..", "a\0b", "x/..", "Vis/", "a..b"])
def test_what_is_no_name(name: str, m3fd: Path) -> None:
    text(m3fd / "test.txt", "00002", name)
    kind, line = problem("m3fd", m3fd)
    assert kind == "list"
    assert "test.txt, line 2: " in line
    assert "is no pair's name; expected a name, or a path that ends in one" in line


@pytest.mark.parametrize(
    "path",
    ["./Vis/00002.png", "../00002", "/etc/00002", "D:\\data\\M3FD\\Vis\\00002.png", "Ir/00002", "../../etc/00002.xml"],
)
def test_a_path_in_a_list_only_names_a_pair(path: str, m3fd: Path) -> None:
    """YOLO's lists hold paths; the last part is compared with the names of the folder, and nothing else is opened."""
    text(m3fd / "test.txt", path)
    if path.endswith(".xml"):
        assert "00002.xml has neither an infrared nor a visible image" in problem("m3fd", m3fd)[1]
        return
    (pair,) = datasets.load("m3fd", m3fd).test
    assert (pair.name, pair.visible) == ("00002", m3fd / "Vis" / "00002.png")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["00002", "00002"], "test.txt, line 2: 00002 is already in line 1"),
        (["00002", "00007"], "test.txt, line 2: 00007 has neither an infrared nor a visible image"),
        (["00002", "00001"], "00001 is in both"),
        ([], "test.txt lists no names"),
    ],
)
def test_bad_lists(lines: list[str], expected: str, m3fd: Path) -> None:
    text(m3fd / "test.txt", *lines)
    kind, line = problem("m3fd", m3fd)
    assert kind == "list"
    assert expected in line


@pytest.mark.parametrize(
    "line",
    ["x" * 10_000_000, "../" * 3_000_000, "\x1b" * 10_000_000, "a" + "\u0301\u0316" * 60_000],
    ids=["unknown", "unsafe", "escapes", "accents"],
)
def test_a_long_line_is_quoted_in_part_and_at_once(line: str, m3fd: Path) -> None:
    (m3fd / "test.txt").write_text(line)
    with time_limit(3):
        found = datasets.scan("m3fd", m3fd)
    (listed,) = found.problems
    assert listed.startswith(f"{m3fd / 'test.txt'}, line 1: ")
    assert "neither an infrared nor a visible" in listed or "is no pair's name" in listed
    assert len(listed) < len(str(m3fd)) + 600  # 80 characters, each of them an escape


def test_problems_beyond_thousands_are_counted(m3fd: Path) -> None:
    text(m3fd / "test.txt", "00002", *(f"x{number}" for number in range(300_000)))
    with time_limit():
        found = datasets.scan("m3fd", m3fd)
    assert (len(found.findings), found.more) == (MOST, {"list": 300_000 - MOST})
    with pytest.raises(InputError, match="line 2: x0 has neither .* And 299,999 more; "):
        datasets.load("m3fd", m3fd)


def test_content_of_other_files_is_quoted_in_part(m3fd: Path, msrs: Path) -> None:
    long = "x" * 1_000_000
    for body in (f"<{long}/>", f"<!DOCTYPE a [<!ENTITY {long} 'a'>]><annotation/>"):
        text(m3fd / "Annotation" / "00002.xml", body)
        assert len(problem("m3fd", m3fd)[1]) < len(str(m3fd)) + 200
    text(msrs / "labels" / "classes.txt", long)
    assert len(problem("msrs", msrs)[1]) < len(str(msrs)) + 200


def test_a_list_without_the_other(m3fd: Path, flir: Path) -> None:
    (m3fd / "test.txt").unlink()
    assert "train.txt is there but" in problem("m3fd", m3fd)[1]
    (flir / "align" / "align_train.txt").unlink()
    (flir / "align" / "align_validation.txt").unlink()
    assert (
        "holds no align_train.txt and align_validation.txt; found: Annotations/, JPEGImages/"
        in (problem("flir", flir)[1])
    )


def test_a_list_that_is_no_text_or_not_there(m3fd: Path) -> None:
    (m3fd / "test.txt").write_bytes(b"\xff\xfe0\0")
    assert "test.txt is no text file; expected a pair's name a line" in problem("m3fd", m3fd)[1]
    with pytest.raises(InputError, match=r"nowhere\.txt cannot be read \(No such file or directory\)"):
        datasets.load("m3fd", m3fd, test_list=m3fd / "nowhere.txt")


def test_a_name_in_both_parts(msrs: Path) -> None:
    for folder, suffix in (("test/ir", "png"), ("test/vi", "png"), ("labels/fusion/test", "txt")):
        source = msrs / folder.replace("test", "train") / f"00001D.{suffix}"
        shutil.copy(source, msrs / folder / f"00001D.{suffix}")
    assert problem("msrs", msrs) == (
        "list",
        f"00001D is in both the train and the test part of {msrs}; a pair is in one.",
    )


def test_a_listed_name_that_means_two_pairs(msrs: Path, tmp_path: Path) -> None:
    for band in ("ir", "vi"):
        image(msrs / "test" / band / "00001D.png")
    found = datasets.scan("msrs", msrs, test_list=text(tmp_path / "mine.txt", "00001D"))
    assert found.problems == [
        f"{msrs / 'test' / 'ir' / '00001D.png'} has the name of {msrs / 'train' / 'ir' / '00001D.png'}; rename one."
    ]


@pytest.mark.parametrize(("name", "folder"), [("msrs", "train/vi"), ("llvip", "infrared/train")])
def test_a_part_with_one_band(name: str, folder: str, request: pytest.FixtureRequest) -> None:
    root: Path = request.getfixturevalue(name)
    shutil.rmtree(root / folder)
    assert problem(name, root)[1].startswith(f"{root / folder} is not a folder; expected one with image files")


def test_missing_partner(m3fd: Path) -> None:
    (m3fd / "Vis" / "00002.png").unlink()
    assert problem("m3fd", m3fd) == (
        "missing partner",
        f"{m3fd / 'Ir' / '00002.png'} has no visible partner in {m3fd / 'Vis'}.",
    )


def test_sizes_that_differ(m3fd: Path) -> None:
    image(m3fd / "Vis" / "00002.png", size=(41, 30), mode="RGB")
    kind, line = problem("m3fd", m3fd)
    assert kind == "size"
    assert "Ir/00002.png is 40x30 but" in line
    assert "Vis/00002.png is 41x30; a pair has one size" in line


def test_no_image(llvip: Path) -> None:
    (llvip / "visible" / "test" / "190001.jpg").write_text("<html>")
    kind, line = problem("llvip", llvip)
    assert kind == "unreadable file"
    assert "190001.jpg is a web page" in line


def test_two_files_of_one_name(two_folders: Path) -> None:
    image(two_folders / "ir" / "01.jpg")
    assert "holds both 01.jpg and 01.png" in problem("tno", two_folders)[1]


@pytest.mark.parametrize("name", ["m3fd", "llvip", "msrs"])
def test_missing_annotation(name: str, request: pytest.FixtureRequest) -> None:
    root: Path = request.getfixturevalue(name)
    files = {
        "m3fd": "Annotation/00002.xml",
        "llvip": "Annotations/190001.xml",
        "msrs": "labels/fusion/test/00004N.txt",
    }
    (root / files[name]).unlink()
    kind, line = problem(name, root)
    assert kind == "missing annotation"
    assert f"has no annotation file in {(root / files[name]).parent}." in line


def test_annotation_that_is_a_folder(m3fd: Path) -> None:
    (m3fd / "Annotation" / "00002.xml").unlink()
    (m3fd / "Annotation" / "00002.xml").mkdir()
    assert problem("m3fd", m3fd)[0] == "unreadable file"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("<annotation><object>", "cannot be read as XML (no element found"),
        ("", "cannot be read as XML (no element found"),
        (BOMB, "cannot be read as XML (EntitiesForbidden"),
        (THIEF, "cannot be read as XML (EntitiesForbidden"),
        ('<?xml version="1.0" encoding="klingon"?><annotation/>', "cannot be read as XML (unknown encoding"),
        ("<html></html>", "begins with <html>; expected <annotation> (Pascal VOC)"),
    ],
)
def test_malformed_xml(content: str, expected: str, m3fd: Path) -> None:
    text(m3fd / "Annotation" / "00002.xml", content)
    kind, line = problem("m3fd", m3fd)
    assert kind == "annotation"
    assert f"00002.xml {expected}" in line


@pytest.mark.parametrize(
    ("box", "kind", "expected"),
    [
        (item("Dog"), "unknown class", "object 2: unknown class 'Dog'; known: People, Car, Bus"),
        (item(""), "unknown class", "object 2: unknown class ''"),
        (item("people"), "misnamed class", "object 2: class 'people' is misnamed; expected 'People'"),
        (item(edges=(5, 6, 20)), "annotation", "object 2: Car box has no ymax in <bndbox>"),
        (item(edges=()), "annotation", "object 2: Car box has no xmin, ymin, xmax, ymax in <bndbox>"),
        (item(edges=(5, 6, 20, "")), "annotation", "object 2: Car box has edges"),
        (item(edges=(5, 6, "twenty", 8)), "annotation", "object 2: Car box has edges ['5', '6', 'twenty', '8']"),
        (item(edges=(5, 6, "nan", 8)), "annotation", "object 2: Car box (4, 5, nan, 8) has edges that are no finite"),
        (item(edges=(5, 6, "inf", 8)), "annotation", "has edges that are no finite"),
        (item(edges=(20, 6, 5, 8)), "annotation", "object 2: Car box is inverted (xmin 20, ymin 6, xmax 5, ymax 8)"),
        (item(edges=(5, 8, 20, 7)), "annotation", "is inverted"),
        (item(edges=(5, 6, 42, 8)), "annotation", "box (4, 5, 42, 8) reaches 2.0 pixels outside its image of 40x30"),
        (item(edges=(-1, 6, 20, 8)), "annotation", "object 2: Car box (-2, 5, 20, 8) reaches 2.0 pixels outside"),
        (item(edges=(5, 6, 20, 3000)), "annotation", "reaches 2970.0 pixels outside"),
        (item(difficult=2), "annotation", "object 2: <difficult> is '2'; expected 0 or 1"),
    ],
)  # fmt: skip
def test_bad_boxes(box: str, kind: str, expected: str, m3fd: Path) -> None:
    xml(m3fd / "Annotation" / "00002.xml", item("Lamp"), box)
    found_kind, line = problem("m3fd", m3fd)
    assert found_kind == kind
    assert f"{m3fd / 'Annotation' / '00002.xml'}, " in line
    assert expected in line
    assert datasets.scan("m3fd", m3fd).dataset.test[0].labels == ("Lamp",)


@pytest.mark.parametrize(
    ("line", "kind", "expected"),
    [
        ("3 0.5 0.5 0.1 0.1", "unknown class", "line 1: unknown class 3; known: 0 person, 1 bicycle, 2 car"),
        ("-1 0.5 0.5 0.1 0.1", "unknown class", "unknown class -1"),
        ("0 0.5 0.5 0.1", "annotation", "expected `class x y width height`, got '0 0.5 0.5 0.1'"),
        ("0 0.5 0.5 0.1 0.1 0.9", "annotation", "expected `class x y width height`"),
        ("car 0.5 0.5 0.1 0.1", "annotation", "expected a class number and four numbers"),
        ("0 0.5 0.5 0.1 wide", "annotation", "expected a class number and four numbers"),
        ("0 nan 0.5 0.1 0.1", "annotation", "no finite numbers"),
        ("0 0.5 0.5 -0.1 0.1", "annotation", "is inverted"),
        ("0 20 15 10 10", "annotation", "pixels outside its image of 40x30"),
    ],
)
def test_bad_yolo_lines(line: str, kind: str, expected: str, msrs: Path) -> None:
    path = text(msrs / "labels" / "fusion" / "test" / "00004N.txt", line)
    found_kind, found = problem("msrs", msrs)
    assert found_kind == kind
    assert f"{path}, line 1" in found
    assert expected in found


def test_yolo_file_that_is_no_text(msrs: Path) -> None:
    (msrs / "labels" / "fusion" / "test" / "00004N.txt").write_bytes(b"\xff\xfe")
    assert "00004N.txt is no text file" in problem("msrs", msrs)[1]


@pytest.mark.parametrize(
    ("edges", "kept"),
    [((0, 1, 20, 25), (0, 0, 20, 25)), ((5, 6, 41, 25), (4, 5, 40, 25)), ((5, 6, 20, 31), (4, 5, 20, 30))],
)
def test_a_box_one_pixel_outside_is_clipped(edges: tuple[int, ...], kept: tuple[int, ...], m3fd: Path) -> None:
    xml(m3fd / "Annotation" / "00002.xml", item(edges=edges))
    dataset = datasets.load("m3fd", m3fd)
    (box,) = dataset.test[0].boxes
    assert (box.x0, box.y0, box.x1, box.y1) == kept
    assert dataset.notes == ("boxes that reached up to one pixel outside their image, clipped: 1",)


def test_rounding_of_yolo_edges_is_clipped_without_a_word(msrs: Path) -> None:
    text(msrs / "labels" / "fusion" / "test" / "00004N.txt", "0 0.900001 0.5 0.2 0.5")
    dataset = datasets.load("msrs", msrs)
    assert dataset.test[0].boxes[0].x1 == 40
    assert dataset.notes == ()


def test_boxes_without_area_are_left_out_with_a_count(msrs: Path, m3fd: Path) -> None:
    text(msrs / "labels" / "fusion" / "test" / "00004N.txt", "0 0.5 0.5 0 0.5", "0 0.5 0.5 0.1 0.5")
    dataset = datasets.load("msrs", msrs)
    assert len(dataset.test[0].boxes) == 1
    assert dataset.notes == ("boxes without area, left out: 1",)
    xml(m3fd / "Annotation" / "00002.xml", item(edges=(0, 5, 0, 20)))  # wholly in the pixel column that is clipped
    assert datasets.load("m3fd", m3fd).notes[1] == "boxes without area, left out: 1"


def test_a_stated_size_that_is_not_the_images_is_noted(m3fd: Path) -> None:
    xml(m3fd / "Annotation" / "00002.xml", item(), size=(80, 60))
    xml(m3fd / "Annotation" / "00001.xml", item(), size=(0, 0))
    note = "annotation files that state another size than their image has: 1"
    assert datasets.load("m3fd", m3fd).notes == (note,)


def test_load_counts_the_other_problems(m3fd: Path) -> None:
    xml(m3fd / "Annotation" / "00001.xml", item("Dog"), item("Cat"))
    xml(m3fd / "Annotation" / "00002.xml", item("Dog"))
    with pytest.raises(InputError) as raised:
        datasets.load("m3fd", m3fd)
    message = str(raised.value)
    assert "object 1: unknown class 'Dog'" in message
    assert message.endswith(f"And 2 more; `run_benchmark.py check m3fd {m3fd}` lists them.")


def test_a_folder_that_cannot_be_read(m3fd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole: Callable[[Path], object] = Path.iterdir

    def locked(self: Path) -> object:
        if self.name == "Ir":
            raise PermissionError(13, "Permission denied", str(self))
        return whole(self)

    monkeypatch.setattr(Path, "iterdir", locked)
    assert problem("m3fd", m3fd) == ("layout", f"{m3fd / 'Ir'} cannot be read (Permission denied).")
