"""Learning rules. A rule sees an :class:`~noisyhw.observation.Observation` and nothing else."""

from __future__ import annotations

from ..errors import UsageError, choose
from .activity import ActivityNodePerturbation
from .backpropagation import Backpropagation
from .base import Knows, Probe, Rule
from .iterative import IterativeNodePerturbation
from .node import NodePerturbation

RULES: dict[str, type[Rule]] = {
    rule.name: rule
    for rule in (Backpropagation, NodePerturbation, ActivityNodePerturbation, IterativeNodePerturbation)
}


def rule_names() -> list[str]:
    """All rule names; a leading d means that every layer's input is decorrelated."""
    return [prefix + name for name in RULES for prefix in ("", "d")]


def get_rule(name: str) -> tuple[Rule, bool]:
    """Return the rule of that name, and whether it wants its inputs decorrelated.

    Raises:
        UsageError: there is no such rule.
    """
    if name in RULES:
        return RULES[name](), False
    if name.startswith("d") and name[1:] in RULES:
        return RULES[name[1:]](), True
    raise UsageError(choose("rule", name, rule_names()))


__all__ = ["RULES", "Knows", "Probe", "Rule", "get_rule", "rule_names"]
