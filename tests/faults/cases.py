"""Damage to files, and what a reader may do with a damaged one: answer, or say in one line what is wrong."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from metrics.errors import InputError

Found = TypeVar("Found")
CASES = int(
    os.environ.get("IVIF_FUZZ", "300")
)  # cases of each fuzzed reader; more: IVIF_FUZZ=100000 pytest tests/faults
LONGEST = 5.0  # seconds that one case may take
NASTY = (0, 1, 0x7F, 0x80, 0xFE, 0xFF)


def fuzz(share: float = 1.0) -> settings:
    """Return the settings of a fuzz test; the same cases in every run, unless IVIF_FUZZ asks for its own number."""
    return settings(
        max_examples=max(int(CASES * share), 1),
        deadline=None,
        derandomize="IVIF_FUZZ" not in os.environ,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@st.composite
def damaged(draw: st.DrawFn, whole: bytes, head: int = 160) -> bytes:
    """Draw a file like `whole`: cut short, with flipped bits, with odd bytes in its first `head`, or with a hole."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        end = max(len(content) - 1, 0)
        if not content:
            break
        match draw(st.sampled_from(("cut", "bit", "head", "byte", "hole", "twice"))):
            case "cut":
                del content[draw(st.integers(0, end)) :]
            case "bit":
                content[draw(st.integers(0, end))] ^= 1 << draw(st.integers(0, 7))
            case "head":
                content[draw(st.integers(0, min(end, head)))] = draw(st.sampled_from(NASTY))
            case "byte":
                content[draw(st.integers(0, end))] = draw(st.integers(0, 255))
            case "hole":
                at = draw(st.integers(0, end))
                del content[at : at + draw(st.integers(1, 40))]
            case "twice":
                at = draw(st.integers(0, end))
                content[at:at] = content[at : at + draw(st.integers(1, 40))]
    return bytes(content)


@contextmanager
def time_limit(seconds: float = LONGEST) -> Iterator[None]:
    """Raise TimeoutError in a block that takes longer."""

    def ring(number: int, frame: FrameType | None) -> NoReturn:
        raise TimeoutError(f"took more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def answer(read: Callable[[], Found], refusal: type[ValueError] = InputError) -> Found | None:
    """Return what a reader gives, or None when it refuses in one line; anything else that it does fails the test."""
    said = ""
    with time_limit():
        try:
            return read()
        except refusal as error:
            said = str(error)
    assert said.isprintable(), f"more than a line: {said!r}"
    assert len(said) < 4000
    return None
