"""Differences between two rules on the same seeds, each with its error, and whether it is told apart from none."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Any

import pandas as pd

from .errors import Error, Images, bernoulli, error_of
from .layout import Layout


@dataclass(frozen=True)
class Difference:
    """One rule's metric less another's, at one point.

    Args:
        point: values of the fields that tell points apart, without the rule.
        one, other: the two rules, or whatever lines differ in.
        mean: of the difference over the seeds that both have.
        error: of that mean.
    """

    point: tuple[Any, ...]
    one: Any
    other: Any
    mean: float
    error: Error

    @property
    def told(self) -> bool:
        """Whether it exceeds its margin."""
        return abs(self.mean) > self.error.margin


def point_keys(layout: Layout) -> list[str]:
    """The fields that tell points apart, without what is compared."""
    return [key for key in layout.keys if key != layout.hue]


def differences(runs: pd.DataFrame, layout: Layout, images: Images) -> list[Difference]:
    """Return the differences of every two lines at every point, paired by seed.

    Args:
        runs: with what counts (see :func:`noisyhw.reporting.breaks.with_values`).
        layout: what differs in what.
        images: that the metric is counted on.
    """
    keys = point_keys(layout)
    groups = runs.groupby(keys, sort=False, dropna=False) if keys else [((), runs)]
    return [found for point, part in groups for found in _at(tuple(point), part, layout.hue, images)]


def _at(point: tuple[Any, ...], runs: pd.DataFrame, hue: str, images: Images) -> Iterator[Difference]:
    table = runs.pivot_table(index="seed", columns=hue, values="_value", aggfunc="mean", sort=False)
    lines = zip(table.columns, table.to_numpy(dtype=float).T.tolist(), strict=True)
    for (one, its), (other, others) in combinations(lines, 2):
        both = [(a, b) for a, b in zip(its, others, strict=True) if not (math.isnan(a) or math.isnan(b))]
        if both:
            yield Difference(point, one, other, *_paired(both, images))


def _paired(both: Sequence[tuple[float, float]], images: Images) -> tuple[float, Error]:
    gaps = [a - b for a, b in both]
    chance = sum(bernoulli(fmean(values)) for values in zip(*both, strict=True))
    return fmean(gaps), error_of(gaps, chance, images)
