"""Which rule trains on this device: all rules that it grants, each tuned by one budget, in one table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..cards import load_experiment
from ..cards.experiment import Resolved
from ..device import Device
from ..errors import UsageError
from ..rules import RULES, Knows
from ..training.effort import digital_memory, passes_per_sample
from .driver import Sweep, SweepWatcher, sweep
from .engines import Engine
from .plan import plan

SCALES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Factors on the task's learning rate that are tried for every rule and path."""
RATE = "update.learning_rate"
Row = tuple[str, str]
"""A rule and an update path."""
LAST = 0.1
"""Share of the epochs at the end over which a curve must still rise to be called so."""


@dataclass(frozen=True)
class Comparison:
    """What was found.

    Attributes:
        sweep: the runs.
        metric: what was measured, test accuracy or test loss.
        table: one row a rule and path, the best first (see :func:`compare`).
        left_out: rules that the device or network does not grant, and why.
        card: the sweep card that was carried out.
    """

    sweep: Sweep
    metric: str
    table: pd.DataFrame
    left_out: Mapping[str, str]
    card: Mapping[str, Any]

    def told(self) -> str:
        """Return the table in words, and what was left out."""
        columns = {
            "rule": self.table.rule,
            "path": self.table.path,
            self.metric: [_shown(row) for row in self.table.itertuples()],
            "passes": self.table.passes,
            "pulses a weight": self.table.pulses_per_weight.map(shown_count),
            "numbers a weight": self.table.memory,
            "rate": self.table.rate.map("{:.3g}".format)
            + self.table.at_edge.map({True: " (edge)", False: ""}),
            "": self.table.rising.map({True: "still improving", False: ""}),
        }
        lines = pd.DataFrame(columns).to_string(index=False, justify="left").splitlines()
        lines = [line.rstrip() for line in lines]
        return "\n".join([*lines, *(f"left out: {name}: {why}" for name, why in self.left_out.items())])


def compare(
    device: str | Path,
    task: str = "digits",
    *,
    rules: Sequence[str] | None = None,
    paths: Sequence[str] = ("auto",),
    scales: Sequence[float] = SCALES,
    epochs: int | None = None,
    seeds: int = 3,
    sets: Sequence[str] = (),
    out: str | Path | None = None,
    workers: int | None = None,
    engine: str | Engine = "processes",
    address: str | None = None,
    data_dir: str | Path | None = None,
    watcher: SweepWatcher | None = None,
) -> Comparison:
    """Train a network by every rule that a device grants, each at the learning rate that the same search finds for it.

    The table's columns: rule, path; n, mean, se, low and high of the test accuracy (of the test loss where there are no
    classes) after the last epoch; lost, the runs that diverged or failed; rising, whether the mean over seeds still
    improves over the last tenth of the epochs by more than twice its standard error; passes, of a batch;
    pulses_per_weight; memory, the digital numbers that a weight costs; rate, the learning rate; at_edge, whether that
    is the first or last that was tried.

    Args:
        device: name or file of a device card.
        task: name or file.
        rules: names or files; None: all that the device grants, with decorrelated inputs.
        paths: update paths; auto: the device's own.
        scales: factors on the task's learning rate that are tried.
        epochs: of all runs; None: the task's.
        seeds: measured runs of each rule and path; the search has seeds of its own.
        sets: changes of any field of all runs.
        out: the sweep's folder; None: ``runs/compare-DEVICE-TASK``.
        workers: as in :func:`noisyhw.sweep`, like engine and address.
        engine: where runs are computed.
        address: of a Ray cluster.
        data_dir: where the data is.
        watcher: is told of every run.

    Raises:
        NoisyhwError: with a message for people.
    """
    device_name = str(device)
    granted, left_out = _granted(device_name, task, tuple(sets)) if rules is None else ([*rules], {})
    if not granted:
        raise UsageError("rules: name at least one")
    experiment = {"device": device_name, "task": task} | ({} if epochs is None else {"epochs": epochs})
    card = {
        "title": f"Which rule trains on {Path(device_name).stem}, {Path(task).stem}",
        "experiment": experiment,
        "rules": granted,
        "grid": {"update.path": [*paths]},
        "seeds": seeds,
        "tune": {"fields": {f"{RATE}.scale": [*scales]}},
    }
    where = None if data_dir is None else Path(data_dir).resolve()
    costs = {_row(point.settings): _cost(point.experiment) for point in plan(card, sets, where).points}
    done = sweep(
        card,
        out=out or Path("runs") / f"compare-{Path(device_name).stem}-{Path(task).stem}",
        sets=sets,
        workers=workers,
        engine=engine,
        address=address,
        data_dir=data_dir,
        watcher=watcher,
    )
    metric = "test_accuracy" if done.table["test_accuracy"].notna().any() else "test_loss"
    return Comparison(done, metric.replace("_", " "), _table(done, costs, metric), left_out, card)


