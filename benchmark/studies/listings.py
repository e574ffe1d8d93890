"""What `list` and `weights list` print: a line for each thing, and details on request. Everything fits 80 columns."""

from collections.abc import Callable, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from metrics.errors import InputError, unknown

PAPER_YEAR = 2023  # MoE-Fusion, ICCV


def render_list(what: str) -> RenderableType:
    """Return the names of a kind, a line each.

    Args:
        what: A key of `LISTS`.
    """
    return LISTS[what]()


def render_details(what: str, name: str) -> RenderableType:
    """Return everything known of one thing.

    Args:
        what: A key of `LISTS`.
        name: One of those that the list has.

    Raises:
        InputError: The name is unknown, or things of this kind have no details.
    """
    if what not in DETAILS:
        raise InputError(f"list {what} {name}: {what} have no details; leave the name out.")
    return DETAILS[what](name)


def render_weights(chosen: Sequence[str]) -> RenderableType:
    """Return the state of the weight files of methods, a line each."""
    import methods
    from methods import weights

    records, rows = methods.records(), []
    for method in chosen:
        for file in records[method].files:
            path = weights.folder(method) / file.name
            state = "fetch" if file.url else "by hand"
            if path.is_file():
                state = "here" if weights.usable(path, file) else "other"
            rows.append((method, state, file.name))
    return Group(
        _lines(("method", "state", "file"), rows),
        "",
        _text(f"Folder: {weights.folder('')}"),
        _text(
            "here: ready. fetch: `weights fetch METHOD` downloads it. by hand: `list methods METHOD` says where it is; "
            "then `weights add METHOD PATH`. other: not the authors' file; remove it."
        ),
    )


