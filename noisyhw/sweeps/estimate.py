"""How long a sweep will take: from finished runs that resemble those to be done, or from a probe."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from ..cards.experiment import Experiment
from ..tasks import get_task
from ..training.progress import Diverged
from ..training.threads import computing_with
from ..training.trainer import Trainer
from .engines import cores
from .plan import Point
from .record import Record

PROBES = 6


@dataclass(frozen=True)
class Estimate:
    """How long the runs that are left will take.

    Args:
        seconds: of wall-clock time.
        run_seconds: of the mean run.
        basis: where the numbers come from.
    """

    seconds: float
    run_seconds: float
    basis: str


def estimate(
    runs: Mapping[str, Point], records: Mapping[str, Record], workers: int, data_dir: Path | None = None
) -> Estimate:
    """Estimate the time for the runs that have no record.

    Each run takes the mean time an epoch of the finished ones that have its task, device, rule, network, path, batch
    and passes, or else of all; without any, one epoch of a few runs is computed.

    Args:
        runs: all of the sweep, by identity.
        records: finished ones.
        workers: runs at once; beyond the number of cores they gain nothing.
        data_dir: where the data is.
    """
    left = [point for identity, point in runs.items() if identity not in records]
    if not left:
        return Estimate(0.0, 0.0, "nothing is left to do")
    known = _measured(runs, records)
    basis = f"{sum(map(len, known.values()))} finished runs"
    if not known:
        probed = left[:: max(1, len(left) // PROBES)][:PROBES]
        known = _probed(probed, data_dir)
        basis = f"one epoch of {len(probed)} runs"
    overall = fmean(value for values in known.values() for value in values)
    times = [
        fmean(known.get(_kind(one.experiment), [overall])) * (one.experiment.epochs or 1) for one in left
    ]
    total = sum(times)
    return Estimate(
        max(total / min(workers, cores(), len(left)), max(times)), fmean(times), f"measured on {basis}"
    )


def _kind(experiment: Experiment) -> Hashable:
    """What a run's time for an epoch depends on."""
    return (
        experiment.task.name,
        experiment.device.name,
        experiment.rule.name,
        experiment.network,
        experiment.update.path,
        experiment.batch,
        experiment.perturbation.passes,
    )


def _measured(runs: Mapping[str, Point], records: Mapping[str, Record]) -> dict[Hashable, list[float]]:
    """Seconds an epoch of the finished runs."""
    known = defaultdict(list)
    for identity, point in runs.items():
        record = records.get(identity)
        if record is not None and record.status == "done":
            known[_kind(point.experiment)].append(record.seconds / (point.experiment.epochs or 1))
    return known


def _probed(points: Sequence[Point], data_dir: Path | None) -> dict[Hashable, list[float]]:
    """Seconds an epoch, of one epoch; the first batch warms up and is not counted."""
    known = defaultdict(list)
    for point in points:
        data = get_task(point.experiment.task.name).load(point.experiment.task, data_dir)
        with computing_with(1):
            trainer = Trainer(point.experiment, data)
            known[_kind(point.experiment)].append(_epoch_seconds(trainer))
    return known


def _epoch_seconds(trainer: Trainer) -> float:
    try:
        trainer.step()
        started, batches = time.perf_counter(), 1
        while trainer.epoch == 0:
            trainer.step()
            batches += 1
        seconds = time.perf_counter() - started
    except Diverged:
        return 0.0
    return seconds * batches / max(batches - 1, 1)
