"""Break points of a sweep: the reference on an ideal device, and where each line has lost half of its lead."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..cards import load_device
from ..cards.device import PROVENANCE
from ..cards.experiment import TaskCard
from ..chip.losses import squared_error
from ..errors import NoisyhwError
from ..tasks import task_of
from .axes import Axis, axis
from .layout import Layout
from .source import EXPERIMENT
from .statistics import HALF, BreakPoint, Lead, best_of_others, break_point, by_factors, linear

IDEAL = "ideal"
"""Name of the device card that has no noise; with any of its fields changed it is another device."""


@dataclass(frozen=True)
class Line:
    """One line of a robustness figure, with its break point.

    Args:
        keys: what the line is: the values of the panel's fields and of the hue.
        x: the swept field.
        reference: what the lead is taken from.
        lead: None if there is nothing to take it from.
        point: None if it cannot be told.
        why: why not.
        values: of the swept field, from the line's best point to the harshest.
        diverged: those of them where a run diverged.
    """

    keys: Mapping[str, Any]
    x: str
    reference: str
    _: KW_ONLY
    lead: Lead | None
    point: BreakPoint | None
    why: str | None
    values: tuple[float, ...]
    diverged: tuple[float, ...] = ()


def nothing_learned(task: Mapping[str, Any], metric: str, data_dir: Path | None = None) -> float | None:
    """Return the metric of a network that learned nothing; None: the data is not here, or the task is unknown.

    1 / classes for an accuracy; for a loss that of always predicting the mean of the training targets.
    """
    card = TaskCard.model_validate(task)
    try:
        known = task_of(card)
        if metric == "test_accuracy":
            return 1 / known.outputs
        if known.kind != "regression" or known.found(data_dir) is None:
            return None
        data = known.load(card, data_dir)
    except NoisyhwError:
        return None
    mean = data.train_y.float().mean(0, keepdim=True).expand(len(data.test_y), -1)
    return float(squared_error(mean[None], data.test_y).mean()) * data.loss_scale


def break_lines(
    runs: pd.DataFrame, layout: Layout, x: str, nothing: float | None, ideal: Mapping[str, list[float]]
) -> list[Line]:
    """Return the break point of each line of the figure against x.

    Args:
        runs: of one task.
        layout: what is on which axis.
        x: the swept field.
        nothing: see :func:`nothing_learned`.
        ideal: see :func:`ideal_runs`.
    """
    along = axis(x, runs[x].tolist())
    keys = [*layout.panel_keys(x), layout.hue]
    numbers = dict(zip(along.values, along.numbers, strict=True))
    falls = _harsh_at_the_low_end(runs, along, layout)
    found = []
    for values, part in runs.groupby(keys, sort=False, dropna=False):
        own = dict(zip(keys, values, strict=True))
        here = part.assign(**{x: part[x].map(numbers)}).dropna(subset=[x])
        table = here.pivot_table(index="seed", columns=x, values="_value", aggfunc="mean", dropna=False)
        table = table[sorted(table.columns, reverse=falls)] if len(table) else table
        line = _line(own, x, table, _reference(part, ideal), nothing, layout, along)
        diverged = here.loc[here["status"] == "diverged", x]
        found.append(replace(line, diverged=tuple(sorted(set(diverged.astype(float))))))
    return found


def _line(
    own: dict[str, Any],
    x: str,
    table: pd.DataFrame,
    ideal: list[float],
    nothing: float | None,
    layout: Layout,
    along: Axis,
) -> Line:
    values = tuple(float(value) for value in table.columns)
    if nothing is None:
        return Line(
            own, x, "none", lead=None, point=None, why="needs the data: give --data-dir", values=values
        )
    means = table.mean()
    if means.isna().all():
        return Line(own, x, "none", lead=None, point=None, why="no finished run", values=values)
    best = int(np.nanargmax(means if layout.higher_is_better else -means))
    reference, there = ("ideal device", tuple(ideal)) if ideal else _own_best(table, values, layout)
    if not there:
        return Line(
            own,
            x,
            reference,
            lead=None,
            point=None,
            why="no seed has a run where the others are best",
            values=values,
        )
    lead = Lead(there, nothing)
    if (why := lead.why_none(layout.higher_is_better)) is not None:
        return Line(own, x, reference, lead=lead, point=None, why=why, values=values)
    leads = table.to_numpy(dtype=float)[:, best:]
    leads = (leads - nothing) / (lead.best - nothing)
    if np.nanmean(leads[:, 0]) < HALF:
        return Line(own, x, reference, lead=lead, point=None, why="never comes half the way", values=values)
    point = break_point(values[best:], leads.tolist(), by_factors if along.log else linear)
    return Line(own, x, reference, lead=lead, point=point, why=None, values=values[best:])


def _own_best(table: pd.DataFrame, values: Sequence[float], layout: Layout) -> tuple[str, tuple[float, ...]]:
    """The line's own best point, chosen for each seed by the others."""
    there, columns = best_of_others(table.to_numpy(dtype=float).tolist(), layout.higher_is_better)
    levels = ", ".join(f"{values[column]:g}" for column in sorted(set(columns)))
    several = int(table.notna().any(axis=1).sum()) > 1
    return f"{'own best by other seeds' if several else 'gentlest'}, at {levels}", there


