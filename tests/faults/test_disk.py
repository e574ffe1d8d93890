"""Full disks, folders that cannot be written, files that change or vanish, two runs at once, and being stopped."""

import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import metrics
from benchmark import datasets
from benchmark.datasets.base import Pair
from benchmark.engine.cells import Cell
from benchmark.engine.experiment import MethodSettings, ScoreSettings
from benchmark.engine.stage import Progress, bring_up_to_date
from benchmark.engine.stages.fuse import Fuse, _fuse_in_worker
from benchmark.engine.stages.score import Score, read_scores
from metrics import images
from metrics.errors import InputError
from metrics.workers import Workers
from tests.faults.runs import command, finish, left_behind, one_error, results, start

NOBODY = 65534
AVERAGE = MethodSettings("average")


def fuse_pairs(
    pairs: Sequence[Pair],
    cell: Cell,
    settings: MethodSettings = AVERAGE,
    progress: Progress = lambda done, of: None,
) -> None:
    bring_up_to_date(Fuse("m3fd", pairs, settings, workers=Workers(1)), cell, progress=progress)


def score_pairs(pairs: Sequence[Pair], fuse: Cell, cell: Cell) -> None:
    bring_up_to_date(Score(pairs, fuse.folder, ScoreSettings(), workers=Workers(1)), cell)


root_only = pytest.mark.skipif(os.geteuid() != 0, reason="mounting, or becoming another user, needs root")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB: room for some of a run's files."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("no tmpfs can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@root_only
def test_a_full_disk(scenes: Path, undisturbed: dict[str, bytes], small_disk: Path, call: Callable) -> None:
    out = small_disk / "out"
    status, complaints = call(command(scenes, out))
    assert status == 2
    assert complaints
    assert all(line.startswith("error: ") for line in complaints), complaints
    assert all("No space left on device" in line for line in complaints), "\n".join(complaints)
    kept = {name: content for name, content in results(out).items() if name.endswith(".png")}
    assert 0 < len(kept) < 24
    assert all(content == undisturbed[name] for name, content in kept.items())
    assert left_behind(out) == []
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    assert call(command(scenes, out)) == (0, [])
    assert results(out) == undisturbed


def limit_files() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))


def test_files_that_may_not_grow(scenes: Path, tmp_path: Path, call: Callable) -> None:
    """A quota, which needs no root to try."""
    out = tmp_path / "out"
    status, _, complaints = finish(command(scenes, out, methods=("average",)), preexec_fn=limit_files)
    assert status == 2
    assert "cannot be written (File too large)" in one_error(complaints)
    assert left_behind(out) == []
    assert call(command(scenes, out, methods=("average",))) == (0, [])


