"""Matrix products with operands rounded to TF32, as recent graphics processors make them unless told otherwise."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..chip.chip import Chip
from ..chip.layer import Layer
from ..device import Device
from ..tiles.analog import AnalogTile

DROPPED_BITS = 13
"""float32 has 23 bits of mantissa, TF32 has 10; the exponent is the same."""


def tf32(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Round to TF32, halves away from zero.

    Source: NVIDIA A100 Tensor Core GPU Architecture (2020).
    """
    bits = values.contiguous().view(torch.int32)
    half, mask = 1 << (DROPPED_BITS - 1), -1 << DROPPED_BITS
    return ((bits + half) & mask).view(torch.float32)


class Tf32Tile(AnalogTile):
    """An exact tile that is read with TF32 products, summed in float32."""

    def forward(
        self, x: Float[Tensor, "passes samples inputs"], reads: int | None = None
    ) -> Float[Tensor, "reads samples outputs"]:
        """W x with both rounded; the weights were rounded when the tile was made."""
        return super().forward(tf32(x), reads)


def read_with_tf32(chip: Chip, device: Device, seed: int) -> None:
    """Let every layer of a chip on an exact device be read with TF32 products."""
    for index, layer in enumerate(chip.layers):
        layer.tile = _rounded(layer, device, seed, f"layer{index}")


def _rounded(layer: Layer, device: Device, seed: int, name: str) -> Tf32Tile:
    return Tf32Tile(device.card, tf32(layer.tile.twin()), seed, name)
