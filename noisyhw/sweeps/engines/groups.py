"""Which jobs an engine gives to a worker at once: those that train as one stack."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from ...batched.train import STACK
from ..jobs import Jobs
from ..record import Job
from ..stacked import key_of, largest_stack
from .base import ATTEMPTS

Group = list[Job]


class Groups:
    """Takes jobs from a sweep, and hands them out in groups that train as one stack, or alone.

    As many jobs are taken ahead as fill a stack for each worker. What is alike of them is divided evenly, so that every
    worker has work: 32 jobs and 2 workers give 2 groups of 16. What a run computes does not depend on its group.
    Jobs whose worker died come last.

    Args:
        jobs: of the sweep.
        workers: groups at once.
    """

    def __init__(self, jobs: Iterator[Job], workers: int) -> None:
        self._jobs = jobs if isinstance(jobs, Jobs) else Jobs(jobs)
        self._workers = workers
        self._ready: list[Group] = []
        self._deaths: dict[str, int] = {}
        self._again: list[Group] = []

    def next(self) -> Group | None:
        """Return the next group, and tell the sweep that it is begun; None: there are no more jobs."""
        if not self._ready:
            self._ready = divided(self._taken(), self._workers)
        if not self._ready:
            return self._again.pop(0) if self._again else None
        group = self._ready.pop(0)
        for job in group:
            self._jobs.begun(job)
        return group

    def died(self, group: Iterable[Job]) -> list[Job]:
        """Their worker died: hand jobs out again, each by itself, and return those that have had all attempts."""
        lost = []
        for job in group:
            self._deaths[job.identity] = self._deaths.get(job.identity, 0) + 1
            if self._deaths[job.identity] < ATTEMPTS:
                self._again.append([job])
            else:
                lost.append(job)
        return lost

    def _taken(self) -> list[tuple[str | None, Job]]:
        """Jobs with their keys: one that trains alone, or all that can be put together."""
        taken: list[tuple[str | None, Job]] = []
        while len(taken) < self._workers * STACK and (job := self._jobs.ahead()) is not None:
            taken.append((key_of(job), job))
            if taken[0][0] is None:
                break
        return taken


def divided(jobs: list[tuple[str | None, Job]], workers: int) -> list[Group]:
    """Put jobs of equal keys together, as many as a stack takes and as there are for each worker; None: alone."""
    alike: dict[object, Group] = {}
    for number, (key, job) in enumerate(jobs):
        alike.setdefault(number if key is None else key, []).append(job)
    each = -(-len(jobs) // workers)
    return [
        part
        for group in alike.values()
        for part in _parts(group, max(1, min(each, largest_stack(group[0].experiment))))
    ]


def _parts(group: Group, most: int) -> list[Group]:
    """Divide a group into parts of about equal size, none of them with more than ``most``."""
    number = -(-len(group) // most)
    bounds = [at * len(group) // number for at in range(number + 1)]
    return [group[start:end] for start, end in itertools.pairwise(bounds)]
