"""One layer of a chip: a tile for the weights, and digital bias, decorrelation and activation."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..tiles.base import Tile
from .decorrelation import decorrelate


class Layer:
    """a = W (R x) + b on a tile, then leaky ReLU unless it is the last layer.

    Attributes:
        tile: holds W.
        bias: digital, [outputs], or None.
        r: the digital decorrelation matrix, [inputs, inputs], identity at the start, or None.
        slope: of the leaky ReLU for negative values; None for a linear (last) layer.
    """

    def __init__(
        self, tile: Tile, bias: bool, decorrelated: bool, slope: float | None, device: torch.device
    ) -> None:
        self.tile = tile
        self.bias = torch.zeros(tile.outputs, device=device) if bias else None
        self.r = torch.eye(tile.inputs, device=device) if decorrelated else None
        self.slope = slope

    def prepare(self, x: Float[Tensor, "passes samples inputs"]) -> Float[Tensor, "passes samples inputs"]:
        """Decorrelate the input, if this layer does."""
        return x if self.r is None else decorrelate(x, self.r)

    def read(
        self, x: Float[Tensor, "passes samples inputs"], reads: int | None = None
    ) -> Float[Tensor, "reads samples outputs"]:
        """Pre-activations for a prepared input, one read a pass (or ``reads`` of one and the same pass)."""
        y = self.tile.forward(x, reads)
        return y if self.bias is None else y.add_(self.bias)

    def activate(self, a: Float[Tensor, "passes samples outputs"]) -> Float[Tensor, "passes samples outputs"]:
        """Apply the activation function."""
        return a if self.slope is None else F.leaky_relu(a, self.slope)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""
        return {"tile": self.tile.state(), "bias": self.bias, "r": self.r}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state that :meth:`state` returned."""
        self.tile.load(state["tile"])
        for own, saved in ((self.bias, state["bias"]), (self.r, state["r"])):
            if own is not None:
                own.copy_(saved)
