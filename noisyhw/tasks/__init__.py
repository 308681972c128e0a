"""Tasks: data sets, and what each says about itself."""

from __future__ import annotations

from pathlib import Path

from ..cards.experiment import TaskCard
from ..errors import UsageError, choose
from .base import Data, Recipe, Task
from .cifar10 import Cifar10
from .digits import Digits
from .holding_out import hold_out
from .sarcos import Sarcos
from .tiny_imagenet import TinyImageNet

__all__ = ["TASKS", "Data", "Recipe", "Task", "get_task", "load_data"]

TASKS: dict[str, Task] = {task.name: task for task in (Digits(), Cifar10(), Sarcos(), TinyImageNet())}


def get_task(name: str) -> Task:
    """Return the task of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in TASKS:
        raise UsageError(choose("task", name, list(TASKS)))
    return TASKS[name]


def load_data(card: TaskCard, data_dir: Path | None = None) -> Data:
    """Return what a run trains and is tested on, ``task.held_out`` included (see :meth:`.Task.load`).

    Args:
        card: the task; of an experiment its :attr:`.Experiment.data`.
        data_dir: the only folder to look in; None: the usual places.
    """
    data = get_task(card.name).load(card, data_dir)
    return data if card.held_out is None else hold_out(data, card.held_out)
