"""Equal bytes, whatever the workers, the hash seed, the locale, the time zone and the working folder."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.runs import command, finish, results

ELSEWHERE = {
    "PYTHONHASHSEED": "4711",
    "LC_ALL": "C",
    "LANG": "de_DE.ISO-8859-1",
    "TZ": "Pacific/Chatham",
    "COLUMNS": "40",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "more"),
    [
        (2, {"PYTHONHASHSEED": "1"}),
        (2, ELSEWHERE | {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}),
    ],
)
def test_equal_bytes_everywhere(
    workers: int, more: dict[str, str], scenes: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    status, _, complaints = finish(command(scenes, out, workers=workers), more=more, cwd=tmp_path)
    assert (status, complaints) == (0, [])
    assert results(out) == undisturbed


def test_equal_bytes_after_parts_are_made_again(
    scenes: Path, undisturbed: dict[str, bytes], tmp_path: Path, call: Callable
) -> None:
    """Two pairs first, then all with other workers and fewer methods; some files lost in between."""
    out = tmp_path / "out"
    assert call(command(scenes, out, "run", "--limit", "2", methods=("average", "infrared"), workers=2))[0] == 0
    shutil.rmtree(out / "cells/M3FD/Infrared/score")
    sorted((out / "cells/M3FD/Average/fuse").glob("*.png"))[0].unlink()
    table = out / "cells/M3FD/Average/score/scores.csv"
    table.write_bytes(table.read_bytes()[:-20])
    assert call(command(scenes, out)) == (0, [])
    assert results(out) == undisturbed
