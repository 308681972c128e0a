"""Shaped cells, pulse after pulse in double precision, written without the simulator."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from noisyhw.cards.device import DeviceCard, PulsedUpdate
from noisyhw.cards.shapes import ExponentialShape, PowerShape, TableShape
from noisyhw.tiles.analog import AnalogTile

Array = np.ndarray


class Literal:
    """The cells of a tile (their own steps and bounds are taken over), to which every pulse goes for itself."""

    def __init__(self, card: DeviceCard, tile: AnalogTile, seed: int = 5) -> None:
        assert isinstance(card.update, PulsedUpdate)
        self.card, self.update, self.draws = card, card.update, np.random.default_rng(seed)
        cells, shape = tile.cells, tile.cells.weight.shape
        own = cells.step_up, cells.step_down, cells.bounds.low, cells.bounds.high  # type: ignore[attr-defined]
        self.step_up, self.step_down, self.low, self.high = (
            each.expand(shape).double().numpy() for each in own
        )
        self.weight = cells.inner.double().numpy().copy()  # type: ignore[attr-defined]

    def factor(self, up: bool) -> Array:
        """Size of a step at the present weights, as a multiple of the cell's own."""
        shape, width = self.update.shape, self.high - self.low
        if isinstance(shape, TableShape):
            assert self.card.weights.min is not None
            assert self.card.weights.max is not None
            span = self.card.weights.max - self.card.weights.min
            at = self.card.weights.min + (self.weight - self.low) / width * span
            return np.interp(at, shape.weights, shape.up if up else shape.down)
        if isinstance(shape, PowerShape):
            distance = (self.high - self.weight if up else self.weight - self.low) / width
            return np.clip(distance, 0, 1) ** (shape.exponent_up if up else shape.exponent_down)
        assert isinstance(shape, ExponentialShape)
        z = 2 * shape.a * self.weight / width + shape.b
        taken = (
            shape.A_up * np.exp(shape.gamma_up * z) if up else shape.A_down * np.exp(-shape.gamma_down * z)
        )
        return np.maximum(1 - taken, 0)

    def send(self, ups: int, downs: int) -> Tensor:
        """The weights after these pulses, in an order that is drawn for every cell."""
        up_left = np.full(self.weight.shape, ups)
        for left in range(ups + downs, 0, -1):
            up = self.draws.random(self.weight.shape) * left < up_left
            up_left -= up
            self._pulse(up)
        return torch.from_numpy(self.weight).float()

    def _pulse(self, up: Array) -> None:
        own = np.where(up, self.step_up, self.step_down)
        step = own * np.where(up, self.factor(True), self.factor(False))
        size = step if self.update.cycle_noise_scales else own
        noise = self.update.cycle_noise * size * self.draws.standard_normal(self.weight.shape)
        self.weight = np.clip(self.weight + np.where(up, step, -step) + noise, self.low, self.high)
