"""Data-only records: where a published method comes from, and what was verified about ours."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class WeightFile:
    r"""One official weight file.

    Attributes:
        name: Its official file name.
        url: Where the authors publish it; None when it must be fetched by hand.
        bytes: Its size; None when unknown.
        sha256: Of the file; None when only its git blob hash is known.
        git_blob: SHA-1 of b"blob SIZE\0" + content, as `git hash-object` prints it.
        variants: Which of the method's variants read it; empty for all.
    """

    name: str
    url: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    git_blob: str | None = None
    variants: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether a hash of the official file is known, so that a file can be checked against it."""
        return self.sha256 is not None or self.git_blob is not None


@dataclass(frozen=True)
class Record:
    """A published method.

    Attributes:
        paper: Authors, title, venue, year.
        year: Of publication.
        repository, commit: The authors' code that ours was checked against.
        licence: Of that code, as found; "none found" where there is none.
        files: The official weight files.
        by_hand: How to get the files that have no url; empty when all have one.
        parameters: The number of parameters of the default variant's network.
        row: The method's row in the paper's Table 1; None when it has none.
        verified: "official outputs" when ours gave the authors' own output with the authors' own weights;
            "architecture only" when the official weights were not to be had and stand-in weights were used.
        notes: What a user should know: colour, sizes, where ours pads.
    """

    paper: str
    year: int
    repository: str
    commit: str
    licence: str
    files: tuple[WeightFile, ...]
    parameters: int
    verified: Literal["official outputs", "architecture only"]
    row: str | None = None
    by_hand: str = ""
    notes: tuple[str, ...] = field(default=())
