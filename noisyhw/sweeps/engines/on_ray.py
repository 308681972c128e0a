"""Runs on a Ray cluster, one core for each stack of those that are alike; this file alone imports Ray."""

from __future__ import annotations

import socket
from collections.abc import Generator, Iterator
from typing import Any

from ...errors import UsageError
from ...memory import keep_freed_memory
from ..carry_out import carry_out_all
from ..record import Job, Outcome, outcome
from .base import ATTEMPTS
from .groups import Group, Groups

KNOCK_SECONDS = 10.0


class OnRay:
    """Runs jobs on a cluster's nodes, which need noisyhw, the data, and for ``keep: folders`` the sweep's folder.

    Runs whose worker or node dies are started again one by one, perhaps on another node.

    Args:
        workers: runs at once; None: as many as the cluster has cores.
        address: of the cluster; None: the environment's, or a new one on this machine.

    Raises:
        UsageError: Ray is not installed, or there is no cluster at the address.
    """

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        self._ray = _imported()
        self._started = not self._ray.is_initialized()
        if self._started:
            _connect(self._ray, workers, address)
        self.workers = workers or max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        self._task = self._ray.remote(num_cpus=1, max_retries=0)(_worked)

    def run(self, jobs: Iterator[Job]) -> Generator[Outcome, None, None]:
        """Compute the jobs (see :class:`noisyhw.sweeps.engines.base.Engine`)."""
        under_way: dict[Any, Group] = {}
        groups = Groups(jobs, self.workers)
        try:
            while self._hand_out(groups, under_way):
                ready, _ = self._ray.wait(list(under_way), num_returns=1)
                for reference in ready:
                    yield from self._outcomes(reference, under_way.pop(reference), groups)
        finally:
            for reference in under_way:
                self._ray.cancel(reference, force=True)
            if self._started:
                self._ray.shutdown()

    def _hand_out(self, groups: Groups, under_way: dict[Any, Group]) -> bool:
        while len(under_way) < self.workers:
            group = groups.next()
            if group is None:
                break
            under_way[self._task.remote(group)] = group
        return bool(under_way)

    def _outcomes(self, reference: Any, group: Group, groups: Groups) -> list[Outcome]:
        errors = self._ray.exceptions
        try:
            result: list[Outcome] = self._ray.get(reference)
        except errors.RayTaskError as error:
            raise error.cause from None
        except errors.RayError as error:
            how = type(error).__name__
            reason = f"its worker or node died {ATTEMPTS} times ({how}: killed, or out of memory)"
            return [outcome(job, "failed", reason) for job in groups.died(group)]
        return result


def _worked(group: Group) -> list[Outcome]:
    """What a cluster's worker does."""
    keep_freed_memory()
    return list(carry_out_all(group))


def _imported() -> Any:
    try:
        import ray
    except ImportError:
        raise UsageError(
            "engine 'ray' needs Ray, which is not installed: pip install 'noisyhw[ray]'"
        ) from None
    return ray


def _connect(ray: Any, workers: int | None, address: str | None) -> None:
    try:
        if address is None:
            ray.init(
                address="local",  # not one that others have started here
                num_cpus=workers,
                log_to_driver=False,
                include_dashboard=False,
                logging_level="ERROR",
            )
        else:
            _knock(address)
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"--address: no Ray cluster at '{address}' ({reason})") from None


def _knock(address: str) -> None:
    """See whether anyone listens at HOST:PORT; Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()
