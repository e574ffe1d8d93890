"""The result of reading a data set: its pairs, and every problem found in the folder."""

import hashlib
import reprlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmark.datasets.base import Dataset, Pair
from benchmark.datasets.resizing import Resizing
from metrics.errors import plain

MOST = 5000  # problems of a kind that are kept; a published list beside a sample of its images makes 4,187
_QUOTED = 80  # characters of a name or a value in a message
_REPR = reprlib.Repr()  # it goes only so deep and so far into what is nested or long
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = _QUOTED


def short(text: str) -> str:
    """Return a text as messages quote it: its beginning, where it is long."""
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}..."


def quoted(value: object) -> str:
    """Return any value as messages quote it, whatever a file makes of it."""
    try:
        return short(_REPR.repr(value))
    except ValueError:  # Python writes no whole number of thousands of digits
        return f"a huge {type(value).__name__}"


class Problem(NamedTuple):
    """Something in a data set's folder that a person has to correct.

    Attributes:
        kind: `layout`, `list`, `missing partner`, `same file`, `size`, `unreadable file`, `missing annotation`,
            `annotation`, `unknown class` or `misnamed class`.
        text: One line that names the file, what was expected and what was found.
    """

    kind: str
    text: str


class Findings:
    """Collects problems, and notes on what was left out or corrected, while a folder is read.

    Attributes:
        problems: The first `MOST` of each kind.
        more: Number of the others, by kind.
        annotations: SHA-256 of each annotation file, by pair name.
        resizing: What to do about pairs of unlike size; None refuses them.
        resized: Number of pairs that it was done to.
    """

    def __init__(self, resizing: Resizing | None = None) -> None:
        self.resizing = resizing
        self.resized = 0
        self.problems: list[Problem] = []
        self.more: Counter[str] = Counter()
        self.annotations: dict[str, str] = {}
        self._notes: list[str] = []
        self._counts: Counter[str] = Counter()
        self._kept: Counter[str] = Counter()

    def problem(self, kind: str, text: str) -> None:
        """Keep a problem, or count it when there are many of its kind."""
        if self._kept[kind] >= MOST:
            self.more[kind] += 1
            return
        self._kept[kind] += 1
        self.problems.append(Problem(kind, plain(text)))

    def note(self, text: str) -> None:
        """Keep a note, once."""
        if text not in self._notes:
            self._notes.append(text)

    def count(self, what: str, number: int = 1) -> None:
        """Add to the number in the note `what: number`; a number of 0 gives no note."""
        self._counts[what] += number

    @property
    def annotation_hash(self) -> str:
        """SHA-256 over the names and bytes of the annotation files that were read; empty without any."""
        lines = "".join(f"{name} {digest}\n" for name, digest in sorted(self.annotations.items()))
        return hashlib.sha256(lines.encode()).hexdigest() if lines else ""

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes, then those with counts."""
        return *self._notes, *(f"{what}: {number:,}" for what, number in self._counts.items() if number)


@dataclass(frozen=True)
class Parts:
    """What a reader makes of a folder.

    Attributes:
        train, test: The pairs that could be read.
        split: Where the parts come from, in words.
        layout: The folders that were found, in words.
        classes: The evaluated classes; empty for images without annotations.
    """

    train: tuple[Pair, ...] = ()
    test: tuple[Pair, ...] = ()
    split: str = ""
    layout: str = ""
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scan:
    """A data set as far as it could be read, and what was wrong with its folder.

    Attributes:
        dataset: The pairs that could be read; complete when there are no findings.
        findings: Problems by kind, in the order they were met.
        layout: The folders that were found, in words; empty when none was.
        annotations: As `Findings.annotation_hash`.
        more: As `Findings.more`.
    """

    dataset: Dataset
    findings: tuple[Problem, ...]
    layout: str
    annotations: str
    more: Mapping[str, int] = field(default_factory=dict)

    @property
    def problems(self) -> list[str]:
        """The problems as lines of text."""
        return [problem.text for problem in self.findings]
