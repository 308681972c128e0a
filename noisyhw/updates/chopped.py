"""c_ttv2 and agad: Tiki-Taka whose fast array gets outer products with signs that flip now and then."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..cards.experiment import Transfer
from ..tiles.base import Tile
from .tiki_taka import TikiTakaV2


class ChoppedTikiTakaV2(TikiTakaV2):
    """c-TTv2: every column j has a chopper c_j = +-1, a sign on what is pulsed in and on what is read out.

    A <- A - lr mean_b d_b (c * x_b)^T and H e_j <- H e_j + rate c_j A e_j; after a read-out, c_j flips with
    ``transfer.chop_probability``. What the device adds to A by itself, such as the pull to a symmetry point off zero,
    does not change sign with c, so it comes out of H with both signs and averages away.

    Source: Rasch, Carta, Fagbohungbe & Gokmen, Nat. Commun. 15, 7133 (2024); choppers of the inputs only, as there.
    """

    def __init__(self, tile: Tile, learning_rate: float, transfer: Transfer) -> None:
        super().__init__(tile, learning_rate, transfer)
        assert transfer.chop_probability is not None
        self.chop_probability = transfer.chop_probability
        self.generator = tile.stream("chop")
        self.chopper = torch.ones(tile.inputs, device=self.generator.device)

    def _gather(self, x: Tensor, d: Tensor) -> None:
        """Pulse the fast array with chopped inputs."""
        super()._gather(x * self.chopper, d)

    def _read(self, due: Tensor) -> Float[Tensor, "columns outputs"]:
        """Read the fast array's columns with their signs set right; then flip some choppers."""
        values = super()._read(due) * self.chopper[due, None]
        self._flip(due)
        return values

    def _flip(self, due: Tensor) -> Tensor:
        """Flip choppers of the columns that were read; return the columns that flipped."""
        draws = torch.rand(len(due), generator=self.generator, device=self.generator.device)
        flipped = due[draws < self.chop_probability]
        self.chopper[flipped] *= -1
        return flipped

    def state(self) -> dict[str, Any]:
        """Return what version 2 keeps, the choppers and their stream."""
        return super().state() | {"chopper": self.chopper, "generator": self.generator.get_state()}

    def load(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state` returned."""
        super().load(state)
        self.chopper.copy_(state["chopper"])
        self.generator.set_state(state["generator"].cpu())


class Agad(ChoppedTikiTakaV2):
    """AGAD: choppers, and a reference that is taken from the read-outs before a chopper's last flip.

    H e_j <- H e_j + rate c_j (A e_j - Q e_j) and P e_j <- (1 - beta) P e_j + beta A e_j with beta =
    ``transfer.reference_rate``; when c_j flips, Q e_j <- P e_j. Whatever offset A has is in both terms and cancels at
    once, not only on average; a signal s that stays is in them with opposite signs, so H gets up to 2 s. H, P and Q
    are digital, one number a cell each.

    Source: Rasch, Carta, Fagbohungbe & Gokmen, Nat. Commun. 15, 7133 (2024), dynamic reference.
    """

    def __init__(self, tile: Tile, learning_rate: float, transfer: Transfer) -> None:
        super().__init__(tile, learning_rate, transfer)
        assert transfer.reference_rate is not None
        self.reference_rate = transfer.reference_rate
        self.recent = torch.zeros(tile.inputs, tile.outputs, device=self.generator.device)
        self.reference = torch.zeros_like(self.recent)

    def _read(self, due: Tensor) -> Float[Tensor, "columns outputs"]:
        """Read the columns against their reference; where a chopper flips, the recent mean becomes the reference."""
        values = self.fast.forward(self.one_hot[due][None])[0]
        gained = (values - self.reference[due]) * self.chopper[due, None]
        self.recent[due] = torch.lerp(self.recent[due], values, self.reference_rate)
        flipped = self._flip(due)
        self.reference[flipped] = self.recent[flipped]
        return gained

    def state(self) -> dict[str, Any]:
        """Return what c-TTv2 keeps, the recent mean and the reference."""
        return super().state() | {"recent": self.recent, "reference": self.reference}

    def load(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state` returned."""
        super().load(state)
        self.recent.copy_(state["recent"])
        self.reference.copy_(state["reference"])
