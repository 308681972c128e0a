"""Reads of one layer's tiles, of all replicas at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from ..cards.device import DeviceCard
from ..devices.converters import convert, convert_
from ..devices.nonlinearity import bend
from ..devices.read_noise import gaussian_std
from ..devices.weight_dependent import WeightDependent
from ..streams import normal_
from ..tiles.analog import AnalogTile
from ..tiles.base import Tile
from .layout import per_replica
from .merged import merged
from .products import products
from .vectors import in_vectors

Stack4 = Float[Tensor, "reads replicas samples outputs"]


class _StackedWeightDependent(WeightDependent):
    """The same in whole vectors (see :mod:`.vectors`)."""

    def shape(self, ratio: Tensor) -> Tensor:
        """f(r)^2 for w / max."""
        return in_vectors(super().shape)(ratio)


class StackedTile:
    """The reads of :class:`.AnalogTile`, replica by replica with its own numbers, cells and random streams.

    Args:
        tiles: the replicas' own.
        weight: what their cells hold; a view of the stack's.
    """

    def __init__(self, tiles: Sequence[Tile], weight: Float[Tensor, "replicas outputs inputs"]) -> None:
        own = [cast(AnalogTile, tile) for tile in tiles]
        self.weight, self.outputs = weight, weight.shape[1]
        where = weight.device
        card = _merged([tile.card for tile in own], where)
        self.periphery, self.noise = card.periphery, card.read_noise
        largest = per_replica([tile.card.weights.max or 1.0 for tile in own], where)
        cells = self.noise.weight_dependent
        self.weight_dependent = _StackedWeightDependent(cells, largest) if cells else None
        self.generators = [tile.noise.generator for tile in own]
        self.stuck, self.values = _stuck(own)
        self.gain, self.offset = _adc_errors(own)

    def forward(
        self, x: Float[Tensor, "passes replicas samples inputs"], reads: int | None = None
    ) -> Float[Tensor, "reads replicas samples outputs"]:
        """Read all replicas' tiles (see :meth:`.AnalogTile.forward`)."""
        scale = self._scale(x)
        inputs = bend(convert(x, self.periphery.dac, scale), self.periphery, in_vectors(torch.sinh))
        weight = self.seen()
        y = products(inputs, weight)
        if reads is not None and reads > 1:
            y = y.expand(reads, -1, -1, -1).clone()
        self._add_noise_(y, inputs, weight)
        if self.gain is not None and self.offset is not None:
            y.mul_(self.gain).add_(self.offset)
        convert_(y, self.periphery.adc)
        return y if scale is None else y.mul_(scale)

    def seen(self) -> Float[Tensor, "replicas outputs inputs"]:
        """What reads multiply with."""
        if self.stuck is None or self.values is None:
            return self.weight
        return torch.where(self.stuck, self.values, self.weight)

    def _scale(self, x: Tensor) -> Tensor | None:
        if self.periphery.input_scaling == "none":
            return None
        return x.abs().amax(-1, keepdim=True)  # faster for many rows than aminmax

    def _add_noise_(self, y: Tensor, inputs: Tensor, weight: Tensor) -> None:
        cells, variance = self.weight_dependent, cast(Tensor | float, 0.0)
        if cells is not None:
            variance = products(inputs.square(), cells.cells(weight))
        std = gaussian_std(self.noise, inputs, variance)
        if std is not None:
            y.addcmul_(self._normal(y), std)
        if isinstance(self.noise.mean, Tensor) or self.noise.mean:
            y.add_(self.noise.mean)

    def _normal(self, y: Tensor) -> Tensor:
        """Standard normal numbers, each replica's in the order in which it draws them when it is alone."""
        noise = y.new_empty((y.shape[1], y.shape[0], *y.shape[2:]))
        for own, generator in zip(noise, self.generators, strict=True):
            normal_(own, generator)
        return noise.transpose(0, 1)


def _merged(cards: Sequence[DeviceCard], where: torch.device) -> DeviceCard:
    """A card for reads; what it holds besides is the first one's."""

    def blocks(name: str) -> object:
        own = [getattr(card, name) for card in cards]
        return merged(own, lambda values: per_replica(values, where), f"device.{name}")

    return cards[0].model_copy(update={name: blocks(name) for name in ("periphery", "read_noise")})


def _stuck(tiles: Sequence[AnalogTile]) -> tuple[Tensor | None, Tensor | None]:
    found = [tile.array.stuck for tile in tiles if tile.array.stuck is not None]
    if not found:
        return None, None
    return torch.stack([one.stuck for one in found]), torch.stack([one.values for one in found])


def _adc_errors(tiles: Sequence[AnalogTile]) -> tuple[Tensor | None, Tensor | None]:
    """Gains and offsets of the columns, [replicas, 1, outputs] each, or None if no replica has any."""
    spreads = [tile.adc_spread for tile in tiles]
    if all(one.gain is None and one.offset is None for one in spreads):
        return None, None
    like = tiles[0].cells.weight.new_ones(tiles[0].outputs)
    gains = [like if one.gain is None else one.gain for one in spreads]
    offsets = [torch.zeros_like(like) if one.offset is None else one.offset for one in spreads]
    return torch.stack(gains)[:, None], torch.stack(offsets)[:, None]
