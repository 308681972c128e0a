"""Learning curves: the metric by epoch."""

from __future__ import annotations

from collections.abc import Iterator

from .. import learning
from ..panel import Findings, Panel, Picture


class Curves(Panel):
    """The metric by epoch, for a few of the points."""

    name, title = "curves", "Learning curves"

    def applies(self, found: Findings) -> bool:
        """Return True: every run has a curve; what has none is seen when curves are read."""
        return True

    def draw(self, found: Findings) -> Iterator[Picture]:
        """Yield one picture, or none if no run that is drawn has finished an epoch."""
        chosen = learning.choose(found.runs, found.layout)
        curves = found.source.curves(chosen.identities, found.layout.metric)
        if not found.runs["identity"].isin(list(curves)).any():
            return
        caption = "Mean and range over seeds, by epoch; nothing was chosen on test data."
        caption += f" Drawn: {chosen.said}." if chosen.said else ""
        drawn = learning.draw(chosen, curves, found.layout)
        yield Picture("curves", f"Learning curves: {found.metric}", caption, drawn)
