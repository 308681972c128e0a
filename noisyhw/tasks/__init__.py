"""Tasks: data sets, and what each says about itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import foreign
from ..cards import registered
from ..cards.experiment import Experiment, TaskCard
from ..cards.task_options import TaskOptions as Options
from ..errors import UsageError, choose
from ..plugins import PluginError, instance_of
from ..registry import Registry
from .base import Data, Recipe, Task
from .cifar10 import Cifar10
from .digits import Digits
from .given import kept
from .holding_out import hold_out
from .in_file import InFile
from .own import Arrays, recipe_for
from .sarcos import Sarcos
from .tiny_imagenet import TinyImageNet

__all__ = [
    "TASKS",
    "Data",
    "Options",
    "Recipe",
    "Task",
    "card_of",
    "data_of",
    "get_task",
    "load_data",
    "recipe_for",
    "task_of",
]

_SHIPPED: tuple[Task, ...] = (Digits(), Cifar10(), Sarcos(), TinyImageNet())
NEEDED = ("name", "title", "kind", "inputs", "outputs", "recipe")
"""What a task says of itself."""
TASKS: Registry[Task] = registered.TASKS
for _task in _SHIPPED:
    TASKS.add(_task)
TASKS.check = instance_of(Task, *NEEDED)  # type: ignore[type-abstract]


def get_task(name: str) -> Task:
    """Return the task of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in TASKS:
        raise UsageError(choose("task", name, list(TASKS)) + "; or a file, ./data.csv or ./my_task.py")
    return TASKS[name]


def task_of(card: TaskCard) -> Task:
    """Return the task that a card asks for: one with a name, or one that its own data make.

    Raises:
        UsageError: there is no such task, or its data were not given in this process.
    """
    if card.version:
        return Arrays(foreign.given(_kept_by(card.version), "task"))
    if card.data_file is not None:
        return InFile(card.data_file, card)
    if card.code_file is not None:
        return _of_code(card, card.code_file)
    return get_task(card.name)


def _of_code(card: TaskCard, where: foreign.Reference) -> Task:
    """A task whose class is in a file of code."""
    base: type[Any] = Task
    kind: type[Task] = foreign.load(where, base, "task")
    if card.code and card.code != foreign.code_of(kind):
        raise UsageError(
            f"task: the code of {kind.__name__} has changed since this run began; put it back, or start again with "
            "--fresh"
        )
    try:
        return instance_of(base, *NEEDED)(kind)  # type: ignore[no-any-return]
    except Exception as error:  # whatever a class of somebody's own may raise
        told = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
        raise UsageError(f"task: {where.file}: {told}; a task says {', '.join(NEEDED)}") from None


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
        card: the task; of an experiment what :func:`data_of` returns.
        data_dir: the only folder to look in; None: the usual places.
    """
    task = task_of(card)
    data = task.load(card, data_dir)
    if card.code_file is not None:
        data = _checked(data, task, card)
    return data if card.held_out is None else hold_out(data, card.held_out)


def _checked(data: Any, task: Task, card: TaskCard) -> Data:
    """What a class of somebody's own has loaded: checked as all arrays are, and named by its content."""
    if not isinstance(data, Data):
        raise UsageError(
            f"task: {card.file}: load gives a {type(data).__name__}; give noisyhw.Data.from_arrays(x, y)"
        )
    try:
        checked = kept(data)
    except UsageError as error:
        raise UsageError(f"task: {card.file}: {error}") from None
    for what in ("kind", "inputs", "outputs"):
        said, found = getattr(task, what), getattr(checked, what)
        if said != found:
            raise UsageError(
                f"task: {card.file}: says {what} = {said!r}, and its data have {found!r}; give both alike"
            )
    return checked


def data_of(experiment: Experiment) -> TaskCard:
    """Return an experiment's task as its data depend on it: with the options that follow from the seed."""
    card = experiment.task
    if card.is_own:  # it has no options that follow from a seed, and need not be read
        return card
    options = task_of(card).options_of(card)
    own = options.for_seed(experiment.seed).model_dump(mode="json", exclude_defaults=True)
    return card.model_copy(update=own)
