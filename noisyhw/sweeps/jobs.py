"""The jobs that an engine takes, each claimed as it is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .record import Job


def not_told(job: Job) -> None:
    """Tell nobody."""


class Jobs(Iterator[Job]):
    """Jobs, one by one, and who is to be told when one is begun.

    ``next`` takes a job and begins it; an engine that gathers jobs before it begins any takes them ``ahead``.

    Args:
        claimed: claims each job as it yields it.
        begun: is told of each job that is begun.
    """

    def __init__(self, claimed: Iterator[Job], begun: Callable[[Job], object] = not_told) -> None:
        self._claimed = claimed
        self.begun = begun

    def __next__(self) -> Job:
        job = next(self._claimed)
        self.begun(job)
        return job

    def ahead(self) -> Job | None:
        """Take a job without beginning it; None: there are no more."""
        return next(self._claimed, None)
