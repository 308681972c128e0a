"""The identity of a resolved experiment's run, which depends on the content of its data."""

from __future__ import annotations

from pathlib import Path

from ..cards.experiment import Experiment, TaskCard
from ..tasks import get_task
from ..training.run import ARITHMETIC


class Identities:
    """Reads each task's data once.

    Args:
        data_dir: where the data is.
    """

    def __init__(self, data_dir: Path | None) -> None:
        self._data_dir = data_dir
        self._versions: dict[TaskCard, str] = {}

    def of(self, experiment: Experiment) -> str:
        """Return the identity of a run.

        Raises:
            DataError: the task's data is not there.
        """
        card = experiment.data.model_copy(update={"held_out": None})
        if card not in self._versions:
            self._versions[card] = get_task(card.name).load(card, self._data_dir).version
        return experiment.identity(self._versions[card], ARITHMETIC)
