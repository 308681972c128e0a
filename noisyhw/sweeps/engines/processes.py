"""Worker processes on this machine, each on one thread; each trains runs that are alike as one stack."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from multiprocessing.connection import Connection, wait

from ...errors import NoisyhwError
from ..record import Job, Outcome, outcome
from .base import ATTEMPTS
from .groups import Group, Groups

STOP_SECONDS = 10.0
"""How long workers may take to save a run's checkpoint when the sweep is stopped."""


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Worker:
    """A process with a socket to it, and the jobs that it is at."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 (closed in stop)
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "noisyhw.sweeps.engines.worker",
                str(theirs.fileno()),
                str(os.getpid()),
            ],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            env=_environment(),
            process_group=0,  # Ctrl-C reaches the sweep alone, which then stops its workers
        )
        theirs.close()
        self.connection = Connection(ours.detach())
        self.jobs: dict[str, Job] = {}

    def give(self, group: Group) -> None:
        """Send jobs; a worker that is dead already is found out when its answer is read."""
        self.jobs = {job.identity: job for job in group}
        try:
            self.connection.send(group)
        except OSError:
            return

    def answer(self) -> Outcome | NoisyhwError | None:
        """Return what the worker sent, an outcome a job; None: it died."""
        try:
            answer: Outcome | NoisyhwError = self.connection.recv()
        except (EOFError, OSError):
            return None
        return answer

    def terminate(self) -> None:
        """Ask the process to end; a run with a folder is saved first."""
        if self.process.poll() is None:
            self.process.terminate()

    def stop(self, until: float) -> str:
        """Wait for the process to end, kill it if it is late, and return the end of what it said."""
        try:
            self.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.connection.close()
        self.log.seek(0)
        said = self.log.read().decode(errors="replace").strip()
        self.log.close()
        return said.splitlines()[-1] if said else ""


def _environment() -> dict[str, str]:
    paths = os.pathsep.join(path for path in sys.path if path)
    return os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": paths}


class Processes:
    """Runs jobs in worker processes. One that dies is replaced, and its runs are started again, now one by one.

    Args:
        workers: how many; None: as many as there are cores.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or cores()
        self._pool: list[Worker] = []

    def run(self, jobs: Iterator[Job]) -> Generator[Outcome, None, None]:
        """Compute the jobs (see :class:`noisyhw.sweeps.engines.base.Engine`)."""
        groups = Groups(jobs, self.workers)
        try:
            while self._hand_out(groups):
                by_connection = {worker.connection: worker for worker in self._pool if worker.jobs}
                for ready in wait(list(by_connection)):
                    assert isinstance(ready, Connection)
                    yield from self._ended(by_connection[ready], groups)
        finally:
            self._stop()

    def _hand_out(self, groups: Groups) -> bool:
        """Give every free worker a group, starting workers as needed; False: nothing is under way."""
        while sum(bool(worker.jobs) for worker in self._pool) < self.workers:
            group = groups.next()
            if group is None:
                break
            free = [worker for worker in self._pool if not worker.jobs]
            if not free:
                free = [Worker()]
                self._pool += free
            free[0].give(group)
        return any(worker.jobs for worker in self._pool)

    def _ended(self, worker: Worker, groups: Groups) -> Iterator[Outcome]:
        """Yield the outcome that a worker has sent, or those of runs whose workers have died too often."""
        answer = worker.answer()
        if isinstance(answer, NoisyhwError):
            raise answer
        if answer is not None:
            del worker.jobs[answer.record.identity]
            yield answer
            return
        self._pool.remove(worker)
        said = worker.stop(time.monotonic())
        for job in groups.died(worker.jobs.values()):
            yield self._failed(job, worker.process.returncode, said)

    @staticmethod
    def _failed(job: Job, code: int, said: str) -> Outcome:
        reason = (
            f"its worker died {ATTEMPTS} times (killed, or out of memory; exit code {code}) {said}".strip()
        )
        return outcome(job, "failed", reason)

    def _stop(self) -> None:
        until = time.monotonic() + STOP_SECONDS
        for worker in self._pool:
            worker.terminate()
        for worker in self._pool:
            worker.stop(until)
        self._pool = []
