"""Tasks: data sets, and what each says about itself."""

from __future__ import annotations

from ..errors import UsageError, choose
from .base import Data, Recipe, Task
from .cifar10 import Cifar10
from .digits import Digits
from .sarcos import Sarcos
from .tiny_imagenet import TinyImageNet

__all__ = ["TASKS", "Data", "Recipe", "Task", "get_task"]

TASKS: dict[str, Task] = {task.name: task for task in (Digits(), Cifar10(), Sarcos(), TinyImageNet())}


def get_task(name: str) -> Task:
    """Return the task of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in TASKS:
        raise UsageError(choose("task", name, list(TASKS)))
    return TASKS[name]
