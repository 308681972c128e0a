"""Empty figures of panels, axes with their ticks, and legends: what all figures of a report share."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .axes import Axis, places_of, setting, short
from .style import DASHES, LIGHT, MARKERS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_PANELS = 12
"""Of one figure; what is beyond them is in the tables, and is said."""
PANEL_IN = (2.75, 2.3)
MAX_TICKS = 9


def panels(
    number: int, columns: int = 3, size: tuple[float, float] = PANEL_IN, *, widened: bool = True
) -> tuple[Figure, list[Any]]:
    """Return a figure of some panels with common axes, and these in reading order.

    Args:
        number: of panels.
        columns: at most so many abreast.
        size: of a panel, in inches.
        widened: whether one or two abreast are wider.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    across = 2 if number == 4 and columns > 2 else min(columns, number)
    down = -(-number // across)
    width = size[0] * ({1: 1.9, 2: 1.25}.get(across, 1) if widened else 1)
    figure = Figure(figsize=(width * across, size[1] * down + 0.35), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    figure.patch.set_alpha(0)
    found = list(figure.subplots(down, across, squeeze=False, sharex=True, sharey=True).flat)
    for place in found:
        place.patch.set_alpha(0)
    for place in found[number:]:
        place.set_axis_off()
    for place in found[max(0, number - across) : number]:
        place.tick_params(labelbottom=True)
    return figure, found[:number]


def title_of(keys: Sequence[str], values: Sequence[Any], width: int = 40) -> str:
    """Return a panel's title."""
    said = [setting(key, value) for key, value in zip(keys, values, strict=True)]
    return textwrap.fill(", ".join(said), width)


def x_axis(place: Any, along: Axis) -> None:
    """Give a panel the ticks of a swept field's values."""
    every = -(-len(along.values) // MAX_TICKS)
    if along.log or not along.ordered or len(along.values) <= MAX_TICKS:
        ticks(place, along.places[::every], along.values[::every], 34)
    elif along.log is False:
        place.locator_params(axis="x", nbins=6)
    place.margins(x=0.06)


def ticks(place: Any, places: Iterable[float | int], values: Sequence[Any], letters: int) -> None:
    """Name values below an axis, slantwise where so many letters would not fit."""
    texts = [textwrap.shorten(short(value), 26, placeholder=" …") for value in values]
    crowded = sum(map(len, texts)) > letters
    slanted = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
    place.set_xticks(list(places), texts, **slanted)


def stands_at(along: Axis, value: float) -> float:
    """Return where a value between the axis's values stands."""
    return places_of([value], along.numbers)[0] if along.log else value


def look(index: int) -> dict[str, Any]:
    """Return the look of a line: no two of the first eight share colour or marker."""
    return {
        "color": LIGHT[index % len(LIGHT)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": DASHES[index % len(DASHES)],
    }


def legend(figure: Figure, handles: Sequence[Any]) -> None:
    """Put one legend above all panels."""
    longest = max(len(str(handle.get_label())) for handle in handles)
    columns = max(2, min(len(handles), int(figure.get_figwidth() / (0.062 * longest + 0.55))))
    figure.legend(
        handles=list(handles),
        loc="outside upper center",
        ncols=columns,
        frameon=False,
        handlelength=2.4,
        columnspacing=1.4,
    )


def entry(name: str, **how: Any) -> Any:
    """Return a legend's entry."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=name, **how)


def common_labels(figure: Figure, x: str, y: str) -> None:
    """Name the axes once for all panels."""
    figure.supxlabel(x)
    figure.supylabel(y)
