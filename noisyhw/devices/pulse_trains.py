"""Stochastic pulse trains: how an outer product becomes pulses on a crossbar (drawn at each update).

Every sample sends a train of up to BL slots on each row and column; a cell is pulsed where both fire. All cells of a
row see the row's one train and all cells of a column the column's, so the cells' pulses are correlated: what a read of
the array feels of an update's noise is mostly this. With update management, BL is no longer than needed, and the
largest input and the largest error of a sample fire with the same chance sqrt(strength / BL), where the strength
rate max|x| max|d| is the largest number of pulses that a cell is asked to take (Gokmen & Vlasov, Front. Neurosci.
10:333 (2016); Gokmen, Onen & Haensch, Front. Neurosci. 11:538 (2017)).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

ROUNDING = 1e-6
"""Share by which a strength may be too large from floating-point error."""
MOST = 1e30
"""Pulses per unit of an error, at most: far beyond every train, and finite when multiplied by an error."""


@dataclass(frozen=True)
class Trains:
    """The trains of a batch.

    Attributes:
        inputs: chance that an input's line fires in a slot.
        errors: chance that an error's line fires in a slot.
        slots: length of a sample's trains, BL.
    """

    inputs: Float[Tensor, "samples inputs"]
    errors: Float[Tensor, "samples outputs"]
    slots: Float[Tensor, "samples 1"]


def trains(
    x: Float[Tensor, "samples inputs"], d: Float[Tensor, "samples outputs"], rate: float, longest: int
) -> Trains:
    """Return the trains that ask every cell for rate |d_i x_j| pulses.

    A sample moves a cell by at most ``longest`` pulses. Where it asks for more, the lines of errors that are too large
    fire in every slot; smaller errors and all inputs keep their share.

    Args:
        x: inputs of the rows' trains.
        d: errors of the columns' trains; a positive d_i x_j asks for pulses down.
        rate: pulses per unit of d x: learning rate / step.
        longest: the longest train.
    """
    tiny = torch.finfo(x.dtype).tiny
    largest_x = x.abs().amax(1, keepdim=True).clamp_(min=tiny)
    largest_d = d.abs().amax(1, keepdim=True).clamp_(min=tiny)
    strength = (largest_x * min(rate, MOST)).mul_(largest_d).clamp_(max=MOST)
    slots = (strength * (1 - ROUNDING)).ceil_().clamp_(1, longest)
    asked = strength / slots
    share = asked.clamp(max=1).sqrt_()
    inputs = (x.abs() / largest_x).mul_(share)
    errors = (d.abs() / largest_d).mul_(share.maximum(asked)).clamp_(max=1)
    return Trains(inputs, errors, slots)
