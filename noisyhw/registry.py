"""What there is of one kind, by name: what ships, and what other packages bring."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import TypeVar

from . import plugins

T = TypeVar("T")


class Registry(MutableMapping[str, T]):
    """A mapping from names to rules, tasks, panels; plug-ins are asked at the first question, not before.

    Args:
        kind: one word for messages, e.g. ``rule``; entry points are of the group ``noisyhw.rules`` then.
        shipped: what comes with noisyhw, in order.
        check: makes what an entry point gives into what the registry holds (see :func:`noisyhw.plugins.loaded`).
        spellings: all that people may write for a name; two entries share none.
        home: a module that is imported at the first question, by its name: it adds what ships and sets ``check``. So
            cards can ask for names whose classes need tensors, and import none.
        group: of entry points; None: ``noisyhw.`` and the kind's plural.
    """

    def __init__(
        self,
        kind: str,
        shipped: Mapping[str, T] | None = None,
        check: Callable[[object], T] | None = None,
        *,
        spellings: Callable[[str], tuple[str, ...]] = lambda name: (name,),
        home: str | None = None,
        group: str | None = None,
    ) -> None:
        self.kind = kind
        self.group = group or f"noisyhw.{kind.replace(' ', '_')}s"
        self.check = check
        self._held = dict(shipped or {})
        self._spellings = spellings
        self._home = home
        self._asked = False

    def add(self, one: T) -> T:
        """Add an entry by its ``name``; serves as a decorator.

        Raises:
            ValueError: something else has that name.
        """
        name = _name_of(one)
        if self._held.get(name) is one:
            return one
        if self._taken(name):
            raise ValueError(f"{self.kind} '{name}' is there already")
        self._held[name] = one
        return one

    def ask_plugins(self) -> None:
        """Add what installed packages bring; a name that is taken stays what it is."""
        self._asked = True  # first: a plug-in may ask for a shipped name while it is imported
        if self._home is not None:
            import_module(self._home)
        if self.check is None:
            return
        for entry, one in plugins.loaded(self.group, self.check):
            name = _name_of(one)
            if self._taken(name):
                plugins.tell(entry, f"{self.kind} '{name}' is there already; this one is left out")
            else:
                self._held[name] = one

    def _taken(self, name: str) -> bool:
        held = {spelling for one in self._held for spelling in self._spellings(one)}
        return not held.isdisjoint(self._spellings(name))

    def _all(self) -> dict[str, T]:
        if not self._asked:
            self.ask_plugins()
        return self._held

    def __getitem__(self, name: str) -> T:
        return self._all()[name]

    def __setitem__(self, name: str, one: T) -> None:
        self._all()[name] = one

    def __delitem__(self, name: str) -> None:
        del self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


def _name_of(one: object) -> str:
    return str(one.name)  # type: ignore[attr-defined]  # the check has seen to it
