"""What a sweep was asked for: its card and settings, so that a report can name the command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..cards.loading import read_sweep
from ..cards.shipped import shipped_sweeps
from .lines import Lines
from .search import told_budget
from .store import Store

FILE = "asked.jsonl"
EACH = "chosen for every device, rule and point by a search of one budget"


def note_asked(store: Store, card: str | Path | Mapping[str, object], sets: Sequence[str]) -> None:
    """Keep a sweep's card, and the command that does it again, unless they are known."""
    entry = asked(card, sets)
    with store.locked():
        lines = Lines(store.path / FILE)
        if entry not in lines.news():
            lines.append([entry])


def asked(card: str | Path | Mapping[str, object], sets: Sequence[str]) -> dict[str, Any]:
    """Return title, command, the card's text, and how its settings are searched; a path is told by its last part."""
    checked, _, path = read_sweep(card)
    if path is None:
        name, text = "sweep.yaml", yaml.safe_dump(_plain(card), sort_keys=False)
    else:
        name, text = path.name, path.read_text()
        name = path.stem if shipped_sweeps().get(path.stem) == path else name
    changes = [part for one in sets for part in ("--set", one)]
    entry = {
        "title": checked.title,
        "command": shlex.join(["noisyhw", "sweep", name, *changes]),
        "card": text,
    }
    return entry | ({} if checked.tune is None else {"tuning": f"{EACH}: {told_budget(checked.tune)}"})


def read_asked(store: Store) -> list[dict[str, Any]]:
    """Return what was asked for, in order; empty for a folder that was made before this was kept."""
    return Lines(store.path / FILE).news()


def _plain(value: Any) -> Any:
    """What YAML can say: mappings, lists and scalars; all else by its text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
