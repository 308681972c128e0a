"""One layer of a chip: a tile for the weights, and digital bias, decorrelation and activation."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..tiles.base import Tile
from .decorrelation import decorrelate
from .patches import Patches


class Layer:
    """a = W (R x) + b on a tile, then leaky ReLU unless it is the last layer.

    A convolution reads its tile once for every patch of a sample; a dense layer once for the whole sample. "Vectors"
    below are what a tile reads: samples, or samples * patches.

    Attributes:
        tile: holds W, [outputs, inputs].
        bias: digital, [outputs], or None.
        r: the digital decorrelation matrix, [inputs, inputs], identity at the start, or None.
        slope: of the leaky ReLU for negative values; None for a linear (last) layer.
        patches: a convolution's patches; None for a dense layer.
    """

    def __init__(
        self,
        tile: Tile,
        bias: bool,
        decorrelated: bool,
        slope: float | None,
        device: torch.device,
        patches: Patches | None = None,
    ) -> None:
        self.tile = tile
        self.bias = torch.zeros(tile.outputs, device=device) if bias else None
        self.r = torch.eye(tile.inputs, device=device) if decorrelated else None
        self.slope = slope
        self.patches = patches
        self.count = patches.count if patches else 1

    @property
    def units(self) -> int:
        """Pre-activations of one sample."""
        return self.tile.outputs * self.count

    def prepare(self, x: Float[Tensor, "passes samples units"]) -> Float[Tensor, "passes vectors inputs"]:
        """Cut into patches and decorrelate, where this layer does."""
        vectors = x if self.patches is None else self.patches.cut(x)
        return vectors if self.r is None else decorrelate(vectors, self.r)

    def read(
        self, x: Float[Tensor, "passes vectors inputs"], reads: int | None = None
    ) -> Float[Tensor, "reads samples units"]:
        """Pre-activations for a prepared input, one read a pass (or ``reads`` of one and the same pass)."""
        return self.gather(self.tile.forward(x, reads))

    def gather(self, y: Float[Tensor, "reads vectors outputs"]) -> Float[Tensor, "reads samples units"]:
        """Add the bias to a tile's read-outs (in place) and line up each sample's."""
        y = y if self.bias is None else y.add_(self.bias)
        return y.reshape(y.shape[0], -1, self.units)

    def factors(
        self, inputs: Float[Tensor, "vectors inputs"], signal: Float[Tensor, "samples units"]
    ) -> tuple[Float[Tensor, "vectors inputs"], Float[Tensor, "vectors outputs"]]:
        """What a tile's update is made from: the mean of d x^T over vectors is the mean over samples of their sums."""
        d = signal.reshape(-1, self.tile.outputs)
        return inputs, d if self.count == 1 else d * self.count

    def activate(self, a: Float[Tensor, "passes samples units"]) -> Float[Tensor, "passes samples units"]:
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
