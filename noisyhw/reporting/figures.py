"""The figures of a report; each is drawn from points that are averaged already."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .axes import Axis, label
from .breaks import Line
from .canvas import MAX_PANELS, common_labels, entry, legend, look, panels, stands_at, ticks, title_of, x_axis
from .layout import Layout
from .statistics import unbeaten
from .style import COLOURS, FAINT, INK, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELL_IN = (0.8, 0.42)
"""Width and height of a heat map's cell."""


@styled
def robustness(
    points: pd.DataFrame, layout: Layout, along: Axis, lines: Sequence[Line], nothing: float | None
) -> Figure:
    """Draw the metric against a swept field: a panel a device, a line a rule, bands from low to high.

    Diamonds are break points; crosses stand where runs diverged or failed.
    """
    keys = layout.panel_keys(along.name)
    groups = _groups(points, keys)
    figure, places = panels(len(groups))
    hues = hues_of(points, layout.hue)
    for place, (values, part) in zip(places, groups, strict=True):
        place.set_title(title_of(keys, values))
        if nothing is not None:
            place.axhline(nothing, color=FAINT, lw=0.9, ls=(0, (2, 2)), zorder=1)
        for index, hue in enumerate(hues):
            _against(place, part[_equal(part[layout.hue], hue)], along, index, nothing, (index, len(hues)))
        for line in lines:
            if _is_in(line, keys, values) and line.keys[layout.hue] in hues:
                _mark(place, line, along, hues.index(line.keys[layout.hue]))
        _finish(place, layout)
        x_axis(place, along)
    handles = [entry(str(hue), **look(index)) for index, hue in enumerate(hues)]
    if any(line.point is not None and math.isfinite(line.point.value) for line in lines):
        handles.append(entry("break point", color=FAINT, marker="D", ls="", mfc="none", mew=1.2))
    if (points["diverged"] + points["failed"]).sum():
        handles.append(entry("diverged or failed", color=FAINT, marker="x", ls="", mew=1.3))
    if nothing is not None:
        name = "chance" if layout.higher_is_better else "predicting the mean"
        handles.append(entry(name, color=FAINT, ls=(0, (2, 2)), lw=0.9))
    legend(figure, handles)
    common_labels(figure, along.label, label(layout.metric))
    return figure


def _against(
    place: Any, part: pd.DataFrame, along: Axis, index: int, nothing: float | None, turn: tuple[int, int]
) -> None:
    where = dict(zip(along.values, along.places, strict=True))
    part = part.assign(_at=part[along.name].map(where)).dropna(subset=["_at"]).sort_values("_at")
    known = part[part["n"] > 0]
    how = look(index)
    if along.ordered:
        place.plot(known["_at"], known["mean"], **how)
        place.fill_between(known["_at"], known["low"], known["high"], color=how["color"], alpha=0.18, lw=0)
    else:
        at = known["_at"] + (turn[0] - (turn[1] - 1) / 2) * 0.6 / max(turn[1], 3)
        ends = [known["mean"] - known["low"], known["high"] - known["mean"]]
        place.errorbar(at, known["mean"], ends, **how | {"linestyle": ""}, elinewidth=1.1, capsize=2)
    lost = part[(part["diverged"] + part["failed"]) > 0]
    if len(lost):
        floor = lost["mean"].fillna(math.nan if nothing is None else nothing)
        level = floor if nothing is None else np.full(len(lost), nothing)
        place.plot(lost["_at"], level, marker="x", ls="", color=how["color"], mew=1.5, ms=7, zorder=7)


def _mark(place: Any, line: Line, along: Axis, index: int) -> None:
    if line.point is None or line.lead is None or not math.isfinite(line.point.value):
        return
    at, low = (stands_at(along, value) for value in (line.point.value, line.point.low))
    high = stands_at(along, line.point.high) if math.isfinite(line.point.high) else along.places[-1]
    colour = look(index)["color"]
    place.plot([low, high], [line.lead.half] * 2, color=colour, lw=1, zorder=5)
    place.plot([at], [line.lead.half], marker="D", ms=5.5, mfc="none", mec=colour, mew=1.2, ls="", zorder=6)


@styled
def heat_map(points: pd.DataFrame, layout: Layout, along: Axis) -> Figure:
    """Draw the mean of the metric by swept value and rule, a panel a device, with low and high in each cell."""
    keys = layout.panel_keys(along.name)
    groups = _groups(points, keys)
    hues = hues_of(points, layout.hue)
    names = 0.065 * max(len(str(hue)) for hue in hues)
    size = (CELL_IN[0] * len(along.values) + 0.5 + max(0.4, names), CELL_IN[1] * len(hues) + 0.5)
    figure, places = panels(len(groups), 2 if len(along.values) < 4 else 1, size, widened=False)
    limits = (0.0, 1.0) if layout.higher_is_better else _limits(points["mean"])
    for place, (values, part) in zip(places, groups, strict=True):
        image = _cells(place, part, layout, along, hues, limits)
        place.set_title(title_of(keys, values))
        ticks(place, range(len(along.values)), along.values, 9 * len(along.values))
        place.set_yticks(range(len(hues)), [str(hue) for hue in hues])
        place.tick_params(length=0)
        place.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=places, pad=0.015, aspect=18 * len(groups), label=label(layout.metric))
    bar.outline.set_visible(False)
    common_labels(figure, along.label, label(layout.hue) if layout.hue != "rule" else "")
    return figure


