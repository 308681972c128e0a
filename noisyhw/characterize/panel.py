"""What a panel is: a simulation of a card, and how its result is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..cards.device import DeviceCard

Axes: TypeAlias = Any
Drawing: TypeAlias = Callable[[Axes], None]


@dataclass(frozen=True)
class Panel:
    """One picture of a device.

    Args:
        name: of its file.
        title: for people.
        prepare: simulates the card with a seed; returns what draws it, or why there is nothing to draw.
    """

    name: str
    title: str
    prepare: Callable[[DeviceCard, int], Drawing | str]
