"""A learning rate found by doubling until the rule is unstable (paper, Appendix J)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ..training.files import write_text
from ..training.run import Run, train
from .pages import make_folder
from .plan import Cell

FIRST: Final = 1e-7
DOUBLINGS: Final = 24
"""From 1e-7 to 1.7, where nothing is stable any more."""
EPOCHS: Final = 10
GROWTH: Final = 1.1
"""A run that ends with more than so many times the lowest training loss, its own or a smaller rate's, is unstable."""


def rate_of(cell: Cell, runs: Path) -> float | None:
    """The cell's learning rate: the study's, or the one that was found, or None while it is to be found."""
    given = cell.row.given_rate(cell.variant)
    if given is not None:
        return given
    record = _record(cell, runs)
    return float(json.loads(record.read_text())["rate"]) if record.is_file() else None


def find_rate(cell: Cell, runs: Path, data_dir: Path | None, tell: Callable[[str], None]) -> float:
    """The largest of 1e-7, 2e-7, 4e-7, ... before the first unstable one, from runs of a few epochs of seed 0.

    Args:
        cell: its rule and network.
        runs: what is found is kept there, and so are the runs until it is found.
        data_dir: where the data is.
        tell: is told what was found.
    """
    known = rate_of(cell, runs)
    if known is not None:
        return known
    tried: list[tuple[float, str]] = []
    lowest = math.inf
    for doubling in range(DOUBLINGS):
        rate = FIRST * 2**doubling
        run = _try(cell, runs, rate, data_dir)
        tried.append((rate, "stable" if stable(run, lowest) else "unstable"))
        if tried[-1][1] == "unstable":
            break
        lowest = min(lowest, *training_losses(run))
    stable_ones = [rate for rate, status in tried if status != "unstable"]
    best = stable_ones[-1] if stable_ones else FIRST
    write_text(_record(cell, runs), json.dumps({"rate": best, "tried": tried}, indent=1) + "\n")
    tell(f"{cell.study.name}: {cell.label}: learning rate {best:.3g} found in {len(tried)} short runs")
    return best


def _try(cell: Cell, runs: Path, rate: float, data_dir: Path | None) -> Run:
    out = _folder(cell, runs) / f"rate-{rate:.4g}"
    return train(cell.experiment(rate, 0, EPOCHS), out=out, data_dir=data_dir)


def stable(run: Run, lowest: float = math.inf) -> bool:
    """Whether a short run ended, and with a training loss near its own best and the lowest of smaller rates."""
    losses = training_losses(run)
    if run.status != "done" or not losses:
        return False
    return math.isfinite(losses[-1]) and losses[-1] <= GROWTH * min(lowest, *losses)


def training_losses(run: Run) -> list[float]:
    """By epoch."""
    return [] if run.metrics.empty else [float(loss) for loss in run.metrics.train_loss]


def _folder(cell: Cell, runs: Path) -> Path:
    folder = runs / "rates" / cell.folder(runs, None, 0).name
    make_folder(folder)
    return folder


def _record(cell: Cell, runs: Path) -> Path:
    return runs / "rates" / f"{cell.folder(runs, None, 0).name}.json"
