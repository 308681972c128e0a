"""All runs in this process; those that are alike as one stack."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from ..carry_out import carry_out_all
from ..record import Job, Outcome
from .groups import Groups


class Serial:
    """For debugging, and for rules and tasks that only this process knows."""

    workers = 1

    def run(self, jobs: Iterator[Job]) -> Generator[Outcome, None, None]:
        """Compute the jobs (see :class:`noisyhw.sweeps.engines.base.Engine`)."""
        groups = Groups(jobs, self.workers)
        while (group := groups.next()) is not None:
            yield from carry_out_all(group)
