"""A chip from a traced network."""

from __future__ import annotations

from typing import Literal

import torch

from ..chip.build import scaled_tile
from ..chip.chip import Chip
from ..chip.layer import Layer, Rows
from ..chip.losses import LOSSES
from ..device import Device
from ..streams import stream
from .affine import Affine
from .sites import Crossbar, Scale
from .trace import Traced
from .wired import Wired


def build_traced(
    device: Device,
    traced: Traced,
    *,
    loss: str = "cross_entropy",
    decorrelated: bool = False,
    seed: int = 0,
    accelerator: torch.device | str = "cpu",
    weight_scaling: float | None = None,
    decorrelation_on: Literal["digital", "tile"] = "digital",
    centred: bool = False,
) -> Chip:
    """Lay a traced network's weights on tiles of a device.

    Args:
        device: makes the tiles.
        traced: the network; it is wired to this chip alone.
        loss: a name in ``LOSSES``.
        decorrelated: whether every tile's input goes through a decorrelation matrix.
        seed: of devices, noise and dropout.
        accelerator: where the tensors live.
        weight_scaling: share of the device's range that a tile's largest weight takes.
        decorrelation_on: where decorrelation matrices live.
        centred: whether a running mean is taken off every tile's input after decorrelation.
    """
    where = torch.device(accelerator)
    counts = {(read.site, read.number): read.count for read in traced.reads}
    layers: list[Layer] = []
    for (site, number), array in traced.arrays.items():
        name = f"{site}.{number}" if number else site
        weight = array.weight.clone().to(where)
        bias = None if array.bias is None else array.bias.clone().to(where)
        if isinstance(array, Scale):
            layers.append(Affine(weight, bias, counts[site, number]))
            continue
        assert isinstance(array, Crossbar)
        on_tile = decorrelated and decorrelation_on == "tile"
        eye = torch.eye(weight.shape[1], device=where)
        layers.append(
            Layer(
                scaled_tile(device, weight, weight_scaling, seed, name),
                bias=bias,
                decorrelated=decorrelated,
                patches=Rows(counts[site, number], weight.shape[1]),
                r_tile=device.tile(eye, seed, f"{name}/decorrelation") if on_tile else None,
                centred=centred,
            )
        )
    graph = Wired(traced, stream(seed, "dropout", device=where), where)
    return Chip(layers, LOSSES[loss], seed, where, graph)
