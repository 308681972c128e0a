"""The runs that a sweep asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..cards.experiment import Resolved

if TYPE_CHECKING:
    from .search import Search


@dataclass(frozen=True)
class Point:
    """One run that a sweep asks for.

    Args:
        settings: task, device, rule, what the axes set, seed: what a table of results shows.
        experiment: resolved.
        identity: of the run; two points that differ in nothing that matters share one.
        tuned: what a search has chosen for it, field -> value, and a note; empty: there was no search.
    """

    settings: Mapping[str, Any]
    experiment: Resolved
    identity: str
    tuned: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """A sweep's points, in the card's order.

    Args:
        name: of the sweep.
        points: with what was chosen for them; where a search is still to be done, without it.
        keep: rows or folders.
        search: what is to be done before.
    """

    name: str
    points: tuple[Point, ...]
    keep: str = "rows"
    search: Search | None = None

    @property
    def runs(self) -> dict[str, Point]:
        """The first point of each identity: what there is to compute."""
        runs: dict[str, Point] = {}
        for point in self.points:
            runs.setdefault(point.identity, point)
        return runs
