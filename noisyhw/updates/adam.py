"""adam: digital moments, and the device is programmed with the change."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..tiles.base import Tile
from .base import UpdatePath, mean_outer


class Adam(UpdatePath):
    """Adam on mean_b d_b x_b^T (Kingma & Ba, 2015); the step that it takes is asked of the tile."""

    def __init__(self, tile: Tile, learning_rate: float, betas: tuple[float, float], epsilon: float) -> None:
        super().__init__(tile, learning_rate)
        self.change = torch.zeros_like(tile.twin())
        self.optimizer = torch.optim.Adam(
            [self.change], lr=learning_rate, betas=betas, eps=epsilon, fused=True
        )

    def apply(self, x: Tensor, d: Tensor) -> None:
        """Let torch's Adam move a parameter from zero, and ask the tile for that move."""
        self.change.zero_()
        self.change.grad = mean_outer(x, d)
        self.optimizer.step()
        self.change.grad = None
        self.tile.write(self.change)

    def state(self) -> dict[str, Any]:
        """Return the moments and the step count."""
        return self.optimizer.state_dict()

    def load(self, state: dict[str, Any]) -> None:
        """Take up the moments and the step count."""
        self.optimizer.load_state_dict(state)
