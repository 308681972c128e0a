"""One layer of a chip: tiles for the weights and, if wanted, for decorrelation; digital bias and activation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..rules.base import Change, LayerShape
from ..tiles.base import Tile
from .decorrelation import decorrelate


@runtime_checkable
class Cut(Protocol):
    """Cuts samples into the vectors that a tile reads."""

    @property
    def count(self) -> int:
        """Vectors of one sample."""

    def cut(self, x: Tensor) -> Tensor:
        """[passes, samples, ...] to [passes, samples * count, inputs]."""


@dataclass(frozen=True)
class Rows:
    """A sample that is several vectors already, one behind the other."""

    count: int
    size: int

    def cut(self, x: Tensor) -> Tensor:
        """Take them apart (see :class:`Cut`)."""
        return x.reshape(x.shape[0], -1, self.size)


@runtime_checkable
class Path(Protocol):
    """An update path, as far as a layer asks it for anything."""

    def apply(self, x: Tensor, d: Tensor) -> None:
        """Update along -mean d x^T."""

    def apply_change(self, gradient: Tensor) -> None:
        """Update along the negative of a gradient."""


P = TypeVar("P", bound=Path)


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
        *,
        bias: Tensor | None = None,
        decorrelated: bool = False,
        slope: float | None = None,
        patches: Cut | None = None,
        r_tile: Tile | None = None,
        centred: bool = False,
    ) -> None:
        where = tile.twin().device
        self.tile = tile
        self.r_tile = r_tile
        self.bias = bias
        self.r = torch.eye(tile.inputs, device=where) if decorrelated and r_tile is None else None
        self.mean = torch.zeros(tile.inputs, device=where) if centred else None
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

    def perturbed(
        self, vectors: Float[Tensor, "vectors inputs"], noise: Float[Tensor, "outputs inputs"]
    ) -> Float[Tensor, "vectors outputs"]:
        """What a perturbation of the weights adds to read-outs."""
        return vectors @ noise.t()

    def factors(
        self, inputs: Float[Tensor, "vectors inputs"], signal: Float[Tensor, "samples units"], places: int = 1
    ) -> tuple[Float[Tensor, "vectors inputs"], Float[Tensor, "vectors outputs"]]:
        """What a tile's update is made from: the mean of d x^T over vectors is the mean over samples of their sums.

        ``places``: how often the layer was read with other values in one pass; samples are then those of all places.
        """
        d = signal.reshape(-1, self.tile.outputs)
        reads = self.count * places
        return inputs, d if reads == 1 else d * reads

    @property
    def shape(self) -> LayerShape:
        """What a rule may know of this layer."""
        return LayerShape(self.tile.outputs, self.tile.inputs, self.count)

    @property
    def digital(self) -> list[Tensor]:
        """Numbers that a digital optimizer moves."""
        return [] if self.bias is None else [self.bias]

    def path(self, make: Callable[[Tile], P]) -> P | None:
        """Make the update path of this layer's tile; None: it has none."""
        return make(self.tile)

    def update(
        self, path: Path | None, x: Float[Tensor, "vectors inputs"], d: Float[Tensor, "vectors outputs"]
    ) -> None:
        """Let the tile be updated along -mean d x^T, and hand the bias its gradient."""
        if path is not None:
            path.apply(x, d)
        if self.bias is not None:
            self.bias.grad = d.mean(0)

    def change(self, path: Path | None, changes: Sequence[Change]) -> None:
        """Let the tile be updated along the negative sum of ready-made changes, and hand the bias its own."""
        if path is not None:
            path.apply_change(sum_of([one.weight for one in changes]))
        if self.bias is not None:
            own = [one.bias for one in changes if one.bias is not None]
            self.bias.grad = sum_of(own) if own else torch.zeros_like(self.bias)

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


def sum_of(parts: Sequence[Tensor]) -> Tensor:
    """Sum of tensors of one shape; that of one is not copied."""
    return parts[0] if len(parts) == 1 else torch.stack(list(parts)).sum(0)
