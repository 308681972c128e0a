"""Standard errors of means and of differences: from the spread of seeds, and from the number of test images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import t as student

from ..cards.experiment import TaskCard
from ..errors import NoisyhwError
from ..tasks import task_of

SURE = 0.975
"""Quantile of a two-sided test at 5 %."""
TWICE = 2.0


@dataclass(frozen=True)
class Images:
    """What a run's accuracy is counted on.

    Args:
        number: of test images of one run; None: not known, or the metric is no accuracy.
        shared: all seeds are tested on the same images; else each on its own.
    """

    number: int | None
    shared: bool = True


UNKNOWN = Images(None)


@dataclass(frozen=True)
class Error:
    """How far a mean, or a difference of means, may be off.

    Args:
        seeds: standard error from the spread of the seeds; NaN: of a single one.
        images: standard error from the number of test images, so far as the seeds do not show it.
        n: seeds.
    """

    seeds: float
    images: float
    n: int

    @property
    def standard(self) -> float:
        """Standard error; NaN: a single seed, and nothing is known of the images."""
        if math.isnan(self.seeds):
            return self.images or math.nan
        return math.hypot(self.seeds, self.images)

    @property
    def margin(self) -> float:
        """What a difference must exceed to be told: twice its standard error, or more where there are few seeds.

        A spread that few seeds show is known so badly that Student's t takes the place of 2, for its part.
        """
        if math.isnan(self.seeds):
            return TWICE * self.images or math.inf
        factor = max(TWICE, float(student.ppf(SURE, self.n - 1)))
        return math.hypot(factor * self.seeds, TWICE * self.images)


def error_of(values: Sequence[float], image_variance: float, images: Images) -> Error:
    """Return the error of a mean over seeds.

    Seeds that share their test images share these images' luck, which their spread does not show: its variance is at
    most ``image_variance`` / images and is added. Seeds with images of their own show it, and it is added only so far
    as they happen to show less.

    Args:
        values: one a seed.
        image_variance: variance from one test image to the next: p (1 - p) for an accuracy p; for the difference of two
            rules on the same images the sum of both, as if their mistakes were independent, which is more than the
            variance where both fail on the same images.
        images: what the values are counted on.
    """
    n = len(values)
    seeds = float(np.std(values, ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    if images.number is None:
        return Error(seeds, 0.0, n)
    if images.shared:
        return Error(seeds, math.sqrt(image_variance / images.number), n)
    own = 0.0 if math.isnan(seeds) else seeds**2
    return Error(seeds, math.sqrt(max(image_variance / (images.number * n) - own, 0.0)), n)


def bernoulli(accuracy: float) -> float:
    """Variance of one image's hit, p (1 - p)."""
    return accuracy * (1 - accuracy)


def images_of(experiments: Sequence[Mapping[str, Any]], metric: str) -> Images:
    """Return what the runs of some experiments are tested on.

    Args:
        experiments: fields of each that are not at their defaults.
        metric: test_accuracy, or another, which has no images.
    """
    cards = [TaskCard.model_validate(one.get("task", {})) for one in experiments]
    if metric != "test_accuracy" or not cards:
        return UNKNOWN
    try:
        numbers = {task_of(card).test_samples(card) for card in cards}
        own = all(_follow_from_seed(card) for card in cards)
    except NoisyhwError:
        return UNKNOWN
    return Images(numbers.pop() if len(numbers) == 1 else None, shared=not own)


def _follow_from_seed(card: TaskCard) -> bool:
    """Whether runs of different seeds are tested on different samples."""
    options = task_of(card).options_of(card)
    return any(options.for_seed(seed) != options for seed in (0, 1))
