"""The pulses of cells, from the trains of their lines: whole numbers up and down, at a cost that rates do not change.

Short trains are sent slot by slot: with X and D the lines that fire (+-1 or 0, a row a slot), D^T X is pulses down
less pulses up and |D|^T |X| is pulses in both directions, exactly. Long trains are sent by how often their lines fire:
the counts N and M give conditional means N^T M / L by the same two products, with all correlations between the cells of
a row or column. What is left is uncorrelated between cells, and a third product gives its variance. Means, variances
and covariances of all cells are those of trains sent slot by slot; but a cell's variance is up to 1/4 larger where its
long trains leave nothing to chance (one line fires in every slot), as numbers of pulses are whole and conditional means
are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..streams import normal_, uniform_
from .line_counts import LineCounts, counted, slot_by_slot
from .pulse_trains import Trains, trains

SHORT = 2
"""A batch whose trains have up to so many slots on average is sent slot by slot: counting lines costs as much."""
AFFORDABLE = 1 << 21
"""So is one of which lines times slots are no more than this."""
BLOCK = 1 << 17
"""Cells that are worked on at once; their numbers stay in a processor's cache."""
SMALLEST = 1e-12
LARGEST_BEND = 0.2
"""Skewness / 6 of drawn numbers, at most: beyond, large numbers would turn back."""
ROUNDED = 1 / 12
"""Variance that rounding to whole numbers adds."""

Pulses = tuple[Float[Tensor, " cells"], Float[Tensor, " cells"]]
"""Pulses up and pulses down."""


@dataclass(frozen=True)
class Coincidences:
    """What a batch's trains send to the cells.

    Attributes:
        sent: pulses down less pulses up, and pulses in both directions, of short trains; whole numbers.
        mean: the same of long trains, mean numbers given how often their lines fire.
        variance: of the long trains' pulses in both directions, given the same.
    """

    sent: tuple[Tensor, Tensor] | None
    mean: tuple[Tensor, Tensor] | None
    variance: Tensor | None

    def blocks(self, generator: torch.Generator) -> Iterator[tuple[slice, Pulses]]:
        """Every block of cells, numbered row by row, with whole numbers of pulses for each of its cells."""
        some = self.sent or self.mean
        assert some is not None
        cells = some[0].numel()
        size = BLOCK if some[0].device.type == "cpu" else cells
        for first in range(0, cells, size):
            block = slice(first, min(first + size, cells))
            yield block, self._of(block, generator)

    def _of(self, block: slice, generator: torch.Generator) -> Pulses:
        sent = None if self.sent is None else _directions(self.sent, block)
        if self.mean is None or self.variance is None:
            assert sent is not None
            return sent
        up, down = draw(*_directions(self.mean, block), self.variance.view(-1)[block], generator)
        return (up, down) if sent is None else (up.add_(sent[0]), down.add_(sent[1]))

    def all(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Whole numbers of pulses up and down of all cells, [outputs, inputs]."""
        some = self.sent or self.mean
        assert some is not None
        parts = [pulses for _, pulses in self.blocks(generator)]
        up, down = (torch.cat([part[way] for part in parts]).view_as(some[0]) for way in (0, 1))
        return up, down


def coincidences(
    x: Float[Tensor, "samples inputs"],
    d: Float[Tensor, "samples outputs"],
    rate: float,
    longest: int,
    generator: torch.Generator,
) -> Coincidences:
    """Send a batch's trains (arguments as in :func:`.pulse_trains.trains`)."""
    asked = trains(x, d, rate, longest)
    if x.device.type != "cpu":  # how many slots there are would have to be waited for
        return _long(counted(x, d, asked, generator), None)
    short = asked.slots.squeeze(1) == 1
    if _affordable(asked) or bool(short.all()):
        return Coincidences(slot_by_slot(x, d, asked, generator).mean_pulses(), None, None)
    sent = None
    if bool(short.any()):
        sent = slot_by_slot(x[short], d[short], _rows(asked, short), generator).mean_pulses()
    long = ~short
    return _long(counted(x[long], d[long], _rows(asked, long), generator), sent)


def _affordable(asked: Trains) -> bool:
    """Whether all trains are sent slot by slot."""
    slots, lines = float(asked.slots.sum()), asked.inputs.shape[1] + asked.errors.shape[1]
    return slots <= SHORT * asked.slots.shape[0] or slots * lines <= AFFORDABLE


def _rows(asked: Trains, rows: Tensor) -> Trains:
    return Trains(asked.inputs[rows], asked.errors[rows], asked.slots[rows])


def _long(counts: LineCounts, sent: tuple[Tensor, Tensor] | None) -> Coincidences:
    return Coincidences(sent, counts.mean_pulses(), counts.variance())


def _directions(sums: tuple[Tensor, Tensor], block: slice) -> Pulses:
    signed, total = (values.view(-1)[block] for values in sums)
    return (total - signed).mul_(0.5), (total + signed).mul_(0.5)


def draw(
    up: Float[Tensor, " cells"],
    down: Float[Tensor, " cells"],
    variance: Float[Tensor, " cells"],
    generator: torch.Generator,
) -> Pulses:
    """Draw whole numbers of pulses from their means and the variance of their sum, of which both ways have their share.

    Args:
        up: mean pulses up.
        down: mean pulses down.
        variance: of both together.
        generator: for each way a uniform number is drawn per cell, or a normal one, or both.
    """
    share = variance / (up + down).clamp(min=SMALLEST)
    up, down = (_whole(mean.clamp(min=0), share, generator) for mean in (up, down))
    return up, down


def _whole(mean: Tensor, share: Tensor, generator: torch.Generator) -> Tensor:
    """Whole numbers of a mean and of a variance that is a share of it (for each).

    A number b next to the mean, b - 1 and b + 1 come with the chances that mean and variance fix, as long as they are
    chances; else the number is a rounded Gaussian.
    """
    variance = mean * share
    if mean.device.type == "cpu" and float(variance.min()) > 1:
        return _rounded(mean, share, generator)
    base = mean.round().clamp_(min=1)
    off = mean - base
    square = variance.addcmul_(off, off).maximum(off.abs())
    narrow = square <= 1
    near = _next_to(base, off, square, generator)
    if mean.device.type == "cpu" and bool(narrow.all()):
        return near
    return torch.where(narrow, near, _rounded(mean, share, generator))


def _next_to(base: Tensor, off: Tensor, square: Tensor, generator: torch.Generator) -> Tensor:
    """Draw base - 1, base or base + 1, of mean base + off and mean square ``square`` about the base."""
    u = uniform_(torch.empty_like(base), generator)
    lower = (u < (square - off) / 2).to(base.dtype)
    return base + (1 - u < (square + off) / 2).to(base.dtype) - lower


def _rounded(mean: Tensor, share: Tensor, generator: torch.Generator) -> Tensor:
    """Rounded Gaussian numbers, none below zero, bent to the skewness of a binomial.

    Its skewness is (1 - 2 p) / std with p = 1 - share; z + g (z^2 - 1) / 6 has a skewness g to first order.
    """
    std = (mean * share).sub_(ROUNDED).clamp_(min=SMALLEST).sqrt_()
    bent = (2 * share - 1).div_(6 * std).clamp_(-LARGEST_BEND, LARGEST_BEND)
    z = normal_(torch.empty_like(mean), generator)
    bowed = torch.addcmul(z, bent, z.square().sub_(1)).div_(bent.square_().mul_(2).add_(1).sqrt_())
    return bowed.mul_(std).add_(mean).round_().clamp_(min=0)
