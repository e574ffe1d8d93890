"""Annotation and list files that are damaged or hostile: each problem is a line, and no box is out of its image."""

import math
import os
import subprocess
import sys
from functools import cache, partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark import datasets
from benchmark.datasets import voc, yolo
from benchmark.datasets.findings import Findings
from metrics.errors import InputError
from tests.benchmark.datasets.trees import image, item, text, xml
from tests.faults.cases import damaged, fuzz, time_limit

SIZE = (40, 30)
CLASSES = ("People", "Car")
VOC = partial(voc.boxes, classes={label: label for label in CLASSES})
YOLO = partial(yolo.boxes, classes=CLASSES)
ANNOTATION = (
    '<?xml version="1.0" encoding="utf-8"?>\n<annotation><size><width>40</width><height>30</height></size>'
    f"{item('Car')}{item('People', (1, 1, 40, 30), difficult=1)}</annotation>"
).encode()
LINES = b"1 0.5 0.5 0.25 0.2\n0 0.25 0.75 0.1 0.1\n"
NUMBERS = (
    "nan",
    "-inf",
    "1e999",
    "-0",
    "1_0",
    "0x1",
    "9" * 400,
    "9" * 5000,
    "\u0663",
    "",
    " ",
    "1e-320",
    "--1",
    "2**8",
)


def parsed(parse: partial, content: bytes) -> None:
    """Hold a parser to its promises on any content."""
    findings = Findings()
    with time_limit():
        boxes = parse(content, Path("some.file"), SIZE, findings)
    for box in boxes:
        edges = (box.x0, box.y0, box.x1, box.y1)
        assert all(map(math.isfinite, edges))
        assert 0 <= box.x0 < box.x1 <= SIZE[0]
        assert 0 <= box.y0 < box.y1 <= SIZE[1]
        assert box.label in CLASSES
    for problem in findings.problems:
        assert problem.text.isprintable()
        assert len(problem.text) < 1000


@fuzz()
@given(content=damaged(ANNOTATION, head=len(ANNOTATION)))
def test_damaged_xml(content: bytes) -> None:
    parsed(VOC, content)


@fuzz(0.5)
@given(content=damaged(LINES, head=len(LINES)))
def test_damaged_yolo(content: bytes) -> None:
    parsed(YOLO, content)


@fuzz(0.5)
@given(
    label=st.sampled_from((*CLASSES, "car", "\u202e", "<", "x" * 5000)) | st.text(max_size=8),
    numbers=st.lists(st.sampled_from(NUMBERS) | st.floats().map(str) | st.integers().map(str), min_size=3, max_size=6),
)
def test_odd_numbers_and_names(label: str, numbers: list[str]) -> None:
    plain = "".join(character for character in label if character.isprintable() and character not in "<&")
    parsed(VOC, f"<annotation>{item(plain, numbers, difficult=0)}</annotation>".encode())
    parsed(VOC, f"<annotation>{item('Car').replace('>0<', f'>{numbers[0]}<')}</annotation>".encode())
    parsed(YOLO, f"{label} {' '.join(numbers)}\n".encode(errors="replace"))
    parsed(YOLO, " ".join(numbers).encode())


