"""Voltage drop along a crossbar's wires, as corrected weights: cheap enough for every read."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..cards.read_effects import IrDrop

BLOCK = 32
"""Outputs that are summed with one small product."""


class WireDrop:
    r"""The weights that a crossbar with resistive wires multiplies with.

    The network. Inputs drive word lines from the left, each output's bit line is held at zero volt at its bottom, and
    every cell-to-cell segment (also driver to first cell, last cell to sense) has the resistance r. Positive and
    negative weights sit in two arrays of conductances G = g_max |w| / max whose currents are subtracted. The network
    is linear, so an array reads y_j = sum_i x_i T_ij, with T = G if r = 0.

    First order. With the currents G_ij x_i of ideal wires, cell (i, j) of n inputs and m outputs (from 1) lies below
    its driver by r x_i A_ij, A_ij = sum_k min(j, k) G_ik: segment s carries what all cells from s on draw.
    Bit line j at row i lies above zero by r sum_k min(n+1-i, n+1-k) G_kj x_k. The output's loss by the latter is
    r sum_i G_ij sum_k min(..) G_kj x_k; exchanging i and k puts all of it on input k as r x_k G_kj B_kj with
    B_kj = sum_i min(n+1-i, n+1-k) G_ij. Hence T = G (1 - r (A + B)) + O(r^2): the correction depends on the weights
    alone, so reads cost nothing, and a change of weights costs four running sums per array.

    Beyond. 1 - r (A + B) goes negative for long wires. The form used is

        T = G / (1 + r (A + B)),

    equal to first order, exact for a single cell, in (0, G] for any r, and near the truth for one uniform line, where
    1 / (1 + z / 2) stands for sech sqrt z = 1 - z/2 + 5 z^2/24 - ..., z = r g n^2: its z^2 / 4 nearly is 5/24.
    Left out: currents that sneak from one column into another through a word line, of second order.

    Error against the exact solve (:mod:`.ir_drop_exact`) at 25 uS, relative, 128 x 128, for random inputs and for the
    worst input of each output (ignoring the drop, in brackets); the tests hold bounds near these numbers:

    | cells | 1 ohm, random | 1 ohm, worst | 5 ohm, random | 5 ohm, worst |
    |---|---|---|---|---|
    | uniform in +-max | 0.15 % (8 %) | 0.2 % (9 %) | 2.6 % (39 %) | 3.9 % (52 %) |
    | all at max | 0.4 % (28 %) | 0.5 % (35 %) | 5.0 % (124 %) | 5.8 % (181 %) |

    Source: the network of Chen, IEEE Trans. Electron Devices 60, 1318 (2013); the expansion is derived here.
    """

    def __init__(self, card: IrDrop, largest_weight: float) -> None:
        self.strength = card.wire_resistance_ohm * card.g_max_us * 1e-6 / largest_weight

    def weights(self, weight: Float[Tensor, "outputs inputs"]) -> Float[Tensor, "outputs inputs"]:
        """Return the weights T that reads multiply with, in the units of ``weight``."""
        pair = torch.stack((weight.clamp(min=0), weight.neg().clamp_(min=0)))
        path = word_line_drop(pair).add_(bit_line_drop(pair)).mul_(self.strength).add_(1)
        return weight / torch.where(weight > 0, path[0], path[1])


def bit_line_drop(g: Float[Tensor, "arrays outputs inputs"]) -> Float[Tensor, "arrays outputs inputs"]:
    """sum_k min(n+1-i, n+1-k) g_jk over inputs i, k = 1 .. n: what each segment carries, summed up to the sense."""
    carried = g.cumsum(-1)
    sums = carried.cumsum(-1)
    return sums.neg_().add_(carried).add_(carried.sum(-1, keepdim=True))


def word_line_drop(g: Float[Tensor, "arrays outputs inputs"]) -> Float[Tensor, "arrays outputs inputs"]:
    """sum_k min(j, k) g_ki over outputs j, k = 1 .. m.

    Running sums down the columns of a matrix are slow, so outputs are cut into blocks, from which small products give
    the cells of an output's own block, and two numbers a block those of the blocks before and behind.
    """
    arrays, outputs, inputs = g.shape
    blocks = F.pad(g, (0, 0, 0, -outputs % BLOCK)).view(arrays, -1, BLOCK, inputs)
    place = torch.arange(1, BLOCK + 1, device=g.device, dtype=g.dtype)
    start = torch.arange(0, blocks.shape[1] * BLOCK, BLOCK, device=g.device, dtype=g.dtype)[:, None]
    total, moment = torch.matmul(torch.stack((torch.ones_like(place), place)), blocks).unbind(2)
    moment = moment + start * total
    behind = total.sum(1, keepdim=True) - total.cumsum(1)
    offset = moment.cumsum(1) - moment + start * (total + behind)
    drop = torch.matmul(torch.minimum(place[:, None], place), blocks)
    drop.add_(offset[:, :, None]).addcmul_(place[:, None], behind[:, :, None])
    return drop.view(arrays, -1, inputs)[:, :outputs]
