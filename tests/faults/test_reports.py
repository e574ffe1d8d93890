"""The files of a finished run that its report and tables are made from, damaged: one line says so, or a row does."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import metrics
from benchmark import report
from benchmark.datasets.base import Pair
from benchmark.detection.settings import DetectionSettings
from benchmark.engine import run_record as record
from benchmark.engine.cells import MANIFEST, Cell
from benchmark.engine.experiment import Experiment, MethodSettings, ScoreSettings
from benchmark.engine.stages.train_detector import detector_cell
from benchmark.tables import csv_files, detection_rows, paper
from benchmark.tables import detection_table as table3
from benchmark.tables import metric_rows as rows
from benchmark.tables import metric_table as tables
from metrics import images
from metrics.errors import InputError
from tests.faults.cases import answer, damaged, fuzz
from tests.faults.runs import SCRIPT, one_error

NAMES = ("00001", "00002")
WIDTH, HEIGHT = 64, 48
OURS = "MoE-Fusion"  # also in the paper's tables, so that there are differences
BOXES = "image,x0,y0,x1,y1\n"
LONGEST = 600  # characters of an error line, paths and all


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of M3FD with Table 1, its statistics and a sweep."""
    folder = tmp_path_factory.mktemp("finished")
    generator = np.random.default_rng(0)
    pairs = []
    for name in NAMES:
        paths = [folder / f"{name}_{band}.png" for band in ("ir", "vi")]
        for path in paths:
            images.write(path, generator.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8))
        pairs.append(Pair(name, *paths))
    found = record.Part("m3fd", "M3FD", ("People",), tuple(pairs), "all of it", "f" * 64)
    labels = ("Average", OURS)
    run = Experiment("Title", [], [MethodSettings(name="average", label=label) for label in labels])
    record.write(folder, record.Record(run, labels, (found,)))
    scores = [
        pd.DataFrame(generator.random((2, 8)), pd.Index(NAMES, name="image"), list(metrics.PAPER)) for _ in range(2)
    ]
    made = [tables.MethodScores(label, frame) for label, frame in zip(labels, scores, strict=True)]
    block = tables.DatasetScores("M3FD", 2, "f" * 64, "all of it", made)
    tables.write(folder, tables.table([block], ScoreSettings()), "Title", tables.significance([block]))
    (folder / "sweep_alpha.csv").write_text("dataset,setting,EN\nM3FD,alpha 1,6.5\nM3FD,alpha 10,6.25\n")
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    return shutil.copytree(finished, tmp_path / "run")


def part(folder: Path) -> record.Part:
    return record.read(folder).parts[0]


def written(folder: Path, **options: Any) -> str:
    """Return the report, and with it what the paper is compared by."""
    paper.write(folder)
    return report.write(folder, scenes=1, **options).read_text()


def refused(call: Callable[[], object]) -> str:
    """Return the line in which something is refused."""
    with pytest.raises(InputError) as caught:
        call()
    said = str(caught.value)
    assert said.isprintable()
    assert len(said) < LONGEST
    return said


def test_the_run_is_whole(run: Path) -> None:
    assert "alpha 10" in written(run)
    assert len(paper.against(run)) == 8


@pytest.mark.parametrize("name", ["table1.csv", "table1_statistics.csv", "sweep_alpha.csv"])
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda whole: b"", "its first line is empty"),
        (lambda whole: b"\0" * 8192, "NUL"),
        (lambda whole: b"\xff" + whole, "cannot be read"),
        (lambda whole: whole[:-4], "cut short"),
        (lambda whole: whole.rpartition(b",")[0] + b"\n", "fewer cells"),
        (lambda whole: whole[:-1] + b",1\n", "more cells"),
        (lambda whole: whole.replace(b"EN", b"dataset", 1).replace(b"images", b"method", 1), "twice"),
        (lambda whole: b"x" * 100_000 + whole, "x" * 20),
    ],
    ids=["empty", "NUL", "not text", "cut", "short row", "long row", "column twice", "long name"],
)
def test_spoiled_tables_are_refused(run: Path, name: str, spoil: Callable[[bytes], bytes], said: str) -> None:
    path = run / name
    path.write_bytes(spoil(path.read_bytes()))
    if said.startswith("x"):
        assert f"{path} has no column" in refused(lambda: written(run))
    else:
        message = refused(lambda: written(run))
        assert str(path) in message
        assert said in message


