"""Figures of merit of a device, and how two devices differ."""

from __future__ import annotations

import math
from typing import Any

import torch

from ..cards.device import PROVENANCE, DeviceCard
from ..devices.converters import level_spacing
from ..devices.flicker import processes
from ..devices.read_noise import gaussian_std
from .probe import step_at_zero

Number = float | None


def merit(card: DeviceCard) -> dict[str, Number]:
    """Figures of merit; None where the card has no such physics.

    - steps over the range: (max - min) / mean step of a pulse at weight 0, or / resolution of a programmed cell;
    - asymmetry: (up - down) / (up + down) of the steps at weight 0;
    - cycle noise per step: std of one pulse's step, as a share of it;
    - read noise / full scale: std of a read-out whose input is a single 1, over the ADC's range (without an ADC, over
      the largest weight);
    - DAC step, ADC step: distance of neighbouring levels, in units of the (scaled) input and read-out.
    """
    up, down = step_at_zero(card)
    step = (up + down) / 2
    if card.update.kind == "programmed":
        step = card.update.resolution
    low, high = card.weights.min, card.weights.max
    reach = math.nan if low is None or high is None else high - low
    periphery = card.periphery
    return {
        "steps over the range": _number(reach / step),
        "step at weight 0": _number(step),
        "asymmetry": _number((up - down) / (up + down)),
        "cycle noise per step": getattr(card.update, "cycle_noise", None),
        "read noise / full scale": _read_noise(card),
        "DAC step": level_spacing(periphery.dac) if periphery.dac else None,
        "ADC step": level_spacing(periphery.adc) if periphery.adc else None,
    }


def _number(value: float) -> Number:
    return value if math.isfinite(value) else None


def _read_noise(card: DeviceCard) -> Number:
    """Relative std of the Gaussian, telegraph and 1/f noise of one read-out."""
    if card.preset is not None:
        return None
    noise = card.read_noise
    std = gaussian_std(noise, torch.ones(1, 1, 1))
    variance = 0.0 if std is None else float(std.flatten()[0]) ** 2
    variance += noise.telegraph.amplitude**2 if noise.telegraph else 0.0
    variance += float(processes(noise.flicker)[1].sum()) if noise.flicker else 0.0
    full_scale = card.periphery.adc.range if card.periphery.adc else card.weights.max
    return math.sqrt(variance) / full_scale if full_scale else (0.0 if variance == 0 else None)


def compare(first: DeviceCard, second: DeviceCard) -> dict[str, dict[str, list[Any]]]:
    """Fields that differ, and figures of merit: name -> the first's value and the second's."""
    cards = [flat(card.model_dump(mode="json", exclude=PROVENANCE)) for card in (first, second)]
    keys = dict.fromkeys([*cards[0], *cards[1]])
    fields = {
        key: [card.get(key) for card in cards] for key in keys if cards[0].get(key) != cards[1].get(key)
    }
    merits = [merit(card) for card in (first, second)]
    return {"fields": fields, "merit": {key: [one[key] for one in merits] for key in merits[0]}}


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted path."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found
