"""The cards of a run's data sets and methods: home page, licence, citation, what official weights were trained on."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from benchmark import datasets
from benchmark.engine import references
from benchmark.engine.cells import Cell
from benchmark.engine.experiment import MethodSettings
from benchmark.engine.run_record import Record
from benchmark.tables.origins import has_known_weights
from methods.record import Record as MethodRecord
from metrics.errors import InputError
from metrics.plugins import split_file_name

_URL = re.compile(r"https?://[^\s;,<>\"'()]+")
_VERIFIED = {
    "official outputs": "the authors' code with their weights, which reproduces images that they published",
    "official code": "the authors' code with their weights; they published no fused images",
    "architecture only": "the authors' code with stand-in weights; the official weights could not be obtained",
}


@dataclass(frozen=True)
class Card:
    """What is known of a data set or of a published method.

    Attributes:
        title: Its name, or the labels of its rows.
        facts: (what, text), those that are known.
        warning: Which of the run's data sets its weights were trained on; empty for none.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    warning: str = ""


@dataclass(frozen=True)
class Cards:
    """The cards of a run.

    Attributes:
        datasets: One a data set, in the tables' order.
        methods: One a published method, in the tables' order.
        unknown: Labels of the methods that have no card.
        references: BibTeX of all of them; empty when there is nothing to cite.
        file: Name of the file beside the report that holds the BibTeX; empty when it is not there.
    """

    datasets: tuple[Card, ...]
    methods: tuple[Card, ...]
    unknown: tuple[str, ...]
    references: str
    file: str


def collect_cards(folder: Path, run: Record) -> Cards:
    """Return the cards of a run's data sets and methods.

    Code in files that the run names is not loaded: who reads a folder of another person runs nothing of it.

    Args:
        folder: The run's.
        run: What it worked on.
    """
    known = {part.name: card for part in run.parts if (card := _find_dataset(part.name)) is not None}
    rows: dict[str, list[tuple[str, MethodSettings]]] = {}
    records: dict[str, MethodRecord] = {}
    unknown = []
    for label, method in zip(run.labels, run.experiment.methods, strict=False):
        if (record := _find_method(method)) is None:
            unknown.append(label)
            continue
        records[method.name] = record
        rows.setdefault(method.name, []).append((label, method))
    citations = [*(card.citation for card in known.values()), *(record.citation for record in records.values())]
    return Cards(
        tuple(_dataset_card(known[part.name], part.title) for part in run.parts if part.name in known),
        tuple(_method_card(record, rows[name], _warn(folder, run, rows[name])) for name, record in records.items()),
        tuple(unknown),
        "\n\n".join(references.merge_entries(citations)),
        references.FILE if (folder / references.FILE).is_file() else "",
    )


def link(text: str) -> Markup:
    """Return a text as HTML with its web addresses as links; all else is escaped."""
    parts, end = [], 0
    for match in _URL.finditer(text):
        address = match[0].rstrip(".")
        parts += [
            Markup.escape(text[end : match.start()]),
            Markup('<a href="{0}" rel="noreferrer">{0}</a>').format(address),
        ]
        end = match.start() + len(address)
    return Markup("").join([*parts, Markup.escape(text[end:])])


def _find_dataset(name: str) -> datasets.Record | None:
    if split_file_name(name):
        return None
    try:
        return datasets.record(name)
    except InputError:
        return None  # of a package that is not installed here


def _find_method(method: MethodSettings) -> MethodRecord | None:
    if split_file_name(method.name):
        return None
    record = getattr(method.kind, "record", None)
    return record if isinstance(record, MethodRecord) else None


def _dataset_card(card: datasets.Record, title: str) -> Card:
    facts = [
        ("what", card.about),
        ("home page", card.home_page),
        ("licence or terms", card.licence),
        ("cite", _keys(card.citation)),
    ]
    return Card(title, _known(facts))


def _method_card(record: MethodRecord, rows: Sequence[tuple[str, MethodSettings]], warning: str) -> Card:
    facts = [
        ("paper", record.paper),
        ("home page", record.home or record.repository),
        ("code", record.repository if record.home else ""),
        ("licence of the code", record.licence),
        ("cite", _keys(record.citation)),
        (f"{'official' if record.files else 'packaged'} weights trained on", _training_sets(record)),
        ("checked against", _VERIFIED[record.verified]),
    ]
    return Card(", ".join(label for label, _ in rows), _known(facts), warning)


def _warn(folder: Path, run: Record, rows: Iterable[tuple[str, MethodSettings]]) -> str:
    """Return what the run's rows with official or packaged weights have seen of its data sets in training."""
    names = {part.name: card.title for part in run.parts if (card := _find_dataset(part.name)) is not None}
    texts = []
    for label, method in rows:
        for part in run.parts:
            manifest = Cell(folder, part.title, label, "fuse").manifest()
            settings = manifest.recipe.get("settings") if manifest else None
            if method.kind is None or not isinstance(settings, dict) or not has_known_weights(settings):
                continue
            if note := method.kind.leakage(method.variant, names.get(part.name, part.title)):
                texts.append(f"{label}: {note}")
    return "; ".join(dict.fromkeys(texts))


def _training_sets(record: MethodRecord) -> str:
    texts = [", ".join(record.trained_on)] if record.trained_on else []
    if record.probably_trained_on:
        texts.append(f"probably {', '.join(record.probably_trained_on)}")
    for file in record.files:
        if file.probably_trained_on:
            texts.append(f"{file.name}: probably {', '.join(file.probably_trained_on)}")
    return "; ".join(texts) or "not stated by the authors"


def _keys(citation: str) -> str:
    return ", ".join(references.entries_by_key([citation]))


def _known(facts: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, text) for name, text in facts if text)
