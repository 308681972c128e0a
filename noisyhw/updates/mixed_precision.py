"""mixed_precision: outer products are summed in digital memory; whole pulses are sent when due."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..tiles.base import Tile
from .base import RunningGradient, UpdatePath


class MixedPrecision(UpdatePath):
    """chi <- chi - lr mean_b d_b x_b^T; where |chi| reaches k steps, k pulses are sent and k steps taken off chi.

    With momentum, chi adds up the running mean of the gradients: pulses up and down that cancel, each with the device's
    write noise, are then fewer. On a tile without a step this is sgd.

    Source: Nandakumar et al., Front. Neurosci. 14:406 (2020).
    """

    def __init__(self, tile: Tile, learning_rate: float, momentum: float = 0.0) -> None:
        super().__init__(tile, learning_rate)
        self.chi = torch.zeros_like(tile.twin())
        self.gradient = RunningGradient(momentum)

    def apply(self, x: Tensor, d: Tensor) -> None:
        """Add up, and send what is due."""
        change = self.gradient.after(x, d).mul_(-self.learning_rate)
        if self.tile.step is None:
            self.tile.write(change)
            return
        counts = torch.trunc(self.chi.add_(change).div(self.tile.step))
        self.chi.sub_(counts, alpha=self.tile.step)
        self.tile.pulse(counts)

    def state(self) -> dict[str, Any]:
        """Return the digital memory."""
        return {"chi": self.chi} | self.gradient.state()

    def load(self, state: dict[str, Any]) -> None:
        """Take up the digital memory."""
        self.chi.copy_(state["chi"])
        self.gradient.load(state)
