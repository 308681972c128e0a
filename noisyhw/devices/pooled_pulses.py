"""The pulses that a batch of stochastic pulse trains adds up to, for a fixed cost per cell at any learning rate.

A cell's pulses up and pulses down are sums over samples (see :mod:`.pulse_trains`). Their means need two matrix
products, S = |d|^T |x| and D = d^T x. Their variance is mean - sum_b mean_b^2 / BL_b, and that sum Q needs a third.
Where all trains fire in few of their slots, Q is small, and the product of its row and column sums will do (not on
accelerators, which would have to be waited for to know).

A cell then gets no pulse, one pulse up, one pulse down, each with its exact chance, or more: these are taken as
Gaussian, such that mean and variance of the weight's change are right to first order in the pull of a pulse.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..products import product

LARGEST_SHARE = 0.9999
"""Fano factors below 1e-4 are taken as 1e-4: 31 pulses that are sure to come fluctuate by 0.06."""
SMALLEST = 1e-12
SURELY_SOME = -80.0
"""Logarithm of a chance that is as good as zero, and not yet so small that processors slow down at it."""
FEW_SLOTS = 0.1
"""If no train asks for a pulse in more than this share of its slots, Q is below this share of S."""
RARE = 1e-3
"""Chances below it are drawn in double precision: single precision knows no numbers between 0 and 6e-8."""


@dataclass(frozen=True)
class TrainSums:
    """Moments of the pulses of all cells.

    Attributes:
        signed: mean pulses down less mean pulses up, D.
        total: mean pulses in both directions, S.
        squares: the sum of mean_b^2 / BL_b, Q; or two factors of it, [outputs, 1] and [1, inputs].
    """

    signed: Float[Tensor, "outputs inputs"]
    total: Float[Tensor, "outputs inputs"]
    squares: Float[Tensor, "outputs inputs"] | tuple[Float[Tensor, "outputs 1"], Float[Tensor, "1 inputs"]]

    def part(self, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Mean pulses up and down, and the share of its mean that the variance lacks, for some outputs, flat."""
        signed, total = self.signed[rows], self.total[rows]
        up, down = (total - signed).mul_(0.5), (total + signed).mul_(0.5)
        mean = total.clamp(min=SMALLEST)
        if isinstance(self.squares, Tensor):
            share = self.squares[rows] / mean
        else:
            share = self.squares[0][rows].mul(self.squares[1]).div_(mean).clamp_(max=FEW_SLOTS)
        return up.clamp_(min=0).flatten(), down.clamp_(min=0).flatten(), share.flatten()


def train_sums(
    x: Float[Tensor, "samples inputs"], d: Float[Tensor, "samples outputs"], rate: float, longest: int
) -> TrainSums:
    """What :func:`.pulse_trains.expected_pulses` gives, at the cost of two or three products (same arguments)."""
    size = x.abs()
    largest = size.amax(1, keepdim=True)
    strength = largest * d.abs().amax(1, keepdim=True) * min(rate, torch.finfo(x.dtype).max)
    length = strength.ceil().clamp_(1, longest)
    asked = (d * (largest * rate)).clamp_(-longest, longest).div_(largest.clamp(min=SMALLEST))
    asked_size = asked.abs()
    signed, total = product(asked.t(), x), product(asked_size.t(), size)
    if x.device.type != "cpu" or float(strength.max()) > FEW_SLOTS:
        return TrainSums(signed, total, product(asked.square().div_(length).t(), x.square()))
    most = asked_size.amax(1, keepdim=True)
    weight = (largest * most / length).sqrt_()
    columns = torch.mm((weight / largest.clamp(min=SMALLEST)).t(), x.square())
    rows = torch.mm(asked.square().t(), weight / most.clamp(min=SMALLEST)).div_(x.shape[0])
    return TrainSums(signed, total, (rows, columns))


