"""1/f noise of single cells: most of it is slow, so it is held while a batch is read."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..cards.read_effects import CellFlickerNoise
from ..streams import stream
from .last_weight import LastWeight
from .weight_dependent import WeightDependent

PER_DECADE = 1
"""Sources per decade of frequency; each is a number a cell. Their spectrum is within 6 % of 1/f."""
FORGOTTEN = 0.01
"""A source of which a pass keeps less than this is fresh at each read for all practical purposes."""


class CellFlicker:
    """Noise of std coefficient max f(|w| / max) on every cell's weight (see :class:`.WeightDependent`), 1/f in time.

    A cell's noise is a sum of K independent sources of unit variance, each with a rate a_k per read that is log-spaced
    from 2 pi low_hz / read_hz to 2 pi high_hz / read_hz. A source is renewed at random with that rate, so that it
    correlates over n reads as e^(-a_k n), a Lorentzian; together they make 1/f noise.

    A pass of B reads would need a weight-sized product per read. Instead each source is split. The share c_k, the mean
    correlation of two different reads of a pass, is held during the pass, here; the rest is fresh at each read, which
    is Gaussian noise of the read-outs (:func:`fresh_share`). The variance of every read is then exact, and that of
    the mean over a pass but for sources of which a pass holds less than a hundredth: these are taken as fresh, so that
    a band that lies within two decades of the read rate has too small a mean over many reads (half of its variance in
    the last decade, for 1000 reads).

    Between passes a source is renewed with the chance that its B reads renewed it. One uniform number a cell decides
    for all sources (a slow one is renewed along with all faster ones; that leaves every source's own law, and their
    independence at any one time, as they are).

    Source: 1/f read noise of phase-change memory in Nandakumar et al., IEEE ICECS (2019); Dutta & Horn, Rev. Mod. Phys.
    53, 497 (1981), on 1/f noise as a sum of Lorentzians.

    Attributes:
        states: every source's present value for each cell.
        waited: reads since each source was last given the chance to be renewed.
    """

    states: Float[Tensor, "sources outputs inputs"]
    waited: Float[Tensor, " sources"]

    def __init__(
        self,
        card: CellFlickerNoise,
        largest: float | None,
        shape: tuple[int, int],
        seed: int,
        name: str,
        device: torch.device,
    ) -> None:
        self.card = card
        self.cells = WeightDependent(card, largest)
        self.last = LastWeight()
        self.generator = stream(seed, name, "cell flicker", device=device)
        rates, _ = sources(card)
        self.states = torch.randn((len(rates), *shape), generator=self.generator, device=device)
        self.waited = torch.zeros(len(rates), dtype=torch.float64)

    def next_pass(
        self, weight: Float[Tensor, "outputs inputs"], reads: int
    ) -> Float[Tensor, "outputs inputs"]:
        """Return what cells are off by during one pass, then let its reads go by.

        Args:
            weight: the quiet weights.
            reads: samples that the pass reads.
        """
        rates, shares = sources(self.card)
        kept = held(self.card, reads)
        self._renew(rates, kept > FORGOTTEN)
        loudness = torch.where(kept > FORGOTTEN, shares * kept, 0.0).sqrt().to(self.states)
        noise: Tensor = torch.tensordot(loudness, self.states, 1)
        self.waited += reads
        return noise.mul_(self.last.made(weight, self._std))

    def _std(self, weight: Tensor) -> Tensor:
        return self.cells.cells(weight).sqrt_()

    def _renew(self, rates: Tensor, which: Tensor) -> None:
        chances = (-torch.expm1(-rates * self.waited)).tolist()
        draws = torch.rand(self.states[0].shape, generator=self.generator, device=self.states.device)
        for k, asked in enumerate(which.tolist()):
            if not asked or chances[k] == 0:
                continue
            renewed = (draws < chances[k]).nonzero(as_tuple=True)
            fresh = torch.randn(len(renewed[0]), generator=self.generator, device=self.states.device)
            self.states[k][renewed] = fresh
            self.waited[k] = 0

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""
        return {"states": self.states, "waited": self.waited, "generator": self.generator.get_state()}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state that :meth:`state` returned."""
        self.states = state["states"].to(self.states.device, copy=True)
        self.waited = state["waited"].clone()
        self.generator.set_state(state["generator"].cpu())


@cache
def sources(card: CellFlickerNoise) -> tuple[Float[Tensor, " sources"], Float[Tensor, " sources"]]:
    """Return each source's rate per read, and its share of the variance of a read.

    Shares are those of the trapezoidal rule, 1 / (K - 1) and half as much at both ends, and so add up to 1. Between the
    corners the spectrum is std^2 / (ln(high / low) f), whose integral from low_hz to high_hz is the variance of a read;
    what the rounded corners lack within the band is what the tails have beyond it.
    """
    number = max(2, math.ceil(PER_DECADE * math.log10(card.high_hz / card.low_hz)) + 1)
    ends = (math.log(card.low_hz), math.log(card.high_hz))
    corners = torch.linspace(*ends, number, dtype=torch.float64).exp()
    shares = torch.full_like(corners, 1 / (number - 1))
    shares[[0, -1]] /= 2
    return 2 * math.pi * corners / card.read_hz, shares


@cache
def held(card: CellFlickerNoise, reads: int) -> Float[Tensor, " sources"]:
    """Mean of e^(-a_k |i - j|) over all pairs i != j of so many reads, for every source: 1 for a single read."""
    rates, _ = sources(card)
    if reads < 2:
        return torch.ones_like(rates)
    distance = torch.arange(1, reads, dtype=torch.float64)
    pairs = (reads - distance) * 2 / (reads * (reads - 1))
    return torch.stack([(pairs * torch.exp(-rate * distance)).sum() for rate in rates])


def fresh_share(card: CellFlickerNoise, reads: int) -> float:
    """Share of a read's variance that is fresh at each of so many reads of a pass."""
    _, shares = sources(card)
    kept = held(card, reads)
    return max(
        0.0, float(1 - torch.where(kept > FORGOTTEN, shares * kept, 0.0).sum())
    )  # shares may add up to 1 + eps
