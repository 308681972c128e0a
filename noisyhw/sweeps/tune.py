"""Searches for one experiment: of any fields among given values, or the paper's, of a learning rate that is doubled."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from ..cards import load_experiment
from ..cards.messages import validation_error
from ..cards.sweep import Tune
from ..cards.yaml_lines import located
from ..errors import RunError, UsageError
from ..training.files import write_text
from .driver import SweepWatcher, carry_on
from .engines import Engine, get_engine
from .plan import make_point
from .points import Plan, Point
from .record import Record
from .search import Search, best_of, score, told_budget
from .store import Store

RATE = "update.learning_rate"
START = 1e-7
"""Source: Dalm, van Gerven & Ahmad, arXiv 2310.00965: learning rates found by doubling from 1e-7 until unstable."""
FACTOR = 2.0
MAX_DOUBLINGS = 40
FILE = "tuned.json"
"""In the folder of a search: the command, the budget and what was found."""


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Attributes:
        path: the sweep folder with its runs.
        table: one row a learning rate: final training loss (mean over seeds), whether it was stable, and why not.
        best: the stable learning rate with the lowest final training loss; None: the first was unstable.
        criterion: when a learning rate counts as unstable.
    """

    path: Path
    table: pd.DataFrame
    best: float | None
    criterion: str


