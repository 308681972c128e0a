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


def columns(tile: Tile, where: torch.device) -> Float[Tensor, "outputs inputs"]:
    """A tile's weights as its own periphery gives them out, one column a read, with the device's noise."""
    one_hot = torch.eye(tile.inputs, device=where)
    return tile.forward(one_hot[None])[0].t()
