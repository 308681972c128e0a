"""Ageing: what time does to cells after they were written. Exponents and time constants are drawn once per device."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ..cards.ageing import Drift, Retention, seconds
from ..cards.device import DeviceCard
from ..errors import UsageError
from ..streams import stream

SHORTEST_S, LONGEST_S, ENDLESS_S = 1e-37, 1e36, 3e38
"""Time constants and ages that 32 bits hold: of the least, the largest, and an age in which all cells forget."""


class Ageing:
    """The weights that reads of an aged tile see.

    Drift: w(t) = w_0 ((t + t0) / t0)^-nu, with nu per cell: the power law of phase-change memory (Joshi et al.,
    Nat. Commun. 11, 2473 (2020), Methods), counted from the first read, t0 after writing, as in aihwkit 1.2.0's
    PCMLikeNoiseModel. Retention: w(t) = rest + (w_0 - rest) exp(-t / tau), with a log-normal tau per cell: first-order
    relaxation.

    Age is one clock for a whole tile, counted from the last write. It is 0 while a tile is written and trained.

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
        self.name = card.name
        self.drift, self.retention = card.drift, card.retention
        self.age_s, self.speed = 0.0, 1.0
        self.keep: Tensor | None = None
        draws = stream(seed, name, "ageing", device=device)
        self.nu = None if self.drift is None else _exponents(self.drift, shape, draws)
        self.tau_s = None if self.retention is None else _time_constants(self.retention, shape, draws)

    def set(self, age: float | int | str, speed: float = 1.0) -> None:
        """Let the cells be that old: seconds, or a text such as ``1d``.

        Args:
            age: time since the last write.
            speed: how many times faster than at the card's temperature retention relaxes.

        Raises:
            UsageError: it is no age, or the device does not age.
        """
        age_s = _seconds(age)
        if age_s > 0 and self.nu is None and self.tau_s is None:
            raise UsageError(
                f"age: device '{self.name}' does not age; give its card a 'drift' or 'retention' block"
            )
        self.age_s, self.speed = age_s, speed
        self.keep = self._keep() if age_s > 0 else None

    def _keep(self) -> Tensor:
        """Share of w_0 (less rest) that every cell keeps; one number if all cells are alike."""
        if self.drift is not None and self.nu is not None:
            return torch.exp(-self.nu * math.log1p(self.age_s / self.drift.t0_s))
        assert self.tau_s is not None
        return torch.exp(-min(self.age_s * self.speed, ENDLESS_S) / self.tau_s)

    def of(self, weight: Float[Tensor, "outputs inputs"]) -> Float[Tensor, "outputs inputs"]:
        """Return what is left of freshly written weights; at age 0 these themselves."""
        if self.keep is None:
            return weight
        rest = self.retention.rest if self.retention is not None else 0.0
        return (weight - rest) * self.keep + rest


def _exponents(card: Drift, shape: tuple[int, int], draws: torch.Generator) -> Tensor:
    if card.nu_spread == 0:
        return torch.tensor(card.nu, device=draws.device)
    drawn = torch.randn(shape, generator=draws, device=draws.device)
    return drawn.mul_(card.nu_spread).add_(card.nu).clamp_(min=0)


def _time_constants(card: Retention, shape: tuple[int, int], draws: torch.Generator) -> Tensor:
    if card.tau_spread == 0:
        return torch.tensor(card.tau_s, device=draws.device)
    drawn = torch.randn(shape, generator=draws, device=draws.device)
    return drawn.mul_(card.tau_spread).exp_().mul_(card.tau_s).clamp_(SHORTEST_S, LONGEST_S)


def _seconds(age: float | int | str) -> float:
    if isinstance(age, str):
        try:
            return seconds(age)
        except ValueError as error:
            raise UsageError(f"age: {error}") from None
    if not (math.isfinite(age) and age >= 0):
        raise UsageError(f"age: must be a finite number of seconds >= 0, got {age:g}")
    return float(age)