def _granted(device: str, task: str, sets: tuple[str, ...]) -> tuple[list[Any], dict[str, str]]:
    """The rules that a device and network grant, with decorrelated inputs, and why the others are left out."""
    experiment = load_experiment(None, {"device": device, "task.name": task}, sets)
    card = experiment.device
    dense = not (experiment.network.conv or experiment.network.has_module)
    granted: list[Any] = []
    left_out: dict[str, str] = {}
    for name, kind in RULES.items():
        if Knows.INJECTED_WEIGHTS in kind.knows and not (Device(card).ideal or card.weight_perturbation):
            left_out[name] = "the device has no port that perturbs weights (weight_perturbation in its card)"
        elif kind.chain_only and not dense:
            left_out[name] = "it needs dense layers one after another"
        elif Knows.GRADIENT in kind.knows:
            granted.append(f"d{name}" if Device(card).ideal else {"name": f"d{name}", "oracle": True})
        elif f"d{name}" in RULES:  # a rule of its own
            granted.append({"name": name, "decorrelate": True})
        else:
            granted.append(f"d{name}")
    return granted, left_out


def _row(settings: Mapping[str, Any]) -> Row:
    return str(settings["rule"]), str(settings["update.path"])


def _cost(experiment: Resolved) -> tuple[int, int]:
    """Passes of a batch, and digital numbers that a weight costs."""
    return passes_per_sample(experiment), len(digital_memory(experiment))


def shown_count(number: float) -> str:
    """A mean number of pulses, in words; a dash where the device does not tell."""
    if math.isnan(number):
        return "-"
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"


def _shown(row: Any) -> str:
    """Mean, range and number of a row's runs."""
    if not row.n:
        return f"none of {row.lost} runs ended well"
    lost = f", {row.lost} lost" if row.lost else ""
    return f"{row.mean:.3g} ({row.low:.3g} to {row.high:.3g}, n = {row.n}{lost})"


def _table(done: Sweep, costs: Mapping[Row, tuple[int, int]], metric: str) -> pd.DataFrame:
    runs, curves = done.table, done.curves
    rows = []
    for (rule, path), (passes, memory) in costs.items():  # the folder may hold others, asked for before
        own = runs[(runs["rule"] == rule) & (runs["update.path"] == path)]
        ended = own[own.status == "done"]
        values = ended[metric].astype(float)
        note = str(own["tuned.note"].iloc[0])
        rows.append(
            {
                "rule": rule,
                "path": path,
                "n": len(values),
                "mean": values.mean(),
                "se": values.sem(),
                "low": values.min(),
                "high": values.max(),
                "lost": len(own) - len(ended),
                "rising": _rising(curves[curves.identity.isin(ended.identity)], metric),
                "passes": passes,
                "pulses_per_weight": ended["pulses_per_weight"].astype(float).mean(),
                "memory": memory,
                "rate": own[f"tuned.{RATE}"].iloc[0] if f"tuned.{RATE}" in own else math.nan,
                "at_edge": "edge" in note,
            }
        )
    return pd.DataFrame(rows).sort_values("mean", ascending=metric == "test_loss", ignore_index=True)


def _rising(curves: pd.DataFrame, metric: str) -> bool:
    """Whether the last tenth of the epochs is better than the tenth before, by two standard errors over seeds."""
    if curves.empty:
        return False
    last = int(curves["epoch"].max())
    part = max(1, round(LAST * last))
    if last < 2 * part:
        return False
    once = curves.drop_duplicates(["identity", "epoch"])
    by_run = once.pivot(index="epoch", columns="identity", values=metric).to_numpy(float)
    gains = by_run[-part:].mean(0) - by_run[-2 * part : -part].mean(0)
    gains = gains if metric == "test_accuracy" else -gains
    error = gains.std(ddof=1) / math.sqrt(len(gains)) if len(gains) > 1 else 0.0
    return bool(gains.mean() > max(0.0, 2 * error))
