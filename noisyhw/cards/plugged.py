"""Device cards of other installed packages (entry points ``noisyhw.devices``)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType

from ..plugins import PluginError, loaded, tell
from .shipped import shipped_devices


@cache
def device_cards() -> dict[str, Path]:
    """Return the cards of other packages, name -> path; a shipped card's name is not given away."""
    taken, found = shipped_devices(), dict[str, Path]()
    for entry, cards in loaded("noisyhw.devices", _cards):
        for name, path in cards.items():
            if name in taken or name in found:
                tell(entry, f"device '{name}' is there already; this one is left out")
            else:
                found[name] = path
    return found


def _cards(given: object) -> Mapping[str, Path]:
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