def _cells(
    place: Any, part: pd.DataFrame, layout: Layout, along: Axis, hues: list[Any], limits: tuple[float, float]
) -> Any:
    columns = {value: index for index, value in enumerate(along.values)}
    table = np.full((len(hues), len(columns)), math.nan)
    for row in part.itertuples(index=False):
        told = dict(zip(part.columns, row, strict=True))
        if told[layout.hue] not in hues or told[along.name] not in columns:
            continue
        y, x = hues.index(told[layout.hue]), columns[told[along.name]]
        table[y, x] = told["mean"]
        share = (told["mean"] - limits[0]) / ((limits[1] - limits[0]) or 1)
        _write(place, x, y, told, share, (".3f", ".2f") if layout.higher_is_better else (".3g", ".2g"))
    return place.imshow(table, cmap="cividis", vmin=limits[0], vmax=limits[1], aspect="auto")


def _write(
    place: Any, x: int, y: int, told: Mapping[str, Any], share: float, digits: tuple[str, str]
) -> None:
    lost = told["diverged"] + told["failed"]
    if told["n"] == 0:
        text = f"{'diverged' if told['diverged'] else 'failed'}" if lost else "–"
        place.text(x, y, text, ha="center", va="center", fontsize=6.5, color=INK)
        return
    colour = "#ffffff" if share < 0.55 else "#101010"
    mark = "*" if lost else ""
    place.text(
        x, y - 0.14, f"{told['mean']:{digits[0]}}{mark}", ha="center", va="center", fontsize=8, color=colour
    )
    span = f"{told['low']:{digits[1]}}–{told['high']:{digits[1]}}"
    place.text(x, y + 0.25, span, ha="center", va="center", fontsize=6.4, color=colour)


def _limits(values: pd.Series) -> tuple[float, float]:
    known = values.dropna()
    return (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)


@styled
def pareto(points: pd.DataFrame, layout: Layout, cost: str) -> Figure:
    """Draw the metric against what it costs; a step line joins the points that no other one beats."""
    keys = layout.panel_keys(cost)
    groups = _groups(points[points["n"] > 0], keys)
    figure, places = panels(max(len(groups), 1))
    hues = hues_of(points, layout.hue)
    sign = 1 if layout.higher_is_better else -1
    for place, (values, part) in zip(places, groups, strict=True):
        place.set_title(title_of(keys, values))
        best = part[unbeaten(part[cost].astype(float).tolist(), (sign * part["mean"]).tolist())].sort_values(
            cost
        )
        place.step(best[cost], best["mean"], where="post", color=FAINT, lw=1.2, zorder=1)
        for index, hue in enumerate(hues):
            own = part[_equal(part[layout.hue], hue)]
            ends = [own["mean"] - own["low"], own["high"] - own["mean"]]
            how = look(index) | {"linestyle": ""}
            place.errorbar(own[cost], own["mean"], ends, **how, elinewidth=1.1, capsize=2)
        place.set_xscale("log", base=2)
        place.set_xticks(sorted(set(part[cost])), [f"{value:g}" for value in sorted(set(part[cost]))])
        place.minorticks_off()
        _finish(place, layout)
    handles = [entry(str(hue), **look(index) | {"linestyle": ""}) for index, hue in enumerate(hues)]
    legend(figure, [*handles, entry("not beaten by any other", color=FAINT, lw=1.2)])
    common_labels(figure, label(cost), label(layout.metric))
    return figure


@styled
def scatter(points: pd.DataFrame, layout: Layout, x: str) -> Figure:
    """Draw the metric against a number that was drawn at random, with all others that were."""
    keys = [key for key in layout.panels if key != layout.hue]
    groups = _groups(points[points["n"] > 0], keys)
    figure, places = panels(max(len(groups), 1))
    hues = hues_of(points, layout.hue)
    values = pd.to_numeric(points[x])
    log = values.min() > 0 and values.max() / values.min() > 30
    for place, (title, part) in zip(places, groups, strict=True):
        place.set_title(title_of(keys, title))
        for index, hue in enumerate(hues):
            own = part[_equal(part[layout.hue], hue)]
            ends = [own["mean"] - own["low"], own["high"] - own["mean"]]
            how = look(index) | {"linestyle": ""}
            place.errorbar(own[x], own["mean"], ends, **how, ms=3, alpha=0.75, elinewidth=0.7)
        if log:
            place.set_xscale("log")
        _finish(place, layout)
    legend(figure, [entry(str(hue), **look(index) | {"linestyle": ""}) for index, hue in enumerate(hues)])
    common_labels(figure, label(x), label(layout.metric))
    return figure


def hues_of(points: pd.DataFrame, hue: str) -> list[Any]:
    """Return the lines that are drawn: the first eight."""
    return list(dict.fromkeys(points[hue]))[:COLOURS]


def _groups(points: pd.DataFrame, keys: Sequence[str]) -> list[tuple[tuple[Any, ...], pd.DataFrame]]:
    if not keys:
        return [((), points)]
    found = points.groupby(list(keys), sort=False, dropna=False)
    return [(values, part) for values, part in found][:MAX_PANELS]


def _is_in(line: Line, keys: Sequence[str], values: Sequence[Any]) -> bool:
    return all(str(line.keys[key]) == str(value) for key, value in zip(keys, values, strict=True))


def _equal(column: pd.Series, value: Any) -> pd.Series:
    return column.map(str) == str(value)


def _finish(place: Any, layout: Layout) -> None:
    place.grid(True)
    place.set_axisbelow(True)
    if layout.higher_is_better:
        place.set_ylim(-0.02, 1.02)
    else:
        place.set_yscale("log")
