"""Learning curves: which are drawn, their mean and band over seeds, and their figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from .axes import axis, label, short
from .canvas import common_labels, entry, legend, look, panels, title_of
from .figures import hues_of
from .layout import Layout
from .source import Curves
from .style import FAINT, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 3
"""Values of the swept field that are shown: the first, the middle and the last."""
ROWS = 4


@dataclass(frozen=True)
class Chosen:
    """Runs whose learning curves are drawn.

    Args:
        panels: title and runs of each.
        said: what was left out, for the caption; empty: nothing.
    """

    panels: tuple[tuple[str, pd.DataFrame], ...]
    said: str

    @property
    def identities(self) -> set[str]:
        """Of all runs that are drawn."""
        return {one for _, runs in self.panels for one in runs["identity"]}


def choose(runs: pd.DataFrame, layout: Layout) -> Chosen:
    """Choose what is drawn: a row a device, a column for three values of the first swept field.

    Further swept fields are held at their middle value.
    """
    x = (layout.xs or layout.sampled or (None,))[0]
    others = [key for key in layout.keys if key not in (*layout.panels, layout.hue, x)]
    said = []
    for key in others:
        values = axis(key, runs[key].tolist()).values
        middle = values[len(values) // 2]
        runs = runs[runs[key].map(str) == str(middle)]
        said.append(f"{label(key)} at {short(middle)}")
    picked: list[Any] = [None]
    if x is not None and x not in layout.panels:
        values = axis(x, runs[x].tolist()).values
        picked = sorted({0, len(values) // 2, len(values) - 1})
        said += [f"{len(picked)} of {len(values)} values of {label(x)}"] if len(values) > COLUMNS else []
        picked = [values[index] for index in picked]
    keys = [key for key in layout.panels if key != layout.hue]
    groups = list(runs.groupby(keys, sort=False, dropna=False)) if keys else [((), runs)]
    if len(groups) > ROWS:
        said.append(f"{ROWS} of {len(groups)} panels of {', '.join(map(label, keys))}")
    found = []
    for values, part in groups[:ROWS]:
        for value in picked:
            own = part if value is None else part[part[str(x)].map(str) == str(value)]
            names = [*keys] if value is None else [*keys, str(x)]
            title = title_of(names, [*values] if value is None else [*values, value], 34)
            found.append((title, own))
    return Chosen(tuple(found), "; ".join(said))


def band(curves: Sequence[tuple[list[int], list[float]]]) -> pd.DataFrame:
    """Return mean, low and high by epoch, over the epochs that all runs have."""
    table = pd.concat([pd.Series(values, index=epochs) for epochs, values in curves], axis=1).dropna()
    return pd.DataFrame({"mean": table.mean(axis=1), "low": table.min(axis=1), "high": table.max(axis=1)})


@styled
def draw(chosen: Chosen, curves: Curves, layout: Layout) -> Figure:
    """Draw means with bands from low to high; a run that diverged is a thin line that ends in a cross."""
    shown = [(title, runs) for title, runs in chosen.panels if len(runs)]
    figure, places = panels(len(shown), COLUMNS)
    hues = hues_of(pd.concat([runs for _, runs in shown]), layout.hue)
    lost = False
    for place, (title, runs) in zip(places, shown, strict=True):
        place.set_title(title)
        for index, hue in enumerate(hues):
            own = runs[runs[layout.hue].map(str) == str(hue)]
            lost |= _line(place, own, curves, index)
        place.grid(True)
        place.xaxis.get_major_locator().set_params(integer=True, nbins=5)
        if layout.higher_is_better:
            place.set_ylim(-0.02, 1.02)
        else:
            place.set_yscale("log")
    plain = [look(index) | {"marker": ""} for index in range(len(hues))]
    handles = [entry(str(hue), **how) for hue, how in zip(hues, plain, strict=True)]
    if lost:
        handles.append(entry("diverged", color=FAINT, marker="x", lw=0.7, mew=1.3))
    legend(figure, handles)
    common_labels(figure, "epoch", label(layout.metric))
    return figure


def _line(place: Any, runs: pd.DataFrame, curves: Curves, index: int) -> bool:
    """Draw one rule's runs; say whether one of them diverged."""
    known = runs[runs["identity"].isin(list(curves))]
    done = [curves[one] for one in known.loc[known["status"] == "done", "identity"]]
    how = look(index) | {"marker": ""}
    if done:
        mean = band(done)
        place.plot(mean.index, mean["mean"], **how)
        place.fill_between(mean.index, mean["low"], mean["high"], color=how["color"], alpha=0.18, lw=0)
    diverged = [curves[one] for one in known.loc[known["status"] == "diverged", "identity"]]
    for epochs, values in diverged:
        place.plot(epochs, values, **how | {"lw": 0.7})
        place.plot(epochs[-1:], values[-1:], color=how["color"], marker="x", ls="", mew=1.3)
    return bool(diverged)
