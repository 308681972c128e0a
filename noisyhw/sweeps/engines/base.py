"""What every engine offers."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Protocol, runtime_checkable

from ..record import Job, Outcome

ATTEMPTS = 3
"""A run whose worker dies (killed, out of memory) is started this often, then it is recorded as failed."""


@runtime_checkable
class Engine(Protocol):
    """Computes runs somewhere: in this process, in others, on other machines, many at once on an accelerator.

    ``run`` takes a job from the iterator when it has room for it (the sweep claims the run at that moment), and yields
    each outcome as it ends, in any order: one for each job. Closing the generator stops all that is under way. What a
    run computes may depend on nothing but its job: see :func:`noisyhw.sweeps.carry_out.carry_out`, and
    :class:`noisyhw.sweeps.engines.groups.Groups` for jobs that train together.
    """

    workers: int
    """How many runs, or stacks of runs, it computes at once."""

    def run(self, jobs: Iterator[Job]) -> Generator[Outcome, None, None]:
        """Compute the jobs.

        Raises:
            NoisyhwError: something outside of the runs is wrong; the sweep stops.
        """
