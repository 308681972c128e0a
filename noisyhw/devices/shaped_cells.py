"""Pulsed cells whose step is not linear in the weight."""

from __future__ import annotations

import torch
from torch import Tensor

from ..cards.base import LARGEST
from ..cards.device import DeviceCard
from .pulsed import LARGEST_PULL, Move, PulsedCells, Which, _take
from .step_shapes import SMALLEST, Place, make_shape

FINENESS = 0.01
"""A sub-step moves no cell by more than this share of its range."""
SHARE_OF_NOISE = 0.25
"""Where noise is larger than that, a sub-step may move a cell by this share of the std that is still to come, ..."""
COARSENESS = 0.05
"""... but by no more than this share of its range."""
FINE_NOISE = 0.06
"""Nor by noise of more than this std, or what HASTE allows."""
NEAR = 0.1
"""A cell is near a bound within this share of its range."""
CUT_NOISE = 0.007
"""FINE_NOISE near a bound, which cuts it."""
AT_REST = 0.05
"""A cell that is nearer to rest than this share of a sub-step takes all its pulses at once."""
HASTE = 0.1, 0.5
"""Noise need not be fine before the last sub-steps, as cells forget: this share of the pulses that are left may go,
near a bound and elsewhere."""
LOUD = 0.25
"""Cells that noise moves by more than this share of their range forget where they started."""
COARSE = 0.1, 0.25
"""Their first sub-steps take this share of the pulses that are left, near a bound and elsewhere."""
MOST_SUB_STEPS = 200
"""Where so many would not do, they are made coarser."""
BLOCK = 1 << 16
"""Cells that are worked on at once; what some eighty operations pass on to each other stays near the processor."""
SMALLEST_RANGE = 1e-30
LARGEST_STEP = 1e4
"""In ranges. A larger step, or noise of a larger std, ends at a bound as this one does, and its square stays finite."""
LARGEST_OWN_STEP = 1e8
"""The same of a cell's own step, of which the shape may leave a small share."""


