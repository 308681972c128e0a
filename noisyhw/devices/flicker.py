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

    Each node's noise is a sum of K Ornstein-Uhlenbeck processes with rates log-spaced from 2 pi low_hz to 2 pi high_hz:
    Lorentzians that add up to a spectrum flat below low_hz, 1/f between the corners and 1/f^2 above (see
    :func:`processes` for its level). Reads follow each other at read_hz, also from one call to the next: no time passes
    but reading time.

    The b reads of a block and the K states at its end are jointly Gaussian given the K states at its start, so they
    are drawn exactly with one product by a factor of their covariance.

    Source: Dutta & Horn, Rev. Mod. Phys. 53, 497 (1981), on 1/f noise as a sum of Lorentzians; Gillespie,
    Phys. Rev. E 54, 2084 (1996), on exact steps of an Ornstein-Uhlenbeck process.
    """

    states: Float[Tensor, "processes outputs"]

    def __init__(self, card: FlickerNoise, outputs: int, seed: int, name: str, device: torch.device) -> None:
        self.rates, self.variances = processes(card)
        self.generator = stream(seed, name, "flicker", device=device)
        start = torch.randn((len(self.rates), outputs), generator=self.generator, device=device)
        self.states = start.double() * self.variances.sqrt()[:, None].to(device)
        self.blocks: dict[int, Block] = {}

    def add_(self, reads: Float[Tensor, "reads samples outputs"]) -> None:
        """Add each node's noise to its reads, one after another, in place."""
        for part in torch.split(reads.view(-1, reads.shape[-1]), BLOCK):
            part.add_(self._draw(part.shape[0]))

    def _draw(self, number: int) -> Float[Tensor, "number outputs"]:
        block = self.blocks.get(number)
        if block is None:
            block = self.blocks[number] = Block(self.rates, self.variances, number, self.generator.device)
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


def processes(card: FlickerNoise) -> tuple[Float[Tensor, " processes"], Float[Tensor, " processes"]]:
    """Return each process's rate per read, 2 pi f_k / read_hz, and its variance.

    A process of corner f_k and variance v_k has the one-sided spectrum (2 / pi) v_k f_k / (f^2 + f_k^2). With K corners
    that are log-spaced end to end, so at a distance of ln(high / low) / (K - 1), and v_k = std^2 / (K - 1), the sum is
    S(f) = std^2 / (ln(high / low) f) between the corners. Near both ends the Lorentzians beyond them are missing. The
    two end processes are therefore raised, alike, until the integral of S from low_hz to high_hz is exactly std^2. S is
    then, over bands of two decades and more, at most 2 % above that 1/f law, and at the two corners a tenth below it.

    What the flat tail below low_hz and the 1/f^2 tail above high_hz add comes on top: all variances together are
    std^2 (1 + 2.48 / ln(high / low)) over such bands. A flat and a 1/f^2 line that meet the law at its corners hold
    std^2 / ln(high / low) each, so twice that; rounded corners hold a little more.
    """
    decades = math.log10(card.high_hz / card.low_hz)
    number = max(2, math.ceil(PER_DECADE * decades) + 1)
    ends = (math.log(card.low_hz), math.log(card.high_hz))
    corners = torch.linspace(*ends, number, dtype=torch.float64).exp()
    within = (torch.atan(card.high_hz / corners) - torch.atan(card.low_hz / corners)) * 2 / math.pi
    shares = torch.full_like(corners, 1 / (number - 1))
    lacking = 1 - shares[1:-1] @ within[1:-1]
    shares[[0, -1]] = lacking / (within[0] + within[-1])
    return 2 * math.pi * corners / card.read_hz, card.std**2 * shares


class Block:
    """How b values and the K end states follow from the K start states and fresh normal numbers.

    A process s of rate a has, given s(0), the mean s(0) e^(-a t) and the covariance
    v e^(-a |t - u|) (1 - e^(-2 a min(t, u))) between t and u, where v is its variance.

    Attributes:
        carried: the values' means are this times the start states, [b, K].
        kept: each process keeps this share of its start state, [K, 1].
        factor: times b - 1 + K normal numbers it gives values and end states less their means, [b + K, b - 1 + K];
            the last value is the sum of the end states.
    """

    def __init__(self, rates: Tensor, variances: Tensor, number: int, device: torch.device) -> None:
        t = torch.arange(1, number + 1, dtype=torch.float64)
        self.carried = torch.exp(-t[:, None] * rates).float().to(device)
        self.kept = torch.exp(-number * rates)[:, None].to(device)
        unit = float(variances.mean()) or 1.0
        self.factor = math.sqrt(unit) * _factor(rates, variances / unit, t).float().to(device)


def _factor(
    rates: Float[Tensor, " processes"], variances: Float[Tensor, " processes"], t: Float[Tensor, " reads"]
) -> Tensor:
    if not variances.any():
        return torch.zeros(t.numel() + rates.numel(), t.numel() - 1 + rates.numel(), dtype=torch.float64)
    last = t.numel() - 1
    fresh = -torch.expm1(-2 * torch.minimum(t[:, None], t)[..., None] * rates) * variances
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
