"""sgd: the gradient is formed digitally and the device is programmed with the change."""

from __future__ import annotations

from torch import Tensor

from .base import UpdatePath, mean_outer


class Sgd(UpdatePath):
    """dW = -lr mean_b d_b x_b^T."""

    def apply(self, x: Tensor, d: Tensor) -> None:
        """Ask the tile for the whole change at once."""
        self.tile.write(mean_outer(x, d).mul_(-self.learning_rate))
