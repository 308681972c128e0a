"""tiki_taka: outer products are pulsed into a fast array, whose read-out is pulsed into the slow one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..cards.updates import KINDS, Transfer, TransferOptions
from ..errors import UsageError
from ..tiles.base import Tile
from .base import UpdatePath

if TYPE_CHECKING:
    from ..device import Device


class TikiTaka(UpdatePath):
    """A gets the outer products; now and then columns of A are read and pulsed into C, which the network reads.

    A <- A - lr mean_b d_b x_b^T, by pulses; every ``transfer.every`` updates, for the next ``transfer.columns`` columns
    j in turn, C e_j <- C e_j + rate (A e_j - S e_j), by pulses. A and C are tiles of the same device. A's read-out has
    that device's converters and read noise. S is zero, or with ``transfer.zero_shift`` what was measured of A's
    symmetry points. Of the learning signal nothing is kept digitally. The network's weights are C's alone (gamma = 0).

    Source: Gokmen & Haensch, Front. Neurosci. 14:103 (2020); zero shifting after Kim et al., arXiv:1907.10228 (2019).
    """

    name = "tiki_taka"
    title = "outer products are pulsed into a fast array, and its read-outs into the slow one"
    options = TransferOptions
    family = "transfer"
    formed_by_device = True
    arrays: ClassVar[tuple[str, ...]] = ("the fast array",)
    transfers: ClassVar[frozenset[str]] = frozenset()
    """Fields of :class:`Transfer` that this path has, of those that not all have."""

    def __init__(
        self, tile: Tile, learning_rate: float, options: TransferOptions = TransferOptions()
    ) -> None:
        super().__init__(tile, learning_rate)
        self.transfer = transfer = self.filled_transfer(options.transfer or Transfer())
        self.fast = tile.sibling("fast")
        self.columns = min(transfer.columns or tile.inputs, tile.inputs)
        self.updates = 0
        self.next_column = 0
        self.one_hot = torch.eye(tile.inputs, device=self.fast.twin().device)
        self.shift = measured_symmetry(self.fast, self.one_hot, transfer.zero_shift)

    @classmethod
    def filled_transfer(cls, transfer: Transfer) -> Transfer:
        """Return a transfer with the defaults of what only this path asks for."""
        return transfer

    @classmethod
    def filled(cls, options: TransferOptions) -> TransferOptions:
        """Return the options with a transfer, filled (see :class:`UpdatePath`)."""
        filled = cls.filled_transfer(options.transfer or Transfer())
        return options.model_copy(update={"transfer": filled})

    @classmethod
    def check(cls, options: TransferOptions, device: Device) -> None:
        """Refuse what other paths' transfers have (see :class:`UpdatePath`)."""
        given = options.transfer or Transfer()
        for field, users in transfer_users().items():
            if getattr(given, field) not in (None, False) and field not in cls.transfers:
                raise UsageError(
                    f"update.transfer.{field}: path '{cls.name}' has no such thing; leave it out, or use "
                    + ", ".join(users)
                )

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """The slow array and the fast one."""
        return self.tile, self.fast

    def apply(self, x: Tensor, d: Tensor) -> None:
        """Pulse the fast array and, if a transfer is due, read it and pulse the slow one."""
        self._gather(x, d)
        self.updates += 1
        if self.updates % self.transfer.every == 0:
            self._transfer(self._due())

    def _gather(self, x: Tensor, d: Tensor) -> None:
        """Pulse the outer products into the fast array."""
        self.fast.update(x, d, self.learning_rate)

    def _due(self) -> Tensor:
        """Numbers of the columns whose turn it is."""
        first = torch.arange(self.next_column, self.next_column + self.columns, device=self.one_hot.device)
        self.next_column = (self.next_column + self.columns) % self.tile.inputs
        return first % self.tile.inputs

    def _read(self, due: Tensor) -> Float[Tensor, "columns outputs"]:
        """The fast array's columns as its periphery gives them out, less the shift."""
        values = self.fast.forward(self.one_hot[due][None])[0]
        return values if self.shift is None else values - self.shift[due]

    def _transfer(self, due: Tensor) -> None:
        """Pulse the read-outs into the slow array: outer products with one-hot inputs, summed."""
        self.tile.update(self.one_hot[due], self._read(due).neg(), self.transfer.rate * len(due))

    def state(self) -> dict[str, Any]:
        """Return the fast array, and whose turn it is."""
        return {
            "fast": self.fast.state(),
            "updates": self.updates,
            "next_column": self.next_column,
            "shift": self.shift,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take up the fast array, and whose turn it is."""
        self.fast.load(state["fast"])
        self.updates, self.next_column = state["updates"], state["next_column"]
        self.shift = None if state["shift"] is None else state["shift"].clone()


class TikiTakaV2(TikiTaka):
    """The read-outs are summed in a digital matrix H; where |H| reaches a step, a pulse is sent and taken off H.

    H e_j <- H e_j + rate (A e_j - S e_j), and C gets trunc(H / step) pulses. H averages A's read noise away before C is
    pulsed, and is the one digital memory; the learning signal itself is summed in the analog A. On a tile without a
    step, whatever is in H is written at once. With ``transfer.forget_buffer``, H is zero after a pulse, and what it
    held beyond that is lost (the default of aihwkit 1.2.0).

    Source: Gokmen, Front. Artif. Intell. 4:699148 (2021).

    Raises:
        UsageError: a forgetful H on a tile without a step, where nothing is ever left in it.
    """

    name = "tiki_taka_v2"
    title = "Tiki-Taka whose read-outs are summed digitally; whole pulses are sent when due"
    transfers: ClassVar[frozenset[str]] = frozenset({"forget_buffer"})

    def __init__(
        self, tile: Tile, learning_rate: float, options: TransferOptions = TransferOptions()
    ) -> None:
        super().__init__(tile, learning_rate, options)
        if self.transfer.forget_buffer and tile.step is None:
            raise UsageError(
                "update.transfer.forget_buffer: this device has no pulses to forget after; leave it out"
            )
        self.hidden = torch.zeros_like(tile.twin())

    @classmethod
    def kept(cls, options: TransferOptions) -> tuple[str, ...]:
        """Return what H holds (see :class:`UpdatePath`)."""
        return ("read-outs of the fast array",)

    def _transfer(self, due: Tensor) -> None:
        """Add the read-outs to H, and send the pulses that are due."""
        self.hidden[:, due] += self._read(due).t().mul(self.transfer.rate)
        step = self.tile.step
        if step is None:
            self.tile.write(self.hidden)
            self.hidden.zero_()
            return
        counts = torch.trunc(self.hidden / step)
        self.hidden.sub_(counts, alpha=step)
        if self.transfer.forget_buffer:
            self.hidden.mul_(counts == 0)
        self.tile.pulse(counts)

    def state(self) -> dict[str, Any]:
        """Return fast array, turn and H."""
        return super().state() | {"hidden": self.hidden}

    def load(self, state: dict[str, Any]) -> None:
        """Take up fast array, turn and H."""
        super().load(state)
        self.hidden.copy_(state["hidden"])


def transfer_users() -> dict[str, list[str]]:
    """Return the names of the paths that have a transfer's field, for fields that not all have."""
    users: dict[str, list[str]] = {}
    for field in Transfer.model_fields:
        own = [name for name, kind in KINDS.items() if field in getattr(kind, "transfers", ())]
        if own:
            users[field] = own
    return users


def measured_symmetry(fast: Tile, one_hot: Tensor, pairs: int | None) -> Tensor | None:
    """Where each cell settles under pulses up and down in turn, [inputs, outputs], as reads show it; None: not asked.

    The first half of the pairs lets the cells settle; after each pair of the second half the array is read, and the
    reads are averaged, so that little of read noise, write noise and the cells' random walk stays in the result.

    Args:
        fast: the array; it is left where it settled.
        one_hot: reads it out.
        pairs: of pulses. Cells settle within some max / step pulses (soft bounds).

    Raises:
        UsageError: the array does not move by pulses.
    """
    if pairs is None:
        return None
    if fast.step is None:
        raise UsageError(
            "update.transfer.zero_shift: this device has no pulses to measure with; leave it empty"
        )
    up = torch.ones_like(fast.twin())
    total = torch.zeros(one_hot.shape[0], fast.outputs, device=one_hot.device)
    reads = pairs - pairs // 2
    for pair in range(pairs):
        fast.pulse(up)
        fast.pulse(-up)
        if pair >= pairs // 2:
            total += fast.forward(one_hot[None])[0]
    return total / reads
