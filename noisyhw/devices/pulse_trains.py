"""Stochastic pulse trains: how an outer product becomes pulses on a crossbar (drawn at each update).

Every sample sends a train of up to BL slots on each row and column; a cell is pulsed where both fire. With update
management the trains' rates are |x_j| / max|x| and |d_i| / max|d|, and BL is no longer than needed (Gokmen & Vlasov,
Front. Neurosci. 10:333 (2016); Gokmen, Onen & Haensch, Front. Neurosci. 11:538 (2017)). The number of coincidences of a
cell is then binomial for each sample; summed over a batch only its mean and variance matter, and four matrix products
give them for all cells, whatever the learning rate. Each cell's count is drawn from its own distribution; that cells of
one row or column share a train, and so correlate within a sample, is not modelled.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

Moments = tuple[Tensor, Tensor]

ROUNDING = 1e-4
"""Share by which a number of slots may be too large from floating-point error."""
MOST_SLOTS = 1e6
"""More are as good as infinitely many: the counts are Poisson."""


def expected_pulses(
    x: Float[Tensor, "samples inputs"], d: Float[Tensor, "samples outputs"], rate: float, longest: int
) -> tuple[Moments, Moments]:
    """Mean and variance of the number of pulses up and of pulses down, per cell.

    For one sample the mean is rate |x_j| min(|d_i|, longest / (rate max|x|)): a sample moves a cell by at most
    ``longest`` pulses. Where it asks for more, the trains of errors that are too large fire in every slot; smaller
    ones and all inputs keep their share. The variance is mean - mean^2 / BL.

    Args:
        x: inputs of the rows' trains.
        d: errors of the columns' trains; a positive d_i x_j asks for pulses down.
        rate: pulses per unit of d x: learning rate / step.
        longest: the longest train.
    """
    rate = min(rate, torch.finfo(x.dtype).max)
    largest = x.abs().amax(1)
    strength = largest * d.abs().amax(1) * rate
    length = strength.ceil().clamp_(1, longest)
    saturated = strength > longest
    gain = torch.where(saturated, 1 / largest.clamp(min=1e-30), rate)
    clipped = (d * (largest * rate)[:, None]).clamp_(-longest, longest)
    d = torch.where(saturated[:, None], clipped, d)
    signed, total = _halves(x * gain[:, None], d)
    second = gain.square() / length
    signed_square, total_square = _halves(x * x.abs() * second[:, None], d * d.abs())
    up = (total - signed, total - signed - (total_square - signed_square))
    down = (total + signed, total + signed - (total_square + signed_square))
    return up, down


def _halves(x: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """Half of sum d x and half of sum |d| |x|, per cell."""
    return torch.mm(d.t(), x).mul_(0.5), torch.mm(d.abs().t(), x.abs()).mul_(0.5)


def draw_pulses(mean: Tensor, variance: Tensor, generator: torch.Generator) -> Tensor:
    """Whole pulse counts with the given mean and variance.

    A binomial has n = mean^2 / (mean - variance) slots: for one sample the train's own BL. For a batch n is seldom
    whole; then floor(n) slots fire with one probability p and one more slot with another, q, which the two moments fix.
    """
    mean = mean.clamp(min=0)
    squares = (mean - variance).clamp_(min=torch.finfo(mean.dtype).tiny)
    slots = mean.square().div_(squares).clamp_(1, MOST_SLOTS)
    near = slots.round().maximum(mean.ceil())
    whole = (slots - near).abs() <= ROUNDING * slots
    slots = torch.where(whole, near, slots)
    count = slots.floor()
    lean = ((count + 1).div_(slots).sub_(1).mul_(count)).clamp_(0, 1).sqrt_()
    p = (lean + count).mul_(mean).div_(count * (count + 1)).clamp_(max=1)
    q = torch.where(whole, 0.0, (1 - lean).mul_(mean).div_(count + 1))
    extra = torch.rand(mean.shape, generator=generator, device=mean.device) < q
    return torch.binomial(count, p, generator=generator).add_(extra)
