"""What an update path is: the way from a layer's input and error signal to its tile."""

from __future__ import annotations

import abc
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..products import product
from ..tiles.base import Tile


class UpdatePath(abc.ABC):
    """The update of one tile; each tile has its own, with its own memory."""

    def __init__(self, tile: Tile, learning_rate: float) -> None:
        self.tile = tile
        self.learning_rate = learning_rate

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """All crossbars that this path writes."""
        return (self.tile,)

    @abc.abstractmethod
    def apply(self, x: Float[Tensor, "samples inputs"], d: Float[Tensor, "samples outputs"]) -> None:
        """Move the tile's weights along -mean_b d_b x_b^T, in this path's way."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep; nothing, if the path has no memory."""
        return {}

    def load(self, state: dict[str, Any]) -> None:  # noqa: B027  (a path without memory has nothing to load)
        """Take up a state that :meth:`state` returned."""


def mean_outer(
    x: Float[Tensor, "samples inputs"], d: Float[Tensor, "samples outputs"]
) -> Float[Tensor, "outputs inputs"]:
    """mean_b d_b x_b^T."""
    return product(d.t(), x).div_(x.shape[0])


class RunningGradient:
    """v <- momentum v + (1 - momentum) mean_b d_b x_b^T, from zero: every gradient counts once in all.

    Source: the heavy ball (Polyak, 1964), with the new gradient's weight such that a learning rate keeps its meaning.
    """

    def __init__(self, momentum: float) -> None:
        self.momentum = momentum
        self.value: Tensor | None = None

    def after(
        self, x: Float[Tensor, "samples inputs"], d: Float[Tensor, "samples outputs"]
    ) -> Float[Tensor, "outputs inputs"]:
        """Take up a batch; without momentum it is the batch's own gradient. The caller may overwrite what it gets."""
        gradient = mean_outer(x, d)
        if not self.momentum:
            return gradient
        if self.value is None:
            self.value = torch.zeros_like(gradient)
        return self.value.lerp_(gradient, 1 - self.momentum).clone()

    def state(self) -> dict[str, Any]:
        """Return the running mean, if there is one."""
        return {} if self.value is None else {"running_gradient": self.value}

    def load(self, state: dict[str, Any]) -> None:
        """Take up the running mean."""
        saved = state.get("running_gradient")
        self.value = None if saved is None else saved.clone()


def columns(tile: Tile, where: torch.device) -> Float[Tensor, "outputs inputs"]:
    """A tile's weights as its own periphery gives them out, one column a read, with the device's noise."""
    one_hot = torch.eye(tile.inputs, device=where)
    return tile.forward(one_hot[None])[0].t()
