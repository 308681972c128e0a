"""One layer of a chip: tiles for the weights and, if wanted, for decorrelation; digital bias and activation."""

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
        r_tile: a tile that holds the decorrelation matrix instead, or None.
        mean: running mean of what R gives out, taken off it, [inputs]; or None.
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
        r_tile: Tile | None = None,
        centred: bool = False,
    ) -> None:
        self.tile = tile
        self.r_tile = r_tile
        self.bias = torch.zeros(tile.outputs, device=device) if bias else None
        self.r = torch.eye(tile.inputs, device=device) if decorrelated and r_tile is None else None
        self.mean = torch.zeros(tile.inputs, device=device) if centred else None
        self.slope = slope
        self.patches = patches
        self.count = patches.count if patches else 1

    @property
    def units(self) -> int:
        """Pre-activations of one sample."""
        return self.tile.outputs * self.count

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """All crossbars of this layer."""
        return (self.tile,) if self.r_tile is None else (self.tile, self.r_tile)

    def prepare(
        self, x: Float[Tensor, "passes samples units"], reads: int | None = None
    ) -> Float[Tensor, "reads vectors inputs"]:
        """Cut into patches and decorrelate, where this layer does; a tile is read ``reads`` times for one pass."""
        vectors = self._cut(x)
        if self.r_tile is not None:
            return self._centre(self.r_tile.forward(vectors, reads))
        return self._centre(vectors if self.r is None else decorrelate(vectors, self.r))

    def exact(self, x: Float[Tensor, "passes samples inputs"]) -> Float[Tensor, "passes samples units"]:
        """Noise-free pre-activations with the present weights, for a digital twin."""
        vectors = self._cut(x)
        r = self.r if self.r_tile is None else self.r_tile.twin()
        prepared = vectors if r is None else decorrelate(vectors, r)
        return self.gather(torch.matmul(self._centre(prepared), self.tile.twin().t()))

    def _centre(self, prepared: Tensor) -> Tensor:
        return prepared if self.mean is None else prepared - self.mean

    def _cut(self, x: Tensor) -> Tensor:
        return x if self.patches is None else self.patches.cut(x)

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
        r_tile = {} if self.r_tile is None else {"r_tile": self.r_tile.state()}
        mean = {} if self.mean is None else {"mean": self.mean}
        return {"tile": self.tile.state(), "bias": self.bias, "r": self.r} | r_tile | mean

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state that :meth:`state` returned."""
        self.tile.load(state["tile"])
        if self.r_tile is not None:
            self.r_tile.load(state["r_tile"])
        for own, saved in ((self.bias, state["bias"]), (self.r, state["r"])):
            if own is not None:
                own.copy_(saved)
        if self.mean is not None:
            self.mean.copy_(state["mean"])
