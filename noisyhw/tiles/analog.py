"""The tile of our own backend: a device card's physics in PyTorch."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..cards.device import DeviceCard
from ..devices.adc_spread import AdcSpread
from ..devices.ageing import Ageing
from ..devices.array import Array
from ..devices.choice import make_cells
from ..devices.converters import convert, convert_
from ..devices.nonlinearity import bend
from ..devices.read_noise import ReadNoiseSource
from ..devices.temperature import Thermal
from ..streams import stream
from .base import Tile

PART = 1 << 19
"""Inputs that are converted at once: 2 MiB, which stay in a processor's cache."""


class AnalogTile(Tile):
    """One crossbar that follows a device card.

    A read is: scale each sample (if the card says so), DAC, product, read noise, ADC, scale back. The product is
    with the weights that :class:`.Array` makes of the cells', and with inputs that the cells' I-V curve may bend.

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
        self.seed, self.name = seed, name
        self.outputs, self.inputs = weight.shape
        self.cells = make_cells(card, weight, seed, name)
        shape = (self.outputs, self.inputs)
        self.array = Array(card, self.cells.bounds, shape, seed, name, weight.device)
        self.noise = ReadNoiseSource(
            card.read_noise, self.outputs, seed, name, weight.device, card.weights.max
        )
        self.adc_spread = AdcSpread(card.periphery, self.outputs, seed, name, weight.device)
        self.ageing = Ageing(card, shape, seed, name, weight.device)
        self.thermal = Thermal(card, shape, seed, name, weight.device)
        self.step = self.cells.step

    def forward(
        self, x: Float[Tensor, "passes samples inputs"], reads: int | None = None
    ) -> Float[Tensor, "reads samples outputs"]:
        """Read the tile (see :class:`Tile`): very many vectors, as in a convolution, part by part."""
        if x.shape[1] == 0:
            return x.new_zeros((reads or x.shape[0], 0, self.outputs))
        vectors = max(1, PART // self.inputs)
        small = 8 * self.outputs * self.inputs <= PART  # else every part would load the weights anew
        if x.shape[1] <= vectors or not (small and self.noise.memoryless and self.array.memoryless):
            return self._read(x, reads)
        return torch.cat([self._read(part, reads) for part in torch.split(x, vectors, 1)], 1)

    def _read(self, x: Tensor, reads: int | None) -> Tensor:
        scale = self._scale(x)
        seen = bend(convert(x, self.card.periphery.dac, scale), self.card.periphery)
        weight = self.array.seen(self._free())
        y = self.array.product(seen, weight, reads)
        self.noise.add_(y, seen, weight)
        self.adc_spread.apply_(y)
        convert_(y, self.card.periphery.adc)
        return y if scale is None else y.mul_(scale)

    def _free(self) -> Tensor:
        """What cells hold that are not stuck: as written, at their age and temperature."""
        return self.thermal.of(self.ageing.of(self.cells.weight))

    def _scale(self, x: Tensor) -> Tensor | None:
        if self.card.periphery.input_scaling == "none":
            return None
        return x.amax(dim=-1, keepdim=True).maximum(x.amin(dim=-1, keepdim=True).neg_())

    def update(
        self, x: Float[Tensor, "samples inputs"], d: Float[Tensor, "samples outputs"], rate: float
    ) -> None:
        """Send the outer products to the device (see :class:`Tile`)."""
        if x.shape[0] > 0:
            self.cells.outer(x, d, rate / x.shape[0])

    def write(self, change: Float[Tensor, "outputs inputs"]) -> None:
        """Ask for a change (see :class:`Tile`)."""
        self.cells.write(change)

    def pulse(self, counts: Float[Tensor, "outputs inputs"]) -> None:
        """Send whole steps (see :class:`Tile`)."""
        self.cells.pulse(counts)

    def twin(self) -> Float[Tensor, "outputs inputs"]:
        """Return a copy of what the cells hold (see :class:`Tile`)."""
        return self.array.held(self._free()).clone()

    def pulses(self) -> Float[Tensor, "outputs inputs"] | None:
        """Return what the cells have counted (see :class:`Tile`)."""
        return self.cells.pulses()

    def set_age(self, age: float | int | str) -> None:
        """Let reads see the tile at that age (see :class:`Tile`)."""
        self.ageing.set(age, self.thermal.speed)

    def set_temperature(self, kelvin: float | None) -> None:
        """Let reads see the tile at that temperature (see :class:`Tile`)."""
        self.thermal.set(kelvin)
        self.ageing.set(self.ageing.age_s, self.thermal.speed)
        self.noise.card = self.thermal.noise(self.card.read_noise)

    def sibling(self, purpose: str) -> AnalogTile:
        """Make another tile of this device (see :class:`Tile`)."""
        return AnalogTile(self.card, torch.zeros_like(self.cells.weight), self.seed, f"{self.name}/{purpose}")

    def stream(self, purpose: str) -> torch.Generator:
        """Make a random stream named after tile and purpose (see :class:`Tile`)."""
        return stream(self.seed, self.name, purpose, device=self.cells.weight.device)

    def state(self) -> dict[str, Any]:
        """Return cells, noise and age (see :class:`Tile`)."""
        return {
            "cells": self.cells.state(),
            "array": self.array.state(),
            "noise": self.noise.state(),
            "age_s": self.ageing.age_s,
            "kelvin": self.thermal.kelvin,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state (see :class:`Tile`)."""
        self.cells.load(state["cells"])
        self.array.load(state.get("array"))
        self.noise.load(state["noise"])
        self.set_temperature(state.get("kelvin"))
        self.set_age(state.get("age_s", 0.0))
