"""Learning curves: one line a label, with a band from the lowest to the highest seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..characterize.figures import finish, new_figure, save_figure
from .outcome import Outcome

COLUMNS = 3


def draw_bands(
    axes: Any, curves: Mapping[str, pd.DataFrame], ylabel: str, log: bool = False, counted: bool = True
) -> None:
    """Draw each label's mean over the columns of its table, and the band between lowest and highest.

    A curve ends where the first of its columns does, so that all of it is of the same seeds. A label keeps its colour
    whether or not others have data.

    Args:
        axes: where.
        curves: by label, a table of epochs with a column for each seed.
        ylabel: what the values are.
        log: draw them on a logarithmic axis.
        counted: write the number of seeds behind the label.
    """
    for number, (label, table) in enumerate(curves.items()):
        whole = table.dropna()
        if whole.empty:
            continue
        marker = "o" if len(whole) == 1 else ""
        text = f"{label} (n={whole.shape[1]})" if counted else label
        axes.plot(whole.index, whole.mean(axis=1), marker=marker, label=text, color=f"C{number}")
        low, high = whole.min(axis=1), whole.max(axis=1)
        axes.fill_between(whole.index, low, high, alpha=0.2, color=f"C{number}", lw=0)
    axes.set(xlabel="epoch", ylabel=ylabel)
    if log:
        axes.set_yscale("log")
    axes.xaxis.get_major_locator().set_params(integer=True)


def draw_study(outcomes: Sequence[Outcome], out: Path) -> bool:
    """Draw test and training curves of every net that has runs, as ``out``.png and .svg; False: there are none."""
    nets = list(dict.fromkeys(item.cell.net_name for item in outcomes if item.tables))
    if not nets:
        return False
    metric = outcomes[0].cell.study.metric
    ylabel = "accuracy (%)" if metric == "accuracy" else "loss"
    panels = [(net, kind) for net in nets for kind in ("train", "test")]
    columns = 2 if len(panels) in (2, 4) else min(COLUMNS, len(panels))
    figure, grid = new_figure(math.ceil(len(panels) / columns), columns)
    for axes, (net, kind) in zip(grid, panels, strict=False):
        curves = {o.cell.row_name: o.curves(kind) for o in outcomes if o.cell.net_name == net}
        draw_bands(axes, curves, ylabel, log=metric == "loss")
        finish(axes, f"{net}, {kind}")
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    for kind in (".png", ".svg"):
        save_figure(figure, out.with_suffix(kind))
    return True
