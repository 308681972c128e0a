"""A worker process: takes jobs from a socket, sends outcomes back, and ends when its sweep does.

Started as ``python -P -m noisyhw.sweeps.engines.worker DESCRIPTOR PARENT``.
"""

from __future__ import annotations

import os
import sys
from multiprocessing.connection import Connection

import torch

from ...errors import NoisyhwError
from ...training.run import Interrupted
from ..carry_out import carry_out

STOPPED = 130


def main() -> None:
    """Work until the other end of the socket is closed."""
    connection, parent = Connection(int(sys.argv[1])), int(sys.argv[2])
    torch.set_num_threads(1)

    def check() -> None:
        if os.getppid() != parent:  # the sweep was killed
            os._exit(STOPPED)

    while True:
        try:
            job = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer: object = carry_out(job, check)
        except Interrupted:
            sys.exit(STOPPED)
        except NoisyhwError as error:
            answer = error
        try:
            connection.send(answer)
        except OSError:
            return


if __name__ == "__main__":
    main()
