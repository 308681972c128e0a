"""Temperature: what it does to cells and reads, beside the temperature at which the card's numbers hold."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ..cards.device import DeviceCard, ReadNoise
from ..cards.temperature import HIGHEST_K, LOWEST_K, Temperature
from ..errors import UsageError
from ..streams import stream

BOLTZMANN_EV = 8.617333262e-5
"""Boltzmann's constant in eV / K (CODATA 2018)."""
LARGEST_EXPONENT = 700.0
"""Beyond it, exp is infinite in 64 bits."""


class Thermal:
    r"""The weights and noise that reads see of a tile at temperature T.

    With the card's numbers at T_ref:

    - weights: w (1 + tc (T - T_ref)), never past zero. tc, the temperature coefficient of conductance, is drawn once
      per cell; it is the linear part of a metallic filament's or a semiconductor's law.
    - retention: tau exp(E / k (1 / T - 1 / T_ref)), Arrhenius' law, by which retention is told from bakes.
    - white noise, if it is Johnson noise: std sqrt(T / T_ref).

    A tile is at T_ref while it is written and trained.

    Source: Ielmini & Waser (eds.), Resistive Switching (Wiley-VCH 2016), on thermally activated retention and on the
    conductance of low- and high-resistance states; JEDEC JESD22-A117, on bakes; Nyquist, Phys. Rev. 32, 110 (1928).

    Args:
        card: the device.
        shape: outputs and inputs of the tile.
        seed: the run's seed.
        name: the tile's name.
        device: where the weights live.
    """

    def __init__(
        self, card: DeviceCard, shape: tuple[int, int], seed: int, name: str, device: torch.device
    ) -> None:
        self.name, self.card = card.name, card.temperature
        self.kelvin: float | None = None
        self.factor: Tensor | None = None
        self.tc = self._coefficients(shape, stream(seed, name, "temperature", device=device))

    def _coefficients(self, shape: tuple[int, int], draws: torch.Generator) -> Tensor | None:
        card = self.card
        if card is None or not (card.conductance_tc or card.conductance_tc_spread):
            return None
        if card.conductance_tc_spread == 0:
            return torch.tensor(card.conductance_tc, device=draws.device)
        drawn = torch.randn(shape, generator=draws, device=draws.device)
        return drawn.mul_(card.conductance_tc_spread).add_(card.conductance_tc)

    def set(self, kelvin: float | None) -> None:
        """Bring the tile to a temperature in K; None: to the card's reference.

        Raises:
            UsageError: it is no temperature, or nothing of the device depends on it.
        """
        if kelvin is not None and not LOWEST_K <= kelvin <= HIGHEST_K:
            raise UsageError(
                f"temperature: must be {LOWEST_K:g} to {HIGHEST_K:g} K, or None for the reference, got {kelvin:g}"
            )
        if kelvin is not None and self.card is None:
            raise UsageError(
                f"temperature: device '{self.name}' does not depend on it; give its card a 'temperature' block"
            )
        self.kelvin = kelvin
        self.factor = None
        if self.card is not None and self.tc is not None and self._above != 0:
            self.factor = (1 + self.tc * self._above).clamp_(min=0)

    @property
    def _above(self) -> float:
        """Kelvins above the reference."""
        return 0.0 if self.card is None or self.kelvin is None else self.kelvin - self.card.reference_k

    def of(self, weight: Float[Tensor, "outputs inputs"]) -> Float[Tensor, "outputs inputs"]:
        """Return the weights as they are at this temperature; at the reference these themselves."""
        return weight if self.factor is None else weight * self.factor

    @property
    def speed(self) -> float:
        """How many times faster than at the reference cells forget: exp(E / k (1 / T_ref - 1 / T))."""
        return speed_at(self.card, self.kelvin)

    def noise(self, card: ReadNoise) -> ReadNoise:
        """Return the read noise at this temperature."""
        if self.card is None or not self.card.thermal_noise or card.white is None or self._above == 0:
            return card
        share = math.sqrt(1 + self._above / self.card.reference_k)
        white = card.white.model_copy(update={"std": card.white.std * share})
        return card.model_copy(update={"white": white})


def speed_at(card: Temperature | None, kelvin: float | None) -> float:
    """How many times faster than at the reference cells forget at a temperature: exp(E / k (1 / T_ref - 1 / T))."""
    if card is None or kelvin is None or card.activation_energy_ev is None:
        return 1.0
    exponent = card.activation_energy_ev / BOLTZMANN_EV * (1 / card.reference_k - 1 / kelvin)
    return math.exp(max(min(exponent, LARGEST_EXPONENT), -LARGEST_EXPONENT))