class ShapedCells(PulsedCells):
    """Pulsed cells with a step shape: a pulse up adds step_up g_up(w), a pulse down takes step_down g_down(w).

    Pulses up and pulses down come in random order. Many go in sub-steps of whole pulses, which move a cell by no more
    than 1 % of its range (5 % where noise is larger); how many of a sub-step's pulses go up is drawn. Within one the
    shape is replaced by its tangent at the present weight, for which any number of pulses in both directions has a
    closed form (see :class:`~.pulsed.Move`): a single pulse is exact, a linear shape is exact for any number in one
    direction, and else the error falls with the square of the sub-step (the exponential Rosenbrock-Euler method;
    Hochbruck & Ostermann, Acta Numerica 19, 209 (2010), Section 2.4). A cell that is at rest, where steps up and down
    cancel or a bound holds it, takes all its pulses in one, but for its noise: this is drawn in every sub-step, so that
    the steps which follow, and the bounds, see it. Where it is many steps large, it shifts the mean too. Its std is at
    most 6 % of the range in the last sub-steps, and less near a bound.

    All arithmetic is in shares of each cell's range, and in numbers that stay finite for any card.
    """

    @classmethod
    def accepts(cls, card: DeviceCard) -> bool:
        """Whether these cells are what the card asks for (see :class:`.Cells`)."""
        return card.has_shape

    def __init__(self, card: DeviceCard, weight: Tensor, seed: int, name: str) -> None:
        super().__init__(card, weight, seed, name)
        self.shape = make_shape(card, (weight.shape[0], weight.shape[1]), self.device_draws)

    def _moved(self, start: Tensor, up: Tensor, down: Tensor, cells: Which) -> tuple[Tensor, Tensor | None]:
        weight = start.clone()
        left = [count.to(weight.dtype, copy=True) for count in (up, down)]
        parts: list[Which] = _slices(len(weight))
        for turns in range(MOST_SUB_STEPS, 0, -1):
            going = torch.cat(
                [self._sub_step(weight, left, some, _numbers(cells, some), turns) for some in parts]
            )
            if len(going) == 0:
                break
            parts = list(torch.split(going, BLOCK))
        return weight, None

    def _sub_step(self, weight: Tensor, left: list[Tensor], some: Which, cells: Which, turns: int) -> Tensor:
        """Let some cells receive the next of their pulses, at least one, and all if this is the last turn.

        Returns:
            The numbers of those that have pulses left.
        """
        tangent = Tangent(self, _take(weight, some), cells)
        up, down = (_take(count, some) for count in left)
        size, count = tangent.size(up, down, turns), up + down
        more = (size < count).nonzero().squeeze(1)
        going = _numbers_of(some, more)
        if len(more):
            rest = [values.index_select(0, more) for values in (up, down)]
            sent = self._share_out(size.index_select(0, more), *rest)
            for kind, all_, now in zip(left, rest, sent, strict=True):
                kind.index_copy_(0, going, (all_ - now).clamp_(min=0))
            up, down = (all_.index_copy(0, more, now) for all_, now in zip((up, down), sent, strict=True))
        moved, variance = tangent.go(up, down)
        moved.addcmul_(self._normal(moved), variance.sqrt_())
        _put(weight, some, tangent.place(moved))
        return going

    def _share_out(self, size: Tensor, up: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
        """How many of the next pulses go up, and down, if all that are left come in random order.

        Hypergeometric: its mean and variance are exact, and so is all of it for a single pulse.
        """
        count = up + down
        mean = size * up / count
        over = mean - mean.floor()
        variance = mean * (down / count) * ((count - size) / (count - 1).clamp_(min=1))
        variance.sub_(over * (1 - over))  # rounding at random adds that
        ups = variance.clamp_(min=0).sqrt_().mul_(self._normal(mean)).add_(mean)
        ups.add_(torch.rand(size.shape, generator=self.generator, device=size.device)).floor_()
        ups = ups.maximum((size - down).clamp_(min=0)).minimum(size).minimum(up)
        return ups, (size - ups).minimum(down)

    def _bounds(self, cells: Which) -> tuple[Tensor, Tensor]:
        assert self.bounds.low is not None
        assert self.bounds.high is not None
        low, high = (_take(b.expand(self.inner.shape), cells) for b in (self.bounds.low, self.bounds.high))
        return low.clamp(min=-LARGEST), high.clamp(max=LARGEST)


class Tangent:
    """Cells whose steps are taken as linear about their present weights; steps are shares of a cell's range."""

    def __init__(self, cells: ShapedCells, weight: Tensor, which: Which) -> None:
        self.weight = weight
        self.low, self.high = cells._bounds(which)
        self.range = (self.high - self.low).clamp_(min=SMALLEST_RANGE)
        self.noise, self.scales = cells.update.cycle_noise, cells.update.cycle_noise_scales
        inverse = self.range.reciprocal()
        factors = cells.shape.factors(Place(weight, self.low, inverse), which)
        self.own = tuple(
            (_take(step, which) * inverse).clamp_(max=LARGEST_OWN_STEP)
            for step in (cells.step_up, cells.step_down)
        )
        (up, up_slope), (down, down_slope) = factors
        self.up, self.down = (
            (own * g).clamp_(max=LARGEST_STEP) for own, g in zip(self.own, (up, down), strict=True)
        )
        self.pull_up = (self.own[0] * up_slope).neg_().clamp_(-LARGEST_PULL, LARGEST_PULL)
        self.pull_down = (self.own[1] * down_slope).clamp_(-LARGEST_PULL, LARGEST_PULL)

    def size(self, up: Tensor, down: Tensor, turns: int) -> Tensor:
        """How many pulses may go at once: whole, at least one, and enough for all to go in the turns that are left.

        Evenly interleaved, they start with a speed v and slow down at a rate l a pulse, so that they go no further than
        v / l, and n of them no further than v n.

        Args:
            up: pulses that are still to go.
            down: the same.
            turns: sub-steps that are left.
        """
        count = up + down
        share = up / count.clamp(min=1)
        speed = torch.lerp(-self.down, self.up, share)
        slowing = torch.lerp(self.pull_down, self.pull_up, share)
        growing = slowing.neg().clamp_(min=SMALLEST).reciprocal_()  # within it, steps grow by no more than e
        jitter = self._jitter(share)
        near = self._near_a_bound()
        noise, haste, coarse = (near * (a - b) + b for a, b in ((CUT_NOISE, FINE_NOISE), HASTE, COARSE))
        quiet = jitter.clamp(min=SMALLEST**2).reciprocal_().mul_(noise.square_())
        resting = (speed.abs() <= slowing * (AT_REST * FINENESS)) | self._held(speed)
        jitter.mul_(count)
        fine = jitter.sqrt().mul_(SHARE_OF_NOISE).clamp_(FINENESS, COARSENESS)
        size = (fine / speed.abs_().clamp_(min=SMALLEST)).minimum(growing)
        size.masked_fill_(resting, LARGEST)
        loud = jitter > LOUD**2
        size = size.maximum(coarse.mul_(count).minimum(growing).mul_(loud))
        size = size.minimum(quiet.maximum(haste.mul_(count))).maximum(count / turns)
        return size.floor_().clamp_(min=1).minimum(count)

    def _jitter(self, share: Tensor) -> Tensor:
        """Variance that one pulse adds, by its noise and by its direction."""
        ups, downs = self._stds()
        noise = torch.lerp(downs.square(), ups.square(), share)
        return noise.addcmul_(share * (1 - share), (self.up + self.down).square_())

    def _near_a_bound(self) -> Tensor:
        """1.0 where a bound cuts the noise."""
        middle = torch.lerp(self.low, self.high, 0.5)
        return ((self.weight - middle).abs_() > (0.5 - NEAR) * self.range).to(self.weight.dtype)

    def _held(self, speed: Tensor) -> Tensor:
        """Whether cells are at a bound and go nowhere else."""
        return ((self.weight >= self.high) & (speed > 0)) | ((self.weight <= self.low) & (speed < 0))

    def _stds(self) -> tuple[Tensor, Tensor]:
        """Std of one pulse's noise, up and down."""
        up, down = (self.up, self.down) if self.scales else self.own
        return (up * self.noise).clamp_(max=LARGEST_STEP), (down * self.noise).clamp_(max=LARGEST_STEP)

    def go(self, up: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
        """How far these pulses take the cells, in mean, and the variance of it."""
        move = Move(up, down, self.up, self.down, self.pull_up, self.pull_down)
        moved = move.mean(torch.zeros_like(self.weight)).clamp_(-LARGEST_STEP, LARGEST_STEP)
        variance = self._order(up, down)
        if self.noise:
            steady = torch.addcmul(move.mean_keep, move.mean_keep, move.lost, value=0.5)
            (up_sum, down_sum), (ups, downs) = move.sum_of_squares(), self._squares(moved, up, down)
            variance.addcmul_(steady, (up * ups).mul_(up_sum).addcmul_(down * downs, down_sum))
        return moved, variance.clamp_(0, LARGEST_STEP**2)

    def _order(self, up: Tensor, down: Tensor) -> Tensor:
        """Variance from the random order of U pulses up and D pulses down.

        Where a pulse up comes before one down, the weight ends lower by c = (a_down s_up + a_up s_down) / 2 than on
        average, and else higher. The number of such pairs is Mann and Whitney's, of variance U D (U + D + 1) / 12. With
        many pulses the cell forgets the first of them, and (l n)^3 / 6 tells how many.
        """
        twist = (self.pull_down * self.up).addcmul_(self.pull_up, self.down).square_().mul_(1 / 12)
        kept = (up * self.pull_up).addcmul_(down, self.pull_down).abs_().pow_(3).mul_(1 / 6).add_(1)
        return twist.mul_(up).mul_(down).mul_(up + down + 1).div_(kept)

    def _squares(self, moved: Tensor, up: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
        """Mean variances of the noise of pulses up and down on the way."""
        ups, downs = self._stds()
        if not self.scales:
            return ups.square_(), downs.square_()
        last_up = self.up - self.pull_up * moved * _but_last(up)
        last_down = self.down + self.pull_down * moved * _but_last(down)
        return (
            _mean_square(ups, (last_up * self.noise).clamp_(-LARGEST_STEP, LARGEST_STEP)),
            _mean_square(downs, (last_down * self.noise).clamp_(-LARGEST_STEP, LARGEST_STEP)),
        )

    def place(self, moved: Tensor) -> Tensor:
        """The weights of cells that have moved so far."""
        return torch.addcmul(self.weight, moved, self.range).clamp_(self.low, self.high)


def _put(values: Tensor, some: Which, new: Tensor) -> None:
    if isinstance(some, Tensor):
        values.index_copy_(0, some, new)
    else:
        values[some] = new


def _but_last(count: Tensor) -> Tensor:
    """Share of the way before the last pulse, whose size counts."""
    return 1 - count.clamp(min=1).reciprocal_()


def _mean_square(first: Tensor, last: Tensor) -> Tensor:
    """Mean square of a size that changes evenly from the first to the last."""
    return torch.addcmul(first.square(), first + last, last).mul_(1 / 3)


def _slices(cells: int) -> list[Which]:
    """All cells, as many at once as are worked on."""
    return [slice(first, min(first + BLOCK, cells)) for first in range(0, cells, BLOCK)]


def _numbers_of(some: Which, among: Tensor) -> Tensor:
    """The numbers of those cells among some."""
    return some.index_select(0, among) if isinstance(some, Tensor) else among + some.start


def _numbers(cells: Which, some: Which) -> Which:
    """The tile's numbers of some of these cells."""
    if isinstance(cells, Tensor):
        return _take(cells, some)
    if isinstance(some, Tensor):
        numbers: Tensor = some + cells.start
        return numbers
    return slice(cells.start + some.start, cells.start + some.stop)
