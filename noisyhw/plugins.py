"""What other installed packages bring, found by their entry points.

- ``noisyhw.devices``: a package or folder of cards, or a function that returns a folder or a mapping name -> path;
- ``noisyhw.rules``: a subclass of :class:`noisyhw.Rule`;
- ``noisyhw.tasks``: a :class:`noisyhw.Task`, or a subclass that needs no arguments;
- ``noisyhw.updates``: a subclass of :class:`noisyhw.UpdatePath`;
- ``noisyhw.noise_sources``: a subclass of :class:`noisyhw.NoiseSource`;
- ``noisyhw.cells``: a subclass of :class:`noisyhw.Cells`;
- ``noisyhw.panels``: a :class:`noisyhw.reporting.Panel` of a report's page;
- ``noisyhw.device_panels``: a :class:`noisyhw.characterize.Panel` of a device's figures.

They are asked when somebody first asks for a name of their kind. A plug-in that fails is told once, by the logger
``noisyhw``, and left out; the rest goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, entry_points
from inspect import isabstract
from typing import TypeVar

T = TypeVar("T")

LOGGER = logging.getLogger("noisyhw")


class PluginError(Exception):
    """What is wrong with a plug-in; told to people, never raised to them."""


def loaded(group: str, check: Callable[[object], T]) -> Iterator[tuple[EntryPoint, T]]:
    """Yield a group's entry points that load, in order of their names, with what they give.

    Args:
        group: of the entry points, e.g. ``noisyhw.rules``.
        check: returns what an entry point gives as it is used here; raises PluginError where that is impossible.
    """
    for entry in sorted(entry_points(group=group), key=lambda one: (one.name, one.value)):
        try:
            yield entry, check(entry.load())
        except PluginError as error:
            tell(entry, str(error))
        except Exception as error:  # anything can go wrong in another package
            tell(entry, f"{type(error).__name__}: {error}")


def tell(entry: EntryPoint, reason: str) -> None:
    """Say in one line that a plug-in is left out, and why."""
    package = f" of {entry.dist.name}" if entry.dist is not None else ""
    LOGGER.warning(
        "noisyhw: plug-in '%s'%s (%s = %s): %s", entry.name, package, entry.group, entry.value, reason
    )


def subclass_of(base: type[T], *needed: str) -> Callable[[object], type[T]]:
    """Return a check that something is a subclass of ``base`` whose instances have the needed attributes."""

    def check(given: object) -> type[T]:
        if not (isinstance(given, type) and issubclass(given, base)):
            raise PluginError(f"is not a subclass of {_shown(base)}")
        _complete(given(), needed)
        return given

    return check


def instance_of(base: type[T], *needed: str) -> Callable[[object], T]:
    """Return a check that makes an instance of ``base`` with the needed attributes, of one or of a subclass."""

    def check(given: object) -> T:
        kind = given if isinstance(given, type) else type(given)
        if not issubclass(kind, base):
            raise PluginError(f"is neither a {_shown(base)} nor a subclass of it")
        one = kind() if isinstance(given, type) else given
        _complete(one, needed)
        return one  # type: ignore[return-value]  # of kind, or an instance of it

    return check


def _shown(base: type) -> str:
    """A class by the name that people import it by."""
    return ".".join([*base.__module__.split(".")[:2], base.__name__])


def complete_subclass_of(base: type[T], *needed: str) -> Callable[[object], type[T]]:
    """Return a check that something is a subclass of ``base`` with no method missing; no instance is made."""

    def check(given: object) -> type[T]:
        if not (isinstance(given, type) and issubclass(given, base)) or isabstract(given):
            raise PluginError(f"is not a complete subclass of {_shown(base)}")
        _complete(given, needed)
        return given

    return check


def _complete(one: object, needed: tuple[str, ...]) -> None:
    """Refuse what lacks an attribute; a missing method showed when the instance was made."""
    for attribute in needed:
        if not hasattr(one, attribute):
            named = one if isinstance(one, type) else type(one)
            raise PluginError(f"{named.__name__} has no '{attribute}'")