@cache
def real(shared: Path) -> list[Path]:
    found = sorted(path for path in (shared / "data").rglob("*") if path.suffix in (".xml", ".txt") and path.is_file())
    return found[:: max(len(found) // 20, 1)]


@pytest.mark.shared
@fuzz(0.5)
@given(data=st.data())
def test_damaged_real_annotations(data: st.DataObject, shared: Path) -> None:
    whole = data.draw(st.sampled_from(real(shared))).read_bytes()[:4000]
    content = data.draw(damaged(whole, head=len(whole)))
    parsed(VOC, content)
    parsed(YOLO, content)


def test_elements_in_elements(tmp_path: Path) -> None:
    """A hundred thousand levels: a parser that recursed would crash the process, so it has one of its own."""
    code = (
        "from pathlib import Path\nfrom benchmark.datasets import voc\n"
        "from benchmark.datasets.findings import Findings\n"
        "voc.boxes(b'<annotation>' + b'<object>' * 100_000 + b'</object>' * 100_000 + b'</annotation>', Path('x'), "
        "(40, 30), Findings(), classes={})\nprint('alive')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("alive\n", "", 0)


def test_a_bomb_costs_no_memory_and_no_foreign_file_is_read(tmp_path: Path) -> None:
    secret = text(tmp_path / "secret", "Car")
    levels = "".join(f'<!ENTITY e{level} "{f"&e{level - 1};" * 10}">' for level in range(1, 20))
    for kind, body in (
        (f'<!ENTITY e0 "ha">{levels}', "&e19;"),
        (f'<!ENTITY e1 SYSTEM "file://{secret}">', "&e1;"),
        (f'<!ENTITY % e1 SYSTEM "file://{secret}">%e1;', "Car"),
        ('<!ENTITY e1 SYSTEM "http://127.0.0.1:9/x">', "&e1;"),
    ):
        findings = Findings()
        content = f"<!DOCTYPE annotation [{kind}]><annotation>{item(body)}</annotation>".encode()
        with time_limit(2):
            assert VOC(content, Path("x"), SIZE, findings) == ()
        assert "cannot be read as XML (EntitiesForbidden" in findings.problems[0].text


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two pairs of M3FD."""
    root = tmp_path / "M3FD"
    for name in ("00001", "00002"):
        image(root / "Ir" / f"{name}.png")
        image(root / "Vis" / f"{name}.png", mode="RGB")
        xml(root / "Annotation" / f"{name}.xml", item())
    text(root / "train.txt", "00001")
    text(root / "test.txt", "00002")
    return root


@pytest.fixture
def tardal(tmp_path: Path) -> Path:
    """The same in TarDAL's layout."""
    root = tmp_path / "M3FD"
    for name in ("00001", "00002"):
        image(root / "ir" / f"{name}.png")
        image(root / "vi" / f"{name}.png", mode="RGB")
        text(root / "labels" / f"{name}.txt", "1 0.5 0.5 0.25 0.2")
    text(root / "meta" / "train.txt", "00001.png")
    text(root / "meta" / "val.txt", "00002.png")
    return root


def inside(root: Path) -> list[str]:
    """Scan; hold every pair to its folder, and return the problems."""
    with time_limit():
        found = datasets.scan("m3fd", root)
    for pair in (*found.dataset.train, *found.dataset.test):
        assert pair.infrared.parent.parent == pair.visible.parent.parent == root
    assert all(line.isprintable() for line in found.problems)
    return found.problems


LISTS = st.lists(
    st.sampled_from(
        ("00001", "00002.png", "../00001", "/etc/passwd", "..", ".", "~", "$HOME", "%s", "-rf", "a\\b", "\0")
    )
    | st.text(max_size=12),
    max_size=5,
).map(lambda names: "\n".join(names).encode(errors="replace"))


@fuzz(0.25)
@given(content=LISTS | damaged(b"00001\n00002.png\n"))
def test_lists(content: bytes, tree: Path) -> None:
    (tree / "test.txt").write_bytes(content)
    inside(tree)


@fuzz(0.25)
@given(content=LISTS | damaged(b"0 People\n1 Car\n"), which=st.sampled_from(("meta/val.txt", "labels/classes.txt")))
def test_tardal_s_lists(content: bytes, which: str, tardal: Path) -> None:
    (tardal / which).write_bytes(content)
    inside(tardal)


def test_a_list_names_files_in_either_unicode_form(tree: Path) -> None:
    for path in (tree / "Ir/00002.png", tree / "Vis/00002.png", tree / "Annotation/00002.xml"):
        path.rename(path.with_stem("cafe\u0301"))
    text(tree / "test.txt", "caf\u00e9")
    assert inside(tree) == []


@pytest.mark.parametrize("file", ["Annotation/00002.xml", "test.txt"])
def test_pipes_and_endless_files(file: str, tree: Path) -> None:
    path = tree / file
    path.unlink()
    os.mkfifo(path)
    assert len(inside(tree)) == 1
    path.unlink()
    path.symlink_to("/dev/zero")
    assert len(inside(tree)) == 1
    path.unlink()
    with path.open("wb") as file_:
        file_.truncate(1 << 40)
    problems = inside(tree)
    assert "more than 16 MiB" in problems[0]


@pytest.mark.parametrize("value", [3, ["a"], {"a": 1}, 2.5, "a\0b", True])
@pytest.mark.parametrize(("name", "option"), [("m3fd", "test_list"), ("tno", "infrared"), ("msrs", "labels")])
def test_options_that_are_no_text(name: str, option: str, value: object, tree: Path) -> None:
    with pytest.raises(InputError, match=f"option {option} of the data set {name} is .*expected a text"):
        datasets.load(name, tree, **{option: value})  # type: ignore[arg-type]
