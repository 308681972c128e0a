"""One card for many: numbers in which they may differ are tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from ..cards.base import Card
from .alike import FREE
from .layout import Number

C = TypeVar("C", bound=Card)


def merged(cards: Sequence[C], spread: Callable[[Sequence[float]], Number], path: str) -> C:
    """Return the first card, with ``spread(numbers)`` for every number in which replicas may differ.

    The functions of :mod:`noisyhw.devices` compute with such a card as with any other, broadcasting.

    Args:
        cards: blocks of the replicas' cards.
        spread: makes a tensor of the replicas' numbers.
        path: dotted name of the block, e.g. ``device.update``.
    """
    changes: dict[str, object] = {}
    for name in type(cards[0]).model_fields:
        values = [getattr(card, name) for card in cards]
        if all(isinstance(value, Card) for value in values):
            changes[name] = merged(values, spread, f"{path}.{name}")
        elif isinstance(values[0], int | float) and f"{path}.{name}" in FREE:
            changes[name] = spread([float(value) for value in values])
    return cards[0].model_copy(update=changes)
