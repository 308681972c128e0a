"""What a swept field looks like on an axis: its name, its values in order, and where they stand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from ..cards.ageing import seconds

LABELS = {
    "label": "case",
    "device": "device",
    "rule": "rule",
    "task": "task",
    "device.periphery.adc.bits": "resolution of the output converter (bits)",
    "device.periphery.dac.bits": "resolution of the input converter (bits)",
    "device.update.asymmetry": "asymmetry of pulses up and down",
    "device.age": "age at the test",
    "network.hidden": "hidden layers",
    "perturbation.passes": "noisy passes per update",
    "perturbation.std": "std of the injected perturbation",
    "test_accuracy": "test accuracy",
    "test_loss": "test loss",
    "pulses_per_weight": "pulses per weight",
}
"""Names of fields whose own would not say enough."""
TIMES = " (times the card's)"
UNITS = {"_s": "s", "_hz": "Hz", "_k": "K", "_v": "V", "_us": "µs", "_ns": "ns"}
"""Endings of field names that tell a unit."""
LOG_RATIO = 3.9
"""A logarithmic axis spans at least this factor."""


@dataclass(frozen=True)
class Axis:
    """Values of one swept field, in order, with where they stand.

    Args:
        name: the field, dotted.
        kind: number, age (text such as 1h, in seconds) or category.
        values: as the table has them.
        numbers: of each value; of a category its place.
        places: where each stands on the axis.
        log: whether places are logarithmic; a zero then stands one step below the smallest positive value.
    """

    name: str
    kind: Literal["number", "age", "category"]
    values: tuple[Any, ...]
    numbers: tuple[float, ...]
    places: tuple[float, ...]
    log: bool

    @property
    def label(self) -> str:
        """Name and unit."""
        return label(self.name)

    @property
    def ordered(self) -> bool:
        """Whether there is something between two values."""
        return self.kind != "category"


def label(name: str) -> str:
    """Return a field's name for people, with its unit where one is known."""
    if name in LABELS:
        return LABELS[name]
    parts = name.removeprefix("device.").removeprefix("update.").split(".")
    if parts[-1] == "scale" and len(parts) > 1:
        return f"{' '.join(parts[:-1]).replace('_', ' ')}{TIMES}"
    for ending, unit in UNITS.items():
        if parts[-1].endswith(ending):
            return f"{' '.join(parts).removesuffix(ending).replace('_', ' ')} ({unit})"
    return " ".join(parts).replace("_", " ")


def setting(name: str, value: Any) -> str:
    """Return a field with one of its values, as short as it is plain."""
    if name in ("device", "rule", "label"):
        return str(value)
    said = label(name)
    if said.endswith(TIMES):
        return f"{said.removesuffix(TIMES)} ×{short(value)}"
    return f"{said.split(' (')[0]} {short(value)}"


def axis(name: str, values: Sequence[Any]) -> Axis:
    """Return the axis of the values that a field takes; missing ones are left out."""
    found = [value for value in dict.fromkeys(values) if not missing(value)]
    if all(is_number(value) for value in found):
        return _numeric(name, "number", {value: float(value) for value in found})
    try:
        return _numeric(name, "age", {value: seconds(str(value)) for value in found})
    except ValueError:
        places = tuple(map(float, range(len(found))))
        return Axis(name, "category", tuple(found), places, places, False)


def missing(value: Any) -> bool:
    """Whether a table has no value there."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def is_number(value: Any) -> bool:
    """Whether a value is a number; true and false are none."""
    return (
        hasattr(value, "__float__") and not isinstance(value, bool | str) and type(value).__name__ != "bool"
    )


def _numeric(name: str, kind: Literal["number", "age"], numbers: dict[Any, float]) -> Axis:
    ordered = sorted(numbers, key=lambda value: numbers[value])
    ascending = tuple(numbers[value] for value in ordered)
    log = geometric(ascending)
    places = places_of(ascending, ascending) if log else ascending
    return Axis(name, kind, tuple(ordered), ascending, places, log)


def geometric(ascending: Sequence[float]) -> bool:
    """Return whether positive values (with or without a zero) are spaced by factors rather than by differences."""
    positive = [value for value in ascending if value > 0]
    if len(positive) < 3 or ascending[0] < 0 or positive[-1] / positive[0] < LOG_RATIO:
        return False
    factors = [math.log(high / low) for low, high in pairwise(positive)]
    differences = [high - low for low, high in pairwise(positive)]
    return _unevenness(factors) < _unevenness(differences)


def _unevenness(steps: Sequence[float]) -> float:
    """Std over mean."""
    mean = sum(steps) / len(steps)
    return math.sqrt(sum((step - mean) ** 2 for step in steps) / len(steps)) / mean


def places_of(numbers: Sequence[float], ascending: Sequence[float]) -> tuple[float, ...]:
    """Return where numbers stand on a logarithmic axis through ascending values.

    Decades above the smallest positive value; a zero one median step below it, and what lies between linearly.
    """
    positive = [value for value in ascending if value > 0]
    steps = sorted(math.log10(high / low) for low, high in pairwise(positive))
    gap = steps[len(steps) // 2]
    return tuple(
        math.log10(number / positive[0]) if number >= positive[0] else -gap * (1 - number / positive[0])
        for number in numbers
    )


def short(value: Any) -> str:
    """Return a value as an axis or a table tells it."""
    if missing(value):
        return "–"
    return f"{float(value):.4g}" if is_number(value) else str(value)