@dataclass(frozen=True)
class Drawn:
    """What cells get: mean pulses up and down, by how much they fluctuate, and whether there are any.

    Attributes:
        up: pulses up; 0, 1, or the mean number where there are more.
        down: pulses down.
        fluctuation: variance of the change, in units of up step_up^2 + down step_down^2; 0 for no pulse or one.
        any: 1.0 where a cell gets a pulse, else 0.0.
    """

    up: Tensor
    down: Tensor
    fluctuation: Tensor
    any: Tensor


def draw(
    up: Float[Tensor, " cells"],
    down: Float[Tensor, " cells"],
    share: Float[Tensor, " cells"],
    steps: tuple[Tensor, Tensor],
    generator: torch.Generator,
) -> Drawn:
    """Draw whether a cell gets no pulse, one up, one down, or more.

    With p = ``share`` a cell's pulses are binomial with chance p and n = mean / p slots, so that none come with
    (1 - p)^n and one with n p (1 - p)^(n - 1). The mean and variance of the rest follow from the whole's. There is at
    least one slot, so p is at most the mean.

    Args:
        up: mean pulses up.
        down: mean pulses down.
        share: 1 - variance / mean.
        steps: the change that one pulse up, and one pulse down, would make.
        generator: one uniform number is drawn per cell.
    """
    a, b = steps
    mean = up + down
    share = share.minimum(mean).clamp_(1e-6, LARGEST_SHARE)
    log_none = torch.log1p(-share).div_(share).mul_(mean).clamp_(min=SURELY_SOME)
    one = log_none.exp().div_(1 - share)  # over the mean
    one_up, one_down = one * up, one * down
    one.mul_(mean)
    many = log_none.expm1_().neg_().sub_(one).clamp_(min=0)
    inverse = many.clamp(min=SMALLEST).reciprocal_()  # finite where there are never several
    more_up, more_down = (up - one_up).mul_(inverse), (down - one_down).mul_(inverse)
    fluctuation = _fluctuation((up, down), (one_up, one_down), (more_up, more_down), share, (a, b), inverse)
    u = _uniform(mean, generator)
    is_many = torch.lt(u, many, out=torch.empty_like(up))
    up_to_up = torch.lt(u, many.add_(one_up), out=torch.empty_like(up))
    some = torch.lt(u, many.add_(one_down), out=torch.empty_like(up))
    more_up.mul_(is_many).add_(up_to_up).sub_(is_many)
    more_down.mul_(is_many).add_(some).sub_(up_to_up)
    return Drawn(more_up, more_down, fluctuation.mul_(is_many), some)


def _uniform(mean: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform numbers from the middles of their grid's steps, so that none is zero."""
    double = (
        mean.device.type != "cpu" or float(mean.max()) < RARE
    )  # an accelerator would have to be waited for
    kind, half = (torch.float64, 2.0**-54) if double else (torch.float32, 2.0**-25)
    drawn = torch.empty(mean.shape, dtype=kind, device=mean.device)
    return drawn.uniform_(generator=generator).add_(half)


def _fluctuation(
    mean: tuple[Tensor, Tensor],
    one: tuple[Tensor, Tensor],
    more: tuple[Tensor, Tensor],
    share: Tensor,
    steps: tuple[Tensor, Tensor],
    inverse: Tensor,
) -> Tensor:
    """Variance of the change where there are several pulses, in units of up step_up^2 + down step_down^2."""
    (up, down), (one_up, one_down), (a, b) = mean, one, steps
    a2, b2 = a * a, b * b
    change, single = a * up - b * down, a * one_up - b * one_down
    squares = (a2 * up).addcmul_(b2, down).mul_(1 - share).addcmul_(change, change)
    squares.addcmul_(a2, one_up, value=-1).addcmul_(b2, one_down, value=-1)
    variance = squares.mul_(inverse).sub_(change.sub_(single).mul_(inverse).square_())
    unit = a2.mul(more[0]).addcmul_(b2, more[1])
    return variance.clamp_(min=0).div_(unit.clamp_(min=SMALLEST))
