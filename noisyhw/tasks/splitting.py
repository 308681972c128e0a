"""Samples set aside for the test, where somebody's data come without a test set."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Int64

from ..streams import stream

SPLIT_SEED = 0
"""One split for all experiments: a seed moves no sample between training and test."""


def set_aside(
    samples: int, share: float, classes: Int64[np.ndarray, " samples"] | None
) -> Bool[np.ndarray, " samples"]:
    """Return which samples are tested on: the share of each class, of which one at least is trained on.

    Args:
        samples: their number, two or more.
        share: above 0 and below 1.
        classes: class numbers; None: the samples have none.
    """
    order = torch.randperm(samples, generator=stream(SPLIT_SEED, "test split")).numpy()
    aside = np.zeros(samples, dtype=bool)
    groups = [order]
    if classes is not None:
        groups = [order[classes[order] == number] for number in np.unique(classes)]
    for group in groups:
        aside[group[: min(round(len(group) * share), len(group) - 1)]] = True
    if not aside.any():
        aside[max(groups, key=len)[0]] = True
    return aside
