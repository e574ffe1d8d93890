"""Pascal VOC's boxes there and back."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from benchmark.datasets import voc
from benchmark.datasets.findings import Findings
from tests.benchmark.datasets.trees import item

SIDE = 2000


@given(
    x=st.tuples(st.integers(1, SIDE), st.integers(1, SIDE)).map(sorted),
    y=st.tuples(st.integers(1, SIDE), st.integers(1, SIDE)).map(sorted),
    difficult=st.booleans(),
)
def test_boxes_return_to_what_was_written(x: list[int], y: list[int], difficult: bool) -> None:
    edges = (x[0], y[0], x[1], y[1])
    data = f"<annotation>{item('Car', edges, difficult=int(difficult))}</annotation>".encode()
    findings = Findings()
    (box,) = voc.boxes(data, Path("a.xml"), (SIDE, SIDE), findings, classes={"Car": "Car"})
    assert (box.x0 + 1, box.y0 + 1, box.x1, box.y1) == edges
    assert (box.x1 - box.x0, box.y1 - box.y0) == (x[1] - x[0] + 1, y[1] - y[0] + 1)
    assert 0 <= box.x0 < box.x1 <= SIDE
    assert 0 <= box.y0 < box.y1 <= SIDE
    assert box.difficult == difficult
    assert (findings.problems, findings.notes) == ([], ())


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: f"<annotation>{text}".encode()))
def test_any_bytes_give_boxes_or_a_problem(data: bytes) -> None:
    findings = Findings()
    assert voc.boxes(data, Path("a.xml"), (9, 9), findings, classes={"Car": "Car"}) == ()
    assert len(findings.problems) == 1
