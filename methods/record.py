"""Data-only records: where a published method comes from, and what was verified about this implementation."""

from dataclasses import dataclass
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
        probably_trained_on: Like the record's, for this file alone.
    """

    name: str
    url: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    git_blob: str | None = None
    variants: tuple[str, ...] = ()
    probably_trained_on: tuple[str, ...] = ()

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
        repository, commit: The authors' code that this implementation was checked against.
        licence: Of that code, as found; "none found" where there is none.
        files: The official weight files.
        parameters: The number of parameters of the default variant's network.
        verified: How the implementation was checked. "official outputs": against the authors' code with the authors'
            weights, which also reproduces fused images that the authors published; "official code": the same,
            but the authors published no fused images; "architecture only": against the authors' code with
            stand-in weights, because the official weights could not be obtained.
        citation: The paper as a BibTeX entry; empty for a network that has none.
        trained_on: Titles of the data sets that the official weights were trained on, as `list datasets` prints them
            where the benchmark has them. Scores on these data sets are marked in the tables.
        task: What it was made for: "infrared-visible", "general" (any pair of images), or a task such as "detection".
        row: The method's row in Table 1 of the MoE-Fusion paper; None when it has none.
        home: The project's page; empty where that is the repository.
        by_hand: How to get the files that have no url; empty when all have one.
        probably_trained_on: Data sets of which the sources suggest, but do not state, that they were trained on.
        notes: What a user should know: colour, sizes, padding, differences from the original.
    """

    paper: str
    year: int
    repository: str
    commit: str
    licence: str
    files: tuple[WeightFile, ...]
    parameters: int
    verified: Literal["official outputs", "official code", "architecture only"]
    citation: str = ""
    trained_on: tuple[str, ...] = ()
    task: str = "infrared-visible"
    row: str | None = None
    home: str = ""
    by_hand: str = ""
    probably_trained_on: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def variant_files(self, variant: str | None) -> tuple[WeightFile, ...]:
        """Return the weight files that a variant reads."""
        return tuple(file for file in self.files if not file.variants or variant in file.variants)

    def leakage(self, variant: str | None, dataset: str) -> str | None:
        """Return a note for tables of a data set that the variant's official weights were trained on, else None.

        Args:
            variant: One of the method's variants.
            dataset: The data set's title.
        """
        if dataset in self.trained_on:
            return f"its weights were trained on {dataset}"
        probably = [self.probably_trained_on, *(file.probably_trained_on for file in self.variant_files(variant))]
        if any(dataset in titles for titles in probably):
            return f"its weights were probably trained on {dataset}"
        return None
