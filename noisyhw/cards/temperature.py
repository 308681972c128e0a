"""The schema of what a device's temperature changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from .base import Card, NonNegative, Real

if TYPE_CHECKING:
    from .device import DeviceCard

LOWEST_K, HIGHEST_K = 1.0, 2000.0

Kelvin = Annotated[float, Field(strict=True, ge=LOWEST_K, le=HIGHEST_K)]
Energy = Annotated[float, Field(strict=True, gt=0, le=10)]


class Temperature(Card):
    """What depends on temperature; all other numbers of the card, and training, are those at reference_k."""

    reference_k: Kelvin = Field(300.0, description="Temperature at which the card's numbers hold, in K.")
    conductance_tc: Real = Field(
        0.0,
        description="Mean temperature coefficient of a cell's weight, per K: w (1 + tc (T - reference_k)).",
    )
    conductance_tc_spread: NonNegative = Field(
        0.0, description="Device-to-device std of that coefficient, absolute, per K; drawn once per cell."
    )
    activation_energy_ev: Energy | None = Field(
        None,
        description="Of retention, in eV: tau exp(E / k (1 / T - 1 / reference_k)); empty: tau is fixed.",
    )
    thermal_noise: bool = Field(
        False, description="true: read_noise.white is Johnson noise, of std sqrt(T / reference_k)."
    )

    @model_validator(mode="after")
    def _something_depends(self) -> Self:
        tc = self.conductance_tc or self.conductance_tc_spread
        if not (tc or self.activation_energy_ev or self.thermal_noise):
            raise ValueError(
                "nothing depends on it; give conductance_tc, conductance_tc_spread, activation_energy_ev or "
                "thermal_noise"
            )
        return self


def refuse_contradictions(card: DeviceCard) -> None:
    """Refuse a temperature on which nothing depends.

    Raises:
        ValueError: what should depend on the temperature is not in the card.
    """
    block = card.temperature
    if block is None:
        if card.temperature_k is not None:
            raise ValueError(f"temperature_k: {card.temperature_k:g} changes nothing without 'temperature'")
        return
    if block.activation_energy_ev is not None and card.retention is None:
        raise ValueError("temperature.activation_energy_ev needs 'retention', whose time constant it changes")
    if block.thermal_noise and card.read_noise.white is None:
        raise ValueError(
            "temperature.thermal_noise needs 'read_noise.white', which it takes for Johnson noise"
        )
