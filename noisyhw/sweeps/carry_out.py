"""Doing runs, in whatever process an engine chose; on one thread, so that their bits depend on nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from ..cards.experiment import Resolved, TaskCard
from ..errors import DataError, RunError
from ..foreign import allow
from ..tasks import Data, data_of, load_data
from ..training.folder import FolderBusy, RunFolder
from ..training.progress import Diverged
from ..training.run import Interrupted, train
from ..training.threads import computing_with
from ..training.trainer import Row, Trainer
from .record import Job, Outcome, outcome
from .stacked import code_version, key_of, stacked

Check = Callable[[], None]
MAX_REASON = 500
BUSY_SECONDS = 30.0
"""How long to wait for a folder: a worker whose sweep was killed lets go of it after its batch."""

OUTSIDE = (DataError, RunError, Interrupted, KeyboardInterrupt)
"""Not the run's fault: data missing, disk full, stopped. The sweep stops, and the run stays to be done."""


def nothing() -> None:
    """Check nothing."""


def carry_out(job: Job, check: Check = nothing) -> Outcome:
    """Do one run.

    Args:
        job: the run.
        check: is called after every batch, and may raise to end the run.

    Raises:
        DataError, RunError, Interrupted: something outside of the run is wrong.
    """
    _allow_code(job)
    if key_of(job) is None:
        return _alone(job, check)
    try:
        return _stacked([job], check)[0]
    except OUTSIDE:
        raise
    except Exception as error:  # what is wrong is told of the run alone, if it is wrong there too
        return _in_place_of_a_stack(_alone(job, check), error)


def _in_place_of_a_stack(ended: Outcome, error: Exception) -> Outcome:
    """Say of a run that it trained alone under the identity of a stacked one."""
    note = f"trained alone, after a stack of it had raised {type(error).__name__}: its bits are those of another run"
    return replace(ended, record=replace(ended.record, notes=(*ended.record.notes, note)))


def carry_out_all(jobs: Sequence[Job], check: Check = nothing) -> Iterator[Outcome]:
    """Do runs that have one :func:`.stacked.key_of` as one stack, or a single run; yield each as it ends.

    If the stack raises, its runs are done one by one, so that an error is told of the run that is guilty of it.

    Args:
        jobs: the runs.
        check: is called after every batch, and may raise to end them.

    Raises:
        DataError, RunError, Interrupted: something outside of the runs is wrong.
    """
    together: list[Outcome] = []
    for job in jobs:
        _allow_code(job)
    if len(jobs) > 1:
        try:
            together = _stacked(jobs, check)
        except Interrupted:
            raise
        except Exception:  # see above
            pass
    yield from together or (carry_out(job, check) for job in jobs)


def _allow_code(job: Job) -> None:
    """Let code run here that the sweep itself was allowed to run when it was planned."""
    for file in job.experiment.files:
        allow(file)


def _stacked(jobs: Sequence[Job], check: Check) -> list[Outcome]:
    with computing_with(1):
        data = _data(data_of(jobs[0].experiment), jobs[0].data_dir)
        for job in jobs:
            _check_same(job, data)
        return stacked(jobs, data, check)


def _alone(job: Job, check: Check) -> Outcome:
    started = time.perf_counter()
    try:
        with computing_with(1):
            data = _data(data_of(job.experiment), job.data_dir)
            _check_same(job, data)
            return _trained(job, data, check) if job.folder is None else _in_folder(job, check)
    except OUTSIDE:
        raise
    except Exception as error:  # whatever a device, rule or task does, the other runs go on
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"[:MAX_REASON]
        return outcome(job, "failed", reason, seconds=time.perf_counter() - started)


def _data(task: TaskCard, data_dir: Path | None) -> Data:
    """A task's data, kept for the next run; a file of data is looked at again, as it may have been edited."""
    return load_data(task, data_dir) if task.data_file is not None else _kept(task, data_dir)


@lru_cache(maxsize=4)
def _kept(task: TaskCard, data_dir: Path | None) -> Data:
    return load_data(task, data_dir)


def _check_same(job: Job, data: Data) -> None:
    code = code_version(job.experiment, job.folder is not None)
    if job.experiment.identity(data.version, code) != job.identity:
        raise RunError(
            f"task {job.experiment.task.name}: a worker sees other data or another noisyhw than the sweep was "
            "planned with; install the same version and the same data everywhere"
        )


def _trained(job: Job, data: Data, check: Check) -> Outcome:
    started = time.perf_counter()
    trainer, rows = Trainer(job.experiment, data), list[Row]()
    status, reason = "done", None
    try:
        while not trainer.finished:
            row = trainer.step()
            if row is not None:
                rows.append(row)
            check()
    except Diverged as diverged:
        status, reason = "diverged", f"{diverged} in epoch {trainer.epoch + 1}, step {trainer.step_count}"
    return outcome(
        job,
        "done" if status == "done" else "diverged",
        reason,
        rows,
        seconds=time.perf_counter() - started,
        perturbation_std=trainer.perturbation_std,
        notes=(*data.notes, *trainer.notes),
    )


class _Watch:
    """Calls the check after every batch of a run that keeps a folder."""

    def __init__(self, check: Check) -> None:
        self.check = check

    def started(self, experiment: Resolved, folder: Path, data: Data, trainer: Trainer) -> None:
        """Nothing to do."""

    def stepped(self, trainer: Trainer, row: Row | None) -> None:
        """Check."""
        self.check()


def _in_folder(job: Job, check: Check) -> Outcome:
    """Train in the run's own folder, from its checkpoint if there is one."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            run = train(job.experiment, out=job.folder, data_dir=job.data_dir, watcher=_Watch(check))
            break
        except FolderBusy:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
    rows = RunFolder(run.path).rows()
    return outcome(
        job,
        "diverged" if run.status == "diverged" else "done",
        run.reason,
        rows,
        seconds=sum(row.seconds for row in rows),
        perturbation_std=run.record["perturbation_std"],
        notes=run.record["notes"],
    )
