"""The schema of what disturbs a read: cells, columns, converters and wires."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from .base import SMALLEST, Card, Fraction, NonNegative, Positive, Share, Wide

if TYPE_CHECKING:
    from .device import DeviceCard


ROUNDING = 1e-9
"""Shares that add up to 1 may be so much off in binary numbers."""


class FlickerNoise(Card):
    """1/f noise on every output node's read-out; its state lives on from read to read."""

    std: NonNegative = Field(description="Standard deviation, in read-out units, over the whole spectrum.")
    low_hz: Wide = Field(description="Corner below which the spectrum is flat, in Hz.")
    high_hz: Wide = Field(description="Corner above which the spectrum falls as 1/f^2, in Hz.")
    read_hz: Wide = Field(description="Reads per second; samples are read one after another.")

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.low_hz >= self.high_hz:
            raise ValueError(f"'low_hz' must lie below 'high_hz', got {self.low_hz:g} and {self.high_hz:g}")
        if self.low_hz >= self.read_hz / 2:
            raise ValueError(
                f"'low_hz' {self.low_hz:g} is not below half of 'read_hz', so reads see white noise: use 'white'"
            )
        return self


class CellTelegraphNoise(Card):
    """A two-state offset of a cell's weight; its state lives on from pass to pass."""

    amplitude: NonNegative = Field(description="The offset is +amplitude or -amplitude, in weight units.")
    flip_probability: Fraction = Field(
        description="Chance that a cell's state flips at one read; drawn at once for all reads of a pass."
    )
    share_of_cells: Fraction = Field(
        1.0, description="Chance that a cell has such a state at all; drawn once per cell."
    )


class CommonNoise(Card):
    """Gaussian noise that all output nodes share, drawn afresh at each read."""

    std: NonNegative = Field(description="Standard deviation, in read-out units.")


class WeightDependentNoise(Card):
    """Gaussian noise of every cell, of std coefficient max (|w| / max)^exponent, drawn afresh at each read.

    With ``saturates_at``, of std coefficient max (1 - exp(-|w| / (saturates_at max))) instead.
    """

    coefficient: Share = Field(
        description="Std at |weight| = weights.max, as a share of it; with exponent 1 a share of any weight."
    )
    exponent: Annotated[float, Field(strict=True, ge=SMALLEST, le=10)] = Field(
        1.0, description="1: std proportional to |weight|, and no bounds are needed."
    )
    saturates_at: Positive | None = Field(
        None,
        description="Share of max over which the std saturates at 'coefficient' max; empty: the power law.",
    )

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.saturates_at is not None and self.exponent != 1:
            raise ValueError("'saturates_at' takes the place of 'exponent'; leave one of them out")
        return self


class CellNonlinearity(Card):
    """Cells whose current is sinh(alpha x) / sinh(alpha) of the input x, in units of the largest one; never drawn."""

    alpha: Annotated[float, Field(strict=True, ge=1e-3, le=20)] = Field(
        description="Curvature: largest read voltage over the voltage at which a cell's current bends."
    )


class IrDrop(Card):
    """Voltage drop along an array's word lines (inputs) and bit lines (outputs); never drawn."""

    wire_resistance_ohm: Wide = Field(description="One segment, from a cell to the next, in ohm.")
    g_max_us: Wide = Field(description="Conductance of a cell of weight weights.max, in microsiemens.")


class Stuck(Card):
    """Cells that read one and the same weight whatever is written; which ones is drawn once per device."""

    share_at_min: Fraction = Field(0.0, description="Share of cells stuck at their lowest weight.")
    share_at_max: Fraction = Field(0.0, description="Share of cells stuck at their highest weight.")
    share_at_zero: Fraction = Field(0.0, description="Share of dead cells, which read 0.")

    @model_validator(mode="after")
    def _shares(self) -> Self:
        total = self.share_at_min + self.share_at_max + self.share_at_zero
        if total > 1 + ROUNDING:
            raise ValueError(f"the three shares add up to {total:g}; at most 1")
        return self


def refuse_contradictions(card: DeviceCard) -> None:
    """Refuse read effects that lack what they refer to.

    Raises:
        ValueError: a bound, a range or a converter is missing.
    """
    periphery, noise = card.periphery, card.read_noise.weight_dependent
    if periphery.nonlinearity and periphery.dac is None and periphery.input_scaling == "none":
        raise ValueError(
            "periphery.nonlinearity needs to know the largest input: give periphery.dac or input_scaling 'max'"
        )
    if card.weights.max is not None:
        return
    if periphery.ir_drop is not None:
        raise ValueError(
            "periphery.ir_drop needs weights.min and weights.max: g_max_us is that of weights.max"
        )
    if card.stuck is not None and (card.stuck.share_at_min or card.stuck.share_at_max):
        raise ValueError(
            "stuck.share_at_min and stuck.share_at_max need the bounds weights.min and weights.max"
        )
    if noise is not None and noise.exponent != 1:
        raise ValueError(
            "read_noise.weight_dependent.exponent: other than 1 needs weights.min and weights.max"
        )
    if noise is not None and noise.saturates_at is not None:
        raise ValueError("read_noise.weight_dependent.saturates_at needs weights.min and weights.max")
