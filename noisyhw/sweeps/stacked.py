"""Doing runs as one stack. A run that can be stacked is computed so even when it is alone: its bits are the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ..batched.alike import stack_key
from ..batched.train import StackedRun, train_stack
from ..devices.device import Device
from ..tasks import Data
from .record import Job, Outcome, outcome


def key_of(job: Job) -> str | None:
    """Return what jobs of one stack have in common; None: this one trains alone.

    A run that keeps a folder does: its checkpoint is its own.
    """
    if job.folder is not None:
        return None
    try:
        key = stack_key(job.experiment)
    except Exception:  # a plug-in's task or rule that is broken is told when the run is done
        return None
    return None if key is None else f"{job.data_dir} {key}"


def stacked(jobs: Sequence[Job], data: Data, check: Callable[[], None]) -> list[Outcome]:
    """Train jobs of one key together.

    Args:
        jobs: see above.
        data: of their task.
        check: is called after every batch, and may raise to end the stack.
    """

    def go_on() -> bool:
        check()
        return False

    started = time.perf_counter()
    runs = train_stack([job.experiment for job in jobs], data, stack_size=len(jobs), should_stop=go_on)
    share = (time.perf_counter() - started) / sum(map(_epochs, runs))
    return [_outcome(job, run, data, share * _epochs(run)) for job, run in zip(jobs, runs, strict=True)]


def _epochs(run: StackedRun) -> int:
    """Epochs that a run took part in."""
    return len(run.rows) + (run.status == "diverged")


def _outcome(job: Job, run: StackedRun, data: Data, seconds: float) -> Outcome:
    return outcome(
        job,
        "done" if run.status == "done" else "diverged",
        run.reason,
        run.rows,
        seconds=seconds,
        perturbation_std=run.perturbation_std,
        notes=(*data.notes, *Device(job.experiment.device).notes),
    )
