"""Read noise of cells that grows with their weight."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from ..cards.read_effects import WeightDependentNoise
from ..products import product
from .last_weight import LastWeight

LARGEST_VARIANCE = 1e24
"""Of one cell: no std is above 1e12. Only cells far beyond any range come there (unbounded ones, a steep power of a
weight far above max), and the variances of a column then still add up to a finite number."""
BEYOND = 1e30
"""f(r)^2 is finite, so that a coefficient of 0 makes it 0."""


class WeightDependent:
    """Independent noise of every cell at each read, of std coefficient max f(|w| / max).

    f(r) = r^exponent, or 1 - exp(-r / saturates_at).

    At an output it is exactly Gaussian, with the variance sum_j std(w_ij)^2 x_j^2: one more product, of squares.

    Source: the form of the read noise of phase-change memory in Nandakumar et al., IEEE ICECS (2019), where the std
    divided by the conductance falls as its power -0.65 (exponent 0.35), and of charge-trapping memory in Agrawal et
    al., IEDM (2022), 21.7, Fig. 11, where it saturates.
    """

    def __init__(self, card: WeightDependentNoise, largest: float | Tensor | None) -> None:
        self.card = card
        self.largest = 1.0 if largest is None else largest
        self.last = LastWeight()

    def variance(
        self, inputs: Float[Tensor, "*reads samples inputs"], weight: Float[Tensor, "outputs inputs"]
    ) -> Float[Tensor, "*reads samples outputs"]:
        """Variance of the read-outs for inputs after the DAC and the weights that the read multiplies with."""
        return product(inputs.square(), self.last.made(weight, self.cells).t())

    def cells(self, weight: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Variance of every cell, for an input of 1."""
        full = (self.card.coefficient * self.largest) ** 2
        return self.shape(weight / self.largest).clamp_(max=BEYOND).mul_(full).clamp_(max=LARGEST_VARIANCE)

    def shape(self, ratio: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """f(r)^2 for w / max; overwrites it."""
        if self.card.saturates_at is not None:
            return ratio.abs_().div_(-self.card.saturates_at).expm1_().square_()
        if self.card.exponent == 1:
            return ratio.square_()
        return ratio.abs_().pow_(2 * self.card.exponent)
