"""c_ttv2 and agad: Tiki-Taka whose fast array gets outer products with signs that flip now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..cards.updates import Transfer, TransferOptions
from ..errors import UsageError
from ..tiles.base import Tile
from .read_outs import ReadOuts
from .tiki_taka import TikiTakaV2

if TYPE_CHECKING:
    from ..device import Device

CHOP_PROBABILITY, CHOP_EVERY, TAIL_WEIGHT = 0.1, 10, 5.0
"""Defaults of c-TTv2 and AGAD, those of aihwkit; the last over a period is the running mean's rate."""


class ChoppedTikiTakaV2(TikiTakaV2):
    """c-TTv2: every column j has a chopper c_j = +-1, a sign on what is pulsed in and on what is read out.

    A <- A - lr mean_b d_b (c * x_b)^T and H e_j <- H e_j + rate c_j A e_j; after a read-out, c_j flips with
    ``transfer.chop_probability``, or after every ``transfer.chop_every``-th one. What the device adds to A by itself,
    such as the pull to a symmetry point off zero, does not change sign with c, so it comes out of H with both signs and
    averages away.

    Source: Rasch, Carta, Fagbohungbe & Gokmen, Nat. Commun. 15, 7133 (2024); choppers of the inputs only, as there. By
    chance is the default of aihwkit 1.2.0's ChoppedTransferCompound.
    """

    name = "c_ttv2"
    title = "Tiki-Taka, version 2, with signs that flip on what goes into the fast array and what comes out"
    transfers: ClassVar[frozenset[str]] = TikiTakaV2.transfers | {"chop_probability", "chop_every"}
    chops_by_chance: ClassVar[bool] = True
    """Whether choppers flip at random unless the card says otherwise."""

    def __init__(
        self, tile: Tile, learning_rate: float, options: TransferOptions = TransferOptions()
    ) -> None:
        super().__init__(tile, learning_rate, options)
        self.generator = tile.stream("chop")
        self.chopper = torch.ones(tile.inputs, device=self.generator.device)
        self.since_flip = torch.zeros(tile.inputs, dtype=torch.int64, device=self.generator.device)

    @classmethod
    def filled_transfer(cls, transfer: Transfer) -> Transfer:
        """Return a transfer that says when choppers flip (see :class:`.TikiTaka`)."""
        if transfer.chop_probability is not None or transfer.chop_every is not None:
            return transfer
        default = (
            {"chop_probability": CHOP_PROBABILITY} if cls.chops_by_chance else {"chop_every": CHOP_EVERY}
        )
        return transfer.model_copy(update=default)

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

    name = "agad"
    title = "Tiki-Taka with flipping signs, against a reference from the read-outs before the last flip"
    transfers: ClassVar[frozenset[str]] = ChoppedTikiTakaV2.transfers | {
        "reference",
        "reference_rate",
        "significance",
    }
    chops_by_chance = False

    def __init__(
        self, tile: Tile, learning_rate: float, options: TransferOptions = TransferOptions()
    ) -> None:
        super().__init__(tile, learning_rate, options)
        like = torch.zeros(tile.inputs, tile.outputs, device=self.generator.device)
        self.found = ReadOuts(like, self.transfer.reference_rate)
        self.reference, self.reference_error = torch.zeros_like(like), torch.zeros_like(like)
        self.known = torch.zeros(tile.inputs, device=self.generator.device)

    @classmethod
    def filled_transfer(cls, transfer: Transfer) -> Transfer:
        """Return a transfer that says what the reference is, too (see :class:`.TikiTaka`)."""
        transfer = super().filled_transfer(transfer)
        if transfer.reference == "period":
            return transfer
        often = transfer.chop_probability if transfer.chop_every is None else 1 / transfer.chop_every
        rate = (
            min(TAIL_WEIGHT * (often or 0.0), 1.0)
            if transfer.reference_rate is None
            else transfer.reference_rate
        )
        return transfer.model_copy(update={"reference": "recent", "reference_rate": rate})

    @classmethod
    def check(cls, options: TransferOptions, device: Device) -> None:
        """Refuse a reference that is measured before, never renewed, or of one read-out (see :class:`UpdatePath`)."""
        super().check(options, device)
        given = options.transfer or Transfer()
        if given.zero_shift is not None:
            raise UsageError(
                "update.transfer.zero_shift: agad finds its reference while it trains; leave it out, or use c_ttv2"
            )
        if given.chop_probability == 0:
            raise UsageError(
                "update.transfer.chop_probability: agad learns from flips; give a chance above 0, or use tiki_taka_v2"
            )
        _check_significance(given.significance, cls.filled_transfer(given))

    @classmethod
    def kept(cls, options: TransferOptions) -> tuple[str, ...]:
        """Return sum, mean and reference, and their errors where these are asked for (see :class:`UpdatePath`)."""
        tested = options.transfer is not None and options.transfer.significance
        errors = ("the read-outs' variance", "their mean's error", "the reference's error") if tested else ()
        return (*super().kept(options), "their running mean", "the reference", *errors)

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


def _check_significance(significance: float | None, filled: Transfer) -> None:
    always = filled.chop_every == 1 or filled.chop_probability == 1
    single = always if filled.reference == "period" else filled.reference_rate == 1
    if significance is not None and single:
        raise UsageError(
            "update.transfer.significance: a mean of one read-out has no standard error; "
            + ("flip less often" if filled.reference == "period" else "give a reference_rate below 1")
        )
