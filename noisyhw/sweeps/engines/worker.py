"""A worker process: takes groups of jobs from a socket, sends outcomes back, and ends when its sweep does.

Started as ``python -P -m noisyhw.sweeps.engines.worker DESCRIPTOR PARENT``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection

import torch

from ...errors import NoisyhwError
from ...memory import keep_freed_memory
from ...training.run import Interrupted
from ..carry_out import carry_out_all
from ..record import Job

STOPPED = 130


def main() -> None:
    """Work until the other end of the socket is closed."""
    connection, parent = Connection(int(sys.argv[1])), int(sys.argv[2])
    torch.set_num_threads(1)
    keep_freed_memory()

    def check() -> None:
        if os.getppid() != parent:  # the sweep was killed
            os._exit(STOPPED)

    while True:
        try:
            group = connection.recv()
        except (EOFError, OSError):
            return
        try:
            _work(group, connection, check)
        except Interrupted:
            sys.exit(STOPPED)
        except OSError:
            return


def _work(group: list[Job], connection: Connection, check: Callable[[], None]) -> None:
    """Send an outcome for each job, or the error that stops the sweep."""
    try:
        for ended in carry_out_all(group, check):
            connection.send(ended)
    except Interrupted:
        raise
    except NoisyhwError as error:
        connection.send(error)


if __name__ == "__main__":
    main()
