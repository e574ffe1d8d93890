"""Background threads: results in order, a bounded lookahead, and errors raised in turn."""

import threading
from collections.abc import Iterator

import pytest

from metrics.lookahead import lookahead, threads


def test_in_their_order_in_threads_of_their_own() -> None:
    def make(number: int) -> tuple[int, bool]:
        return number, threading.current_thread() is threading.main_thread()

    assert list(lookahead(make, range(50), 3)) == [(number, False) for number in range(50)]
    assert list(lookahead(make, [])) == []


def test_a_few_are_drawn_ahead_in_this_thread() -> None:
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            assert threading.current_thread() is threading.main_thread()
            drawn.append(number)
            yield number

    made = lookahead(str, items(), 3)
    assert not drawn
    for taken, one in enumerate(made, start=1):
        assert one == str(taken - 1)
        assert len(drawn) == min(taken + 3, 20)


def test_while_one_is_used_the_next_is_made() -> None:
    """With a barrier that only both together pass: in turn they would wait for each other."""
    both = threading.Barrier(2, timeout=20)

    def make(number: int) -> int:
        if number:
            both.wait()
        return number

    made = lookahead(make, range(2), 1)
    assert next(made) == 0
    both.wait()
    assert list(made) == [1]


def test_an_error_comes_at_its_turn_and_what_was_begun_is_finished() -> None:
    finished: list[int] = []

    def make(number: int) -> int:
        if number == 2:
            raise ValueError("the third")
        finished.append(number)
        return number

    made = lookahead(make, range(9), 4)
    assert [next(made), next(made)] == [0, 1]
    with pytest.raises(ValueError, match="the third"):
        next(made)
    assert {0, 1, 3, 4, 5} <= set(finished)


def test_threads() -> None:
    assert [threads(1), threads(3), threads(99)] == [1, 3, 8]
    assert 1 <= threads(None) <= 8
