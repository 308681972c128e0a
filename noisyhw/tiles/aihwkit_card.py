"""A card's own fields as aihwkit's parameters: what corresponds to what, and what has no counterpart.

Nothing of aihwkit is imported here. What is drawn once per device (bounds, steps, asymmetries) is drawn by our own
cells from the run's seed and handed over cell by cell, so that both backends build the same device.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..cards.device import Converter, DeviceCard, ExactUpdate, PulsedUpdate, ReadNoise
from ..cards.shapes import ExponentialShape
from ..devices.cells import Cells
from ..devices.pulsed import PulsedCells
from ..errors import UsageError

NO_BOUND = 1e6
"""aihwkit's pulsed cells need bounds; this stands for none."""

CARRIED = (
    "weights",
    "periphery.input_scaling",
    "periphery.dac.bits",
    "periphery.dac.range",
    "periphery.adc.bits",
    "periphery.adc.range",
    "read_noise.white",
    "read_noise.per_cell",
    "update.kind",
    "update.step",
    "update.step_spread",
    "update.step_distribution",
    "update.asymmetry",
    "update.asymmetry_spread",
    "update.slope_up",
    "update.slope_down",
    "update.cycle_noise",
    "update.cycle_noise_scales",
    "update.write_noise",
    "update.pulses_per_update",
    *(f"update.shape.{name}" for name in ExponentialShape.model_fields),
)
"""Fields that are handed over, with all that is below them."""

REASONS = {
    "read_noise.telegraph": "aihwkit's read-outs have no noise with a memory",
    "read_noise.cell_flicker": "aihwkit's cells have no noise with a memory while they train",
    "read_noise.mean": "aihwkit's read-outs have no constant offset",
    "update.shape.kind": "of the step shapes only the exponential one is handed over",
}
"""Why some fields have no counterpart."""


def check_card(card: DeviceCard) -> None:
    """Refuse a card with a field that has no counterpart in aihwkit.

    Raises:
        UsageError: names the field and the reason.
    """
    if card.preset is not None:
        return
    for field in _fields(card.physics()):
        if field != "backend" and not any(field == own or field.startswith(f"{own}.") for own in CARRIED):
            reasons = [why for start, why in REASONS.items() if field.startswith(start)]
            raise _refusal(field, reasons[0] if reasons else "aihwkit's tiles have no such parameter")
    _check_values(card)


def _refusal(field: str, reason: str) -> UsageError:
    return UsageError(f"{field}: {reason}; leave it out, or use 'backend: noisyhw'")


def _fields(content: Mapping[str, Any], start: str = "") -> Iterator[str]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _fields(value, f"{start}{key}.")
        elif value is not None:
            yield f"{start}{key}"


def _check_values(card: DeviceCard) -> None:
    update, dac, white = card.update, card.periphery.dac, card.read_noise.white
    if not isinstance(update, ExactUpdate | PulsedUpdate):
        raise _refusal("update.kind", "aihwkit's training tiles have no programming events ('programmed')")
    if isinstance(update, PulsedUpdate) and not isinstance(update.shape, ExponentialShape | None):
        raise _refusal("update.shape.kind", REASONS["update.shape.kind"])
    if card.periphery.input_scaling == "max" and dac is not None and dac.range != 1:
        raise _refusal("periphery.dac.range", "aihwkit's scaled inputs have a range of 1")
    if white is not None and white.relative_to == "input_max":
        raise _refusal("read_noise.white.relative_to", "aihwkit has 'absolute' and 'input_norm' only")


def io_parameters(card: DeviceCard) -> dict[str, Any]:
    """Return the fields of aihwkit's IOParameters; names of enum members as text.

    aihwkit divides by max|x| (ABS_MAX), converts, multiplies, adds noise, converts and multiplies back, as our own tile
    does. Its resolution is 1 / (2^bits - 2) of the range from end to end.
    """
    scaled = card.periphery.input_scaling == "max"
    inp_bound, inp_res = _converter(card.periphery.dac, 1.0 if scaled else 0.0)
    out_bound, out_res = _converter(card.periphery.adc, 0.0)
    absolute, per_norm = _noise(card.read_noise)
    return {
        "noise_management": "ABS_MAX" if scaled else "NONE",
        "bound_management": "NONE",
        "inp_bound": inp_bound,
        "inp_res": inp_res,
        "out_bound": out_bound,
        "out_res": out_res,
        "out_noise": absolute,
        "w_noise": per_norm,
        "w_noise_type": "ADDITIVE_CONSTANT" if per_norm else "NONE",
    }


def _converter(card: Converter | None, bound: float) -> tuple[float, float]:
    """Bound (0: none) and resolution (-1: continuous)."""
    return (bound, -1.0) if card is None else (card.range, 1 / (2**card.bits - 2))


def _noise(card: ReadNoise) -> tuple[float, float]:
    """Std of the noise that stays as it is, and of that which goes with |x|_2."""
    white = card.white.std if card.white else 0.0
    per_cell = card.per_cell.std if card.per_cell else 0.0
    if card.white and card.white.relative_to == "input_norm":
        return 0.0, math.hypot(white, per_cell)
    return white, per_cell


def device_parameters(card: DeviceCard) -> tuple[str, dict[str, Any]]:
    """Return the name of aihwkit's device class and its fields.

    The spreads are those of our own cells (see :func:`cell_parameters`). ``dw_min_dtod`` only keeps aihwkit from taking
    our cells' mean step for a changed ``dw_min``.
    """
    low = -NO_BOUND if card.weights.min is None else card.weights.min
    high = NO_BOUND if card.weights.max is None else card.weights.max
    common = {"w_min": low, "w_max": high, "w_min_dtod": 0.0, "w_max_dtod": 0.0}
    common |= {"up_down": 0.0, "up_down_dtod": 0.0, "dw_min_dtod": 1.0}
    if not isinstance(card.update, PulsedUpdate):
        return "LinearStepDevice", common | {"dw_min": 1.0}
    update = card.update
    common |= {
        "dw_min": update.step,
        "dw_min_std": update.cycle_noise,
        "write_noise_std": update.write_noise / update.step,
    }
    if isinstance(update.shape, ExponentialShape):
        return "ExpStepDevice", common | update.shape.model_dump(exclude={"kind"})
    return "LinearStepDevice", common | {"mult_noise": update.cycle_noise_scales}


def cell_parameters(cells: Cells) -> dict[str, Float[Tensor, "outputs inputs"]]:
    """Return what our cells drew for themselves, under the names of aihwkit's hidden parameters."""
    shape = cells.weight.shape
    low = torch.tensor(-NO_BOUND) if cells.bounds.low is None else cells.bounds.low
    high = torch.tensor(NO_BOUND) if cells.bounds.high is None else cells.bounds.high
    found = {"min_bound": low, "max_bound": high}
    if isinstance(cells, PulsedCells):
        found |= {"dwmin_up": cells.step_up, "dwmin_down": cells.step_down}
        found |= {"slope_up": -cells.pull_up, "slope_down": cells.pull_down}
    return {name: values.expand(shape) for name, values in found.items()}
