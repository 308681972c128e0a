"""Learning rules. A rule sees an :class:`~noisyhw.observation.Observation` and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from .. import foreign
from ..errors import UsageError, choose
from ..plugins import subclass_of
from ..registry import Registry
from .activity import ActivityNodePerturbation
from .backpropagation import Backpropagation
from .base import Change, Knows, LayerShape, Options, Probe, Rule
from .iterative import IterativeNodePerturbation
from .learned_feedback import LearnedFeedback
from .mirror import WeightMirror
from .node import NodePerturbation
from .random_feedback import DirectFeedbackAlignment, FeedbackAlignment
from .sound import check_class, check_held, check_options
from .weight import WeightPerturbation


@runtime_checkable
class Asked(Protocol):
    """What a card says of a rule."""

    @property
    def name(self) -> str:
        """Of a shipped rule or a plug-in's, or of a class in the file."""

    @property
    def file(self) -> str | None:
        """With the class."""

    @property
    def object(self) -> str | None:
        """What a class that was given is kept by."""

    @property
    def code(self) -> str:
        """What names the code that the run began with."""

    @property
    def decorrelate(self) -> bool | None:
        """Whether inputs are decorrelated; None: as the class or name says."""

    @property
    def options(self) -> dict[str, Any]:
        """The rule's own."""


_SHIPPED: tuple[type[Rule], ...] = (
    Backpropagation,
    NodePerturbation,
    ActivityNodePerturbation,
    IterativeNodePerturbation,
    LearnedFeedback,
    DirectFeedbackAlignment,
    FeedbackAlignment,
    WeightMirror,
    WeightPerturbation,
)


def _spellings(name: str) -> tuple[str, ...]:
    return name, f"d{name}"


RULES: Registry[type[Rule]] = Registry(
    "rule",
    {rule.name: rule for rule in _SHIPPED},
    subclass_of(Rule, "name", "title", "knows"),  # type: ignore[type-abstract]
    spellings=_spellings,
)


def rule_names() -> list[str]:
    """All rule names; a leading d means that every layer's input is decorrelated, but for dfa, a rule of its own."""
    names = [spelled for name in RULES for spelled in _spellings(name)]
    return list(dict.fromkeys(names))


def get_rule(name: str) -> tuple[Rule, bool]:
    """Return the rule of that name, and whether it wants its inputs decorrelated.

    Raises:
        UsageError: there is no such rule.
    """
    kind, decorrelated = named(name)
    return kind(), decorrelated


def named(name: str) -> tuple[type[Rule], bool]:
    """Return the class of that name, and whether its inputs are decorrelated.

    Raises:
        UsageError: there is no such rule.
    """
    if name in RULES:
        return RULES[name], RULES[name].decorrelated
    if name.startswith("d") and name[1:] in RULES:
        return RULES[name[1:]], True
    raise UsageError(choose("rule", name, rule_names()) + "; or a file, ./my_rule.py:MyRule")


def class_of(card: Asked) -> tuple[type[Rule], bool]:
    """Return the class that a card asks for, shipped, from a file or given as an object, and whether it decorrelates.

    Raises:
        UsageError: there is no such rule, or its file may not run.
    """
    if card.file is not None:
        base: type[Any] = Rule
        where = foreign.Reference(Path(card.file), card.name or None)
        kind = foreign.given_from(where) or foreign.load(where, base, "rule")
        decorrelated = kind.decorrelated
    elif card.object is not None:
        kind = foreign.given(card.object, "rule")
        decorrelated = kind.decorrelated
    else:
        kind, decorrelated = named(card.name)
    if not _is_shipped(kind):
        check_class(kind)
    return kind, decorrelated if card.decorrelate is None else card.decorrelate


def rule_of(card: Asked) -> tuple[Rule, bool]:
    """Return the rule that a card asks for, with its options, and whether its inputs are decorrelated.

    Raises:
        UsageError: there is no such rule, its file may not run, or it has no such option.
    """
    kind, decorrelated = class_of(card)
    if card.code and card.code != foreign.code_of(kind):
        raise UsageError(
            f"rule: the code of {kind.__name__} has changed since this run began; put it back, or start again with "
            "--fresh"
        )
    rule = kind(**card.options)
    if not _is_shipped(kind):
        check_held(rule)
        check_options(rule)
    return rule, decorrelated


def _is_shipped(kind: type[Rule]) -> bool:
    return kind in _SHIPPED


def card_of(rule: object) -> dict[str, Any]:
    """Return the fields of a card that stands for a rule that is given as an object.

    The class itself is kept for this process; where it has a name or a file, other processes find it there.

    Args:
        rule: a :class:`Rule`, or a subclass, which then has its default options.

    Raises:
        UsageError: it is neither, or holds more than its options.
    """
    kind = rule if isinstance(rule, type) else type(rule)
    if not issubclass(kind, Rule):
        raise UsageError(f"rule: give a rule's name, a file, or a noisyhw.Rule, got {rule!r}")
    options = {}
    if isinstance(rule, Rule):
        check_held(rule)
        options = rule.written_options()
    if RULES.get(str(getattr(kind, "name", ""))) is kind:
        return {"name": kind.name} | options
    where = foreign.reference_to(kind)
    if where is not None:
        foreign.give(kind, str(where))
        foreign.allow(where.file)
        return {"name": kind.__name__, "file": str(where.file)} | options
    content = foreign.give(kind, f"{kind.__name__} {foreign.code_of(kind)}")
    return {"name": kind.__name__, "object": content} | options


__all__ = [
    "RULES",
    "Change",
    "Knows",
    "LayerShape",
    "Options",
    "Probe",
    "Rule",
    "card_of",
    "class_of",
    "get_rule",
    "named",
    "rule_names",
    "rule_of",
]
