"""Figures written as PNG and SVG, the same bytes each time."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cards.device import DeviceCard
from ..errors import RunError
from ..training.files import write_atomically
from .panel import Drawing, Panel
from .panels import PANELS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 3
SIZE_IN = (5.2, 3.8)
"""Width and height of one panel, in inches."""

TITLE_WIDTH = 60
"""Characters that fit over one panel."""


def plot_device(card: DeviceCard, folder: Path, seed: int = 0) -> tuple[list[Path], list[str]]:
    """Draw a device's panels, together in one figure and each apart.

    Args:
        card: the device.
        folder: where the figures go; it is made if need be.
        seed: of all that is simulated.

    Returns:
        The files, and a line for each panel that was left out.

    Raises:
        RunError: the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot be made ({error.strerror}); choose another --out") from None
    prepared = [(panel, _prepared(panel, card, seed)) for panel in PANELS.values()]
    drawn = [(panel, done) for panel, done in prepared if not isinstance(done, str)]
    left_out = [f"{panel.name}: left out, {done}" for panel, done in prepared if isinstance(done, str)]
    files = [
        file
        for panel, drawing in drawn
        for file in _save(_together(card, [(panel, drawing)]), folder, panel.name)
    ]
    return (_save(_together(card, drawn), folder, "device") if drawn else []) + files, left_out


def _prepared(panel: Panel, card: DeviceCard, seed: int) -> Drawing | str:
    """What draws a panel, or why it is left out; one of another package is drawn once to see whether it can be."""
    if panel.prepare.__module__.startswith("noisyhw."):
        return panel.prepare(card, seed)
    try:
        done = panel.prepare(card, seed)
        if not isinstance(done, str):
            done(new_figure(1, 1)[1][0])
    except Exception as error:  # anything can go wrong in another package
        return f"it fails with {type(error).__name__}: {error}"
    return done


def _together(card: DeviceCard, drawn: list[tuple[Panel, Drawing]]) -> Figure:
    columns = min(len(drawn), COLUMNS)
    figure, grid = new_figure(math.ceil(len(drawn) / columns), columns)
    for place, (panel, drawing) in zip(grid, drawn, strict=False):
        drawing(place)
        finish(place, panel.title)
    for place in grid[len(drawn) :]:
        place.set_axis_off()
    title = f"{card.name}: {card.title}" if card.title else card.name
    figure.suptitle(textwrap.fill(title, TITLE_WIDTH * columns), fontsize="medium")
    return figure


def new_figure(rows: int, columns: int) -> tuple[Figure, list[Any]]:
    """An empty figure of panels, and their axes in reading order."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(SIZE_IN[0] * columns, SIZE_IN[1] * rows), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def finish(axes: Any, title: str) -> None:
    """Title, grid and legend of one panel."""
    axes.set_title(title, fontsize="medium")
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize="x-small")


def _save(figure: Figure, folder: Path, name: str) -> list[Path]:
    files = [folder / f"{name}.{kind}" for kind in ("png", "svg")]
    for file in files:
        save_figure(figure, file)
    return files


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure; an SVG holds no date and no random names."""
    import matplotlib

    kind = path.suffix.removeprefix(".").lower() or "png"
    metadata = {"Date": None} if kind == "svg" else {}
    save: Callable[[Any], object] = lambda file: figure.savefig(file, format=kind, metadata=metadata)  # noqa: E731
    with matplotlib.rc_context({"svg.hashsalt": "noisyhw"}):
        write_atomically(path, save)
