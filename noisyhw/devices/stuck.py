"""Stuck and dead cells."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..cards.read_effects import Stuck
from ..streams import stream
from .cells import Bounds


class StuckCells:
    """Cells that read one weight for ever: their own lowest or highest one, or 0. Drawn once per device.

    Writes to such a cell go nowhere: what it was asked to hold is never seen.
    """

    def __init__(
        self, card: Stuck, bounds: Bounds, shape: tuple[int, int], seed: int, name: str, device: torch.device
    ) -> None:
        draw = torch.rand(shape, generator=stream(seed, name, "stuck", device=device), device=device)
        low, high = card.share_at_min, card.share_at_min + card.share_at_max
        self.stuck = draw < high + card.share_at_zero
        self.values = torch.zeros(shape, device=device)
        for cells, bound in ((draw < low, bounds.low), ((draw >= low) & (draw < high), bounds.high)):
            if bound is not None:
                self.values = torch.where(cells, bound, self.values)

    def hold(self, weight: Float[Tensor, "outputs inputs"]) -> Float[Tensor, "outputs inputs"]:
        """Return what the cells read when the free ones hold ``weight``."""
        return torch.where(self.stuck, self.values, weight)