def spoiled(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("table1.csv", f"{OURS},measured", f"{OURS},guessed", "expected measured, paper, difference, got 'guessed'"),
        ("table1.csv", f"{OURS},measured", f"{OURS},", "got ''"),
        ("table1.csv", f"{OURS},measured", "Average,measured", "of line 2 again"),
        ("table1.csv", ",True,2,", ",Maybe,2,", "got 'Maybe'"),
        ("table1_statistics.csv", ",True\n", ",Tru\n", "got 'Tru'"),
        ("table1_statistics.csv", ",SF,", ",EN,", "again"),
    ],
)
def test_values_that_no_table_has(run: Path, name: str, old: str, new: str, said: str) -> None:
    spoiled(run / name, old, new)
    assert said in refused(lambda: report.write(run, scenes=0))


@pytest.mark.parametrize("origin", ["measured", "paper", "difference"])
def test_a_table_without_one_of_its_rows(run: Path, origin: str) -> None:
    path = run / "table1.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith(f"M3FD,{OURS},{origin}")))
    assert f"of 'M3FD, {OURS}' there are only some of the rows" in refused(lambda: paper.write(run))


def test_a_table_without_rows(run: Path) -> None:
    path = run / "table1.csv"
    path.write_text(path.read_text().partition("\n")[0] + "\n")
    assert "has no rows" in refused(lambda: paper.write(run))


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("EN", "6.x", "line 3, column EN: expected a number, got '6.x'"),
        ("EN", "1e999", "expected a number"),
        ("EN", "", "the EN of 'M3FD, MoE-Fusion': the difference is not measured - paper"),
        ("SF", "5", "the SF of"),
        ("images", "", "expected whole numbers"),
        ("images", "2.5", "expected whole numbers"),
        ("images", "-2", "expected whole numbers"),
        ("images", "tang2022", "column images: expected a number"),
        pytest.param("images", "9" * 100_000, "column images: expected a number", id="long"),
    ],
)
def test_numbers_that_a_comparison_cannot_have(run: Path, column: str, value: str, said: str) -> None:
    path = run / "table1.csv"
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    frame.loc[(frame["method"] == OURS) & (frame["origin"] == "measured"), column] = value
    frame.to_csv(path, index=False)
    assert said in refused(lambda: paper.write(run))


@fuzz(0.2)
@given(data=st.data())
def test_damaged_tables(data: st.DataObject, finished: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder, run = tmp_path_factory.getbasetemp(), record.read(finished)
    for name in ("table1.csv", "table1_statistics.csv"):
        (folder / name).write_bytes(data.draw(damaged((finished / name).read_bytes(), head=400)))
    answer(lambda: paper.against(folder))
    answer(lambda: report.sheets.show_tables(report.sheets.read_tables(folder, run)))
    answer(lambda: report.sheets.show_ranks(report.sheets.read_tables(folder, run)))


def manifest(cell: Cell, recipe: object) -> None:
    """Write a finished cell whose manifest has any recipe."""
    cell.open({}, dict.fromkeys(NAMES, "f"), discard=lambda names: None)
    cell.close()
    path = cell.folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"recipe": "RECIPE"}).replace('"RECIPE"', str(recipe)))
    assert cell.manifest() is not None


