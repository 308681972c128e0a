"""A learning rate found by doubling until the rule is unstable (paper, Appendix J)."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any, Final

from ..training.files import write_text
from ..training.run import Run, train
from .pages import make_folder
from .plan import Cell
from .trained import Sitting, trained

FIRST: Final = 1e-7
DOUBLINGS: Final = 24
"""Rates that are tried: from 1e-7 to 0.84."""
EPOCHS: Final = 10
GROWTH: Final = 1.1
"""A run that ends with more than so many times the lowest training loss, its own or a smaller rate's, is unstable."""
BLOW_UP: Final = 2.0
"""A whole run whose training loss comes to more than so many times the lowest before is unstable."""


def rate_of(cell: Cell, runs: Path) -> float | None:
    """The cell's learning rate: the study's, or the one that was found, or None while it is to be found."""
    given = cell.row.given_rate(cell.variant)
    if given is not None:
        return given
    known = _known(cell, runs)
    return None if known is None else float(known["rate"])


def find_rate(
    cell: Cell,
    epochs: int,
    sitting: Sitting,
) -> float:
    """The largest of 1e-7, 2e-7, 4e-7, ... before the first unstable one, both by short runs and by the whole run.

    Runs of a few epochs of seed 0 find where it is; then it is halved until seed 0's own run blows up nowhere.

    Args:
        cell: its rule and network.
        epochs: how far runs are to go.
        sitting: what is found is kept with its runs, and told.
    """
    given = cell.row.given_rate(cell.variant)
    if given is not None:
        return given
    known = _known(cell, sitting.runs) or _doubled(cell, sitting)
    while known.get("epochs", EPOCHS) < epochs and known["rate"] > FIRST:
        run = trained(cell, known["rate"], 0, epochs, sitting)
        if steady(run):
            known |= {"epochs": epochs}
        else:
            sitting.tell(
                f"{cell.study.name}: {cell.label}: learning rate {known['rate']:.3g} is unstable later on, halved"
            )
            known |= {"rate": known["rate"] / 2, "late": [*known.get("late", []), known["rate"]]}
        _keep(cell, sitting.runs, known)
    return float(known["rate"])


def _doubled(cell: Cell, sitting: Sitting) -> dict[str, Any]:
    """What the short runs found."""
    tried: list[tuple[float, str]] = []
    lowest = math.inf
    for doubling in range(DOUBLINGS):
        rate = FIRST * 2**doubling
        run = _try(cell, sitting.runs, rate, sitting.data_dir)
        tried.append((rate, "stable" if stable(run, lowest) else "unstable"))
        if tried[-1][1] == "unstable":
            break
        lowest = min(lowest, *training_losses(run))
    stable_ones = [rate for rate, status in tried if status != "unstable"]
    known = {"rate": stable_ones[-1] if stable_ones else FIRST, "tried": tried}
    _keep(cell, sitting.runs, known)
    end = "" if tried[-1][1] == "unstable" else ", the largest that is tried: none was unstable"
    sitting.tell(
        f"{cell.study.name}: {cell.label}: learning rate {known['rate']:.3g} found in {len(tried)} short runs{end}"
    )
    return known


def _try(cell: Cell, runs: Path, rate: float, data_dir: Path | None) -> Run:
    out = _folder(cell, runs) / f"rate-{rate:.4g}"
    return train(cell.experiment(rate, 0, EPOCHS), out=out, data_dir=data_dir)


def stable(run: Run, lowest: float = math.inf) -> bool:
    """Whether a short run ended, and with a training loss near its own best and the lowest of smaller rates."""
    losses = training_losses(run)
    if run.status != "done" or not losses:
        return False
    return math.isfinite(losses[-1]) and losses[-1] <= GROWTH * min(lowest, *losses)


def steady(run: Run) -> bool:
    """Whether a whole run did not diverge, and its training loss nowhere rose far above what it had come down to."""
    losses = training_losses(run)
    lowest = list(itertools.accumulate(losses, min))
    return run.status != "diverged" and all(
        loss <= BLOW_UP * low for loss, low in zip(losses, lowest, strict=True)
    )


def training_losses(run: Run) -> list[float]:
    """By epoch."""
    return [] if run.metrics.empty else [float(loss) for loss in run.metrics.train_loss]


def _folder(cell: Cell, runs: Path) -> Path:
    folder = runs / "rates" / cell.folder(runs, None, 0).name
    make_folder(folder)
    return folder


def _record(cell: Cell, runs: Path) -> Path:
    return runs / "rates" / f"{cell.folder(runs, None, 0).name}.json"


def _known(cell: Cell, runs: Path) -> dict[str, Any] | None:
    record = _record(cell, runs)
    return dict(json.loads(record.read_text())) if record.is_file() else None


def _keep(cell: Cell, runs: Path, known: dict[str, Any]) -> None:
    write_text(_record(cell, runs), json.dumps(known, indent=1) + "\n")
