"""All metrics by their ids, found in `metrics.definitions`, and the selections that can be asked for."""

import importlib
import pkgutil
from collections.abc import Iterable

from metrics import definitions
from metrics.errors import InputError, unknown
from metrics.metric import GROUPS, Metric

_PAPER_ORDER = ("EN", "SF", "SD", "MI", "VIF", "AG", "SCD", "Q_abf")  # of the MoE-Fusion paper's Table 1


def _find_metrics() -> dict[str, Metric]:
    """Return the metrics of every module of `definitions`: the paper's in its order, then the others by group."""
    found: list[Metric] = []
    for module in sorted(pkgutil.iter_modules(definitions.__path__), key=lambda module: module.name):
        found += getattr(importlib.import_module(f"{definitions.__name__}.{module.name}"), "METRICS", ())
    twice = {metric.id for metric in found if sum(other.id == metric.id for other in found) > 1}
    if twice:
        raise ValueError(f"metrics.definitions: expected one metric of each id, got several {sorted(twice)}")
    paper = sorted((metric for metric in found if metric.paper), key=lambda metric: _PAPER_ORDER.index(metric.id))
    others = sorted((metric for metric in found if not metric.paper), key=lambda metric: GROUPS.index(metric.group))
    return {metric.id: metric for metric in (*paper, *others)}


METRICS = _find_metrics()
PAPER = tuple(name for name, metric in METRICS.items() if metric.paper)
SELECTIONS = ("paper", "all")

Selection = str | Iterable[str]


def select(selection: Selection = "paper", convention: str | None = None) -> tuple[str, ...]:
    """Return the ids of a selection of metrics, in the tables' order.

    Args:
        selection: "paper", the eight of the MoE-Fusion paper; "all", every metric that the convention has; or ids,
            as a text "EN,SSIM" or one by one. Selections and ids can be mixed: "paper,SSIM".
        convention: For "all"; None takes the metrics of all conventions.

    Raises:
        InputError: An id is unknown, or there is none.

    Examples:
        >>> select("VIF,EN")
        ('EN', 'VIF')
    """
    wanted: set[str] = set()
    for part in _split(selection):
        if part == "paper":
            wanted |= set(PAPER)
        elif part == "all":
            wanted |= {name for name, metric in METRICS.items() if convention is None or convention in metric.rules}
        elif part in METRICS:
            wanted.add(part)
        elif part:
            raise unknown("metric", part, (*SELECTIONS, *METRICS))
    if not wanted:
        raise InputError(f"no metric was asked for; expected paper, all, or some of {', '.join(METRICS)}.")
    return tuple(name for name in METRICS if name in wanted)


def is_everything(selection: Selection) -> bool:
    """Return whether a selection asks for "all", rather than for certain metrics only."""
    return "all" in _split(selection)


def _split(selection: Selection) -> list[str]:
    texts = [selection] if isinstance(selection, str) else list(selection)
    return [part.strip() for text in texts for part in text.split(",")]
