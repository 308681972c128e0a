"""Training what a study lacks."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import UsageError
from ..training.run import Run
from .paper import Study
from .plan import Cell
from .rates import find_rate
from .trained import Sitting, trained


def carry_out(cells: Sequence[Cell], seeds: int, epochs: int, sitting: Sitting) -> list[Run]:
    """Train every cell's seeds up to some epoch; what is there already is left as it is.

    All cells get their first seed before any gets its second, so that a stopped sitting leaves a usable page.

    Args:
        cells: what to train.
        seeds: the first so many.
        epochs: stop each run there; asking for more later goes on with the same runs.
        sitting: keeps every run and is told of it.
    """
    done = []
    for seed in range(seeds):
        for cell in cells:
            rate = find_rate(cell, epochs, sitting)
            done.append(trained(cell, rate, seed, epochs, sitting))
    return done


def checked_epochs(study: Study, epochs: int | None) -> int:
    """How many epochs to train; not more than a complete repetition has.

    Raises:
        UsageError: more were asked for.
    """
    if epochs is not None and epochs > study.epochs:
        raise UsageError(
            f"--epochs: {study.name} has {study.epochs} epochs, got {epochs}; give {study.epochs} or fewer"
        )
    return study.epochs if epochs is None else epochs
