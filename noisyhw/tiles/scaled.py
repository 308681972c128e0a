"""A tile whose weights are a digital factor times what its cells hold, so that a layer fills a device's range."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .base import Tile


class ScaledTile(Tile):
    """W = factor w on a crossbar that holds w; read-outs are multiplied by the factor, changes divided by it.

    Read noise, converters' steps and write noise belong to w, and so are as much smaller in W as the factor says.

    Args:
        tile: holds w.
        factor: above zero.
    """

    def __init__(self, tile: Tile, factor: float) -> None:
        self.tile, self.factor = tile, factor
        self.outputs, self.inputs = tile.outputs, tile.inputs
        self.step = None if tile.step is None else tile.step * factor

    def forward(
        self, x: Float[Tensor, "passes samples inputs"], reads: int | None = None
    ) -> Float[Tensor, "reads samples outputs"]:
        """Read the tile and scale what comes out (see :class:`Tile`)."""
        return self.tile.forward(x, reads).mul_(self.factor)

    def update(
        self, x: Float[Tensor, "samples inputs"], d: Float[Tensor, "samples outputs"], rate: float
    ) -> None:
        """Let the device move by so much less (see :class:`Tile`)."""
        self.tile.update(x, d, rate / self.factor)

    def write(self, change: Float[Tensor, "outputs inputs"]) -> None:
        """Ask the device for so much less (see :class:`Tile`)."""
        self.tile.write(change / self.factor)

    def pulse(self, counts: Float[Tensor, "outputs inputs"]) -> None:
        """Send whole steps (see :class:`Tile`)."""
        self.tile.pulse(counts)

    def twin(self) -> Float[Tensor, "outputs inputs"]:
        """Return the scaled weights (see :class:`Tile`)."""
        return self.tile.twin().mul_(self.factor)

    def pulses(self) -> Float[Tensor, "outputs inputs"] | None:
        """Return what the tile has counted (see :class:`Tile`)."""
        return self.tile.pulses()

    def set_age(self, age: float | int | str) -> None:
        """Let reads see the tile at that age (see :class:`Tile`)."""
        self.tile.set_age(age)

    def set_temperature(self, kelvin: float | None) -> None:
        """Let reads see the tile at that temperature (see :class:`Tile`)."""
        self.tile.set_temperature(kelvin)

    def sibling(self, purpose: str) -> ScaledTile:
        """Make another tile of this device, with the same factor (see :class:`Tile`)."""
        return ScaledTile(self.tile.sibling(purpose), self.factor)

    def stream(self, purpose: str) -> torch.Generator:
        """Make a random stream of the tile's own (see :class:`Tile`)."""
        return self.tile.stream(purpose)

    def state(self) -> dict[str, Any]:
        """Return the tile's state; the factor follows from the first weights (see :class:`Tile`)."""
        return self.tile.state()

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state (see :class:`Tile`)."""
        self.tile.load(state)


def range_factor(weight: Float[Tensor, "outputs inputs"], share: float, bound: float) -> float:
    """Return the factor with which the largest of these weights takes a share of a device's range.

    Source: ``weight_scaling_omega`` of aihwkit 1.2.0's mapping, where the range is always 1.

    Args:
        weight: first weights; if all are zero the factor is 1.
        share: of the range.
        bound: the largest weight that a cell holds in either direction.
    """
    return float(weight.abs().max()) / (share * bound) or 1.0
