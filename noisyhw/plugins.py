"""Devices, rules and tasks of other installed packages, found by their entry points.

- ``noisyhw.devices``: a package or folder of cards, or a function that returns a folder or a mapping name -> path;
- ``noisyhw.rules``: a subclass of :class:`noisyhw.Rule`;
- ``noisyhw.tasks``: a :class:`noisyhw.Task`, or a subclass that needs no arguments.

A plug-in that fails is told once, by the logger ``noisyhw``, and left out; the rest goes on.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

LOGGER = logging.getLogger("noisyhw")
GROUPS = ("noisyhw.devices", "noisyhw.rules", "noisyhw.tasks")


class PluginError(Exception):
    """What is wrong with a plug-in; told to people, never raised to them."""


@cache
def device_cards() -> dict[str, Path]:
    """Cards of other packages, name -> path; a shipped card's name is not given away."""
    from .cards.shipped import shipped_devices

    taken, found = shipped_devices(), dict[str, Path]()
    for entry, cards in _loaded("noisyhw.devices", _cards):
        for name, path in cards.items():
            if name in taken or name in found:
                _tell(entry, f"device '{name}' is there already; this one is left out")
            else:
                found[name] = path
    return found


def register() -> None:
    """Add the rules and tasks of other packages to RULES and TASKS."""
    from .rules import RULES, rule_names
    from .tasks import TASKS

    for entry, rule in _loaded("noisyhw.rules", _rule):
        if {rule.name, f"d{rule.name}"} & set(rule_names()):
            _tell(entry, f"rule '{rule.name}' is there already; this one is left out")
        else:
            RULES[rule.name] = rule
    for entry, task in _loaded("noisyhw.tasks", _task):
        if task.name in TASKS:
            _tell(entry, f"task '{task.name}' is there already; this one is left out")
        else:
            TASKS[task.name] = task


def _loaded(group: str, check: Callable[[Any], Any]) -> Iterator[tuple[EntryPoint, Any]]:
    """The group's entry points that load, with what they give."""
    for entry in sorted(entry_points(group=group), key=lambda one: (one.name, one.value)):
        try:
            yield entry, check(entry.load())
        except PluginError as error:
            _tell(entry, str(error))
        except Exception as error:  # anything can go wrong in another package
            _tell(entry, f"{type(error).__name__}: {error}")


def _tell(entry: EntryPoint, reason: str) -> None:
    package = f" of {entry.dist.name}" if entry.dist is not None else ""
    LOGGER.warning(
        "noisyhw: plug-in '%s'%s (%s = %s): %s", entry.name, package, entry.group, entry.value, reason
    )


def _cards(given: Any) -> Mapping[str, Path]:
    if isinstance(given, ModuleType):
        given = Path(str(given.__file__)).parent if given.__file__ else next(iter(given.__path__))
    elif callable(given):
        given = given()
    if isinstance(given, Mapping):
        cards = {str(name): Path(path) for name, path in given.items()}
    elif isinstance(given, str | os.PathLike):
        cards = {path.stem: path for path in sorted(Path(given).glob("*.yaml"))}
        if not cards:
            raise PluginError(f"no .yaml card in {os.fspath(given)}")
    else:
        raise PluginError(f"gives a {type(given).__name__}; a folder or a mapping name -> path is needed")
    if missing := [str(path) for path in cards.values() if not path.is_file()]:
        raise PluginError(f"{missing[0]}: no such file")
    return cards


def _rule(given: Any) -> Any:
    from .rules.base import Rule

    if not (isinstance(given, type) and issubclass(given, Rule)):
        raise PluginError("is not a subclass of noisyhw.Rule")
    _instance(given, ("name", "title", "knows"))
    return given


def _task(given: Any) -> Any:
    from .tasks.base import Task

    kind = given if isinstance(given, type) else type(given)
    if not issubclass(kind, Task):
        raise PluginError("is neither a noisyhw.Task nor a subclass of it")
    return _instance(given, ("name", "title", "kind", "inputs", "outputs", "recipe"))


def _instance(given: Any, needed: tuple[str, ...]) -> Any:
    """An instance, so that a missing method or attribute shows here."""
    one = given() if isinstance(given, type) else given
    for attribute in needed:
        if not hasattr(one, attribute):
            raise PluginError(f"{type(one).__name__} has no '{attribute}'")
    return one
