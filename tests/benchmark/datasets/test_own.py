"""Data sets of a user's own: from a file, from an installed package, and whatever a reader may do wrong."""

import re
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from benchmark import datasets
from benchmark.datasets import Box, registry
from metrics import plugins
from metrics.errors import InputError
from tests.benchmark.datasets.trees import image, text

PAGE = Path(__file__).parents[3] / "docs/datasets.md"


@pytest.fixture
def harbour(tmp_path: Path) -> Path:
    """The folder that the documentation's example reads."""
    for name in ("a", "b"):
        image(tmp_path / "Harbour" / "thermal" / f"{name}.png")
        image(tmp_path / "Harbour" / "rgb" / f"{name}.png", mode="RGB")
    text(tmp_path / "Harbour" / "boxes.csv", "a,1,2,11,12,ship", "b,3,4,9,8.5,buoy")
    return tmp_path / "Harbour"


@pytest.fixture
def example(tmp_path: Path) -> str:
    """The documentation's example, as a user would save and name it."""
    code = re.search(r"<!-- own data set -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert code
    return f"{text(tmp_path / 'my_dataset.py', code[1])}:harbour"


def test_the_documented_example(example: str, harbour: Path) -> None:
    dataset = datasets.load(example, harbour)
    assert (dataset.name, dataset.title) == ("harbour", "harbour")
    assert [pair.name for pair in dataset.train] == ["a"]
    assert dataset.test[0].boxes == (Box(3, 4, 9, 8.5, "buoy"),)
    report = datasets.check(example, harbour)
    assert (report.problems, report.parts[0].boxes) == ({}, {"ship": 1, "buoy": 0})
    assert datasets.record(example).about == "Ships and buoys, boxes in a CSV file: image,x0,y0,x1,y1,class."
    assert datasets.load(example, harbour, boxes="boxes.csv") == dataset
    with pytest.raises(InputError, match="unknown option .*'labels'; known: boxes"):
        datasets.load(example, harbour, labels="x")


def test_by_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("harbour", "benchmark.datasets.readers.tno:RECORD", registry.ENTRY_POINTS)
    broken = EntryPoint("broken", "no_such_module:read", registry.ENTRY_POINTS)
    known = [point, broken]
    monkeypatch.setattr(
        plugins, "entry_points", lambda group, name=None: [one for one in known if name in (None, one.name)]
    )
    assert datasets.names()[-2:] == ("broken", "harbour")
    assert datasets.record("harbour").title == "TNO"
    with pytest.raises(InputError, match="data set 'broken' of no_such_module:read does not load"):
        datasets.record("broken")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("def read(root, findings): return 7", "returned 7; expected Parts"),
        ("def read(root, findings): return root.nothing", "failed on .*AttributeError"),
        ("def read(root, findings): raise OSError(5, 'broken', 'x')", "x cannot be read .broken."),
        ("read = 7", "is int; expected a function"),
        ("reads = 7", "unknown data set in .*'read'"),
        ("1/0", "does not load: ZeroDivisionError"),
        (
            "from benchmark.datasets import *\ndef read(root, findings):\n"
            "  return Parts(test=(Pair('../a', root, root),))",
            "'../a' cannot be the name of a pair's files",
        ),
        (
            "from benchmark.datasets import *\ndef read(root, findings):\n"
            "  return Parts(test=(Pair('a', root, root), Pair('a', root, root)))",
            "a stands 2 times in one part",
        ),
        (
            "from benchmark.datasets import *\ndef read(root, findings):\n"
            "  return Parts(test=(Pair('a', root, root, (Box(0, 0, 1, 1, 'car'),)),), classes=('bus',))",
            "a: unknown class 'car'; known: bus",
        ),
    ],
)
def test_faults_of_a_reader_are_one_line(body: str, expected: str, tmp_path: Path) -> None:
    name = f"{text(tmp_path / 'mine.py', body)}:read"
    with pytest.raises(InputError, match=expected) as raised:
        datasets.load(name, tmp_path)
    assert "\n" not in str(raised.value)


def test_sizes_that_differ_are_found_by_check(example: str, harbour: Path) -> None:
    image(harbour / "rgb" / "b.png", size=(41, 30), mode="RGB")
    assert list(datasets.check(example, harbour).problems) == ["size"]


@pytest.mark.parametrize("name", datasets.names())
def test_every_card_is_filled_in(name: str) -> None:
    record = datasets.record(name)
    assert record.name == name
    assert record.title
    assert record.about
    if name not in ("folders", "synthetic"):
        assert record.home_page.startswith("https://")
        assert record.licence
        assert re.match(r"@\w+\{\w+,", record.citation)
