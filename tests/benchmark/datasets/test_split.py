"""The seeded split of M3FD, which must never change."""

from pathlib import Path

import pytest

from benchmark import datasets
from benchmark.datasets.readers import m3fd as reader
from tests.benchmark.datasets.trees import image, xml


def test_of_all_pairs() -> None:
    names = [f"{number:05d}" for number in range(4200)]
    train, test = reader.seeded_split(names)
    assert (len(train), len(test)) == (3900, 300)
    assert sorted(train + test) == names
    assert test == sorted(test)
    # by hand: for i in $(seq -w 00000 04199); do echo "$(printf ivif-m3fd-1:$i | sha256sum | cut -c-64) $i"; done
    #          | sort | head -300 | cut -d' ' -f2 | sort | sha256sum
    assert reader.list_hash(test) == "fed2a0fe6c92ad50907c06dd5992104f4e62e42c249e27e1d389a39a909a6b09"


@pytest.mark.parametrize(("pairs", "test"), [(1, 1), (12, 1), (14, 1), (28, 2), (42, 3), (4199, 300)])
def test_of_some_pairs_keeps_the_proportion(pairs: int, test: int) -> None:
    names = [str(number) for number in range(pairs)]
    train, drawn = reader.seeded_split(names)
    assert (len(train), len(drawn)) == (pairs - test, test)
    assert reader.seeded_split(names) == (train, drawn)


def test_is_used_without_lists(m3fd: Path) -> None:
    (m3fd / "train.txt").unlink()
    (m3fd / "test.txt").unlink()
    for number in range(3, 28):
        image(m3fd / "Ir" / f"{number:05d}.png")
        image(m3fd / "Vis" / f"{number:05d}.png")
        xml(m3fd / "Annotation" / f"{number:05d}.xml")
    dataset = datasets.load("m3fd", m3fd)
    train, test = reader.seeded_split([f"{number:05d}" for number in range(28)])
    assert [pair.name for pair in dataset.train] == train
    assert [pair.name for pair in dataset.test] == test
    assert "seeded list (26 train, 2 test)" in dataset.split
    assert dataset.split.endswith(reader.list_hash(test))
