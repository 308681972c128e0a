"""1/f noise of the read-outs."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..cards.read_effects import FlickerNoise
from ..streams import stream

PER_DECADE = 2
"""Ornstein-Uhlenbeck processes per decade: the sum's spectrum is within 0.1 % of 1/f far from both corners."""
BLOCK = 256
"""Reads that are drawn with one matrix product; the cost of a read grows with it."""


class Flicker:
    """1/f noise between two corner frequencies, independent for every output node.

    Each node's noise is a sum of K Ornstein-Uhlenbeck processes of equal variance std^2 / K, with rates log-spaced from
    2 pi low_hz to 2 pi high_hz: Lorentzians that add up to a spectrum flat below low_hz, 1/f between the corners and
    1/f^2 above. Reads follow each other at read_hz, also from one call to the next: no time passes but reading time.

    The b reads of a block and the K states at its end are jointly Gaussian given the K states at its start, so they
    are drawn exactly with one product by a factor of their covariance.

    Source: Dutta & Horn, Rev. Mod. Phys. 53, 497 (1981), on 1/f noise as a sum of Lorentzians; Gillespie,
    Phys. Rev. E 54, 2084 (1996), on exact steps of an Ornstein-Uhlenbeck process.
    """

    states: Float[Tensor, "processes outputs"]

    def __init__(self, card: FlickerNoise, outputs: int, seed: int, name: str, device: torch.device) -> None:
        self.rates, self.variance = processes(card)
        self.generator = stream(seed, name, "flicker", device=device)
        start = torch.randn((len(self.rates), outputs), generator=self.generator, device=device)
        self.states = start.double() * math.sqrt(self.variance)
        self.blocks: dict[int, Block] = {}

    def add_(self, reads: Float[Tensor, "reads samples outputs"]) -> None:
        """Add each node's noise to its reads, one after another, in place."""
        for part in torch.split(reads.view(-1, reads.shape[-1]), BLOCK):
            part.add_(self._draw(part.shape[0]))

    def _draw(self, number: int) -> Float[Tensor, "number outputs"]:
        block = self.blocks.get(number)
        if block is None:
            block = self.blocks[number] = Block(self.rates, self.variance, number, self.generator.device)
        shape = (block.factor.shape[1], self.states.shape[1])
        drawn = block.factor @ torch.randn(shape, generator=self.generator, device=self.generator.device)
        values = drawn[:number].addmm_(block.carried, self.states.float())
        self.states = self.states * block.kept + drawn[number:]
        return values

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""
        return {"states": self.states, "generator": self.generator.get_state()}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state that :meth:`state` returned."""
        self.states = state["states"].to(self.states.device, copy=True)
        self.generator.set_state(state["generator"].cpu())


def processes(card: FlickerNoise) -> tuple[Float[Tensor, " processes"], float]:
    """Return each process's rate per read, 2 pi f / read_hz, and the variance that all of them have."""
    number = max(2, math.ceil(PER_DECADE * math.log10(card.high_hz / card.low_hz)) + 1)
    exponents = torch.linspace(math.log(card.low_hz), math.log(card.high_hz), number, dtype=torch.float64)
    return 2 * math.pi * exponents.exp() / card.read_hz, card.std**2 / number


class Block:
    """How b values and the K end states follow from the K start states and fresh normal numbers.

    A process s of rate a has, given s(0), the mean s(0) e^(-a t) and the covariance
    variance e^(-a |t - u|) (1 - e^(-2 a min(t, u))) between t and u.

    Attributes:
        carried: the values' means are this times the start states, [b, K].
        kept: each process keeps this share of its start state, [K, 1].
        factor: times b - 1 + K normal numbers it gives values and end states less their means, [b + K, b - 1 + K];
            the last value is the sum of the end states.
    """

    def __init__(self, rates: Tensor, variance: float, number: int, device: torch.device) -> None:
        t = torch.arange(1, number + 1, dtype=torch.float64)
        self.carried = torch.exp(-t[:, None] * rates).float().to(device)
        self.kept = torch.exp(-number * rates)[:, None].to(device)
        self.factor = math.sqrt(variance) * _factor(rates, t).float().to(device)


def _factor(rates: Float[Tensor, " processes"], t: Float[Tensor, " reads"]) -> Tensor:
    last = t.numel() - 1
    fresh = -torch.expm1(-2 * torch.minimum(t[:, None], t)[..., None] * rates)
    each = torch.exp(-(t[:, None] - t).abs()[..., None] * rates) * fresh
    ends = each[last]
    covariance = torch.cat(
        (
            torch.cat((each.sum(-1)[:last, :last], ends[:last]), 1),
            torch.cat((ends[:last].T, ends[last].diag()), 1),
        )
    )
    lower = torch.linalg.cholesky(covariance)
    return torch.cat((lower[:last], lower[last:].sum(0, keepdim=True), lower[last:]))
