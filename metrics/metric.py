"""What is known of a metric: its definition, the direction in which it improves, its rule in each convention."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Group = Literal["information", "structure", "gradient", "fidelity", "perception"]
GROUPS: tuple[Group, ...] = ("information", "structure", "gradient", "fidelity", "perception")


@dataclass(frozen=True)
class Rule:
    """How a convention computes one metric.

    Attributes:
        scale: The scale or units of the result, in words.
        options: Keyword arguments of the metric's function.
    """

    scale: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        id: As tables print it.
        title: Its name in full.
        function: Computes it, from (infrared, visible, fused) or from the fused image alone.
        group: What it looks at; wide tables are split by it.
        formula: In short; F is the fused image, S a source, sums run over pixels.
        reference: Where it was proposed.
        rules: By convention; one that is missing here does not have the metric.
        sources: Whether the function takes the sources.
        higher_is_better: False where a lower value is better.
        smallest: The fewest pixels a side that it can be computed on.
        paper: Whether it is one of the eight of the MoE-Fusion paper, the default selection.
    """

    id: str
    title: str
    function: Callable[..., float]
    group: Group
    formula: str
    reference: str
    rules: Mapping[str, Rule]
    sources: bool = True
    higher_is_better: bool = True
    smallest: int = 1
    paper: bool = False

    @property
    def arrow(self) -> str:
        """The arrow behind the id in a heading."""
        return "↑" if self.higher_is_better else "↓"


def rule(scale: str, /, **options: Any) -> Rule:
    """Return a rule from its scale and the options of the metric's function."""
    return Rule(scale, options)
