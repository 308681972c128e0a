"""The metric against each swept field: lines with their break points, and a map."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from .. import figures
from ..axes import Axis, axis
from ..breaks import Line
from ..canvas import MAX_PANELS
from ..layout import Layout
from ..panel import MAX_SWEPT, Findings, Panel, Picture
from ..style import COLOURS


class Swept(Panel):
    """The metric against what was swept; a map too where rules are compared or the field is a number."""

    name, title = "swept", "The metric against each swept field"

    def applies(self, found: Findings) -> bool:
        """Return whether a field was swept."""
        return bool(found.layout.xs)

    def draw(self, found: Findings) -> Iterator[Picture]:
        """Yield two pictures a field, or one."""
        for number, x in enumerate(found.layout.xs[:MAX_SWEPT], 1):
            along = axis(x, found.runs[x].tolist())
            yield _robustness(found, along, number)
            if along.ordered or found.layout.hue == "rule":
                yield _map(found, along, number)


def _robustness(found: Findings, along: Axis, number: int) -> Picture:
    lines = found.lines.get(along.name, [])
    caption = f"Mean (line) and range from the lowest to the highest run (band, bar); {found.n}."
    caption += _marks(lines, along.log and 0.0 in along.numbers)
    caption += _capped(found.points, found.layout, along.name)
    drawn = figures.robustness(found.points, found.layout, along, lines, found.nothing)
    return Picture(
        f"robustness-{number}", f"{found.metric.capitalize()} against {along.label}", caption, drawn
    )


def _map(found: Findings, along: Axis, number: int) -> Picture:
    caption = f"Mean, and below it the lowest and highest run; {found.n}. A star: other runs of that point were lost."
    drawn = figures.heat_map(found.points, found.layout, along)
    return Picture(f"map-{number}", f"{found.metric.capitalize()} by {along.label}", caption, drawn)


def _marks(lines: Sequence[Line], zero: bool) -> str:
    found = any(line.point is not None and math.isfinite(line.point.value) for line in lines)
    marks = " Diamonds: break points, with the range of the seeds' own." if found else ""
    return marks + (" The axis is logarithmic; zero stands apart, to the left." if zero else "")


def _capped(points: pd.DataFrame, layout: Layout, x: str) -> str:
    keys = layout.panel_keys(x)
    number = len(points[keys].drop_duplicates()) if keys else 1
    hues = points[layout.hue].nunique(dropna=False)
    said = f" {MAX_PANELS} of {number} panels are drawn; the table has all." if number > MAX_PANELS else ""
    return said + (f" {COLOURS} of {hues} lines are drawn; the table has all." if hues > COLOURS else "")
