"""Means with their range over seeds, break points, and which points no other one beats."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

import numpy as np
import pandas as pd

from .errors import UNKNOWN, Images, bernoulli, error_of

HALF = 0.5
"""The share of the lead that is left at a break point."""
COUNTS = ("done", "diverged", "failed", "to do")


def summarize(runs: pd.DataFrame, keys: Sequence[str], metric: str, images: Images = UNKNOWN) -> pd.DataFrame:
    """Return one row a point: mean, standard error, low, high and n of the runs that are done, and counts by status.

    Low and high are the lowest and the highest run. Runs that diverged or failed are counted and not averaged.
    """
    done = runs["status"] == "done"
    values = pd.to_numeric(runs[metric]).where(done)

    def se(part: pd.Series) -> float:
        known = part.dropna().tolist()
        return error_of(known, bernoulli(fmean(known)), images).standard if known else math.nan

    groups = values.groupby([runs[key] for key in keys], sort=False, dropna=False)
    found = groups.agg(mean="mean", se=se, low="min", high="max", n="count")
    for status in COUNTS[1:]:
        found[status] = (
            (runs["status"] == status).groupby([runs[key] for key in keys], sort=False, dropna=False).sum()
        )
    return found.reset_index()


@dataclass(frozen=True)
class Lead:
    """From nothing learned (0) to what is learned at best (1): on an ideal device, or on the line's own best point.

    Args:
        ideal: the metric there, one value a run.
        nothing: the metric of a network that learned nothing: chance, or the loss of predicting the mean.
    """

    ideal: tuple[float, ...]
    nothing: float

    @property
    def best(self) -> float:
        """Mean of the ideal runs."""
        return sum(self.ideal) / len(self.ideal)

    @property
    def half(self) -> float:
        """The metric at which half of the lead is lost."""
        return (self.best + self.nothing) / 2

    def of(self, value: float) -> float:
        """Return the share of the lead that a metric's value has."""
        return (value - self.nothing) / (self.best - self.nothing)

    def why_none(self, higher_is_better: bool) -> str | None:
        """Return why there is no lead that could be halved."""
        sign = 1 if higher_is_better else -1
        if not all(map(math.isfinite, self.ideal)) or sign * (self.best - self.nothing) <= 0:
            return "nothing is learned"
        if min(map(self.of, self.ideal)) <= HALF:
            return "seeds differ by more than half the lead"
        return None


