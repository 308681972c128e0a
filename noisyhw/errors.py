"""The errors that a user can cause, each told in one short message."""

from __future__ import annotations


class NoisyhwError(Exception):
    """Something failed that a user can act on; the message says what and how to mend it."""

    exit_code = 1


class UsageError(NoisyhwError):
    """A name, key, value or option is wrong; nothing was started."""

    exit_code = 2


class CardError(UsageError):
    """A card, config or ``--set`` value is wrong: file, line, field, value and choices are in the message."""


class DataError(NoisyhwError):
    """A data set is missing, truncated or altered."""


class RunError(NoisyhwError):
    """A run folder cannot be written, read or resumed."""


def choose(kind: str, name: str, choices: list[str]) -> str:
    """The sentence for an unknown name: what was asked for, what there is, and the nearest spelling.

    Args:
        kind: what the name stands for, e.g. ``"rule"``.
        name: the unknown name.
        choices: all known names.
    """
    from difflib import get_close_matches

    near = get_close_matches(name, choices, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"unknown {kind} '{name}'.{hint} Choices: {', '.join(choices)}"
