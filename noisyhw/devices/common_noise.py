"""Noise that all output nodes of a tile share."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..cards.read_effects import CommonNoise
from ..streams import stream


class Common:
    """One Gaussian number a read, added to every output node: supply and reference noise.

    With independent noise of std s on each node, any two nodes correlate as std^2 / (std^2 + s^2).
    """

    def __init__(self, card: CommonNoise, seed: int, name: str, device: torch.device) -> None:
        self.card = card
        self.generator = stream(seed, name, "common", device=device)

    def add_(self, reads: Float[Tensor, "reads samples outputs"]) -> None:
        """Add one draw a read, in place."""
        shape = (*reads.shape[:2], 1)
        draws = torch.randn(shape, generator=self.generator, device=reads.device, dtype=reads.dtype)
        reads.add_(draws, alpha=self.card.std)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""
        return {"generator": self.generator.get_state()}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state that :meth:`state` returned."""
        self.generator.set_state(state["generator"].cpu())
