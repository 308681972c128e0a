"""A fit as a card: the parameters with their intervals, where they come from, and what was assumed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..errors import DataError
from .fitting import NOISE_MODELS, Fitted
from .likelihood import Estimate

ORDER = ("weights", "read_noise", "update")
DIGITS = 6
"""Significant digits of a fitted number; far below any interval's width."""
TITLES = {
    "soft_bounds": "pulsed, soft bounds",
    "linear_step": "pulsed, linear step",
    "constant_step": "pulsed, constant step",
    "read_noise": "white read noise",
    "telegraph": "telegraph and white read noise",
}
PLACES = {
    "max": ("weights", "max"),
    "min": ("weights", "min"),
    "step": ("update", "step"),
    "asymmetry": ("update", "asymmetry"),
    "slope_up": ("update", "slope_up"),
    "slope_down": ("update", "slope_down"),
    "cycle_noise": ("update", "cycle_noise"),
    "write_noise": ("update", "write_noise"),
    "mean": ("read_noise", "mean"),
    "std": ("read_noise", "white", "std"),
    "amplitude": ("read_noise", "telegraph", "amplitude"),
    "flip_probability": ("read_noise", "telegraph", "flip_probability"),
}
"""Where the card has a parameter's mean."""
SPREADS = {
    "max": ("weights", "spread"),
    "min": ("weights", "spread_min"),
    "step": ("update", "step_spread"),
    "asymmetry": ("update", "asymmetry_spread"),
}
"""Where it has the device-to-device std: a share of the mean, but for the asymmetry."""


def fitted_card(fitted: Fitted, name: str) -> str:
    """Write a card with what was fitted; everything else is ideal.

    Args:
        fitted: the fit.
        name: of the card.

    Raises:
        DataError: the fitted bounds do not lie on both sides of weight zero.
    """
    lines = [
        f"name: {_text(name)}",
        f"title: {_text(f'Fitted to {fitted.file}: {TITLES[fitted.model]}')}",
        "fitted:",
        f"  - {_text(_provenance(fitted))}",
        "assumed:",
        *(f"  - {_text(note)}" for note in fitted.notes),
        "not_modelled:",
        f"  - {_text('Everything that was not fitted is taken to be ideal.')}",
        *_spread_notes(fitted),
    ]
    blocks = _blocks(fitted)
    for key in (key for key in ORDER if key in blocks):
        lines += _lines(key, blocks[key], 0)
    return "\n".join(lines) + "\n"


def _provenance(fitted: Fitted) -> str:
    what = "reads" if fitted.model in NOISE_MODELS else "pulses"
    count = len(fitted.devices)
    devices = (
        f", {count} devices (means, and device-to-device std where the card has one)" if count > 1 else ""
    )
    return (
        f"{', '.join(fitted.parameters)} ({fitted.model}, maximum likelihood, 95 % intervals) from {fitted.file}, "
        f"SHA-256 {fitted.digest}: {fitted.rows} {what}{devices}."
    )


def _spread_notes(fitted: Fitted) -> list[str]:
    told = [
        f"{name} {_number(found.std.value)}"
        for name, found in fitted.parameters.items()
        if found.std is not None and name not in SPREADS
    ]
    if not told:
        return []
    return [
        f"  - {_text('Device-to-device std of parameters for which a card has none: ' + ', '.join(told) + '.')}"
    ]


def _blocks(fitted: Fitted) -> dict[str, Any]:
    """The card's blocks; a leaf is a value and its comment."""
    blocks: dict[str, Any] = {}
    if fitted.model not in NOISE_MODELS:
        _check_bounds(fitted)
        low, high = fitted.bounds or (None, None)
        if fitted.bounds is not None:
            blocks["weights"] = {"min": (low, "taken, not fitted"), "max": (high, "taken, not fitted")}
        blocks["update"] = {"kind": ("pulsed", "")}
    for name, found in fitted.parameters.items():
        _put(blocks, PLACES[name], _clipped(name, found.mean.value), _interval(found.mean))
        if found.std is not None and name in SPREADS:
            scale = 1.0 if name == "asymmetry" else abs(found.mean.value)
            _put(blocks, SPREADS[name], found.std.value / scale, _interval(found.std, scale))
    if fitted.model == "soft_bounds":
        blocks["update"] |= {"slope_up": (1.0, "soft bounds"), "slope_down": (1.0, "soft bounds")}
    if "update" in blocks:
        blocks["update"]["cycle_noise_scales"] = (fitted.scales, "")
    return blocks


def _check_bounds(fitted: Fitted) -> None:
    low, high = fitted.bounds or (fitted.parameters["min"].mean.value, fitted.parameters["max"].mean.value)
    if not low < 0 < high:
        raise DataError(
            f"{fitted.file}: weight zero must lie between the bounds, which are {low:.4g} and {high:.4g}; "
            "give conductances, or another --g-min-us and --g-max-us"
        )


def _clipped(name: str, value: float) -> float:
    """A slope lies between 0 and 1 in a card."""
    return min(max(value, 0.0), 1.0) if name.startswith("slope") else value


def _put(blocks: dict[str, Any], path: tuple[str, ...], value: float, comment: str) -> None:
    for key in path[:-1]:
        blocks = blocks.setdefault(key, {})
    blocks[path[-1]] = (value, comment)


def _interval(estimate: Estimate, scale: float = 1.0) -> str:
    return f"95 %: {_number(estimate.low / scale)} to {_number(estimate.high / scale)}"


def _lines(key: str, block: Mapping[str, Any] | tuple[Any, str], depth: int) -> list[str]:
    indent = "  " * depth
    if isinstance(block, tuple):
        value, comment = block
        shown = _number(value) if isinstance(value, float) else json.dumps(value)
        return [f"{indent}{key}: {shown}" + (f" # {comment}" if comment else "")]
    return [
        f"{indent}{key}:",
        *(line for name, inner in block.items() for line in _lines(name, inner, depth + 1)),
    ]


def _number(value: float) -> str:
    return repr(float(f"{value:.{DIGITS}g}"))


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def table(fitted: Fitted) -> list[dict[str, Any]]:
    """The estimates as rows: parameter, value, interval; and the device-to-device std with its own."""
    rows = []
    for name, found in fitted.parameters.items():
        rows.append(_row(name, found.mean))
        if found.std is not None:
            rows.append(_row(f"{name}, std over devices", found.std))
    return rows


def _row(name: str, estimate: Estimate) -> dict[str, Any]:
    return {"parameter": name, "value": estimate.value, "low": estimate.low, "high": estimate.high}
