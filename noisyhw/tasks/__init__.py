"""Tasks: data sets, and what each says about itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import foreign
from ..cards.experiment import TaskCard
from ..errors import UsageError, choose
from ..plugins import instance_of
from ..registry import Registry
from .base import Data, Recipe, Task
from .cifar10 import Cifar10
from .digits import Digits
from .given import kept
from .holding_out import hold_out
from .own import Arrays
from .sarcos import Sarcos
from .tiny_imagenet import TinyImageNet

__all__ = ["TASKS", "Data", "Recipe", "Task", "card_of", "get_task", "load_data", "task_of"]

_SHIPPED: tuple[Task, ...] = (Digits(), Cifar10(), Sarcos(), TinyImageNet())
TASKS: Registry[Task] = Registry(
    "task",
    {task.name: task for task in _SHIPPED},
    instance_of(Task, "name", "title", "kind", "inputs", "outputs", "recipe"),  # type: ignore[type-abstract]
)


def get_task(name: str) -> Task:
    """Return the task of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in TASKS:
        raise UsageError(choose("task", name, list(TASKS)))
    return TASKS[name]


def task_of(card: TaskCard) -> Task:
    """Return the task that a card asks for: one with a name, or one that its own data make.

    Raises:
        UsageError: there is no such task, or its data were not given in this process.
    """
    if card.version:
        return Arrays(foreign.given(_kept_by(card.version), "task"))
    return get_task(card.name)


def card_of(given: object) -> dict[str, Any]:
    """Return the fields of a card that stands for data that are given as an object; they are kept in this process.

    Args:
        given: :class:`Data`, or what :meth:`.Data.from_arrays` makes them from: (x, y), or a map-style data set.

    Raises:
        UsageError: it is none of these, or cannot be trained on.
    """
    data = kept(given)
    foreign.give(data, _kept_by(data.version))
    return {"name": Arrays.name, "version": data.version}


def _kept_by(version: str) -> str:
    return f"data {version}"


def load_data(card: TaskCard, data_dir: Path | None = None) -> Data:
    """Return what a run trains and is tested on, ``task.held_out`` included (see :meth:`.Task.load`).

    Args:
        card: the task; of an experiment its :attr:`.Experiment.data`.
        data_dir: the only folder to look in; None: the usual places.
    """
    data = task_of(card).load(card, data_dir)
    return data if card.held_out is None else hold_out(data, card.held_out)
