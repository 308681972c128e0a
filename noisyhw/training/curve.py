"""A picture of a run's learning curve."""

from __future__ import annotations

from pathlib import Path

from .files import write_atomically
from .trainer import Row


def draw_curve(rows: list[Row], title: str, path: Path) -> None:
    """Draw training and test accuracy (or loss, for a regression) against the epoch, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    metric = "loss" if rows[-1].test_accuracy is None else "accuracy"
    figure = Figure(figsize=(6, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    epochs = [row.epoch for row in rows]
    marker = "o" if len(rows) == 1 else ""
    axes.plot(
        epochs,
        [getattr(row, f"train_{metric}") for row in rows],
        marker=marker,
        label="training (running mean)",
    )
    axes.plot(epochs, [getattr(row, f"test_{metric}") for row in rows], marker=marker, label="test")
    axes.set(title=title, xlabel="epoch", ylabel=metric)
    if metric == "loss":
        axes.set_yscale("log")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    write_atomically(path, lambda file: figure.savefig(file, format="png"))
