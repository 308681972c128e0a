"""sgd: the gradient is formed digitally and the device is programmed with the change."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..cards.updates import MomentumOptions
from ..tiles.base import Tile
from .base import DigitalPath, RunningGradient


class Sgd(DigitalPath):
    """dW = -lr mean_b d_b x_b^T, or its running mean if there is momentum."""

    name = "sgd"
    title = "the gradient is formed digitally, and the device programmed with the change"
    options = MomentumOptions
    family = "sgd"

    def __init__(
        self, tile: Tile, learning_rate: float, options: MomentumOptions = MomentumOptions()
    ) -> None:
        super().__init__(tile, learning_rate)
        self.gradient = RunningGradient(options.momentum)

    def _take(self, gradient: Tensor) -> None:
        """Ask the tile for the whole change at once."""
        self.tile.write(self.gradient.after(gradient).mul_(-self.learning_rate))

    @classmethod
    def kept(cls, options: MomentumOptions) -> tuple[str, ...]:
        """Return the running mean of the gradients, if there is one (see :class:`UpdatePath`)."""
        return RunningGradient.kept(options)

    @classmethod
    def for_decorrelation(cls, tile: Tile, rate: float, options: MomentumOptions) -> Sgd:
        """R learns without momentum (see :class:`UpdatePath`)."""
        return cls(tile, rate)

    def state(self) -> dict[str, Any]:
        """Return the running mean of the gradients, if there is one."""
        return self.gradient.state()

    def load(self, state: dict[str, Any]) -> None:
        """Take up the running mean of the gradients."""
        self.gradient.load(state)
