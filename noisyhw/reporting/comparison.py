"""One figure of a comparison: how far each rule gets on a device, and at what cost."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..sweeps.compare import shown_count
from ..training.files import write_atomically
from .canvas import entry, legend, panels
from .style import FAINT, INK, LIGHT, styled, svg_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW_IN, LETTER_IN = 0.24, 0.062


@styled
def comparison(table: pd.DataFrame, metric: str) -> Figure:
    """Draw one line a rule and path, the best on top: mean and range over seeds, and what it costs beside it.

    Args:
        table: of :func:`noisyhw.sweeps.compare.compare`.
        metric: what was measured, for the axis.
    """
    rows: list[Any] = list(table.itertuples())
    several = table["path"].nunique() > 1
    names = [f"{row.rule}, {row.path}" if several else row.rule for row in rows]
    wide = 3 + LETTER_IN * (max(map(len, names)) + max(len(_cost(row)) for row in rows))
    figure, (place,) = panels(1, size=(wide, ROW_IN * len(table) + 0.6), widened=False)
    for at, row in enumerate(rows):
        colour = FAINT if "oracle" in row.rule else LIGHT[0]
        if row.n:
            place.plot([row.low, row.high], [at, at], color=colour, lw=1.6)
            place.plot(row.mean, at, "o", color=colour, mfc="white" if row.rising else colour)
        place.text(
            1.02, at, _cost(row), transform=place.get_yaxis_transform(), va="center", fontsize=7.5, color=INK
        )
    place.set_yticks(range(len(rows)), names)
    place.set_ylim(len(rows) - 0.4, -0.6)
    place.set_xlabel(f"{metric}, mean and range over seeds")
    place.grid(axis="x")
    own = {"color": LIGHT[0], "marker": "o", "ls": ""}
    handles = [entry("no longer improving", **own), entry("still improving", **own | {"mfc": "white"})]
    if any("oracle" in row.rule for row in rows):
        handles.append(entry("asks a noise-free twin", **own | {"color": FAINT}))
    legend(figure, handles)
    return figure


def _cost(row: Any) -> str:
    pulses = "" if math.isnan(row.pulses_per_weight) else f"{shown_count(row.pulses_per_weight)} pulses and "
    numbers = f"{row.memory} number{'s'[: row.memory != 1]}"
    return f"{row.passes} pass{'es'[: 2 * (row.passes != 1)]}; {pulses}{numbers} a weight"


def save(table: pd.DataFrame, metric: str, folder: Path) -> Path:
    """Write the figure as PNG and SVG, and the table as CSV; return the PNG's path."""
    figure = comparison(table, metric)
    write_atomically(folder / "compare.csv", lambda file: file.write(table.to_csv(index=False).encode()))
    write_atomically(folder / "compare.svg", lambda file: file.write(svg_text(figure).encode()))
    write_atomically(
        folder / "compare.png", lambda file: figure.savefig(file, format="png", facecolor="white")
    )
    return folder / "compare.png"