def _lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return rows without borders; only the last column may wrap."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in header[:-1]:
        table.add_column(heading, no_wrap=True)
    table.add_column(header[-1], overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _facts(title: str, facts: Mapping[str, str | Sequence[str]], citation: str = "") -> RenderableType:
    """Return a title and, below it, what is known: a name and a text each; empty ones are left out."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, texts in facts.items():
        for number, text in enumerate([texts] if isinstance(texts, str) else texts):
            if text:
                table.add_row("" if number else name, escape(text.strip()))
    below: list[RenderableType] = ["", _text(citation.strip())] if citation else []
    return Group(Text(title, style="bold"), table, *below)


def _text(text: str) -> Text:
    return Text(text, overflow="fold")


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _first_paragraph(text: str | None) -> str:
    """Return the first paragraph of a docstring, without the verb of a function's."""
    paragraph = " ".join((text or "").partition("\n\n")[0].split()).removeprefix("Return ")
    return paragraph[:1].upper() + paragraph[1:]


def _methods() -> RenderableType:
    import methods

    records = methods.records()
    networks = []
    for name, record in records.items():
        origin = "Table 1" if record.row else "later" if record.year >= PAPER_YEAR else "no"
        networks.append((name, f"{methods.find(name).title} ({record.year})", record.task, record.verified, origin))
    others = []
    for name in methods.names():
        if name not in records:
            try:
                about = _first_line(methods.find(name).__doc__)
            except InputError as error:
                about = str(error)
            others.append((name, about))
    return Group(
        _lines(("network", "title", "made for", "checked by", "in the paper"), networks),
        "",
        _lines(("other", "what it is"), others),
        "",
        _text("Also: path/to/file.py:Class for a method in a file, folder:PATH for images that are fused already."),
        _text("Groups: paper (those of its Table 1), all-verified (all but those checked by architecture only)."),
        _text("Variants, paper, licence, weights, training data: list methods NAME"),
    )


def _method(name: str) -> RenderableType:
    import methods

    method = methods.find(name)
    record = getattr(method, "record", None)
    about = _first_paragraph(method.__doc__)
    variants = ", ".join(method.variants)
    if variants:
        variants += f"; the default is {method.variants[0]}. Written {name}:{method.variants[-1]}"
    if record is None:
        return _facts(f"{name}: {method.title or method.__name__}", {"what it is": about, "variants": variants})
    files = []
    for file in record.files:
        of = f" (variants {', '.join(file.variants)})" if file.variants else ""
        files.append(f"{file.name}{of}: {'fetched' if file.url else 'by hand'}")
    trained = [*record.trained_on, *(f"probably {title}" for title in record.probably_trained_on)]
    for file in record.files:
        of = ", ".join(file.variants) or file.name
        trained += [f"{of}: probably {title}" for title in file.probably_trained_on]
    facts = {
        "what it is": about,
        "variants": variants,
        "made for": record.task,
        "paper": record.paper,
        "Table 1": f"row {record.row} of the MoE-Fusion paper" if record.row else "not in the MoE-Fusion paper's",
        "code": record.repository,
        "commit": record.commit,
        "page": record.home,
        "licence": f"of the authors' code: {record.licence}",
        "parameters": f"{record.parameters:,}",
        "weights": files,
        "by hand": record.by_hand,
        "trained on": ", ".join(trained) or "not stated",
        "checked by": record.verified,
        "notes": record.notes,
    }
    return _facts(f"{name}: {method.title} ({record.year})", facts, record.citation)


def _metrics() -> RenderableType:
    import metrics

    letters = dict(zip(metrics.CONVENTIONS, "abcdefghijklmnopqrstuvwxyz", strict=False))
    rows = []
    for metric in metrics.METRICS.values():
        programs = "".join(letter if name in metric.rules else "·" for name, letter in letters.items())
        rows.append((f"{metric.id} {metric.arrow}", metric.group, programs, metric.title))
    return Group(
        _lines(("metric", "looks at", "programs", "name"), rows),
        "",
        _text("↑ higher is better, ↓ lower. Programs, by which --convention calls them:"),
        _text(", ".join(f"{letter} {name}" for name, letter in letters.items()) + "."),
        _text("Formula, reference, scale in each convention: list metrics NAME"),
    )


def _metric(name: str) -> RenderableType:
    import metrics

    if name not in metrics.METRICS:
        raise unknown("metric", name, tuple(metrics.METRICS))
    metric = metrics.METRICS[name]
    facts = {
        "direction": "higher is better" if metric.higher_is_better else "lower is better",
        "looks at": metric.group,
        "formula": metric.formula,
        "proposed by": metric.reference,
        "undefined": f"where {metric.undefined}" if metric.undefined else "",
    }
    for convention, rule in metric.rules.items():
        smallest = metric.smallest_side(convention)
        needs = f"; images of at least {smallest}x{smallest}" if smallest > 1 else ""
        facts[convention] = rule.scale + needs
    return _facts(f"{metric.id} {metric.arrow} {metric.title}", facts)


def _datasets() -> RenderableType:
    from benchmark import datasets

    rows = []
    for name in datasets.names():
        try:
            about = datasets.record(name).about
        except InputError as error:  # of an installed package that does not load
            about = str(error)
        rows.append((name, about))
    return Group(
        _lines(("data set", "what it is"), rows),
        "",
        _text("Also: path/to/file.py:function for a reader in a file."),
        _text("Home page, terms of use, folder, layout, options: list datasets NAME"),
    )


def _dataset(name: str) -> RenderableType:
    from benchmark import datasets
    from benchmark.datasets.splits import SPLITS

    record = datasets.record(name)
    splits = [split for split in SPLITS if split.dataset == name]
    pairs = [f"{number:,} in {part}" for part, number in record.published.items()]
    facts = {
        "what it is": record.about,
        "pairs": ", ".join(pairs) and f"{', '.join(pairs)}, as published",
        "home page": record.home_page,
        "licence": record.licence,
        "folder": f"{record.folder}, below --data-root",
        "layout": _first_paragraph(record.read.__doc__),
        "options": _options(record.read.__doc__ or "", record.options),
        "splits": [f"{split.name}: {split.train:,} train, {split.test:,} test; {split.source}" for split in splits],
    }
    return _facts(f"{name}: {record.title}", facts, record.citation)


def _options(docstring: str, names: Sequence[str]) -> list[str]:
    """Return the options of a reader, each with what its docstring says of it; those without a word on one line."""
    import docstring_parser

    parameters = docstring_parser.parse(docstring).params
    about = {item.arg_name: " ".join((item.description or "").split()) for item in parameters}
    explained = [f"{name}: {about[name]}" for name in names if about.get(name)]
    return [*explained, ", ".join(name for name in names if not about.get(name))]


def _splits() -> RenderableType:
    from benchmark.datasets.splits import SPLITS

    rows = [(split.dataset, split.name, f"{split.train:,}", f"{split.test:,}", split.source) for split in SPLITS]
    return Group(
        _lines(("data set", "split", "train", "test", "source"), rows),
        "",
        _text('Chosen by options = {split = "NAME"} in an experiment, or --options split NAME of check.'),
    )


def _experiments() -> RenderableType:
    from benchmark.engine import experiment

    rows = []
    for name in experiment.names():
        score = experiment.read(name).score
        rows.append((name, score.convention, score.size, experiment.read(name).title))
    return Group(
        _lines(("experiment", "convention", "size", "title"), rows),
        "",
        _text("Also: path/to/file.toml, and path/to/file.py:function for a data set in a file."),
        _text("Data sets, methods, tables, settings: list experiments NAME"),
    )


def _experiment(name: str) -> RenderableType:
    from benchmark.engine import experiment

    known = experiment.read(name)
    size = "native size" if known.score.size == "native" else known.score.size
    facts = {
        "data sets": ", ".join(dataset.name for dataset in known.datasets),
        "methods": ", ".join(method.label_or_title for method in known.methods),
        "tables": ", ".join(map(str, known.tables)),
        "scored": f"metrics {known.score.metrics} of {known.score.convention}, at {size}",
        "detection": f"{known.detection.detector}, protocol {known.detection.protocol}" if 3 in known.tables else "",
    }
    return _facts(f"{name}: {known.title}", facts)


def _detectors() -> RenderableType:
    from benchmark.detection import registry

    rows = []
    for name in registry.names():
        try:
            about = _first_paragraph(registry.load_builder(name).__doc__)
        except InputError as error:
            about = str(error)
        rows.append((name, about))
    return Group(
        _lines(("detector", "what it is"), rows),
        "",
        _text("Also: path/to/file.py:function for a detector in a file."),
        _text('Chosen by detector = "NAME" in the [detection] of an experiment. Weights: list detectors NAME'),
    )


def _detector(name: str) -> RenderableType:
    from benchmark.detection import registry

    builder = registry.load_builder(name)
    record = registry.RECORDS.get(name)
    weights = [f"{key}: torchvision's {value}" for key, value in record.weights.items()] if record else []
    facts = {
        "what it is": _first_paragraph(builder.__doc__),
        "weights": [*weights, "none: random initialisation"],
    }
    return _facts(name, facts)


LISTS: dict[str, Callable[[], RenderableType]] = {
    "methods": _methods,
    "metrics": _metrics,
    "datasets": _datasets,
    "splits": _splits,
    "experiments": _experiments,
    "detectors": _detectors,
}
DETAILS: dict[str, Callable[[str], RenderableType]] = {
    "methods": _method,
    "metrics": _metric,
    "datasets": _dataset,
    "experiments": _experiment,
    "detectors": _detector,
}
