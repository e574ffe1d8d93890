"""The hash of the code that decides a number: arithmetic changes it, prose does not."""

import importlib
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import methods
import metrics
from metrics.code import code_digest

HELPER = '''"""Shared."""
import math
SCALE = 2.0
OTHER = 3.0

def shared(x):
    """Double."""
    return x * SCALE

def unused(x):
    return math.sqrt(x)
'''
MAIN = '''"""Two functions."""
from {package} import helper
from {package}.helper import shared

TITLES = {{"a": "one"}}
METRICS = ("first", "second")

def first(x: float) -> float:
    """Return it."""
    if x < 0:
        raise ValueError(f"{{x}} is negative")
    return shared(x) + 1

def second(x):
    return helper.shared(x) + helper.OTHER
'''


NUMBERS = itertools.count()


@pytest.fixture
def digests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], tuple[str, str]]]:
    """Write both modules as a package of another name each time; return the digests of both functions."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(helper: str, main: str) -> tuple[str, str]:
        name = f"ivif_code_{next(NUMBERS)}"  # a module is read once in a process
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
        (tmp_path / name / "helper.py").write_text(helper)
        (tmp_path / name / "main.py").write_text(main.format(package=name))
        importlib.invalidate_caches()
        module = importlib.import_module(f"{name}.main")
        return code_digest(module.first), code_digest(module.second)

    yield write
    for name in list(sys.modules):
        if name.startswith("ivif_code_"):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Return it."""', '"""Return something else."""'),
        ("is negative", "lies below zero"),
        ("(x: float) -> float", "(x: int) -> int"),
        ('"a": "one"', '"a": "two"'),
        ('"second")', '"third")'),
        ("    return shared(x) + 1", "    # a comment\n\n    return  shared( x )+1"),
    ],
)
def test_prose_does_not_count(digests: Callable, old: str, new: str) -> None:
    assert MAIN.replace(old, new) != MAIN
    assert digests(HELPER, MAIN.replace(old, new)) == digests(HELPER, MAIN)


@pytest.mark.parametrize("old", ['"""Double."""', "math.sqrt(x)", "import math\n"])
def test_what_is_not_used_does_not_count(digests: Callable, old: str) -> None:
    new = {"math.sqrt(x)": "x**0.5", "import math\n": "import math\nimport os\n"}.get(old, '"""Twice."""')
    assert digests(HELPER.replace(old, new), MAIN) == digests(HELPER, MAIN)


@pytest.mark.parametrize("change", [("x * SCALE", "x / SCALE"), ("SCALE = 2.0", "SCALE = 2.5")])
def test_what_both_use_changes_both(digests: Callable, change: tuple[str, str]) -> None:
    before, after = digests(HELPER, MAIN), digests(HELPER.replace(*change), MAIN)
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_a_line_of_one_changes_that_one(digests: Callable) -> None:
    before = digests(HELPER, MAIN)
    first, second = digests(HELPER, MAIN.replace("+ 1", "+ 2"))
    assert first != before[0]
    assert second == before[1]
    first, second = digests(HELPER.replace("OTHER = 3.0", "OTHER = 4.0"), MAIN)
    assert first == before[0]
    assert second != before[1]


def test_every_metric_and_every_method_has_one() -> None:
    found = {name: code_digest(metric.function) for name, metric in metrics.METRICS.items()}
    assert len({found[name] for name in metrics.PAPER}) == len(metrics.PAPER)
    assert len({code_digest(methods.find(name)) for name in methods.names()}) == len(methods.names())


def test_a_network_behind_a_lazy_package_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """`moefusion` gives its names by `__getattr__`; the network's own file must count all the same."""
    from metrics import code

    seen: list[str] = []
    whole = code._Module.statements
    monkeypatch.setattr(code._Module, "statements", lambda self, name: seen.append(self.name) or whole(self, name))
    code_digest.__wrapped__(methods.find("moefusion"))
    assert {"moefusion.network", "moefusion.model", "methods.network", "metrics.images"} <= set(seen)
