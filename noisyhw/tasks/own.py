"""The task that somebody's own data make: what it says of itself follows from the data."""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar, Final

from ..cards.experiment import OWN, TaskCard
from .base import Data, Kind, Recipe, Task, learning_rates

HIDDEN: Final = (256,)
UPDATES: Final = 2400
"""As many as of digits' recipe."""
SHARE_OF_BATCH: Final = 8
SMALLEST_BATCH, LARGEST_BATCH = 8, 400


class Arrays(Task):
    """A task of data that are at hand.

    Args:
        data: training and test samples.
        place: where they lie; ``given``: in this process.
        title: one line for people.
    """

    name: ClassVar[str] = OWN

    def __init__(self, data: Data, place: Path | str = "given", title: str = "Data of one's own") -> None:
        self._data, self._place = data, place
        vars(self).update(  # a shipped task's class knows these; here each object has its own
            title=title,
            kind=data.kind,
            inputs=data.inputs,
            outputs=data.outputs,
            image=data.image,
            recipe=recipe_for(data.kind, len(data.train_x)),
        )

    def load(self, card: TaskCard = TaskCard(), data_dir: Path | None = None) -> Data:
        """Return the data."""
        return self._data

    def test_samples(self, card: TaskCard) -> int | None:
        """The number of test samples; None where training samples are tested on."""
        return None if card.held_out is not None else len(self._data.test_x)

    def found(self, data_dir: Path | None) -> Path | str | None:
        """Return where the data lie."""
        return self._place


def recipe_for(kind: Kind, samples: int) -> Recipe:
    """Return settings for data of one's own: about as many updates as digits has, whatever the number of samples.

    Learning rates are those of digits (classes) or SARCOS (values); nothing was tuned on the data.

    Args:
        kind: of the targets.
        samples: to train on.
    """
    batch = min(max(samples // SHARE_OF_BATCH, SMALLEST_BATCH), LARGEST_BATCH)
    rates = (
        learning_rates(0.03, adam=1e-3, transfer=0.3)
        if kind == "classification"
        else learning_rates(0.03, adam=4e-3, sgd=0.05)
    )
    return Recipe(
        hidden=HIDDEN,
        batch=batch,
        epochs=max(1, round(UPDATES / math.ceil(samples / batch))),
        decorrelation_rate=1e-3,
        learning_rate=rates,
    )
