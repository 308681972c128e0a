"""Doing a sweep: what is not in the store yet is computed by an engine, and kept run by run."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, runtime_checkable

import pandas as pd

from ..errors import NoisyhwError, RunError, UsageError
from ..foreign import trust_everything
from ..training.run import Interrupted
from .asked import note_asked
from .engines import Engine, get_engine
from .jobs import Jobs
from .plan import plan
from .points import Plan, Point
from .record import Job, Record
from .search import FOLDER
from .store import Store
from .table import load, load_curves, write_results

LOOK_AGAIN_SECONDS = 1.0
"""How often to look whether a run that another process computes is finished."""


@dataclass(frozen=True)
class Sweep:
    """A sweep's folder, to be looked at.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def table(self) -> pd.DataFrame:
        """One row a finished run (see :func:`noisyhw.sweeps.load`)."""
        return load(self.path)

    @property
    def curves(self) -> pd.DataFrame:
        """One row an epoch (see :func:`noisyhw.sweeps.load_curves`)."""
        return load_curves(self.path)


@runtime_checkable
class SweepWatcher(Protocol):
    """Is told how a sweep goes; the command line draws a table from it."""

    def planned(self, points: Mapping[str, Point], finished: Sequence[Record], workers: int) -> None:
        """The sweep starts: its runs by identity, and those that were finished before."""

    def started(self, point: Point) -> None:
        """A run is under way."""

    def ended(self, point: Point, record: Record) -> None:
        """A run is finished, here or by another process."""


class Silent:
    """Watches and says nothing."""

    def planned(self, points: Mapping[str, Point], finished: Sequence[Record], workers: int) -> None:
        """Say nothing."""

    def started(self, point: Point) -> None:
        """Say nothing."""

    def ended(self, point: Point, record: Record) -> None:
        """Say nothing."""


def sweep(
    card: str | Path | Mapping[str, object],
    *,
    out: str | Path | None = None,
    sets: Sequence[str] = (),
    workers: int | None = None,
    engine: str | Engine = "processes",
    address: str | None = None,
    data_dir: str | Path | None = None,
    retry_failed: bool = False,
    fresh: bool = False,
    trust: bool = False,
    watcher: SweepWatcher | None = None,
) -> Sweep:
    """Do all runs of a sweep that are not done yet, and return its results.

    Args:
        card: a shipped sweep's name, a card's path, or a card's fields.
        out: the sweep's folder; None: ``runs/sweep-NAME``.
        sets: ``key.path=value``, for all runs, e.g. ``["epochs=1"]``.
        workers: runs at once; None: as many as there are cores. Results do not depend on it.
        engine: processes, serial, ray, or an :class:`noisyhw.sweeps.Engine`. Results do not depend on it.
        address: of a Ray cluster.
        data_dir: where the data is.
        retry_failed: compute again what has failed.
        fresh: forget what the folder holds of these runs, and compute them anew.
        trust: run code in files that the card names.
        watcher: is told of every run.

    Raises:
        NoisyhwError: with a message for people. Runs that diverge or fail raise nothing: see the table's ``status``.
    """
    if isinstance(sets, str):
        raise UsageError(f"sets: give a list, e.g. [{sets!r}]")
    if trust:
        trust_everything()
    where = None if data_dir is None else Path(data_dir).resolve()
    planned = plan(card, sets, where)
    chosen = get_engine(engine, workers, address) if isinstance(engine, str) else engine
    store = Store.create(out if out is not None else default_folder(planned.name))
    note_asked(store, card, sets)
    options: dict[str, Any] = {
        "data_dir": where,
        "retry_failed": retry_failed,
        "fresh": fresh,
        "watcher": watcher,
    }
    if planned.search is not None:
        planned = searched(planned, store, chosen, **options)
    carry_on(planned, store, chosen, **options)
    return Sweep(store.path)


def searched(planned: Plan, store: Store, engine: Engine, **options: Any) -> Plan:
    """Do the search of a plan, in a folder of its own within the sweep's, and return the plan with what it chose.

    Args:
        planned: with a search.
        store: of the sweep.
        engine: computes its runs.
        options: as of :func:`carry_on`.
    """
    assert planned.search is not None
    within = Store.create(store.path / FOLDER)
    carry_on(planned.search.plan, within, engine, **options)
    return replace(planned, points=planned.search.chosen(within.records), search=None)


