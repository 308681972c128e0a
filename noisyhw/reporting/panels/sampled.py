"""The metric against each number that was drawn at random."""

from __future__ import annotations

from collections.abc import Iterator

from .. import figures
from ..axes import label
from ..panel import MAX_SWEPT, Findings, Panel, Picture


class Sampled(Panel):
    """Points of a random sample of fields."""

    name, title = "sampled", "The metric against each sampled field"

    def applies(self, found: Findings) -> bool:
        """Return whether a field was drawn at random."""
        return bool(found.layout.sampled)

    def draw(self, found: Findings) -> Iterator[Picture]:
        """Yield a picture a field."""
        for number, x in enumerate(found.layout.sampled[:MAX_SWEPT], 1):
            caption = f"Points drawn at random: the other fields differ from point to point too; {found.n}."
            drawn = figures.scatter(found.points, found.layout, x)
            yield Picture(
                f"sample-{number}", f"{found.metric.capitalize()} against {label(x)}", caption, drawn
            )
