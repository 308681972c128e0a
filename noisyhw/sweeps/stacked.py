"""Doing runs as one stack. A run that can be stacked is computed so even when it is alone: its bits are the same.

They are not those of the same run by :func:`noisyhw.train`, which rounds otherwise. So the version of the code that
computes a run, and with it the run's identity, says whether a stack does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ..batched.alike import stack_key
from ..batched.train import STACK, StackedRun, train_stack
from ..cards.experiment import Resolved
from ..tasks import Data, task_of
from ..training.effort import passes_per_sample, run_notes
from ..training.run import ARITHMETIC
from .record import Job, Outcome, outcome

NUMBERS = 600_000
"""Of a whole stack: more leave the processor's cache, and a stack gains less and less."""
STACKED = " stacked 1"
"""Stands behind the version of the arithmetic of runs that a stack computes; raised when stacks' numbers change."""
FEWEST = 12
"""A run of which fewer fill a stack trains alone: one core then spends its time on arithmetic, not on calls."""


def key_of(job: Job) -> str | None:
    """Return what jobs of one stack have in common, among it the epochs, so that they end together.

    None: this one trains alone. So does a run that keeps a folder (its checkpoint is its own), and one too large to
    gain by a stack. It hangs on nothing but the job.
    """
    key = None if job.folder is not None else _key(job.experiment)
    return None if key is None else f"{job.data_dir} {job.experiment.epochs} {key}"


def code_version(experiment: Resolved, folders: bool) -> str:
    """Return the version of the code that computes a run in a sweep, for its identity.

    Args:
        experiment: resolved.
        folders: whether runs keep folders, and so train alone.
    """
    return ARITHMETIC if folders or _key(experiment) is None else ARITHMETIC + STACKED


def _key(experiment: Resolved) -> str | None:
    try:
        key = stack_key(experiment)
        return None if key is None or largest_stack(experiment) < FEWEST else key
    except Exception:  # a plug-in's task or rule that is broken is told when the run is done
        return None


def largest_stack(experiment: Resolved) -> int:
    """How many such runs to stack at most."""
    return min(STACK, NUMBERS // _numbers(experiment))


def _numbers(experiment: Resolved) -> int:
    """Roughly what a step works on: activities of all passes, weights and as many moments."""
    hidden = experiment.network.hidden or ()
    widths = (task_of(experiment.task).inputs, *hidden)
    weights = sum(a * b for a, b in zip(widths[:-1], hidden, strict=True))
    return passes_per_sample(experiment) * (experiment.batch or 1) * sum(widths) + 2 * weights


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
        notes=(*data.notes, *run_notes(job.experiment)),
    )
