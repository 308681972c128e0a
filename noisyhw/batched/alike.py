"""Which experiments can train as one stack: of one network, rule, path and kind of device; numbers may differ.

A stack computes what it names here, and nothing else: a field that it does not know trains alone unless it is at its
default, so that no effect is left out in silence.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import PydanticUndefined

from ..cards.base import Card
from ..cards.experiment import Experiment
from ..rules import rule_of
from ..tasks import data_of, task_of
from ..tiles.analog import PART

PATHS = ("adam", "sgd", "mixed_precision")
FREE = (
    "seed",
    "epochs",
    "network.init",
    "perturbation.std",
    "perturbation.auto_factor",
    "update.learning_rate",
    "decorrelation.rate",
    *(f"device.{name}" for name in ("name", "title", "technology", "source", "derived")),
    *(f"device.{name}" for name in ("fitted", "assumed", "not_modelled", "age", "drift")),
    *(f"device.{name}" for name in ("retention", "temperature", "temperature_k")),
    "device.weights",
    "device.stuck",
    *(f"device.periphery.{name}" for name in ("dac.bits", "dac.range", "adc.bits", "adc.range")),
    *(f"device.periphery.{name}" for name in ("adc_gain_spread", "adc_offset_spread")),
    *(f"device.read_noise.{name}" for name in ("white.std", "per_cell.std", "mean")),
    "device.read_noise.weight_dependent.coefficient",
    *(f"device.update.{name}" for name in ("step", "step_spread", "step_distribution", "asymmetry")),
    *(f"device.update.{name}" for name in ("asymmetry_spread", "slope_up", "slope_down", "cycle_noise")),
    *(f"device.update.{name}" for name in ("write_noise", "pulses_per_update", "resolution")),
    *(f"device.update.noise.{name}" for name in ("constant", "linear", "quadratic", "saturating")),
)
"""Fields in which replicas of one stack may differ: they are drawn, or used, for each replica by itself."""
SAME = (
    "task",
    "rule.name",
    "rule.oracle",
    "network.hidden",
    "network.leaky_slope",
    "network.bias",
    "loss",
    "perturbation.passes",
    "perturbation.reference",
    "update.beta1",
    "update.beta2",
    "update.epsilon",
    "evaluation.repeats",
    "batch",
    "device.periphery.input_scaling",
    "device.periphery.nonlinearity.alpha",
    "device.read_noise.white.relative_to",
    "device.read_noise.weight_dependent.exponent",
    "device.read_noise.weight_dependent.saturates_at",
    "device.update.reference",
    "device.update.noise.saturates_at",
    "device.update.cycle_noise_scales",
    *(f"device.weights.{name}" for name in ("min", "max", "spread", "spread_min")),
    *(f"device.stuck.{name}" for name in ("share_at_min", "share_at_max", "share_at_zero")),
)
"""Fields that a stack handles at any value, which all its replicas have in common unless it is free."""
HANDLED = {*FREE, *SAME}
CHOICES: dict[str, tuple[object, ...]] = {
    "update.path": PATHS,
    "device.backend": ("noisyhw",),
    "device.update.kind": ("exact", "programmed", "pulsed"),
    "decorrelation.on": ("digital",),
    "network.weight_scaling": (None, 0.0),
}
"""Fields of which a stack handles these values."""
BLOCKS = (
    *("rule", "network", "decorrelation", "perturbation", "update", "evaluation", "device"),
    *(f"device.{name}" for name in ("weights", "periphery", "read_noise", "stuck", "update")),
    *(f"device.periphery.{name}" for name in ("dac", "adc", "nonlinearity")),
    *(f"device.read_noise.{name}" for name in ("white", "per_cell", "weight_dependent")),
    "device.update.noise",
)
"""Blocks that a stack looks into; whatever else stands in them, or beside them, must be at its default."""
SWITCHES = (
    "decorrelation.rate",
    "device.weights.min",
    "device.stuck",
    "device.read_noise.white.std",
    "device.read_noise.per_cell.std",
    "device.update.cycle_noise",
    "device.update.write_noise",
)
"""Of these either all replicas have one above zero (or any at all), or none has: more would be drawn otherwise."""


def why_not(experiments: Sequence[Experiment]) -> str | None:
    """Say why experiments cannot train as one stack; None if they can.

    Args:
        experiments: resolved (see :func:`noisyhw.training.resolve.resolve`).
    """
    if not experiments:
        return "there is no experiment"
    for experiment in experiments:
        if (reason := _alone(experiment)) is not None:
            return reason
    first = _form(experiments[0])
    for experiment in experiments[1:]:
        other = _form(experiment)
        for field in sorted(first.keys() | other.keys()):
            if first.get(field) != other.get(field):
                return f"{field}: {_shown(first.get(field))} and {_shown(other.get(field))} do not go into one stack"
    return None


def stack_key(experiment: Experiment) -> str | None:
    """Return a text that experiments of one stack have in common; None: this one trains alone."""
    return None if _alone(experiment) is not None else json.dumps(_form(experiment), sort_keys=True)


def _alone(experiment: Experiment) -> str | None:
    """Say what in one experiment keeps it out of any stack."""
    if experiment.update.path == "auto" or experiment.batch is None:
        return "the experiment is not resolved"
    if (reason := next(_unhandled(experiment), None)) is not None:
        return reason
    rule, _ = rule_of(experiment.rule)
    if rule.has_memory:
        return f"rule: '{rule.name}' has a memory, and is not stacked"
    if not rule.samplewise:
        return f"rule: '{rule.name}' does not say that it is samplewise"
    return _too_large(experiment)


def _unhandled(card: Card, prefix: str = "") -> Iterator[str]:
    """Say which fields are set to what no stack computes: all that is not named above, if it is not at its default."""
    fields = type(card).model_fields
    for name, value in {**{name: getattr(card, name) for name in fields}, **(card.model_extra or {})}.items():
        field = f"{prefix}{name}"
        default = fields[name].get_default(call_default_factory=True) if name in fields else PydanticUndefined
        if field in CHOICES:
            if value not in CHOICES[field]:
                told = ", ".join(str(one) for one in CHOICES[field] if one is not None)
                yield f"{field}: {_shown(value)} is not stacked; {told} {'are' if ', ' in told else 'is'}"
        elif isinstance(value, Card) and field in BLOCKS:
            yield from _unhandled(value, f"{field}.")
        elif field == "device.read_noise.registered":
            yield from (f"{prefix}{source} is not stacked" for source in value)
        elif field not in HANDLED and value != default:
            yield f"{field} is not stacked"


def _too_large(experiment: Experiment) -> str | None:
    widths = (task_of(experiment.task).inputs, *(experiment.network.hidden or ()))
    largest = max(widths) * (experiment.batch or 1)
    if largest > PART:
        return (
            f"batch times the widest layer is {largest}, above {PART}: such steps gain nothing from a stack"
        )
    return None


def _form(experiment: Experiment) -> dict[str, Any]:
    """What experiments of one stack agree on, by dotted names."""
    content = experiment.model_dump(mode="json") | {"task": data_of(experiment).model_dump(mode="json")}
    form = {
        field: value
        for field, value in _leaves(content)
        if not any(field == free or field.startswith(f"{free}.") for free in FREE)
    }
    return form | {f"{field} is on": bool(_at(content, field)) for field in SWITCHES}


def _leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _at(node: Any, field: str) -> Any:
    for key in field.split("."):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def _shown(value: Any) -> str:
    return "none" if value is None else f"'{value}'" if isinstance(value, str) else str(value).lower()