def best_of_others(
    table: Sequence[Sequence[float]], higher_is_better: bool
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Return what a line comes to at its best, without the luck of having been chosen for it.

    The largest of k noisy means is above the best true mean by more the larger the noise is and the more there are. So
    every seed's value is taken where the mean of the other seeds is best, and its own noise has no say in where that
    is. With a single seed nothing can be chosen, and its first value is taken.

    Args:
        table: a row a seed, a column a value of the swept field, from gentle to harsh; missing ones are NaN.
        higher_is_better: whether the metric is an accuracy.

    Returns:
        The values, one a seed that has one, and the columns that they are from.
    """
    runs = np.asarray(table, dtype=float)
    runs = runs[~np.isnan(runs).all(axis=1)]
    if len(runs) == 1:
        known = np.flatnonzero(~np.isnan(runs[0]))
        return (float(runs[0, known[0]]),), (int(known[0]),)
    sign = 1 if higher_is_better else -1
    found = [(own, _best_column(sign * np.delete(runs, seed, axis=0))) for seed, own in enumerate(runs)]
    pairs = [(float(own[at]), at) for own, at in found if at is not None and not math.isnan(own[at])]
    return tuple(value for value, _ in pairs), tuple(at for _, at in pairs)


def _best_column(runs: np.ndarray) -> int | None:
    """Number of the column with the largest mean; None: all are missing."""
    counts = (~np.isnan(runs)).sum(axis=0)
    if not counts.any():
        return None
    sums = np.nansum(runs, axis=0)
    return int(np.argmax(np.where(counts > 0, sums / np.maximum(counts, 1), -math.inf)))


def spread_error(values: Sequence[float]) -> float:
    """Standard error of the mean, std / sqrt(n), from the values' own spread; NaN: of fewer than two."""
    return float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan


@dataclass(frozen=True)
class BreakPoint:
    """Where half of the lead is lost for good, along values that are ordered from gentle to harsh.

    Args:
        value: of the mean over seeds; infinite: not reached.
        low, high: the first and the last seed's own.
        seeds: how many runs each of the seeds' curves is made of.
        between: the measured values that ``value`` was interpolated between; None: there are none.
        dip: where the mean fell below half before and came back; None: it did not.
    """

    value: float
    low: float
    high: float
    seeds: int
    between: tuple[float, float] | None = None
    dip: float | None = None


Interpolate = Callable[[float, float, float], float]
"""(start, end, share) -> the value that lies that share of the way from start to end."""


def linear(start: float, end: float, share: float) -> float:
    """Between two values, linearly."""
    return start + (end - start) * share


def by_factors(start: float, end: float, share: float) -> float:
    """Between two positive values in the logarithm; linearly where one of them is zero."""
    if start <= 0 or end <= 0:
        return linear(start, end, share)
    return math.exp(linear(math.log(start), math.log(end), share))


def crossing(
    values: Sequence[float], leads: Sequence[float], between: Interpolate = linear, half: float = HALF
) -> float:
    """Return where a curve falls below half for good, from the first value on.

    Args:
        values: of the swept field, from gentle to harsh.
        leads: the curve there; missing ones are NaN and are passed over.
        between: how to interpolate.
        half: the level.

    Returns:
        The value; the first one if the curve is below everywhere; infinity if it ends above.
    """
    known = _known(values, leads)
    if not known:
        return math.nan
    if known[-1][1] >= half:
        return math.inf
    falls = _falls(known, half)
    if not falls:
        return known[0][0]
    (start, above), (end, below) = falls[-1]
    return between(start, end, (above - half) / (above - below))


Known = tuple[float, float]
"""A value, and a curve's lead there."""


def _known(values: Sequence[float], leads: Sequence[float]) -> list[Known]:
    """A curve without what is missing."""
    return [(value, lead) for value, lead in zip(values, leads, strict=True) if not math.isnan(lead)]


def _falls(known: Sequence[Known], half: float) -> list[tuple[Known, Known]]:
    """The pairs of neighbours between which a curve falls below half."""
    return [(before, after) for before, after in pairwise(known) if before[1] >= half > after[1]]


def break_point(
    values: Sequence[float], leads: Sequence[Sequence[float]], between: Interpolate = linear
) -> BreakPoint:
    """Return where half of the lead is lost for good, with its range over seeds.

    Args:
        values: of the swept field, from gentle to harsh.
        leads: a row a seed, a column a value; a run that learnt nothing is 0, one that is missing NaN.
        between: how to interpolate.
    """
    table = np.asarray(leads, dtype=float)
    known = ~np.isnan(table).all(axis=0)
    mean = np.full(table.shape[1], math.nan)
    mean[known] = np.nanmean(table[:, known], axis=0)
    single = [at for row in table if not math.isnan(at := crossing(values, row.tolist(), between))]
    order = sorted(single, key=lambda at: _harshness(at, values))
    at = crossing(values, mean.tolist(), between)
    falls = _falls(_known(values, mean.tolist()), HALF)
    dips = falls if math.isinf(at) else falls[:-1]
    return BreakPoint(
        at,
        order[0],
        order[-1],
        len(order),
        between=None if math.isinf(at) or not falls else (falls[-1][0][0], falls[-1][1][0]),
        dip=dips[0][1][0] if dips else None,
    )


def _harshness(at: float, values: Sequence[float]) -> float:
    return at if math.isinf(at) or values[-1] >= values[0] else -at


def unbeaten(costs: Sequence[float], gains: Sequence[float]) -> list[bool]:
    """Return for each point whether no other costs no more and gains no less, one of them strictly (Pareto)."""
    points = list(zip(costs, gains, strict=True))
    return [
        not any(
            cost <= own_cost and gain >= own_gain and (cost, gain) != (own_cost, own_gain)
            for cost, gain in points
        )
        for own_cost, own_gain in points
    ]