@pytest.mark.parametrize("settings", ["null", "[1]", '"x"', "1e999"])
def test_a_fuse_manifest_of_odd_settings(run: Path, settings: str) -> None:
    manifest(Cell(run, "M3FD", "Average", "fuse"), f'{{"settings": {settings}}}')
    assert "run fuse again" in "; ".join(rows.notes(part(run), "Average", MethodSettings(name="average"), run))
    block = rows.block(part(run), [("Average", MethodSettings(name="average"))], ScoreSettings(), run)
    assert block.rows[0].status == "not scored"
    assert "M3FD" in written(run)


@pytest.mark.parametrize("images", ['"x"', "null", "1e999", str(10**30), "[3]", "-1", "2.5", "true"])
def test_a_detector_s_manifest_of_odd_counts(run: Path, images: str) -> None:
    manifest(detector_cell(run, "M3FD"), f'{{"images": {images}}}')
    block = detection_rows.block(
        part(run), [("Average", MethodSettings(name="average"))], DetectionSettings(protocol="paper"), run
    )
    assert block.about.training_images is None
    table = table3.table3([block])
    assert table["training_images"].isna().all()
    assert "epochs on an unknown number of images" in table3.to_latex(table, "Title")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "first line is empty"),
        (b"\0" * 100, "NUL"),
        (BOXES.encode(), "holds no box"),
        (b"image;x0;y0;x1;y1\n00001;1;1;9;9\n", "no column image"),
        (BOXES.encode("utf-16"), "cannot be read"),
        (f"{BOXES}00001,5000,5000,5001,5001\n".encode(), "line 2: the box 5000.0, 5000.0, 5001.0, 5001.0 lies outside"),
        (f"{BOXES}00001,1,{HEIGHT},9,{HEIGHT + 9}\n".encode(), "line 2: the box"),
        (f"{BOXES}00001,1,1,1,9\n".encode(), "line 2: expected 0 <= x0 < x1"),
        (f"{BOXES}00001,1,1,,9\n".encode(), "line 2: expected 0 <= x0 < x1"),
        (f"{BOXES}00001,1,1,inf,9\n".encode(), "line 2, column x1: expected a number, got 'inf'"),
        (f"{BOXES}00001,1,1,9,9,9\n".encode(), "line 2: more cells"),
        (f"{BOXES}00001,1,1,9\n".encode(), "line 2: fewer cells"),
        (b"image,x0,y0,x1,y1,x0\n00001,1,1,9,9,5\n", "the column 'x0' twice"),
        (BOXES.encode() + b"n" * 100_000 + b",1,1,9,9\n", "no pair 'nnn"),
        (BOXES.encode() + b"00001,1,1,9," + b"n" * 100_000 + b"\n", "got 'nnn"),
        (b"dataset," + BOXES.encode() + b"n" * 100_000 + b",00001,1,1,9,9\n", "unknown data set 'nnn"),
        (b"n" * 100_000, "only 'nnn"),
    ],
    ids=range(17),
)
def test_boxes_that_say_nothing_or_nonsense(run: Path, content: bytes, said: str) -> None:
    path = run / "boxes.csv"
    path.write_bytes(content)
    message = refused(lambda: report.write(run, boxes=path))
    assert message.startswith(str(path))
    assert said in message


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_boxes_as_excel_writes_them(run: Path, end: str) -> None:
    path = run / "boxes.csv"
    path.write_bytes(f"{BOXES}00002,1,2,9,500{end}".encode("utf-8-sig"))
    assert f"[1.0, 2.0, 9.0, {HEIGHT}]" in written(run, boxes=path)


def test_what_is_quoted_is_short() -> None:
    assert len(csv_files.quoted("n" * 10**6)) <= 82
    assert csv_files.quoted("a\nb") == r"'a\nb'"


@pytest.mark.parametrize("name", ["table1.csv", "table1_statistics.csv"])
def test_the_command_says_it_in_one_line(run: Path, name: str, call: Callable) -> None:
    (run / name).write_bytes(b"")
    status, complaints = call(["python", str(SCRIPT), "report", str(run)])
    assert status == 2
    assert name in one_error(complaints)
