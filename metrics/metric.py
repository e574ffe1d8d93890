"""The record of a metric: its definition, its better direction, and its rule in each convention."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from metrics.images import ImageArray

Group = Literal["information", "structure", "gradient", "fidelity", "perception"]
GROUPS: tuple[Group, ...] = ("information", "structure", "gradient", "fidelity", "perception")


@dataclass(frozen=True)
class Rule:
    """How a convention computes one metric.

    Attributes:
        scale: The scale or units of the result, in words.
        options: Keyword arguments of the function.
        function: The function where the convention means another quantity by the same id; None for the metric's.
        smallest: The fewest pixels a side where they are not the metric's; None for the metric's.
        side_by_side: Where the convention scores colour channels: whether as one image, side by side, instead of one
            by one.
    """

    scale: str
    options: Mapping[str, Any] = field(default_factory=dict)
    function: Callable[..., float] | None = None
    smallest: int | None = None
    side_by_side: bool = False


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
        smallest: The fewest pixels a side that it can be computed on, unless a rule says otherwise.
        paper: Whether it is one of the eight of the MoE-Fusion paper, the default selection.
        undefined: Of which images the value is NaN, in words that follow "where"; empty where it always exists.
        symmetric: Whether the sources can be exchanged in every convention.
        rests_on_rounding: Of uint8 (H, W) images, whether rounding errors decide part of the value; None where they
            never do.
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
    undefined: str = ""
    symmetric: bool = True
    rests_on_rounding: Callable[[ImageArray, ImageArray, ImageArray], bool] | None = None

    def compute(self, convention: str, infrared: ImageArray, visible: ImageArray, fused: ImageArray) -> float:
        """Return the metric of uint8 (H, W) images as a convention computes it.

        Raises:
            KeyError: The convention does not have the metric.
            InputError: The images are too small.
        """
        rule = self.rules[convention]
        images = (infrared, visible, fused) if self.sources else (fused,)
        return (rule.function or self.function)(*images, **rule.options)

    def smallest_side(self, convention: str) -> int:
        """Return the fewest pixels a side that a convention can compute it on."""
        smallest = self.rules[convention].smallest
        return self.smallest if smallest is None else smallest

    @property
    def arrow(self) -> str:
        """The arrow behind the id in a heading."""
        return "↑" if self.higher_is_better else "↓"


def rule(
    scale: str,
    /,
    *,
    function: Callable[..., float] | None = None,
    smallest: int | None = None,
    side_by_side: bool = False,
    **options: Any,
) -> Rule:
    """Return a rule from its scale and the options of the function; see `Rule`."""
    return Rule(scale, options, function, smallest, side_by_side)
