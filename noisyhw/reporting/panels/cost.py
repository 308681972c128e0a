"""The metric against what it costs in passes."""

from __future__ import annotations

from collections.abc import Iterator

from .. import figures
from ..layout import COST
from ..panel import Findings, Panel, Picture


class Cost(Panel):
    """What more passes buy."""

    name, title = "cost", "The metric against cost"

    def applies(self, found: Findings) -> bool:
        """Return whether passes were swept, and are not the lines themselves."""
        return COST in found.layout.xs and found.layout.hue != COST

    def draw(self, found: Findings) -> Iterator[Picture]:
        """Yield one picture."""
        caption = f"Bars run from the lowest to the highest run; {found.n}."
        caption += " Grey: what no cheaper or better point beats."
        drawn = figures.pareto(found.points, found.layout, COST)
        yield Picture("passes", f"{found.metric.capitalize()} against cost", caption, drawn)
