"""What a panel of a report's page is, what it is given, and what it hands back."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pandas as pd

from .axes import label
from .breaks import Line
from .layout import Layout
from .source import Source

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_SWEPT = 4
"""Swept fields that get figures of their own."""


@dataclass(frozen=True)
class Picture:
    """A figure, its file's name, its title and its caption."""

    name: str
    title: str
    caption: str
    figure: Figure


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the runs of one source and task came to.

    Args:
        source: where they are from; it has their learning curves.
        runs: a row a run: settings, status, the last epoch's metrics.
        points: a row a point: settings, mean, low, high and n of the metric.
        layout: which fields were swept, the metric, and what panels and lines stand for.
        lines: swept field -> its lines with their break points.
        nothing: the metric of a network that has learned nothing; None: it is not known.
    """

    source: Source
    runs: pd.DataFrame
    points: pd.DataFrame
    layout: Layout
    lines: Mapping[str, list[Line]]
    nothing: float | None

    @property
    def metric(self) -> str:
        """The metric's name for people."""
        return label(self.layout.metric)

    @property
    def n(self) -> str:
        """How many runs a point has, as a phrase for captions."""
        return runs_a_point(self.points)


def runs_a_point(points: pd.DataFrame) -> str:
    """Return how many runs the points have, as a phrase."""
    low, high = int(points["n"].min()), int(points["n"].max())
    return f"n = {high} runs a point" if low == high else f"n = {low} to {high} runs a point"


class Panel(abc.ABC):
    """One kind of picture on a report's page.

    A panel of another package is an entry point ``noisyhw.panels``, or is added by ``PANELS.add(MyPanel())``.

    Attributes:
        name: its key among the panels.
        title: what it shows, for people.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    @abc.abstractmethod
    def applies(self, found: Findings) -> bool:
        """Return whether there is something to draw."""

    @abc.abstractmethod
    def draw(self, found: Findings) -> Iterator[Picture]:
        """Yield pictures; their names become file names and need not tell the study.

        :mod:`noisyhw.reporting.canvas` makes figures that look like the others; any matplotlib figure will do.
        """
