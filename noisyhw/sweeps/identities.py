"""The identity of a resolved experiment's run, which depends on the content of its data and on what computes it."""

from __future__ import annotations

from pathlib import Path

from ..cards.experiment import Resolved, TaskCard
from ..tasks import data_of, load_data
from .stacked import code_version


class Identities:
    """Reads each task's data once.

    Args:
        data_dir: where the data is.
        keep: rows or folders: what is kept of the runs, as folders are of runs that no stack computes.
    """

    def __init__(self, data_dir: Path | None, keep: str = "rows") -> None:
        self._data_dir = data_dir
        self._folders = keep == "folders"
        self._versions: dict[TaskCard, str] = {}

    def of(self, experiment: Resolved) -> str:
        """Return the identity of a run.

        Raises:
            DataError: the task's data is not there.
        """
        card = data_of(experiment).model_copy(update={"held_out": None})
        if card not in self._versions:
            self._versions[card] = load_data(card, self._data_dir).version
        return experiment.identity(self._versions[card], code_version(experiment, self._folders))
