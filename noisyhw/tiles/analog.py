"""The tile of our own backend: a device card's physics in PyTorch."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..cards.device import DeviceCard, ExactUpdate, ProgrammedUpdate
from ..devices.cells import Cells, ExactCells, ProgrammedCells
from ..devices.converters import convert_
from ..devices.pulsed import PulsedCells
from ..devices.read_noise import ReadNoiseSource
from .base import Tile


class AnalogTile(Tile):
    """One crossbar that follows a device card.

    A read is: scale each sample (if the card says so), DAC, product, read noise, ADC, scale back.

    Args:
        card: the device.
        weight: what the cells are first written to, [outputs, inputs]; it is clipped to their bounds.
        seed: the run's seed.
        name: the tile's name; its random streams hang on seed and name.
    """

    def __init__(
        self, card: DeviceCard, weight: Float[Tensor, "outputs inputs"], seed: int, name: str
    ) -> None:
        self.card = card
        self.outputs, self.inputs = weight.shape
        self.cells = make_cells(card, weight, seed, name)
        self.noise = ReadNoiseSource(card.read_noise, self.outputs, seed, name, weight.device)
        self.step = self.cells.step

    def forward(
        self, x: Float[Tensor, "passes samples inputs"], reads: int | None = None
    ) -> Float[Tensor, "reads samples outputs"]:
        """Read the tile (see :class:`Tile`)."""
        scale = self._scale(x)
        seen = x if scale is None else x / scale.clamp(min=torch.finfo(x.dtype).tiny)
        if self.card.periphery.dac is not None:
            seen = convert_(seen.clone() if seen is x else seen, self.card.periphery.dac)
        y = torch.matmul(seen, self.cells.weight.t())
        if reads is not None and reads > 1:
            y = y.expand(reads, -1, -1).clone()
        self.noise.add_(y, seen)
        convert_(y, self.card.periphery.adc)
        return y if scale is None else y.mul_(scale)

    def _scale(self, x: Tensor) -> Tensor | None:
        if self.card.periphery.input_scaling == "none":
            return None
        return x.abs().amax(dim=-1, keepdim=True)

    def update(
        self, x: Float[Tensor, "samples inputs"], d: Float[Tensor, "samples outputs"], rate: float
    ) -> None:
        """Send the outer products to the device (see :class:`Tile`)."""
        self.cells.outer(x, d, rate / x.shape[0])

    def write(self, change: Float[Tensor, "outputs inputs"]) -> None:
        """Ask for a change (see :class:`Tile`)."""
        self.cells.write(change)

    def pulse(self, counts: Float[Tensor, "outputs inputs"]) -> None:
        """Send whole steps (see :class:`Tile`)."""
        self.cells.pulse(counts)

    def twin(self) -> Float[Tensor, "outputs inputs"]:
        """Return a copy of the weights that reads multiply with (see :class:`Tile`)."""
        return self.cells.weight.clone()

    def state(self) -> dict[str, Any]:
        """Return cells and noise (see :class:`Tile`)."""
        return {"cells": self.cells.state(), "noise": self.noise.state()}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state (see :class:`Tile`)."""
        self.cells.load(state["cells"])
        self.noise.load(state["noise"])


def make_cells(card: DeviceCard, weight: Tensor, seed: int, name: str) -> Cells:
    """Return the cells whose write physics the card names."""
    if isinstance(card.update, ExactUpdate):
        return ExactCells(card, weight, seed, name)
    if isinstance(card.update, ProgrammedUpdate):
        return ProgrammedCells(card, weight, seed, name)
    return PulsedCells(card, weight, seed, name)
