"""What a rule of one's own must be like, so that a run can be written down, repeated and resumed."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..errors import UsageError
from .base import Knows, Rule

RESERVED = frozenset({"name", "file", "object", "code", "decorrelate", "oracle"})
"""Fields of a card's ``rule``; an option of the same name could not be told from them."""
PLAIN = (bool, int, float, str, type(None), Tensor)
"""What a checkpoint can hold beside dicts, lists and tuples of it."""


def check_class(kind: type[Rule]) -> None:
    """Refuse a class that does not say what it must.

    Raises:
        UsageError: ``knows`` is missing or no set of :class:`Knows`, or an option has a card's own field's name.
    """
    knows = getattr(kind, "knows", None)
    if not isinstance(knows, frozenset) or not all(isinstance(one, Knows) for one in knows):
        raise UsageError(
            f"rule: {kind.__name__}.knows is {knows!r}; say what the rule must know, e.g. "
            "knows = Knows.ACTIVITIES, or a set of several"
        )
    if not isinstance(getattr(kind, "name", None), str):
        raise UsageError(
            f"rule: {kind.__name__} has no name; give it one, e.g. name = {kind.__name__.lower()!r}"
        )
    taken = sorted(RESERVED & set(kind.options_model.model_fields))
    if taken:
        raise UsageError(
            f"rule: {kind.__name__} has an option '{taken[0]}', which is a field of every card's rule; "
            "rename the option"
        )


def check_held(rule: Rule, draws: torch.Generator | None = None) -> None:
    """Refuse a rule that holds more than its options: a run's card could not say it, nor a checkpoint keep it.

    Args:
        rule: after it was made, or after a batch.
        draws: the random stream that :meth:`.Rule.init` was given; the rule may hold it, and checkpoints do.

    Raises:
        UsageError: names what it holds.
    """
    kind = type(rule)
    held = [
        name
        for name, value in vars(rule).items()
        if name != "options"
        and (draws is None or value is not draws)
        and not isinstance(getattr(kind, name, None), cached_property)
    ]
    if held:
        raise UsageError(
            f"rule: {kind.__name__} holds '{held[0]}', which neither a card nor a checkpoint says; make it an option "
            "(options_model), or part of the memory (init, learn)"
        )


def check_options(rule: Rule) -> None:
    """Refuse options that do not stay what they are: they are read again when a run is resumed.

    Raises:
        UsageError: they are not the same when they are read a second time.
    """
    kind, once = type(rule), rule.written_options()
    if kind(**once).written_options() != once:
        raise UsageError(
            f"rule: options of {kind.__name__} are not the same when they are read a second time; let a validator "
            "leave alone what it has changed once"
        )


def check_memory(rule: Rule, memory: Any) -> None:
    """Refuse a memory that a checkpoint cannot hold.

    Raises:
        UsageError: names the type.
    """
    strange = _strange(memory)
    if strange is not None:
        raise UsageError(
            f"rule: {rule.name} keeps a {type(strange).__module__}.{type(strange).__name__} in its memory; "
            "use tensors, numbers and texts in dicts, lists and tuples"
        )


def _strange(memory: Any) -> Any:
    """Return the first part that a checkpoint cannot hold; None: there is none."""
    if type(memory) is dict:
        parts = [*memory, *memory.values()]
    elif type(memory) in (list, tuple):
        parts = list(memory)
    else:
        return None if type(memory) in PLAIN else memory
    found = (_strange(part) for part in parts)
    return next((one for one in found if one is not None), None)
