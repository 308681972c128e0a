"""Which experiments can train as one stack: of one network, rule, path and kind of device; numbers may differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..cards.device import DeviceCard, OneSidedUpdate, ProgrammedUpdate
from ..cards.experiment import Decorrelation, Experiment
from ..rules import get_rule
from ..tasks import get_task
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
    path = experiment.update.path
    checks = (
        (path == "auto" or experiment.batch is None, "the experiment is not resolved"),
        (path not in PATHS, f"update.path: '{path}' is not stacked; {', '.join(PATHS)} are"),
        (bool(experiment.network.conv), "network.conv: convolutions are not stacked"),
        (bool(experiment.network.weight_scaling), "network.weight_scaling is not stacked"),
        (experiment.decorrelation.on == "tile", "decorrelation.on: tiles of R are not stacked"),
        (experiment.perturbation.antithetic, "perturbation.antithetic is not stacked"),
        (experiment.update.momentum > 0, "update.momentum is not stacked"),
        (experiment.decorrelation.mean_rate > 0, "decorrelation.mean_rate is not stacked"),
        (_options(experiment.decorrelation), "decorrelation: options of R's update are not stacked"),
    )
    for found, reason in checks:
        if found:
            return reason
    rule, _ = get_rule(experiment.rule.name)
    if not rule.samplewise:
        return f"rule: '{rule.name}' does not say that it is samplewise"
    return _device_alone(experiment.device) or _too_large(experiment)


def _options(choice: Decorrelation) -> bool:
    return choice.sample_fraction != 1 or choice.every != 1 or choice.products != "float32"


def _device_alone(card: DeviceCard) -> str | None:
    if card.backend != "noisyhw":
        return f"backend: tiles of {card.backend} are not stacked"
    for name in ("telegraph", "flicker", "cell_telegraph", "cell_flicker", "common"):
        if getattr(card.read_noise, name) is not None:
            return f"read_noise.{name} is not stacked"
    if card.periphery.ir_drop is not None:
        return "periphery.ir_drop is not stacked"
    update = card.update
    if isinstance(update, OneSidedUpdate):
        return "update: one_sided cells are not stacked"
    if card.has_shape:
        return "update.shape: only linear steps are stacked"
    if isinstance(update, ProgrammedUpdate) and update.verify is not None:
        return "update.verify is not stacked"
    return None


def _too_large(experiment: Experiment) -> str | None:
    widths = (get_task(experiment.task.name).inputs, *(experiment.network.hidden or ()))
    largest = max(widths) * (experiment.batch or 1)
    if largest > PART:
        return (
            f"batch times the widest layer is {largest}, above {PART}: such steps gain nothing from a stack"
        )
    return None


def _form(experiment: Experiment) -> dict[str, Any]:
    """What experiments of one stack agree on, by dotted names."""
    content = experiment.model_dump(mode="json") | {"task": experiment.data.model_dump(mode="json")}
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
