"""One run after another, in this process."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from ..carry_out import carry_out
from ..record import Job, Outcome


class Serial:
    """For debugging, and for rules and tasks that only this process knows."""

    workers = 1

    def run(self, jobs: Iterator[Job]) -> Generator[Outcome, None, None]:
        """Compute the jobs (see :class:`noisyhw.sweeps.engines.base.Engine`)."""
        for job in jobs:
            yield carry_out(job)