def tune(
    experiment: str | Path | None = None,
    *,
    task: str | None = None,
    device: str | Path | None = None,
    rule: str | None = None,
    start: float = START,
    factor: float = FACTOR,
    seeds: int = 1,
    epochs: int | None = None,
    sets: Sequence[str] = (),
    out: str | Path | None = None,
    workers: int | None = None,
    engine: str | Engine = "processes",
    address: str | None = None,
    data_dir: str | Path | None = None,
    watcher: SweepWatcher | None = None,
) -> Tuned:
    """Double the learning rate until a run is unstable, and return the best stable one.

    Unstable: a run diverges, or the final training loss (mean over seeds) is not below ``factor`` times the lowest one
    of the smaller learning rates. As many rates as there are workers are computed at once; those beyond the first
    unstable one stay in the store and out of the result, which therefore does not depend on the workers.

    Args:
        experiment: as in :func:`noisyhw.train`, like task, device, rule, epochs, sets and data_dir.
        task: its name or file.
        device: name or file of a device card.
        rule: its name.
        start: the first learning rate.
        factor: see above.
        seeds: runs a learning rate, with seeds 0 to seeds - 1.
        epochs: passes through the training set.
        sets: changes of any field.
        out: the sweep folder; None: ``runs/tune-TASK-DEVICE-RULE``.
        workers: as in :func:`noisyhw.sweep`, like engine, address and watcher.
        engine: where runs are computed.
        address: of a Ray cluster.
        data_dir: where the data is.
        watcher: is told of every run.

    Raises:
        NoisyhwError: with a message for people.
    """
    _check(start, factor, seeds)
    where = None if data_dir is None else Path(data_dir).resolve()
    if experiment is None and device is None:
        device = "rram"
    named = str(device) if isinstance(device, Path) else device
    options = {"task.name": task, "device": named, "rule.name": rule, "epochs": epochs}

    def points(rates: Sequence[float]) -> list[Point]:
        return [
            make_point(
                load_experiment(experiment, options, [*sets, f"{RATE}={rate!r}", f"seed={seed}"]),
                {RATE: rate},
                where,
            )
            for rate in rates
            for seed in range(seeds)
        ]

    first = points([start])[0].experiment
    folder = out or Path("runs") / f"tune-{first.task.name}-{first.device.name}-{first.rule.name}"
    store = Store.create(folder)
    chosen = get_engine(engine, workers, address) if isinstance(engine, str) else engine
    search = _Search(factor)
    rates = [start * 2**doubling for doubling in range(MAX_DOUBLINGS + 1)]
    step = max(1, chosen.workers // seeds)
    for at in range(0, len(rates), step):
        part = points(rates[at : at + step])
        carry_on(Plan("tune", tuple(part)), store, chosen, data_dir=where, watcher=watcher)
        for rate in rates[at : at + step]:
            search.see(rate, [store.records[one.identity] for one in part if one.settings[RATE] == rate])
        if search.ended:
            break
    tuned = search.tuned(store.path)
    more = {"--start": start, "--factor": factor}
    told = command(experiment, options, seeds, sets, [(key, repr(value)) for key, value in more.items()])
    runs = len(search.rows) * seeds
    _note(store.path, told, f"{runs} runs of {first.epochs} epochs, {seeds} a rate", {RATE: tuned.best})
    return tuned


def command(
    experiment: str | Path | None,
    options: Mapping[str, object],
    seeds: int,
    sets: Sequence[str],
    more: Sequence[tuple[str, str]],
) -> str:
    """Return the command that does a search again; a card's path is told by its last part."""
    parts = ["noisyhw", "tune"] + ([] if experiment is None else [_named(experiment)])
    given = {key.removesuffix(".name"): value for key, value in options.items() if value is not None}
    for key, value in given.items():
        parts += [f"--{key}", _named(str(value))]
    parts += ["--seeds", str(seeds)] + [part for pair in more for part in pair]
    return shlex.join(parts + [part for one in sets for part in ("--set", one)])


def _named(name_or_path: str | Path) -> str:
    return Path(name_or_path).name


def _note(folder: Path, command: str, budget: str, best: Mapping[str, Any] | None) -> None:
    """Keep what was found beside the runs that it was found by."""
    told = {"command": command, "budget": budget, "best": best}
    write_text(folder / FILE, json.dumps(told, indent=2) + "\n")


@dataclass(frozen=True)
class Found:
    """What a search among given values found.

    Attributes:
        path: the sweep folder with its runs.
        table: one row a candidate: its values, accuracy and loss on the samples held out (mean over seeds; empty: a run
            diverged or failed), and the reason.
        best: field -> value of the best candidate; None: all diverged or failed.
        budget: how many runs of which length, and what judged them.
    """

    path: Path
    table: pd.DataFrame
    best: Mapping[str, Any] | None
    budget: str


def tune_fields(
    experiment: str | Path | None = None,
    *,
    fields: Mapping[str, Sequence[Any]],
    task: str | None = None,
    device: str | Path | None = None,
    rule: str | None = None,
    held_out: float = 0.2,
    seeds: int = 1,
    epochs: int | None = None,
    sets: Sequence[str] = (),
    out: str | Path | None = None,
    workers: int | None = None,
    engine: str | Engine = "processes",
    address: str | None = None,
    data_dir: str | Path | None = None,
    watcher: SweepWatcher | None = None,
) -> Found:
    """Try every combination of some fields' values, and return the best by training samples held out for it.

    The same search is part of a sweep whose card says ``tune``. Test samples have no say.

    Args:
        fields: field (dotted) -> values, or FIELD.scale -> factors on what the experiment has.
        held_out: share of the training samples that a candidate is judged by.
        experiment: as in :func:`tune`, like all others.
        task: see there.
        device: see there.
        rule: see there.
        seeds: runs a candidate; their seeds start at 1,000,000, so that none is measured later.
        epochs: see there.
        sets: see there.
        out: see there.
        workers: see there.
        engine: see there.
        address: see there.
        data_dir: see there.
        watcher: see there.

    Raises:
        NoisyhwError: with a message for people.
    """
    where = None if data_dir is None else Path(data_dir).resolve()
    if experiment is None and device is None:
        device = "rram"
    named = str(device) if isinstance(device, Path) else device
    options = {"task.name": task, "device": named, "rule.name": rule, "epochs": epochs}
    asked = _asked({"fields": fields, "seeds": seeds, "held_out": held_out})
    point = make_point(load_experiment(experiment, options, sets), {}, where)
    search = Search(asked, located(fields, "tune.fields"), [point], where)
    first = point.experiment
    folder = out or Path("runs") / f"tune-{first.task.name}-{first.device.name}-{first.rule.name}"
    store = Store.create(folder)
    chosen = get_engine(engine, workers, address) if isinstance(engine, str) else engine
    carry_on(search.plan, store, chosen, data_dir=where, watcher=watcher)
    [candidates] = search.candidates.values()
    best = best_of(candidates, store.records)
    rows = []
    for one in candidates:
        accuracy, loss = score(one, store.records) or (math.nan, math.nan)
        reasons = [store.records[run.identity].reason for run in one.runs]
        reason = next((text for text in reasons if text is not None), None)
        rows.append(dict(one.values) | {"accuracy": accuracy, "loss": -loss, "reason": reason})
    budget = told_budget(asked, first.epochs)
    flags = [("--field", f"{key}={','.join(map(str, values))}") for key, values in fields.items()]
    told = command(experiment, options, seeds, sets, [*flags, ("--held-out", f"{held_out:g}")])
    _note(store.path, told, budget, None if best is None else best.values)
    return Found(store.path, pd.DataFrame(rows), None if best is None else best.values, budget)


def _asked(content: Mapping[str, Any]) -> Tune:
    try:
        return Tune.model_validate(content)
    except ValidationError as error:
        raise validation_error(error, Tune, located(content, "tune")) from None


def _check(start: float, factor: float, seeds: int) -> None:
    if not 0 < start < math.inf:
        raise UsageError(f"start: must be a learning rate > 0, got {start:g}")
    if not 1 < factor < math.inf:
        raise UsageError(f"factor: must be > 1, got {factor:g}")
    if seeds < 1:
        raise UsageError(f"seeds: must be >= 1, got {seeds}")


class _Search:
    """Sees one learning rate after another, until one is unstable."""

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.rows: list[dict[str, object]] = []
        self.best: tuple[float, float] | None = None
        self.ended = False

    def see(self, rate: float, records: Sequence[Record]) -> None:
        """Judge a learning rate; what comes after the first unstable one is not looked at."""
        if self.ended:
            return
        for record in records:
            if record.status == "failed":
                raise RunError(f"learning rate {rate:g}: the run failed: {record.reason}")
        bad = [record for record in records if record.status != "done"]
        losses = [float(record.metrics["train_loss"] or 0.0) for record in records if record.status == "done"]
        loss = sum(losses) / len(losses) if losses and not bad else math.nan
        reason = self._reason(loss, bad)
        self.ended = reason is not None
        self.rows.append(
            {"learning_rate": rate, "train_loss": loss, "stable": reason is None, "reason": reason}
        )
        if reason is None and (self.best is None or loss < self.best[0]):
            self.best = loss, rate

    def _reason(self, loss: float, bad: Sequence[Record]) -> str | None:
        if bad:
            return f"diverged: {bad[0].reason}"
        if self.best is not None and not loss < self.factor * self.best[0]:
            return f"loss above {self.factor:g} times the lowest ({self.best[0]:.4g})"
        return None

    def tuned(self, path: Path) -> Tuned:
        criterion = (
            f"unstable: a run diverges, or the final training loss is not below {self.factor:g} times the lowest of "
            "the smaller learning rates"
        )
        return Tuned(path, pd.DataFrame(self.rows), None if self.best is None else self.best[1], criterion)
