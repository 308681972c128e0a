"""adam: digital moments, and the device is programmed with the change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..cards.updates import AdamOptions
from ..tiles.base import Tile
from .base import DigitalPath, UpdatePath
from .sgd import Sgd


class Adam(DigitalPath):
    """Adam on mean_b d_b x_b^T (Kingma & Ba, 2015); the step that it takes is asked of the tile."""

    name = "adam"
    title = "digital moments, and the device is programmed with Adam's step"
    options = AdamOptions
    family = "adam"
    instead: ClassVar[Mapping[str, str]] = {"momentum": "set beta1"}

    def __init__(self, tile: Tile, learning_rate: float, options: AdamOptions = AdamOptions()) -> None:
        super().__init__(tile, learning_rate)
        self.change = torch.zeros_like(tile.twin())
        betas = options.beta1, options.beta2
        self.optimizer = torch.optim.Adam(
            [self.change], lr=learning_rate, betas=betas, eps=options.epsilon, fused=True
        )

    def _take(self, gradient: Tensor) -> None:
        """Let torch's Adam move a parameter from zero, and ask the tile for that move."""
        self.change.zero_()
        self.change.grad = gradient
        self.optimizer.step()
        self.change.grad = None
        self.tile.write(self.change)

    @classmethod
    def kept(cls, options: AdamOptions) -> tuple[str, ...]:
        """Return the two moments (see :class:`UpdatePath`)."""
        return ("the gradients' running mean", "that of their squares")

    @classmethod
    def for_decorrelation(cls, tile: Tile, rate: float, options: AdamOptions) -> UpdatePath:
        """R takes plain steps: Adam's would not vanish with the correlations (see :class:`UpdatePath`)."""
        return Sgd(tile, rate)

    @classmethod
    def bias_optimizer(cls, biases: list[Tensor], rate: float, options: AdamOptions) -> torch.optim.Optimizer:
        """Biases take Adam's steps too (see :class:`UpdatePath`)."""
        betas = options.beta1, options.beta2
        return torch.optim.Adam(biases, lr=rate, betas=betas, eps=options.epsilon)

    def state(self) -> dict[str, Any]:
        """Return the moments and the step count."""
        return self.optimizer.state_dict()

    def load(self, state: dict[str, Any]) -> None:
        """Take up the moments and the step count."""
        self.optimizer.load_state_dict(state)
