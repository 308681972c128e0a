"""The schema of what disturbs a read: cells, columns, converters and wires."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from .base import SMALLEST, Card, Fraction, NonNegative, Positive, Share, Wide
from .registered import NoiseBlock

if TYPE_CHECKING:
    from .device import DeviceCard


ROUNDING = 1e-9
"""Shares that add up to 1 may be so much off in binary numbers."""


class FlickerNoise(NoiseBlock):
    """1/f noise on every output node's read-out; its state lives on from read to read.

    Its one-sided spectrum is std^2 / (ln(high_hz / low_hz) f) from low_hz to high_hz.
    """

    std: NonNegative = Field(
        description="Std over the band: the root of the one-sided spectrum's integral from low_hz to high_hz, in "
        "read-out units. The tails on both sides add to it: std of all reads is std sqrt(1 + 2.5 / ln(high / low))."
    )
    low_hz: Wide = Field(description="Corner below which the spectrum is flat, in Hz.")
    high_hz: Wide = Field(description="Corner above which the spectrum falls as 1/f^2, in Hz.")
    read_hz: Wide = Field(description="Reads per second; samples are read one after another.")

    @model_validator(mode="after")
    def _range(self) -> Self:
        _check_band(self, "white")
        return self


class CellTelegraphNoise(NoiseBlock):
    """A two-state offset of a cell's weight; its state lives on from pass to pass."""

    scales = "amplitude"

    amplitude: NonNegative = Field(description="The offset is +amplitude or -amplitude, in weight units.")
    flip_probability: Fraction = Field(
        description="Chance that a cell's state flips at one read; drawn at once for all reads of a pass."
    )
    share_of_cells: Fraction = Field(
        1.0, description="Chance that a cell has such a state at all; drawn once per cell."
    )


class CommonNoise(NoiseBlock):
    """Gaussian noise that all output nodes share, drawn afresh at each read."""

    std: NonNegative = Field(description="Standard deviation, in read-out units.")


class WeightDependentNoise(NoiseBlock):
    """Gaussian noise of every cell, of std coefficient max (|w| / max)^exponent, drawn afresh at each read.

    With ``saturates_at``, of std coefficient max (1 - exp(-|w| / (saturates_at max))) instead.
    """

    scales = "coefficient"

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


class CellFlickerNoise(WeightDependentNoise):
    """1/f noise of every cell, of the std that WeightDependentNoise has; its slow part is held within a pass.

    Its one-sided spectrum is std^2 / (ln(high_hz / low_hz) f) between the corners, and std^2 the variance of a read.
    """

    low_hz: Wide = Field(description="Corner below which the spectrum is flat, in Hz.")
    high_hz: Wide = Field(description="Corner above which the spectrum falls as 1/f^2, in Hz.")
    read_hz: Wide = Field(description="Reads per second; samples are read one after another.")

    @model_validator(mode="after")
    def _range(self) -> Self:
        _check_band(self, "weight_dependent")
        return self


def _check_band(card: FlickerNoise | CellFlickerNoise, white: str) -> None:
    if card.low_hz >= card.high_hz:
        raise ValueError(f"'low_hz' must lie below 'high_hz', got {card.low_hz:g} and {card.high_hz:g}")
    if card.low_hz >= card.read_hz / 2:
        raise ValueError(
            f"'low_hz' {card.low_hz:g} is not below half of 'read_hz', so reads see white noise: use '{white}'"
        )


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
    periphery = card.periphery
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
    for name in ("weight_dependent", "cell_flicker"):
        _refuse_unbounded(f"read_noise.{name}", getattr(card.read_noise, name))


def _refuse_unbounded(name: str, noise: WeightDependentNoise | None) -> None:
    if noise is not None and noise.exponent != 1:
        raise ValueError(f"{name}.exponent: other than 1 needs weights.min and weights.max")
    if noise is not None and noise.saturates_at is not None:
        raise ValueError(f"{name}.saturates_at needs weights.min and weights.max")
