"""c_ttv2 and agad: Tiki-Taka whose fast array gets outer products with signs that flip now and then."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..cards.experiment import Transfer
from ..tiles.base import Tile
from .read_outs import ReadOuts
from .tiki_taka import TikiTakaV2


class ChoppedTikiTakaV2(TikiTakaV2):
    """c-TTv2: every column j has a chopper c_j = +-1, a sign on what is pulsed in and on what is read out.

    A <- A - lr mean_b d_b (c * x_b)^T and H e_j <- H e_j + rate c_j A e_j; after a read-out, c_j flips with
    ``transfer.chop_probability``, or after every ``transfer.chop_every``-th one. What the device adds to A by itself,
    such as the pull to a symmetry point off zero, does not change sign with c, so it comes out of H with both signs and
    averages away.

    Source: Rasch, Carta, Fagbohungbe & Gokmen, Nat. Commun. 15, 7133 (2024); choppers of the inputs only, as there. By
    chance is the default of aihwkit 1.2.0's ChoppedTransferCompound.
    """

    def __init__(self, tile: Tile, learning_rate: float, transfer: Transfer) -> None:
        super().__init__(tile, learning_rate, transfer)
        self.generator = tile.stream("chop")
        self.chopper = torch.ones(tile.inputs, device=self.generator.device)
        self.since_flip = torch.zeros(tile.inputs, dtype=torch.int64, device=self.generator.device)

    def _gather(self, x: Tensor, d: Tensor) -> None:
        """Pulse the fast array with chopped inputs."""
        super()._gather(x * self.chopper, d)

    def _read(self, due: Tensor) -> Float[Tensor, "columns outputs"]:
        """Read the fast array's columns with their signs set right; then flip some choppers."""
        values = super()._read(due) * self.chopper[due, None]
        self._flip(due)
        return values

    def _flip(self, due: Tensor) -> Tensor:
        """Count a read-out of these columns and flip the choppers that are due; return the columns that flipped."""
        self.since_flip[due] += 1
        flipped = due[self._flips(due)]
        self.chopper[flipped] *= -1
        self.since_flip[flipped] = 0
        return flipped

    def _flips(self, due: Tensor) -> Tensor:
        """Which of these columns' choppers flip: all that were read often enough, or each by chance."""
        if self.transfer.chop_every is not None:
            return self.since_flip[due] >= self.transfer.chop_every
        assert self.transfer.chop_probability is not None
        draws = torch.rand(len(due), generator=self.generator, device=self.generator.device)
        return draws < self.transfer.chop_probability

    def state(self) -> dict[str, Any]:
        """Return what version 2 keeps, the choppers, their columns' read-outs since a flip, and their stream."""
        own = {
            "chopper": self.chopper,
            "since_flip": self.since_flip,
            "generator": self.generator.get_state(),
        }
        return super().state() | own

    def load(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state` returned."""
        super().load(state)
        self.chopper.copy_(state["chopper"])
        self.since_flip.copy_(state["since_flip"])
        self.generator.set_state(state["generator"].cpu())


class Agad(ChoppedTikiTakaV2):
    """AGAD: choppers, and a reference that is taken from the read-outs before a chopper's last flip.

    H e_j <- H e_j + rate c_j (A e_j - Q e_j); a mean P e_j of the read-outs is kept (:class:`.ReadOuts`), and when c_j
    flips, Q e_j <- P e_j. Whatever offset A has is in both terms and cancels at once, not only on average; a signal s
    that stays is in them with opposite signs, so H gets up to 2 s. Until a column's first flip there is no Q, and H
    gets nothing. H, P and Q are digital, one number a cell each.

    With ``transfer.significance`` t, H gets nothing either while |P - Q| is within t standard errors; what these need
    are two more numbers a cell.

    Source: Rasch, Carta, Fagbohungbe & Gokmen, Nat. Commun. 15, 7133 (2024), dynamic reference. Regular flips, and
    the running mean with weight 5 over a period's read-outs, are the defaults of aihwkit 1.2.0's
    DynamicTransferCompound. The test of significance is in its documentation, not in its code, so it is off unless
    asked for.
    """

    def __init__(self, tile: Tile, learning_rate: float, transfer: Transfer) -> None:
        super().__init__(tile, learning_rate, transfer)
        like = torch.zeros(tile.inputs, tile.outputs, device=self.generator.device)
        self.found = ReadOuts(like, transfer.reference_rate)
        self.reference, self.reference_error = torch.zeros_like(like), torch.zeros_like(like)
        self.known = torch.zeros(tile.inputs, device=self.generator.device)

    def _read(self, due: Tensor) -> Float[Tensor, "columns outputs"]:
        """Read the columns against their reference; where a chopper flips, the mean becomes the reference."""
        values = self.fast.forward(self.one_hot[due][None])[0]
        gained = (values - self.reference[due]) * (self.chopper * self.known)[due, None]
        self.found.take(due, values, self.since_flip[due] + 1)
        if self.transfer.significance is not None:
            gained *= self._significant(due, self.transfer.significance)
        self._refer(self._flip(due))
        return gained

    def _significant(self, due: Tensor, least: float) -> Tensor:
        """Whether cells' means are ``least`` standard errors or more from their references."""
        squared_error = self.found.squared_error[due] + self.reference_error[due]
        return (self.found.mean[due] - self.reference[due]).square() >= least**2 * squared_error

    def _refer(self, flipped: Tensor) -> None:
        """Take these columns' means for their references."""
        self.reference[flipped] = self.found.mean[flipped]
        self.reference_error[flipped] = self.found.squared_error[flipped]
        self.known[flipped] = 1.0

    def state(self) -> dict[str, Any]:
        """Return what c-TTv2 keeps, the means and the references, and their errors where these are asked for."""
        kept = {"mean": self.found.mean, "reference": self.reference, "known": self.known}
        if self.transfer.significance is not None:
            kept |= self.found.errors() | {"reference_error": self.reference_error}
        return super().state() | kept

    def load(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state` returned."""
        super().load(state)
        for name in ("reference", "known"):
            getattr(self, name).copy_(state[name])
        self.found.mean.copy_(state["mean"])
        if self.transfer.significance is not None:
            self.found.load_errors(state)
            self.reference_error.copy_(state["reference_error"])
