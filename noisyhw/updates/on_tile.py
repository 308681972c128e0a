"""on_tile: outer products go to the device itself; no digital memory."""

from __future__ import annotations

from torch import Tensor

from .base import UpdatePath


class OnTile(UpdatePath):
    """The device carries out every sample's outer product by its own means (pulses, where the card has them)."""

    name = "on_tile"
    title = "outer products go to the device itself, by pulses where it has them"
    formed_by_device = True

    def apply(self, x: Tensor, d: Tensor) -> None:
        """Hand both factors to the tile."""
        self.tile.update(x, d, self.learning_rate)
