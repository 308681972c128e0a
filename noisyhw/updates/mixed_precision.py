"""mixed_precision: outer products are summed in digital memory; whole pulses are sent when due."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..cards.updates import MomentumOptions
from ..tiles.base import Tile
from .base import DigitalPath, RunningGradient


class MixedPrecision(DigitalPath):
    """chi <- chi - lr mean_b d_b x_b^T; where |chi| reaches k steps, k pulses are sent and k steps taken off chi.

    With momentum, chi adds up the running mean of the gradients: pulses up and down that cancel, each with the device's
    write noise, are then fewer. On a tile without a step this is sgd.

    Source: Nandakumar et al., Front. Neurosci. 14:406 (2020).
    """

    name = "mixed_precision"
    title = "outer products are summed digitally; whole pulses are sent when due"
    options = MomentumOptions

    def __init__(
        self, tile: Tile, learning_rate: float, options: MomentumOptions = MomentumOptions()
    ) -> None:
        super().__init__(tile, learning_rate)
        self.chi = torch.zeros_like(tile.twin())
        self.gradient = RunningGradient(options.momentum)

    def _take(self, gradient: Tensor) -> None:
        """Add up, and send what is due."""
        change = self.gradient.after(gradient).mul_(-self.learning_rate)
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

    @classmethod
    def kept(cls, options: MomentumOptions) -> tuple[str, ...]:
        """Return the sum, and the running mean of the gradients if there is one (see :class:`UpdatePath`)."""
        return ("the gradients' sum", *RunningGradient.kept(options))

    @classmethod
    def for_decorrelation(cls, tile: Tile, rate: float, options: MomentumOptions) -> MixedPrecision:
        """R learns without momentum (see :class:`UpdatePath`)."""
        return cls(tile, rate)