@pytest.mark.parametrize("place", ["out", "parent", "cells"])
def test_a_file_in_place_of_a_folder(place: str, scenes: Path, tmp_path: Path, call: Callable) -> None:
    out = tmp_path / "out" / "deeper"
    in_the_way = {"out": out, "parent": out.parent, "cells": out / "cells"}[place]
    in_the_way.parent.mkdir(parents=True, exist_ok=True)
    in_the_way.write_text("mine")
    status, complaints = call(command(scenes, out, methods=("average",)))
    assert status == 2
    assert str(in_the_way) in one_error(complaints)
    assert in_the_way.read_text() == "mine"


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user may look into; pytest's own may not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@root_only
@pytest.mark.parametrize("closed", ["output", "image", "annotation", "folder", "experiment", "fused"])
def test_no_permission(closed: str, scenes: Path, public: Path, call: Callable) -> None:
    data, out = shutil.copytree(scenes, public / "data"), public / "open" / "out"
    data.chmod(0o755)
    line = command(data, out, methods=("average",))
    if closed == "experiment":
        (public / "mine.toml").write_text('title = "x"\nmethods = []\n[[datasets]]\nname = "m3fd"\n')
        line[line.index("m3fd")] = str(public / "mine.toml")
    assert call(line)[0] == 0  # loads all that this process needs, while it may
    if closed == "fused":
        line[line.index("run")] = "score"  # the tables' templates may lie where NOBODY may not read
    else:
        shutil.rmtree(out)
    shut = {
        "output": out.parent,
        "image": data / "M3FD/Vis/00003.png",
        "annotation": data / "M3FD/Annotation/00003.xml",
        "folder": data / "M3FD/Ir",
        "experiment": public / "mine.toml",
        "fused": out / "cells/M3FD/Average/fuse/00003.png",
    }[closed]
    for path in (out.parent, *out.parent.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    os.chown(shut, 0, 0)
    shut.chmod(0o555 if closed == "output" else 0)
    os.seteuid(NOBODY)
    try:
        status, complaints = call(line)
    finally:
        os.seteuid(0)
    assert status == 2, complaints
    said = one_error(complaints)
    assert "Permission denied" in said
    assert str(shut) in said


Change = Callable[[Path, Path, Path], None]


def replace_source(source: Path, fused: Path, table: Path) -> None:
    images.write(source, 255 - images.read(source))


def delete_fused(source: Path, fused: Path, table: Path) -> None:
    fused.unlink()


def truncate_fused(source: Path, fused: Path, table: Path) -> None:
    fused.write_bytes(fused.read_bytes()[:100])


def truncate_table(source: Path, fused: Path, table: Path) -> None:
    table.write_bytes(table.read_bytes()[:-10])


@pytest.mark.parametrize("change", [replace_source, delete_fused, truncate_fused, truncate_table])
def test_files_changed_between_runs(change: Change, scenes: Path, tmp_path: Path, call: Callable) -> None:
    data, out = shutil.copytree(scenes, tmp_path / "data"), tmp_path / "out"
    for verb in ("fuse", "score"):
        assert call(command(data, out, verb, methods=("average",)))[0] == 0
    fused = sorted((out / "cells/M3FD/Average/fuse").glob("*.png"))[2]
    table = out / "cells/M3FD/Average/score/scores.csv"
    change(data / "M3FD/Ir" / fused.name, fused, table)
    status, complaints = call(command(data, out, "score", methods=("average",)))
    if change is delete_fused:
        assert status == 2
        assert "every pair needs its fused image" in one_error(complaints)
    if change is truncate_fused:
        assert status == 2
        assert "delete it: the next run fuses it again" in one_error(complaints)
        fused.unlink()
    assert call(command(data, out, methods=("average",))) == (0, [])
    fresh = tmp_path / "fresh"
    assert call(command(data, fresh, methods=("average",)))[0] == 0
    assert results(out) == results(fresh)


@pytest.mark.parametrize("stage", ["fuse", "score"])
def test_a_source_that_changes_under_a_stage(stage: str, scenes: Path, tmp_path: Path) -> None:
    """The manifest holds the fingerprint of the old bytes, so what was made of the new ones may not stand under it."""
    data = shutil.copytree(scenes, tmp_path / "data")
    pairs = datasets.load("m3fd", data / "M3FD").test
    old = {pair.name: pair.fingerprint for pair in pairs}
    fuse, score = (Cell(tmp_path / "out", "M3FD", "Average", name) for name in ("fuse", "score"))

    def fused() -> None:
        fuse_pairs(pairs, fuse)

    def scored() -> None:
        score_pairs(pairs, fuse, score)

    if stage == "score":
        fused()
    path = pairs[3].infrared
    before = path.read_bytes()
    images.write(path, 255 - images.read(path))
    with pytest.raises(InputError, match=f"{path.name} changed while the run was at work"):
        fused() if stage == "fuse" else scored()
    path.write_bytes(before)
    pairs = datasets.load("m3fd", data / "M3FD").test
    assert {pair.name: pair.fingerprint for pair in pairs} == old
    fused()
    scored()
    expected = read_scores(score, pairs)
    fuse, score = (Cell(tmp_path / "fresh", "M3FD", "Average", name) for name in ("fuse", "score"))
    fused()
    scored()
    pd.testing.assert_frame_equal(expected, read_scores(score, pairs))


def test_a_fused_image_that_changes_while_it_is_scored(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = datasets.load("m3fd", scenes / "M3FD").test
    fuse, score = (Cell(tmp_path / "out", "M3FD", "Average", name) for name in ("fuse", "score"))
    fuse_pairs(pairs, fuse)
    path = fuse.folder / f"{pairs[2].name}.png"
    before, evaluate = path.read_bytes(), metrics.evaluate_triples

    def meddling(*given: object, **options: object) -> Iterator[dict[str, float]]:
        images.write(path, 255 - images.read(path))
        yield from evaluate(*given, **options)

    monkeypatch.setattr("metrics.evaluate_triples", meddling)
    with pytest.raises(InputError, match=f"{path.name} changed while the run was at work"):
        score_pairs(pairs, fuse, score)
    monkeypatch.undo()
    path.write_bytes(before)
    score_pairs(pairs, fuse, score)
    found = read_scores(score, pairs)
    expected = Cell(tmp_path / "fresh", "M3FD", "Average", "score")
    score_pairs(pairs, fuse, expected)
    pd.testing.assert_frame_equal(found, read_scores(expected, pairs))


def test_a_folder_s_image_that_changes_while_it_is_taken_over(scenes: Path, tmp_path: Path) -> None:
    pairs = datasets.load("m3fd", scenes / "M3FD").test
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for pair in pairs:
        images.write(theirs / f"{pair.name}.png", images.grey(images.read(pair.visible)))
    cell, settings = Cell(tmp_path / "out", "M3FD", "Theirs", "fuse"), MethodSettings("folder", weights=str(theirs))
    path = theirs / f"{pairs[1].name}.png"

    def meddling(done: int, of: int) -> None:
        if done == 1:
            images.write(path, 255 - images.read(path))

    with pytest.raises(InputError, match=f"{path.name} changed while the run was at work"):
        fuse_pairs(pairs, cell, settings, progress=meddling)
    assert not (cell.folder / path.name).exists()
    fuse_pairs(pairs, cell, settings)
    assert (images.read(cell.folder / path.name) == images.read(path)).all()


def test_a_worker_whose_code_is_another_refuses(scenes: Path, tmp_path: Path) -> None:
    pair = datasets.load("m3fd", scenes / "M3FD").test[0]
    _, said = _fuse_in_worker(MethodSettings("average"), "cpu", {"code": "old"}, "m3fd", pair, tmp_path / "a.png")
    assert isinstance(said, InputError)
    assert "the code of average changed while the run was at work" in str(said)
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize("table", ["1", "2"])
def test_a_table_of_other_images_says_so(table: str, scenes: Path, tmp_path: Path, call: Callable) -> None:
    """Its fingerprint would be that of the new images, its numbers those of the old ones."""
    data, out = shutil.copytree(scenes, tmp_path / "data"), tmp_path / "out"
    assert call(command(data, out, methods=("average",)))[0] == 0
    path = sorted((data / "M3FD/Vis").glob("*.png"))[-1]
    images.write(path, 255 - images.read(path))
    if table == "2":  # fused again, but not scored
        assert call(command(data, out, "fuse", methods=("average",)))[0] == 0
    status, complaints = call(command(data, out, "table", methods=("average",)))
    assert status == 2
    assert "scored on other images than are here now; run score again" in one_error(complaints)
    assert call(command(data, out, methods=("average",))) == (0, [])


WAITING = """
import time
from pathlib import Path
from methods import Method
class Waiting(Method):
    def forward(self, infrared, visible):
        while infrared.sum() % 2 and not Path({go!r}).exists():
            time.sleep(0.01)
        return infrared * 0.5
"""


@pytest.fixture
def waiting(scenes: Path, tmp_path: Path) -> list[str]:
    """A command that fuses one of two pairs and waits with the other until there is a file `go`."""
    data = shutil.copytree(scenes, tmp_path / "data") / "M3FD"
    names = (data / "test.txt").read_text().split()[:2]
    (data / "test.txt").write_text("\n".join(names))
    for odd, name in enumerate(names):
        image = np.zeros((96, 128), np.uint8)
        image[::2] = np.arange(128)
        image[0, 0] = odd
        images.write(data / "Ir" / f"{name}.png", image)
    (tmp_path / "waiting.py").write_text(WAITING.format(go=str(tmp_path / "go")))
    return command(data.parent, tmp_path / "out", methods=(f"{tmp_path}/waiting.py:Waiting",))


def at_work(line: list[str], out: Path) -> "subprocess.Popen[str]":
    """Start a command and wait for its first fused image."""
    process = start(line)
    for _ in range(3000):
        if any(out.rglob("*.png")):
            return process
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError("it fuses nothing")


def test_two_runs_in_one_folder(waiting: list[str], scenes: Path, tmp_path: Path, call: Callable) -> None:
    out = tmp_path / "out"
    first = at_work(waiting, out)
    status, complaints = call(command(scenes, out, methods=("average",)))
    (tmp_path / "go").touch()
    assert (first.communicate(timeout=60)[1], first.returncode) == ("", 0)
    assert status == 2
    assert f"another run works in {out}; wait for it" in one_error(complaints)
    assert call(command(scenes, out, methods=("average",))) == (0, [])


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_in_the_midst(
    number: int, status: int, workers: str, waiting: list[str], tmp_path: Path, call: Callable
) -> None:
    out = tmp_path / "out"
    waiting[waiting.index("--workers") + 1] = workers
    process = at_work(waiting, out)
    process.send_signal(number)
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == status
    assert "interrupted; what is finished is kept" in one_error(complaints.splitlines())
    assert left_behind(out) == []
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert len(kept) == 1
    (tmp_path / "go").touch()
    waiting[waiting.index("--workers") + 1] = "1"
    assert call(waiting) == (0, [])
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_what_a_killed_run_left_is_cleaned_away(scenes: Path, tmp_path: Path, call: Callable) -> None:
    out = tmp_path / "out"
    cell = out / "cells/M3FD/Average/fuse"
    cell.mkdir(parents=True)
    for folder in (cell, out):
        (folder / ".00001.png.ab_d1234.tmp").write_bytes(b"half")
    assert call(command(scenes, out, methods=("average",))) == (0, [])
    assert left_behind(out) == []


def test_a_link_in_the_way_is_replaced_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim.png"
    victim.write_bytes(b"mine")
    link = tmp_path / "fused.png"
    link.symlink_to(victim)
    images.write(link, np.zeros((8, 8), np.uint8))
    assert victim.read_bytes() == b"mine"
    assert not link.is_symlink()
