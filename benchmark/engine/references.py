"""The BibTeX file of a run: the citations of its data sets and methods."""

import re
from collections.abc import Iterable
from pathlib import Path

from benchmark import datasets
from benchmark.engine.experiment import Experiment
from metrics.errors import InputError
from metrics.files import write_bytes

FILE = "references.bib"
_KEY = re.compile(r"@\w+\{\s*([^,\s]+)")


def collect_references(experiment: Experiment) -> list[str]:
    """Return the BibTeX entries of an experiment's data sets and published methods, each once, by key."""
    return merge_entries([*_of_datasets(experiment), *_of_methods(experiment)])


def entries_by_key(citations: Iterable[str]) -> dict[str, str]:
    """Return the BibTeX entries of citations by their keys; of two with one key the first."""
    entries: dict[str, str] = {}
    for citation in citations:
        for entry in re.split(r"\n(?=@)", citation.strip()):
            if key := _KEY.match(entry):
                entries.setdefault(key[1], entry.strip())
    return entries


def merge_entries(citations: Iterable[str]) -> list[str]:
    """Return the BibTeX entries of citations, each once, by key."""
    entries = entries_by_key(citations)
    return [entries[key] for key in sorted(entries)]


def write_references(experiment: Experiment, folder: Path) -> Path | None:
    """Write an experiment's references into a folder; return the file, or None when there is nothing to cite."""
    entries = collect_references(experiment)
    if not entries:
        return None
    path = folder / FILE
    write_bytes(path, ("\n\n".join(entries) + "\n").encode())
    return path


def _of_datasets(experiment: Experiment) -> list[str]:
    return [datasets.record(dataset.name).citation for dataset in experiment.datasets]


def _of_methods(experiment: Experiment) -> list[str]:
    records = []
    for method in experiment.methods:
        try:
            records.append(getattr(method.kind, "record", None))
        except InputError:
            continue  # its row says why it does not load
    return [citation for record in records if (citation := getattr(record, "citation", ""))]