def default_folder(name: str) -> Path:
    """runs/sweep-NAME."""
    return Path("runs") / f"sweep-{name}"


def carry_on(
    planned: Plan,
    store: Store,
    engine: Engine,
    *,
    data_dir: Path | None = None,
    retry_failed: bool = False,
    fresh: bool = False,
    watcher: SweepWatcher | None = None,
) -> None:
    """Compute a plan's runs that the store lacks; write the table of results at the end, however it comes.

    Args:
        planned: what is asked for, without a search.
        store: of the sweep.
        engine: computes the runs.
        data_dir: where the data is.
        retry_failed: compute again what has failed.
        fresh: compute again whatever the store holds.
        watcher: is told of every run.

    Raises:
        Interrupted: by Ctrl-C or SIGTERM.
        NoisyhwError: something outside of the runs is wrong.
    """
    if fresh:
        store.forget(planned.runs)
    queue = _Queue(planned, store, data_dir, retry_failed, watcher or Silent())
    store.ask(planned.points)
    queue.watcher.planned(
        planned.runs, [store.records[one] for one in planned.runs if queue.finished(one)], engine.workers
    )
    try:
        with _terminated_as_interrupted():
            if queue.left():
                store.note_environment()
                _compute(queue, engine)
    except (KeyboardInterrupt, Interrupted):
        write_results(store)
        left = len(queue.left())
        raise Interrupted(
            f"stopped; {len(planned.runs) - left} of {len(planned.runs)} runs are finished and kept in {store.path}; "
            "the same command again goes on from there"
        ) from None
    except NoisyhwError:
        with contextlib.suppress(RunError):  # of one cause, and the first message is the better one
            write_results(store)
        raise
    finally:
        store.close()
    write_results(store)


def _compute(queue: _Queue, engine: Engine) -> None:
    while queue.left():
        with contextlib.closing(engine.run(queue.jobs())) as outcomes:
            for ended in outcomes:
                queue.store.add(ended)
                queue.end(ended.record.identity)
        queue.look()
        if queue.left():  # another process is at the rest
            time.sleep(LOOK_AGAIN_SECONDS)


class _Queue:
    """What is still to do, and what of it this process has claimed."""

    def __init__(
        self, planned: Plan, store: Store, data_dir: Path | None, retry: bool, watcher: SweepWatcher
    ) -> None:
        self.runs = planned.runs
        self.keep = planned.keep
        self.store = store
        self.data_dir = data_dir
        self.watcher = watcher
        store.refresh()
        self.old = {key: one for key, one in store.records.items() if retry and one.status == "failed"}
        self.told = {identity for identity in self.runs if self.finished(identity)}

    def finished(self, identity: str) -> bool:
        """Whether the store has a run; a failed one that is to be tried again does not count."""
        record = self.store.records.get(identity)
        return record is not None and record is not self.old.get(identity)

    def left(self) -> list[str]:
        """Return the identities of the runs that are not finished."""
        return [identity for identity in self.runs if not self.finished(identity)]

    def jobs(self) -> Jobs:
        """Return the jobs, whose runs are claimed as they are taken."""
        return Jobs(self._claimed(), lambda job: self.watcher.started(self.runs[job.identity]))

    def _claimed(self) -> Generator[Job, None, None]:
        """Claim one run after another; what another process is at is left out, what it has finished is told."""
        for identity in self.left():
            if self.finished(identity) or not self.store.claim(identity):
                continue
            self.look()
            if self.finished(identity):
                self.store.release(identity)
                continue
            folder = self.store.run_folder(identity) if self.keep == "folders" else None
            yield Job(identity, self.runs[identity].experiment, self.data_dir, folder)

    def look(self) -> None:
        """Read what other processes have finished."""
        for identity in self.store.refresh():
            if self.finished(identity):
                self._tell(identity)

    def end(self, identity: str) -> None:
        """A run of this process is in the store."""
        self.store.release(identity)
        self._tell(identity)

    def _tell(self, identity: str) -> None:
        if identity in self.runs and identity not in self.told:
            self.told.add(identity)
            self.watcher.ended(self.runs[identity], self.store.records[identity])


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
