"""Training samples that take the place of the test samples, so that settings are chosen without these."""

from __future__ import annotations

from dataclasses import replace

import torch

from ..streams import stream
from .base import Data

SPLIT_SEED = 0
"""One split for all experiments of a share, whatever their own seed."""


def hold_out(data: Data, share: float) -> Data:
    """Return the data with a share of its training samples in the place of its test samples.

    Which samples these are is drawn once for every number of samples, and they keep their order. Where neighbouring
    samples resemble each other (the rows of a trajectory), those that are held out resemble those that are trained on.

    Args:
        data: of a task.
        share: of the training samples, above 0 and below 1; at least one sample is held out and one is trained on.
    """
    number = len(data.train_x)
    held = min(max(1, round(number * share)), number - 1)
    order = torch.randperm(number, generator=stream(SPLIT_SEED, "held out"))
    out, kept = (part.sort().values for part in (order[:held], order[held:]))
    return replace(
        data,
        train_x=data.train_x[kept],
        train_y=data.train_y[kept],
        test_x=data.train_x[out],
        test_y=data.train_y[out],
    )
