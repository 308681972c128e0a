"""Measurements on a simulated device, made by its own tile: never a second implementation of its physics."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..cards.device import Converter, DeviceCard, Periphery, Weights
from ..device import Device
from ..devices.ir_drop_exact import exact_read
from ..streams import stream
from ..tiles.base import Tile

INPUTS = 64
FAR = 1e6
"""Pulses, or units of weight, that take any cell to its bound."""
FEWEST_PULSES, MOST_PULSES = 50, 20_000
POINTS = 50
"""Points of one sweep up or down."""


def quiet(card: DeviceCard) -> DeviceCard:
    """The same device without spread between cells, without noise of writes and without stuck cells."""
    return DeviceCard.model_validate(_quiet(card.model_dump(), spread=True))


def without_write_noise(card: DeviceCard) -> DeviceCard:
    """The same cells, drawn as ever, whose pulses carry no noise."""
    return DeviceCard.model_validate(_quiet(card.model_dump(), spread=False))


def _quiet(values: dict[str, Any], spread: bool) -> dict[str, Any]:
    noisy = {"cycle_noise", "cycle_noise_constant", "cycle_noise_slope", "write_noise", "programming_noise"}
    gone = {"verify"} | ({"spread_min", "stuck", "temperature", "temperature_k"} if spread else set())
    found: dict[str, Any] = {}
    for key, value in values.items():
        if key in gone:
            found[key] = None
        elif isinstance(value, dict):
            found[key] = {} if key == "noise" and value.keys() >= {"constant"} else _quiet(value, spread)
        elif key in noisy or (spread and (key == "spread" or key.endswith("_spread"))):
            found[key] = 0.0
        else:
            found[key] = value
    return found


def blank_tile(card: DeviceCard, cells: int, seed: int) -> Tile:
    """A tile of one row of cells at weight zero."""
    return Device(card).tile(torch.zeros(1, cells), seed, "characterize")


def reads(card: DeviceCard, count: int, outputs: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Successive reads of one fixed input.

    Returns:
        The reads [reads, outputs], the product of input and held weights [outputs], and the input [1, 1, inputs].
    """
    draw = stream(seed, "characterize", "weights")
    weight = torch.randn(outputs, INPUTS, generator=draw) * 0.2
    x = torch.linspace(-1, 1, INPUTS)[None, None]
    tile = Device(card).tile(weight, seed, "characterize")
    return tile.forward(x, reads=count)[:, 0], tile.twin() @ x[0, 0], x


def step_at_zero(card: DeviceCard) -> tuple[float, float]:
    """Mean step up and down of a cell at weight zero, both positive; NaN for cells without pulses."""
    if card.update.kind not in ("pulsed", "one_sided") or card.preset is not None:
        return math.nan, math.nan
    sizes = []
    for sign in (1.0, -1.0):
        tile = blank_tile(quiet(card), 1, 0)
        tile.pulse(torch.full((1, 1), sign))
        sizes.append(sign * float(tile.twin()))
    return sizes[0], sizes[1]


def sweeps(card: DeviceCard, cells: int, cycles: int, seed: int) -> tuple[Tensor, Tensor]:
    """Cycles of pulses up and down to saturation.

    Returns:
        The number of pulses sent so far [points], and the weights then [points, cells].
    """
    each = max(round(_pulses_to_saturation(card) / POINTS), 1)
    tile = blank_tile(card, cells, seed)
    found = [tile.twin()[0]]
    for sign in (1.0, -1.0) * cycles:
        for _ in range(POINTS):
            tile.pulse(torch.full((1, cells), sign * each))
            found.append(tile.twin()[0])
    return torch.arange(len(found)) * each, torch.stack(found)


def _pulses_to_saturation(card: DeviceCard) -> float:
    """Twice the weight range in steps; some, if there is no range."""
    low, high = card.weights.min, card.weights.max
    step = min(step for step in (*step_at_zero(card), 1.0) if step > 0)
    if low is None or high is None:
        return float(FEWEST_PULSES)
    return float(min(max(2 * (high - low) / step, FEWEST_PULSES), MOST_PULSES))


def programmed(card: DeviceCard, targets: int, cells: int, seed: int) -> tuple[Tensor, Tensor]:
    """Cells written to targets over the whole range.

    Returns:
        The targets [targets], and the weights then [targets, cells].
    """
    low, high = card.weights.min or -1.0, card.weights.max or 1.0
    wanted = torch.linspace(low, high, targets)
    tile = Device(card).tile(wanted[:, None].expand(targets, cells).contiguous(), seed, "characterize")
    return wanted, tile.twin()


def aged(
    card: DeviceCard, levels: int, cells: int, times_s: list[float], seed: int, kelvin: float | None
) -> Float[Tensor, "times levels cells"]:
    """Weights of cells that were written to levels over the whole range, at some times after that.

    Args:
        card: a device that ages.
        levels: how many of them.
        cells: at each level.
        times_s: since the last write, in s.
        seed: of the device.
        kelvin: temperature at which the cells age and are read; None: the card's reference.
    """
    wanted = torch.linspace(card.weights.min or -1.0, card.weights.max or 1.0, levels)
    tile = Device(card).tile(wanted[:, None].expand(levels, cells).contiguous(), seed, "characterize")
    tile.set_temperature(kelvin)
    found = []
    for time_s in times_s:
        tile.set_age(time_s)
        found.append(tile.twin())
    return torch.stack(found)


def wire_maps(card: DeviceCard, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """An array with all cells at the largest weight, behind the card's wires.

    Returns:
        The weights, those that a tile's reads see, and those of the exact network, each [outputs, inputs].
    """
    wires, largest = card.periphery.ir_drop, card.weights.max
    assert wires is not None
    assert largest is not None
    only = DeviceCard(
        name="wires", weights=Weights(min=-largest, max=largest), periphery=Periphery(ir_drop=wires)
    )
    weight, one_by_one = torch.full((size, size), largest), torch.eye(size)
    seen = Device(only).tile(weight).forward(one_by_one[None])[0].t()
    return weight, seen, exact_read(weight, one_by_one, wires, largest).t().float()


def cell_bounds(card: DeviceCard, cells: int, seed: int) -> tuple[Tensor, Tensor]:
    """Lowest and highest weight that each cell can be brought to, [cells]."""
    ends = []
    for sign in (-1.0, 1.0):
        tile = blank_tile(without_write_noise(card), cells, seed)
        change = torch.full((1, cells), sign * FAR)
        if tile.step is None or card.update.kind == "programmed":
            tile.write(change)
        else:
            tile.pulse(change)
        ends.append(tile.twin()[0])
    return ends[0], ends[1]


def cell_steps(card: DeviceCard, cells: int, seed: int) -> tuple[Tensor, Tensor]:
    """Mean step up and down of each cell at weight zero, [cells]."""
    sizes = []
    for sign in (1.0, -1.0):
        tile = blank_tile(without_write_noise(card), cells, seed)
        before = tile.twin()[0]
        tile.pulse(torch.full((1, cells), sign))
        sizes.append(sign * (tile.twin()[0] - before))
    return sizes[0], sizes[1]


def transfer(converter: Converter, values: Float[Tensor, " points"]) -> Float[Tensor, " points"]:
    """A converter's output, by a tile that has nothing but this converter."""
    card = DeviceCard(name="converter", periphery=Periphery(adc=converter))
    tile = Device(card).tile(torch.ones(1, 1))
    return tile.forward(values[None, :, None])[0, :, 0]
