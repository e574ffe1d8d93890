"""The report that `check` gives."""

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from joblib import Parallel
from PIL import Image
from rich.console import Console

from benchmark import datasets
from benchmark.datasets import report as reports
from benchmark.datasets.findings import MOST
from metrics.errors import InputError
from tests.benchmark.datasets.trees import image, item, text, xml


def printed(report: datasets.CheckReport, limit: int = 50) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(datasets.render(report, limit))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_of_a_whole_folder(m3fd: Path) -> None:
    for band in ("Ir", "Vis"):
        image(m3fd / band / "00000.png", size=(80, 60), mode="RGB")
    xml(m3fd / "Annotation" / "00000.xml", item("Lamp"), size=(80, 60))
    calls: list[tuple[int, int]] = []
    report = datasets.check("m3fd", m3fd, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert (report.problems, report.notes) == ({}, ())
    train, test = report.parts
    assert (train.part, train.pairs, train.published, train.difficult) == ("train", 2, 3900, 1)
    assert train.boxes == {"People": 1, "Car": 1, "Bus": 0, "Motorcycle": 0, "Lamp": 1, "Truck": 0}
    assert (test.pairs, test.published) == (1, 300)
    dataset = datasets.load("m3fd", m3fd)
    assert train.fingerprint == datasets.fingerprint(dataset.train)
    assert test.fingerprint == datasets.fingerprint(dataset.test)
    assert report.sizes == {"40x30": 2, "80x60": 1}
    assert len(report.annotations) == 64
    json.dumps(dataclasses.asdict(report))
    text = printed(report)
    assert "layout: Vis, Ir, Annotation (MoE-Fusion's layout)" in text
    assert "sizes: 40x30 (2), 80x60 (1)" in text
    assert text.rstrip().endswith("\nfit for use")


def test_of_what_cannot_be_decoded(m3fd: Path) -> None:
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
    noise.save(m3fd / "Ir" / "00002.png")
    whole = (m3fd / "Ir" / "00002.png").read_bytes()
    (m3fd / "Ir" / "00002.png").write_bytes(whole[: len(whole) // 2])
    Image.new("RGBA", (40, 30), (9, 9, 9, 254)).save(m3fd / "Vis" / "00002.png")
    datasets.load("m3fd", m3fd)  # headers are whole: only decoding tells
    report = datasets.check("m3fd", m3fd)
    assert list(report.problems) == ["unreadable file"]
    damaged, transparent = report.problems["unreadable file"]
    assert "Ir/00002.png cannot be decoded" in damaged
    assert "Vis/00002.png has an alpha channel" in transparent
    assert report.parts[0].fingerprint
    assert report.parts[1].fingerprint == ""


def test_of_many_problems_by_kind(m3fd: Path) -> None:
    xml(m3fd / "Annotation" / "00000.xml", item("people"), item("Dog"), item("[red]"))
    (m3fd / "Ir" / "00002.png").unlink()
    report = datasets.check("m3fd", m3fd)
    counts = {kind: len(lines) for kind, lines in report.problems.items()}
    assert counts == {"misnamed class": 1, "unknown class": 2, "missing partner": 1}
    assert report.parts[1].pairs == 0
    text = printed(report, limit=1)
    assert "unknown class: 2" in text
    assert "and 1 more" in text
    assert "unknown class '[red]'" in printed(report)
    assert text.rstrip().endswith("not fit for use")


def test_of_more_problems_than_are_kept(m3fd: Path) -> None:
    text(m3fd / "test.txt", *(f"x{number}" for number in range(MOST + 2000)))
    shown = printed(datasets.check("m3fd", m3fd))
    assert "list: 7,000" in shown
    assert "and 6,950 more" in shown


@pytest.mark.parametrize(("jobs", "started"), [(1, 1), (2, 2), (3, 3), (60, 3), (None, 3)])
def test_a_process_has_a_pair_at_least(
    jobs: int | None, started: int, m3fd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def parallel(n_jobs: int, return_as: str) -> Parallel:
        asked.append(n_jobs)
        return Parallel(n_jobs=1, return_as=return_as)

    monkeypatch.setattr(reports, "Parallel", parallel)
    monkeypatch.setattr(datasets, "cpu_count", lambda: 8)
    assert datasets.check("m3fd", m3fd, jobs=jobs).problems == {}
    assert datasets.check("m3fd", m3fd / "none", jobs=jobs).problems
    assert asked == [started, 1]


@pytest.mark.parametrize("jobs", [0, -1, -1000])
def test_no_process_is_too_few(jobs: int, m3fd: Path) -> None:
    with pytest.raises(InputError, match=f"workers is {jobs}; expected at least 1"):
        datasets.check("m3fd", m3fd, jobs=jobs)


def test_of_swapped_bands(two_folders: Path) -> None:
    assert datasets.check("tno", two_folders).notes == ()
    Image.new("RGB", (40, 30), (200, 40, 40)).save(two_folders / "ir" / "01.png")
    assert datasets.check("tno", two_folders).notes == ("infrared images in colour (are the bands swapped?): 1",)


@pytest.mark.parametrize("name", ["m3fd", "flir", "llvip", "msrs", "roadscene", "tno", "folders", "synthetic"])
def test_of_an_empty_folder_never_raises(name: str, tmp_path: Path) -> None:
    report = datasets.check(name, tmp_path)
    assert list(report.problems) == ["layout"]
    assert [part.pairs for part in report.parts] == [0, 0]
    assert "layout: none found" in printed(report)


def test_the_fingerprint_does_not_name_the_folder(llvip: Path, tmp_path: Path) -> None:
    before = datasets.check("llvip", llvip)
    after = datasets.check("llvip", llvip.rename(tmp_path / "elsewhere"))
    assert (after.parts, after.annotations) == (before.parts, before.annotations)
