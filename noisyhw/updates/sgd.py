"""sgd: the gradient is formed digitally and the device is programmed with the change."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..tiles.base import Tile
from .base import RunningGradient, UpdatePath


class Sgd(UpdatePath):
    """dW = -lr mean_b d_b x_b^T, or its running mean if there is momentum."""

    def __init__(self, tile: Tile, learning_rate: float, momentum: float = 0.0) -> None:
        super().__init__(tile, learning_rate)
        self.gradient = RunningGradient(momentum)

    def apply(self, x: Tensor, d: Tensor) -> None:
        """Ask the tile for the whole change at once."""
        self.tile.write(self.gradient.after(x, d).mul_(-self.learning_rate))

    def state(self) -> dict[str, Any]:
        """Return the running mean of the gradients, if there is one."""
        return self.gradient.state()

    def load(self, state: dict[str, Any]) -> None:
        """Take up the running mean of the gradients."""
        self.gradient.load(state)
