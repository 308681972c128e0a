"""Which field is on which axis: lines, panels, and what the metric is drawn against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from .axes import Axis, axis

MANY = 12
"""A number with more values than this, most of them met once, was drawn at random."""
COST = "perturbation.passes"


@dataclass(frozen=True)
class Layout:
    """How the runs of one task are laid out.

    Args:
        metric: test_accuracy, or test_loss where there is none.
        hue: the field that lines and rows of heat maps differ in.
        panels: fields that have a panel for each combination.
        xs: swept fields that the metric is drawn against.
        sampled: swept numbers that were drawn at random.
    """

    metric: str
    hue: str
    panels: tuple[str, ...]
    xs: tuple[str, ...]
    sampled: tuple[str, ...] = ()

    @property
    def higher_is_better(self) -> bool:
        """Whether the metric is an accuracy."""
        return self.metric == "test_accuracy"

    @property
    def keys(self) -> list[str]:
        """All fields that tell two points apart."""
        return list(dict.fromkeys([*self.panels, self.hue, *self.xs, *self.sampled]))

    def panel_keys(self, x: str) -> list[str]:
        """The fields that tell panels apart where the metric is drawn against x."""
        return [key for key in self.keys if key not in (x, self.hue, *self.sampled)]


def lay_out(runs: pd.DataFrame, settings: Sequence[str]) -> Layout:
    """Return the layout of one task's runs.

    Args:
        runs: a row a run.
        settings: the columns that say what a run is, without its seed.
    """
    metric = "test_loss" if runs["test_accuracy"].isna().all() else "test_accuracy"
    varying = _varying(runs, [key for key in settings if key != "task"])
    axes = {key: axis(key, runs[key].tolist()) for key in varying}
    sampled = tuple(key for key in varying if _is_sampled(axes[key], runs))
    swept = [key for key in varying if key not in ("device", "rule", *sampled)]
    xs = tuple(key for key in swept if axes[key].ordered)
    words = [key for key in swept if key not in xs]
    hue = "rule" if "rule" in varying or not words else words[0]
    if not xs and not sampled:
        left = [key for key in words if key != hue]
        xs = (left[0],) if left else ("device",)
    panels = ["device", "rule", *words]
    return Layout(metric, hue, tuple(key for key in panels if key != hue and key not in xs), xs, sampled)


def _varying(runs: pd.DataFrame, keys: Sequence[str]) -> list[str]:
    """The fields that differ from run to run; of a labelled list its label alone."""
    many = [key for key in keys if runs[key].map(str).nunique() > 1]
    if "label" not in many:
        return many
    points = runs.groupby("label", dropna=False)
    told = {key for key in many if key != "label" and points[key].nunique(dropna=False).max() == 1}
    return [key for key in many if key not in told - {"device", "rule"}]


def _is_sampled(along: Axis, runs: pd.DataFrame) -> bool:
    """Whether most values are met at one point only."""
    if along.kind != "number" or len(along.values) <= MANY:
        return False
    points = max(1, len(runs.drop_duplicates(["device", "rule", "seed"])))
    return len(along.values) > 0.5 * len(runs) / points
