"""Engines: where a sweep's runs are computed."""

from __future__ import annotations

from ...errors import UsageError, choose
from .base import Engine
from .processes import Processes, cores
from .serial import Serial

NAMES = ("processes", "serial", "ray")

__all__ = ["NAMES", "Engine", "Processes", "Serial", "cores", "get_engine"]


def get_engine(name: str = "processes", workers: int | None = None, address: str | None = None) -> Engine:
    """Return an engine by name.

    Args:
        name: processes, serial or ray.
        workers: runs at once; None: as many as there are cores.
        address: of a Ray cluster; None: one on this machine.

    Raises:
        UsageError: there is no such engine, an option that it does not take, or its package is missing.
    """
    if name not in NAMES:
        raise UsageError(choose("engine", name, list(NAMES)))
    if address is not None and name != "ray":
        raise UsageError(f"--address: engine '{name}' has no cluster; use --engine ray")
    if name == "serial":
        if workers not in (None, 1):
            raise UsageError(f"--workers: engine 'serial' computes one run at a time, got {workers}")
        return Serial()
    if name == "ray":
        from .on_ray import OnRay

        return OnRay(workers, address)
    return Processes(workers)
