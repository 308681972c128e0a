"""One seed of a cell, trained up to some epoch; what is there already is not trained again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from ..training.run import Run, Watcher, train
from .plan import Cell

WatcherFactory = Callable[[], AbstractContextManager[Watcher]]


@dataclass(frozen=True)
class Sitting:
    """Where a command's runs are kept, and who hears of them.

    Args:
        runs: the folder of the run folders.
        data_dir: where the data is.
        tell: is told how it goes.
        watching: makes a watcher for a run.
    """

    runs: Path
    data_dir: Path | None
    tell: Callable[[str], None]
    watching: WatcherFactory


def trained(cell: Cell, rate: float, seed: int, epochs: int, sitting: Sitting) -> Run:
    """The run of one seed, with that many epochs behind it unless it diverged.

    Args:
        cell: its rule and network.
        rate: the learning rate.
        seed: the seed.
        epochs: stop there; asking for more later goes on with the same run.
        sitting: is told of the run if it is not there yet.
    """
    folder = cell.folder(sitting.runs, rate, seed)
    run = finished(folder, epochs)
    if run is not None:
        return run
    sitting.tell(f"{cell.study.name}: {cell.label}, seed {seed}")
    with sitting.watching() as watcher:
        experiment = cell.experiment(rate, seed, cell.study.epochs)
        return train(experiment, out=folder, data_dir=sitting.data_dir, watcher=watcher, pause_after=epochs)


def finished(folder: Path, epochs: int) -> Run | None:
    """The run in a folder if it diverged or has that many epochs behind it, else None."""
    if not (folder / "run.json").is_file():
        return None
    run = Run.open(folder)
    ended = run.status in ("done", "diverged") or (run.status == "stopped" and len(run.metrics) >= epochs)
    return run if ended else None
