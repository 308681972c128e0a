"""How long a sweep will take: from finished runs that resemble those to be done, or from a probe."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from ..batched.stack import Stack
from ..cards.experiment import Resolved
from ..tasks import Data, data_of, load_data
from ..training.progress import Diverged
from ..training.threads import computing_with
from ..training.trainer import Trainer
from .engines import cores
from .points import Point
from .record import Job, Record
from .stacked import key_of, largest_stack

PROBES = 6
PROBE_SECONDS = 2.0
"""A run or stack is timed for so long at most, and counted up to an epoch."""


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
    runs: Mapping[str, Point],
    records: Mapping[str, Record],
    workers: int,
    data_dir: Path | None = None,
    keep: str = "rows",
) -> Estimate:
    """Estimate the time for the runs that have no record.

    Each run takes the mean time an epoch of the finished ones that have its task, device, rule, network, path, batch
    and passes, or else of all; without any, one epoch of a few runs is computed. The time of a run in a stack is its
    share of the stack's.

    Args:
        runs: all of the sweep, by identity.
        records: finished ones.
        workers: runs at once; beyond the number of cores they gain nothing.
        data_dir: where the data is.
        keep: folders: every run trains alone.
    """
    left = [point for identity, point in runs.items() if identity not in records]
    if not left:
        return Estimate(0.0, 0.0, "nothing is left to do")
    known = _measured(runs, records)
    basis = f"{sum(map(len, known.values()))} finished runs"
    if not known:
        probed = left[:: max(1, len(left) // PROBES)][:PROBES]
        known = _probed(probed, left, workers, data_dir, keep)
        basis = f"one epoch of {len(probed)} runs"
    overall = fmean(value for values in known.values() for value in values)
    times = [
        fmean(known.get(_kind(one.experiment), [overall])) * (one.experiment.epochs or 1) for one in left
    ]
    total = sum(times)
    return Estimate(
        max(total / min(workers, cores(), len(left)), max(times)), fmean(times), f"measured on {basis}"
    )


def _kind(experiment: Resolved) -> Hashable:
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


def _probed(
    points: Sequence[Point], left: Sequence[Point], workers: int, data_dir: Path | None, keep: str
) -> dict[Hashable, list[float]]:
    """Seconds an epoch of some of the runs that are left, in stacks where they will be."""
    known = defaultdict(list)
    mates = defaultdict(list)
    keys = {point.identity: _key(point, keep) for point in left}
    for point in left:
        mates[keys[point.identity]].append(point)
    for point in points:
        data = load_data(data_of(point.experiment), data_dir)
        with computing_with(1):
            if keys[point.identity] is None:
                seconds = _epoch_seconds(Trainer(point.experiment, data))
            else:
                alike = mates[keys[point.identity]]
                most = min(largest_stack(point.experiment), -(-len(left) // workers))
                seconds = _stack_seconds([one.experiment for one in alike[:most]], data)
        known[_kind(point.experiment)].append(seconds)
    return known


def _key(point: Point, keep: str) -> str | None:
    return None if keep == "folders" else key_of(Job(point.identity, point.experiment))


def _stack_seconds(experiments: Sequence[Resolved], data: Data) -> float:
    """One run's share of an epoch of a stack; the first batch warms up and is not counted."""
    stack = Stack([Trainer(one, data) for one in experiments])
    batch = _batch_seconds(stack.step, lambda: stack.epoch_done)
    return _with_test(stack.members[0], batch / len(experiments))


def _epoch_seconds(trainer: Trainer) -> float:
    """Seconds of an epoch; the first batch warms up and is not counted."""
    try:
        return _with_test(
            trainer, _batch_seconds(trainer.step, lambda: trainer.batch_index == trainer.batches - 1)
        )
    except Diverged:
        return 0.0


def _batch_seconds(step: Callable[[], object], epoch_done: Callable[[], bool]) -> float:
    """Seconds of a batch, from those of an epoch that fit into the time of a probe."""
    step()
    started, batches = time.perf_counter(), 0
    while batches == 0 or not (epoch_done() or time.perf_counter() - started > PROBE_SECONDS):
        step()
        batches += 1
    return (time.perf_counter() - started) / batches


def _with_test(trainer: Trainer, batch: float) -> float:
    started = time.perf_counter()
    try:
        trainer.evaluate(trainer.data.test_x, trainer.data.test_y)
    except Diverged:
        return 0.0
    return batch * trainer.batches + time.perf_counter() - started
