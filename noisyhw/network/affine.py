"""A digital factor and offset of every channel, with a layer's interface, so that every rule can move them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..chip.layer import Layer, P, Path, Rows, sum_of
from ..rules.base import Change, LayerShape
from ..tiles.base import Tile


class Affine(Layer):
    """a = weight x + bias for every channel; no crossbar, no noise of its own.

    Args:
        weight, bias: first values, [channels]; a bias of None: there is none.
        count: how many values of a sample each channel has.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, count: int) -> None:
        self.weight, self.bias = weight, bias
        self.count = count
        self.patches = Rows(count, len(weight))
        self.r = self.r_tile = self.mean = self.slope = None

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """None."""
        return ()

    @property
    def shape(self) -> LayerShape:
        """What a rule may know of it: a weight change is [channels, 1]."""
        return LayerShape(len(self.weight), 1, self.count)

    @property
    def units(self) -> int:
        """Values of one sample."""
        return len(self.weight) * self.count

    @property
    def digital(self) -> list[Tensor]:
        """Numbers that a digital optimizer moves."""
        return [self.weight] if self.bias is None else [self.weight, self.bias]

    def prepare(
        self, x: Float[Tensor, "passes samples units"], reads: int | None = None
    ) -> Float[Tensor, "passes vectors channels"]:
        """One vector for each place in a sample (see :class:`.Layer`)."""
        return x.reshape(x.shape[0], -1, len(self.weight))

    def read(
        self, x: Float[Tensor, "passes vectors channels"], reads: int | None = None
    ) -> Float[Tensor, "reads samples units"]:
        """Scale and shift; all passes that are alike are alike (see :class:`.Layer`)."""
        y = x * self.weight if self.bias is None else torch.addcmul(self.bias, x, self.weight)
        y = y.reshape(y.shape[0], -1, self.units)
        return y.repeat(reads, 1, 1) if reads and len(y) == 1 else y

    def exact(self, x: Float[Tensor, "passes samples units"]) -> Float[Tensor, "passes samples units"]:
        """The same, for a digital twin."""
        return self.read(self.prepare(x))

    def perturbed(
        self, vectors: Float[Tensor, "vectors channels"], noise: Float[Tensor, "channels one"]
    ) -> Float[Tensor, "vectors channels"]:
        """What a perturbation of the factors adds (see :class:`.Layer`)."""
        return vectors * noise[:, 0]

    def factors(
        self,
        inputs: Float[Tensor, "vectors channels"],
        signal: Float[Tensor, "samples units"],
        places: int = 1,
    ) -> tuple[Tensor, Tensor]:
        """What an update is made from (see :class:`.Layer`)."""
        return inputs, signal.reshape(-1, len(self.weight)) * (self.count * places)

    def path(self, make: Callable[[Tile], P]) -> P | None:
        """There is no tile, and no update path (see :class:`.Layer`)."""
        return None

    def update(
        self, path: Path | None, x: Float[Tensor, "vectors channels"], d: Float[Tensor, "vectors channels"]
    ) -> None:
        """Hand the digital numbers their gradients (see :class:`.Layer`)."""
        self.weight.grad = (d * x).mean(0)
        if self.bias is not None:
            self.bias.grad = d.mean(0)

    def change(self, path: Path | None, changes: Sequence[Change]) -> None:
        """Hand them ready-made ones (see :class:`.Layer`)."""
        self.weight.grad = sum_of([one.weight for one in changes])[:, 0]
        if self.bias is not None:
            own = [one.bias for one in changes if one.bias is not None]
            self.bias.grad = sum_of(own) if own else torch.zeros_like(self.bias)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""
        return {"weight": self.weight, "bias": self.bias}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state that :meth:`state` returned."""
        self.weight.copy_(state["weight"])
        if self.bias is not None:
            self.bias.copy_(state["bias"])
