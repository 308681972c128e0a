"""One card for many: where their numbers differ, it holds a tensor of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from ..cards.base import Card
from .layout import Number

C = TypeVar("C", bound=Card)


def merged(cards: Sequence[C], spread: Callable[[Sequence[float]], Number]) -> C:
    """Return the first card, with ``spread(numbers)`` for every number in which the cards differ.

    The functions of :mod:`noisyhw.devices` compute with such a card as with any other, broadcasting.
    """
    changes: dict[str, object] = {}
    for name in type(cards[0]).model_fields:
        values = [getattr(card, name) for card in cards]
        if all(isinstance(value, Card) for value in values):
            changes[name] = merged(values, spread)
        elif isinstance(values[0], int | float) and any(value != values[0] for value in values):
            changes[name] = spread([float(value) for value in values])
    return cards[0].model_copy(update=changes)
