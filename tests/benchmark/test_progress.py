"""What a run says of its progress where no terminal is attached."""

import io
import threading

import pytest
from rich.console import Console

from benchmark.engine import progress
from benchmark.engine.progress import Board


class Screen(io.StringIO):
    """A file that says when a line was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def write(self, text: str) -> int:
        written = super().write(text)
        self.written.set()
        return written


def test_a_running_cell_prints_a_line_every_ten_seconds() -> None:
    now, screen = [0.0], io.StringIO()
    board = Board(["fuse", "score"], Console(file=screen, width=20), clock=lambda: now[0])
    task, waiting = board.add("M3FD", "DenseFuse", "fuse"), board.add("M3FD", "DenseFuse", "score")
    task.state = "running"
    times = []
    for second in range(1, 61):
        now[0], (task.finished, task.of) = float(second), (second, 300)
        before = screen.getvalue()
        board.print_progress()
        if screen.getvalue() != before:
            times.append(second)
    assert max(later - earlier for earlier, later in zip([0, *times], [*times, 61], strict=True)) <= 10
    assert len(times) <= 6
    assert screen.getvalue().splitlines()[0] == "M3FD · DenseFuse · fuse: 9/300"
    board.end(task, "done")
    waiting.state = "running"
    now[0] += 8.0
    before = screen.getvalue()
    board.print_progress()
    assert screen.getvalue() == before  # the line of the finished cell is not old enough
    now[0] += 2.0
    board.print_progress()
    assert screen.getvalue().splitlines()[-1] == "M3FD · DenseFuse · score: running"


def test_training_prints_its_own_lines() -> None:
    now, screen = [0.0], io.StringIO()
    board = Board(["train"], Console(file=screen), clock=lambda: now[0])
    board.add("M3FD", "", "train").state = "running"
    with board.paused():
        now[0] = 100.0
        board.print_progress()
    assert screen.getvalue() == ""
    now[0] = 110.0
    board.print_progress()
    assert screen.getvalue() == "M3FD · data set: running\n"


def test_a_stage_that_reports_nothing_is_shown_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_PAUSE", 0.0)
    monkeypatch.setattr(progress, "_LOOK", 0.01)
    screen = Screen()
    threads = threading.active_count()
    with Board(["fuse"], Console(file=screen)) as board:
        board.add("M3FD", "A method that takes minutes for an image", "fuse").state = "running"
        assert screen.written.wait(20)
    assert "fuse: running" in screen.getvalue()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.daemon and "_look" in thread.name:
            thread.join(20)
    assert threading.active_count() <= threads
