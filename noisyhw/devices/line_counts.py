"""How often the lines of a crossbar fire while a batch's pulse trains are sent (drawn at each update)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..products import product
from ..streams import uniform_
from .pulse_trains import Trains

RARE = 1e-3
"""Lines that fire less often are drawn in double precision: single precision knows no numbers between 0 and 6e-8."""


@dataclass(frozen=True)
class LineCounts:
    """How often every line fires, with the sign of what it carries.

    Attributes:
        inputs: times that the inputs' lines fire, negative for negative inputs.
        errors: the same of the errors' lines.
        slots: in so many slots; None: in one.
    """

    inputs: Float[Tensor, "rows inputs"]
    errors: Float[Tensor, "rows outputs"]
    slots: Float[Tensor, "rows 1"] | None

    def mean_pulses(self) -> tuple[Float[Tensor, "outputs inputs"], Float[Tensor, "outputs inputs"]]:
        """Mean pulses down less mean pulses up, and mean pulses in both directions, given these counts.

        N_i and M_j firings in L slots coincide in N_i M_j / L of them on average; in one slot that is what happens.
        """
        errors = self.errors if self.slots is None else self.errors / self.slots
        return product(errors.t(), self.inputs), product(errors.abs().t(), self.inputs.abs())

    def variance(self) -> Float[Tensor, "outputs inputs"]:
        """Variance of the pulses in both directions, given these counts.

        The number of coincidences is hypergeometric, of variance N (L - N) M (L - M) / (L^2 (L - 1)). It is
        uncorrelated between cells: given one line's slots, those of the other lines are as likely anywhere.
        """
        assert self.slots is not None
        scale = 1 / (self.slots.square() * (self.slots - 1).clamp(min=1))
        errors, inputs = self.errors.abs(), self.inputs.abs()
        errors.mul_(self.slots - errors).mul_(scale)
        return product(errors.t(), inputs.mul_(self.slots - inputs)).clamp_(min=0)


def slot_by_slot(x: Tensor, d: Tensor, trains: Trains, generator: torch.Generator) -> LineCounts:
    """Draw which lines fire, slot by slot: a row a slot, of every sample's train."""
    inputs, errors = trains.inputs, trains.errors
    if float(trains.slots.max()) > 1:
        rows = torch.repeat_interleave(trains.slots.squeeze(1).long())
        x, d, inputs, errors = x[rows], d[rows], inputs[rows], errors[rows]
    rare = max(float(inputs.max()), float(errors.max())) < RARE
    kind = torch.float64 if rare else torch.float32

    def fires(chance: Tensor, carried: Tensor) -> Tensor:
        drawn = uniform_(torch.empty(chance.shape, dtype=kind), generator)
        return drawn.lt_(chance).to(chance.dtype).copysign_(carried)

    return LineCounts(fires(inputs, x), fires(errors, d), None)


def counted(x: Tensor, d: Tensor, trains: Trains, generator: torch.Generator) -> LineCounts:
    """Draw how often lines fire, a row a sample (see :func:`two_points`)."""
    slots = trains.slots
    inputs = two_points(trains.inputs, slots, generator).copysign_(x)
    return LineCounts(inputs, two_points(trains.errors, slots, generator).copysign_(d), slots)


def two_points(
    chance: Float[Tensor, "rows lines"], slots: Float[Tensor, "rows 1"], generator: torch.Generator
) -> Float[Tensor, "rows lines"]:
    """Draw numbers with the mean, variance and skewness of a binomial, from two values between 0 and ``slots``.

    Binomials themselves cost as much as several products. Over a batch only these moments matter, and with one slot the
    two values are 0 and 1. A distribution on two points of mean L p, variance v = L p (1 - p) and skewness
    (1 - 2 p) / sqrt(v) has them at L p + (1 - 2 p) / 2 -+ sqrt(v + (1 - 2 p)^2 / 4), whose product is L (L - 1) p^2.

    Args:
        chance: p.
        slots: L.
        generator: one uniform number is drawn for each.
    """
    mean = chance * slots
    half = 0.5 - chance
    root = (mean * (1 - chance)).addcmul_(half, half).sqrt_()
    high = half.add_(mean).add_(root)
    low = (mean * chance).mul_(slots - 1).div_(high)
    share = (mean - low).div_(root.mul_(2))
    drawn = uniform_(torch.empty_like(chance), generator)
    return torch.where(drawn < share, high, low)