def with_values(runs: pd.DataFrame, metric: str, nothing: float | None) -> pd.DataFrame:
    """Add what counts for a break point: the metric, and at worst that of having learned nothing.

    A run that diverged has learned nothing, and so has one that blew up and reached its last epoch all the same.
    """
    value = pd.to_numeric(runs[metric]).where(runs["status"] == "done")
    if nothing is None:
        return runs.assign(_value=value.replace([np.inf, -np.inf], math.nan))
    lost = (runs["status"] == "diverged") | ((runs["status"] == "done") & ~np.isfinite(value))
    value = value.mask(lost, nothing)
    floored = value.clip(lower=nothing) if metric == "test_accuracy" else value.clip(upper=nothing)
    return runs.assign(_value=floored)


def _harsh_at_the_low_end(runs: pd.DataFrame, along: Axis, layout: Layout) -> bool:
    """Whether the metric of all lines together is worse at the smallest value than at the largest (bits, say)."""
    ends = [runs.loc[runs[along.name] == along.values[end], "_value"].mean() for end in (0, -1)]
    if np.isclose(ends[0], ends[1], rtol=1e-6):
        return False
    return bool(ends[0] < ends[1]) is layout.higher_is_better


def ideal_runs(tables: Sequence[pd.DataFrame], metric: str) -> dict[str, list[float]]:
    """Return the metric on the ideal device by signature, over all that is reported."""
    found: dict[str, dict[str, dict[int, float]]] = {}
    card = _ideal_card()
    for table in tables:
        rows = table[(table["device"] == IDEAL) & (table["status"] == "done")]
        for experiment, seed, value in zip(rows[EXPERIMENT], rows["seed"], rows[metric], strict=True):
            if experiment.get("device") != card:
                continue
            path = json.dumps(experiment.get("update", {}), sort_keys=True)
            found.setdefault(_signature(experiment), {}).setdefault(path, {})[seed] = float(value)
    return {key: [*next(iter(paths.values())).values()] for key, paths in found.items() if len(paths) == 1}


def _ideal_card() -> dict[str, Any]:
    left_out: Any = PROVENANCE - {"name"}
    return load_device(IDEAL).model_dump(mode="json", exclude_defaults=True, exclude=left_out)


def _reference(part: pd.DataFrame, ideal: Mapping[str, list[float]]) -> list[float]:
    """The ideal device's runs with a line's rule, task, network and training, or none."""
    if not ideal:
        return []
    signatures = {_signature(one) for one in part[EXPERIMENT] if isinstance(one, dict)}
    return ideal.get(next(iter(signatures)), []) if len(signatures) == 1 else []


def _signature(experiment: Mapping[str, Any]) -> str:
    """What two experiments share that differ in device, seed and update path (its default is the device's) only.

    ``network.weight_scaling`` is left out: the ideal device has no range that weights could fill.
    """
    shared = {key: value for key, value in experiment.items() if key not in ("device", "seed", "update")}
    network = {key: value for key, value in shared.get("network", {}).items() if key != "weight_scaling"}
    return json.dumps(shared | {"network": network}, sort_keys=True)
