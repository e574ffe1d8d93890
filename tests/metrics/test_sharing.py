"""Intermediate results are computed once within one scoring, and never outlive it."""

import threading

import numpy as np
import pytest

from metrics.images import ImageArray
from metrics.sharing import computed_once, sharing

calls: list[int] = []


@computed_once
def total(image: ImageArray, *, factor: int = 1) -> tuple[float, ImageArray]:
    calls.append(factor)
    return factor * float(image.sum()), image + 1


@pytest.fixture(autouse=True)
def _reset() -> None:
    calls.clear()


def test_a_result_is_computed_once_for_the_same_array_and_options() -> None:
    image = np.ones((3, 4), np.uint8)
    with sharing():
        one = total(image)
        assert total(image) is one
        assert one[0] == 12
        with pytest.raises(ValueError, match="read-only"):
            one[1][0, 0] = 9
        assert total(image, factor=2)[0] == 24
        assert total(image.copy())[0] == 12
    assert calls == [1, 2, 1]


def test_nothing_is_kept_afterwards() -> None:
    image = np.ones((3, 4), np.uint8)
    for _ in range(2):
        with sharing():
            total(image)
    total(image)
    total(image)
    assert calls == [1, 1, 1, 1]
    assert total(image)[1].flags.writeable


def test_an_array_that_takes_the_place_of_another_is_not_mistaken_for_it() -> None:
    with sharing():
        sums = [total(np.full((64, 64), level, np.uint8))[0] for level in range(50)]
    assert sums == [64 * 64 * level for level in range(50)]


def test_threads_share_nothing() -> None:
    image = np.ones((3, 4), np.uint8)
    with sharing():
        total(image)
        thread = threading.Thread(target=total, args=(image,))
        thread.start()
        thread.join()
    assert calls == [1, 1]
