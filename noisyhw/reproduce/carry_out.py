"""Training what a study lacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from ..errors import UsageError
from ..training.run import Run, Watcher, train
from .paper import Study
from .plan import Cell
from .rates import find_rate

WatcherFactory = Callable[[], AbstractContextManager[Watcher]]


def carry_out(
    cells: Sequence[Cell],
    seeds: int,
    epochs: int,
    runs: Path,
    data_dir: Path | None,
    tell: Callable[[str], None],
    watching: WatcherFactory,
) -> list[Run]:
    """Train every cell's seeds up to some epoch; what is there already is left as it is.

    All cells get their first seed before any gets its second, so that a stopped sitting leaves a usable page.

    Args:
        cells: what to train.
        seeds: the first so many.
        epochs: stop each run there; asking for more later goes on with the same runs.
        runs: the folder of the run folders.
        data_dir: where the data is.
        tell: is told of every run.
        watching: makes a watcher for a run.
    """
    done = []
    for seed in range(seeds):
        for cell in cells:
            rate = find_rate(cell, runs, data_dir, tell)
            folder = cell.folder(runs, rate, seed)
            run = finished(folder, epochs)
            if run is None:
                tell(f"{cell.study.name}: {cell.label}, seed {seed}")
                with watching() as watcher:
                    experiment = cell.experiment(rate, seed, cell.study.epochs)
                    run = train(
                        experiment, out=folder, data_dir=data_dir, watcher=watcher, pause_after=epochs
                    )
            done.append(run)
    return done


def finished(folder: Path, epochs: int) -> Run | None:
    """The run in a folder if it diverged or has that many epochs behind it, else None."""
    if not (folder / "run.json").is_file():
        return None
    run = Run.open(folder)
    ended = run.status in ("done", "diverged") or (run.status == "stopped" and len(run.metrics) >= epochs)
    return run if ended else None


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
