"""What a training says while it runs, where no terminal is attached."""

import threading
from pathlib import Path

import pytest

from moefusion import journal
from moefusion.journal import Journal

ROW = {"epoch": 1, "learning_rate": 1e-3, "total": 1.5, "pixel": 0.25, "global_expert_0": 0.25, "global_expert_1": 0.75}


def write(folder: Path, **options: bool) -> None:
    with Journal(folder, first_step=2, steps=5, tensorboard=False, **options) as opened:
        for step in (3, 4, 5):
            opened.write({"step": step, **ROW, "gradient_norm": 7.0, "seconds": 0.1})


@pytest.mark.parametrize("bar", [True, False])
def test_a_line_every_few_seconds(
    bar: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal.time, "monotonic", iter([0.0, 6.0, 6.0, 8.0, 12.0, 12.0]).__next__)
    write(tmp_path, progress=True, bar=bar)
    assert capsys.readouterr().out.splitlines() == [
        "step 3 of 5, epoch 1, 12 s left: total 1.50 pixel 0.25; global experts 25/75%",
        "step 5 of 5, epoch 1, 0 s left: total 1.50 pixel 0.25; global experts 25/75%",
    ]


def test_nothing_where_nothing_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, progress=False, bar=False)
    assert capsys.readouterr().out == ""
    assert len((tmp_path / "train.csv").read_text().splitlines()) == 4


def test_a_long_step_prints_a_line_every_ten_seconds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(journal.time, "monotonic", lambda: now[0])
    opened = Journal(tmp_path, first_step=2, steps=5, progress=True, tensorboard=False)
    for second in range(1, 26):
        now[0] = float(second)
        opened.print_long_step()
    assert capsys.readouterr().out.splitlines() == ["step 3 of 5: at work"] * 2
    opened.write({"step": 3, **ROW, "gradient_norm": 7.0, "seconds": 0.1})
    now[0] = 36.0
    opened.print_long_step()
    assert capsys.readouterr().out.splitlines()[-1] == "step 4 of 5: at work"


def test_a_long_step_is_seen_while_it_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = threading.Event()
    monkeypatch.setattr(journal, "_LOOK", 0.01)
    monkeypatch.setattr(Journal, "print_long_step", lambda self: printed.set())
    with Journal(tmp_path, first_step=2, steps=5, progress=True, tensorboard=False):
        assert printed.wait(20)
    printed.clear()
    with Journal(tmp_path, first_step=2, steps=5, progress=False, tensorboard=False):
        assert not printed.wait(0.2)
