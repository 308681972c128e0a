"""The tables of a report: points, break points, runs that were lost, and settings in common."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from ..sweeps.table import TUNED
from .axes import is_number, label, missing, short
from .breaks import Line
from .differences import Difference
from .errors import UNKNOWN, Images
from .layout import Layout
from .source import EXPERIMENT, flattened
from .statistics import BreakPoint, spread_error

MAX_ROWS = 1000
"""Rows of one table on the page; all are in the files beside it."""


@dataclass(frozen=True)
class Cell:
    """What a table says, and what it is sorted by."""

    text: str
    key: str | float = ""

    @property
    def sort(self) -> str:
        """The key as the page's script reads it."""
        return "Infinity" if self.key == math.inf else str(self.key)


NONE = Cell("–", math.inf)


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        name: its id on the page.
        caption: what it shows.
        columns: their names.
        rows: as long as columns, each.
        said: how many rows were left out; empty: none.
    """

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    said: str = ""

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Which columns hold numbers."""
        return tuple(
            bool(self.rows) and all(isinstance(row[index].key, float) for row in self.rows)
            for index in range(len(self.columns))
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """How each column is set: numbers to the right, short words in one line."""
        longest = [
            max((len(row[index].text) for row in self.rows), default=0) for index in range(len(self.columns))
        ]
        words = ["number" if number else "" for number in self.numeric]
        return tuple(
            f"{word} short".strip() if length <= 20 else word
            for word, length in zip(words, longest, strict=True)
        )


def cell(value: Any) -> Cell:
    """Return a value as a cell; numbers with four digits."""
    if is_number(value) and not missing(value):
        return Cell(short(value), float(value))
    return Cell(short(value), math.inf if missing(value) else str(value))


def points_table(
    name: str, points: pd.DataFrame, layout: Layout, keys: Sequence[str], images: Images = UNKNOWN
) -> Table:
    """Return mean, low, high and n of each point, and how many runs were lost."""
    counts = [status for status in ("diverged", "failed", "to do") if points[status].sum()]
    columns = [*keys, "mean", "se", "low", "high", "n", *counts]
    rows = [tuple(map(cell, row)) for row in points[columns].head(MAX_ROWS).itertuples(index=False)]
    names = (*map(label, keys), "mean", "s.e.", "low", "high", "n", *counts)
    metric = label(layout.metric).capitalize()
    caption = (
        f"{metric} after the last epoch: mean, its standard error, lowest and highest of the n runs that ended well. "
        f"{told_errors(images)}"
    )
    return Table(name, caption, names, tuple(rows), _left_out(len(points), "points.csv"))


def told_errors(images: Images) -> str:
    """What a standard error is made of."""
    if images.number is None:
        return "The standard error is from the spread of the seeds alone."
    if images.shared:
        return (
            "The standard error is from the spread of the seeds and from the test images that all of them share: "
            f"p (1 - p) / {images.number:,}."
        )
    return (
        f"Each seed is tested on {images.number:,} images or more of its own; the standard error is from the spread "
        "of the seeds, and from the number of all their images where these let expect more."
    )


def differences_table(
    name: str, found: Sequence[Difference], keys: Sequence[str], layout: Layout, images: Images
) -> Table:
    """Return every two lines' difference at every point, and whether it is told apart from none."""
    rows = tuple(_difference_row(one) for one in found[:MAX_ROWS])
    hue = label(layout.hue)
    names = (*map(label, keys), hue, "less", "difference", "s.e.", "margin", "seeds", "told apart")
    shared = "; as if both made their mistakes independently, which overstates it" if images.number else ""
    caption = (
        f"Difference in {label(layout.metric)} of every two, seed by seed. {told_errors(images)} Of a difference both "
        f"count{shared}. It is told apart from none where it exceeds the margin: twice its standard error, with "
        "Student's t for 2 in the part of the seeds. One in twenty comparisons exceeds it by chance; what is not "
        "told apart is no finding. Runs that diverged, or ended worse than nothing learnt, count as nothing learnt."
    )
    return Table(name, caption, names, rows, _left_out(len(found), "runs.csv"))


def _difference_row(one: Difference) -> tuple[Cell, ...]:
    numbers = (one.mean, one.error.standard, one.error.margin, one.error.n)
    names = (*one.point, one.one, one.other)
    return (*map(cell, (*names, *numbers)), cell("yes" if one.told else "not told apart"))


def chosen_table(name: str, runs: pd.DataFrame, keys: Sequence[str]) -> Table:
    """Return what a search has chosen for each point."""
    tuned = [str(column) for column in runs if str(column).startswith(TUNED)]
    found = runs[[*keys, *tuned]].drop_duplicates()
    rows = [tuple(map(cell, row)) for row in found.head(MAX_ROWS).itertuples(index=False)]
    names = (*map(label, keys), *(label(column.removeprefix(TUNED)) for column in tuned))
    caption = (
        "What the search has chosen. Beyond a value at the edge of what was tried there may be a better one."
    )
    return Table(name, caption, names, tuple(rows), _left_out(len(found), "runs.csv"))


def _left_out(number: int, file: str) -> str:
    return f"The first {MAX_ROWS} of {number} rows; all are in {file}." if number > MAX_ROWS else ""


def lost_table(name: str, runs: pd.DataFrame, keys: Sequence[str]) -> Table:
    """Return every run that diverged or failed, with its reason."""
    lost = runs[runs["status"].isin(["diverged", "failed"])]
    columns = [*keys, "seed", "status", "epoch", "reason"]
    rows = [tuple(map(cell, row)) for row in lost[columns].head(MAX_ROWS).itertuples(index=False)]
    names = (*map(label, keys), "seed", "status", "last whole epoch", "reason")
    caption = "Runs that diverged (a loss or an update was not finite) or failed (could not be computed)."
    return Table(name, caption, names, tuple(rows), _left_out(len(lost), "runs.csv"))


def reasons_table(name: str, runs: pd.DataFrame) -> Table:
    """Return how many runs were lost for which reason."""
    lost = runs[runs["status"].isin(["diverged", "failed"])]
    found = lost.groupby(["status", "reason"], dropna=False, sort=False).size().reset_index(name="runs")
    found = found.sort_values("runs", ascending=False).head(MAX_ROWS)
    rows = tuple(tuple(map(cell, row)) for row in found[["runs", "status", "reason"]].itertuples(index=False))
    return Table(name, "Reasons, by number of runs.", ("runs", "status", "reason"), rows)


def breaks_table(name: str, lines: Sequence[Line], layout: Layout, log: bool) -> Table:
    """Return where each line has lost half of its lead."""
    keys = list(lines[0].keys)
    keys = [key for key in keys if key == layout.hue or len({str(one.keys[key]) for one in lines}) > 1]
    columns = (
        *map(label, keys),
        "reference",
        "there: mean",
        "s.e.",
        "low",
        "high",
        "n",
        "half-way",
        "break point",
        "between",
        "low",
        "high",
        "seeds",
    )
    rows = tuple(_break_row(line, keys) for line in lines)
    between = "the logarithm of the swept value" if log else "the swept value"
    nothing = "chance (1 / classes)" if layout.higher_is_better else "the loss of always predicting the mean"
    caption = (
        f"Break point of {label(lines[0].x)}: where the mean over seeds, from its best point on, falls half the way "
        f"from the reference to {nothing} for good, interpolated linearly in {between} between two measured values. "
        "A star: a run diverged at one of them, and the point may lie anywhere between. Low and high are the first "
        "and the last of the seeds' own, interpolated alike. The reference is the same rule and training on the ideal "
        "device where that was run, and else the line's own best point, of each seed where the mean of the other seeds "
        "is best (the best of several noisy means would be too good; of a single seed it is the gentlest point); none "
        "is told where a seed there has less than half the mean lead. S.e. is its standard error, from the spread of "
        f"the seeds. A run that diverged, or that ended worse than {nothing}, counts as {nothing}; one that failed is "
        "left out."
    )
    return Table(name, caption, columns, rows)


def _break_row(line: Line, keys: Sequence[str]) -> tuple[Cell, ...]:
    own = [cell(line.keys[key]) for key in keys]
    if line.lead is None:
        return (*own, Cell(line.reference, line.reference), *[NONE] * 6, *_why(line))
    ideal, lead = line.lead.ideal, line.lead
    there = map(cell, (lead.best, spread_error(ideal), min(ideal), max(ideal), len(ideal), lead.half))
    return (*own, Cell(line.reference, line.reference), *there, *_why(line))


def _why(line: Line) -> list[Cell]:
    if line.point is None:
        return [Cell(line.why or "–", math.inf), *[NONE] * 4]
    value, low, high = (_reached(at, line) for at in (line.point.value, line.point.low, line.point.high))
    if line.point.dip is not None:
        value = replace(value, text=f"{value.text}; below half at {line.point.dip:g}, and back")
    return [value, _between(line.point, line), low, high, cell(line.point.seeds)]


def _between(point: BreakPoint, line: Line) -> Cell:
    if point.between is None:
        return NONE
    star = "*" if {*point.between} & {*line.diverged} else ""
    return Cell("{:g} and {:g}".format(*point.between) + star, point.between[0])


def _reached(value: float, line: Line) -> Cell:
    if math.isinf(value):
        return Cell(f"not reached (to {line.values[-1]:g})", math.inf)
    if value == line.values[0]:
        return Cell(f"already at {value:g}", value)
    return Cell(f"{value:.3g}", value)


def common_settings(runs: pd.DataFrame) -> dict[str, str]:
    """Return the settings that all finished runs share and that are not at their defaults."""
    experiments = [one for one in runs[EXPERIMENT] if isinstance(one, Mapping)]
    if not experiments:
        return {}
    shared = flattened(experiments[0])
    for experiment in experiments[1:]:
        other = flattened(experiment)
        shared = {key: value for key, value in shared.items() if key in other and other[key] == value}
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in shared.items()}


def told_environment(environment: Mapping[str, Any]) -> str:
    """Return versions and hardware in one line."""
    versions = environment.get("versions", {})
    if not isinstance(versions, Mapping):
        return "; ".join(map(str, versions))
    parts: Iterable[str] = (f"{name} {version}" for name, version in versions.items() if version)
    hardware = [
        environment.get("cpu"),
        _cores(environment),
        environment.get("gpu"),
        environment.get("platform"),
    ]
    commit = environment.get("commit")
    return "; ".join(
        [
            ", ".join(parts),
            ", ".join(str(one) for one in hardware if one),
            *([f"commit {commit}"] if commit else []),
        ]
    )


def _cores(environment: Mapping[str, Any]) -> str | None:
    cores = environment.get("cores")
    return f"{cores} cores" if cores else None
