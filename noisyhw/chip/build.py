"""Building a chip from a device and a network's description."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from ..cards.experiment import Network
from ..device import Device
from ..errors import UsageError, choose
from ..streams import stream
from ..tiles.base import Tile
from ..tiles.scaled import ScaledTile, range_factor
from .chip import Chip
from .layer import Layer
from .losses import LOSSES
from .patches import Patches

TRUNCATED_STD = 0.87962566103423978
"""Std of a standard normal that is truncated at two standard deviations."""


def build_chip(
    device: Device,
    sizes: Sequence[int],
    network: Network | None = None,
    *,
    loss: str = "cross_entropy",
    decorrelated: bool = False,
    seed: int = 0,
    accelerator: torch.device | str = "cpu",
    image: tuple[int, int, int] | None = None,
    decorrelation_on: Literal["digital", "tile"] = "digital",
    centred: bool = False,
) -> Chip:
    """Build a network, one tile a layer.

    Args:
        device: makes the tiles.
        sizes: units of the input, the fully connected hidden layers and the output, e.g. (64, 256, 10).
        network: convolutions, slope, initialisation and bias; its ``hidden`` is not used.
        loss: a name in ``LOSSES``.
        decorrelated: whether every layer's input goes through a decorrelation matrix.
        seed: of weights, devices and noise.
        accelerator: where the tensors live.
        image: (channels, height, width) of the input, for convolutions.
        decorrelation_on: where decorrelation matrices live: in digital memory, or each on a tile of the same device.
        centred: whether a running mean is taken off every layer's input after decorrelation.

    Raises:
        UsageError: the device is none, the loss is unknown, there are convolutions and no image, a patch is larger than
            what it is cut from, or weights are to be scaled to the range of a device that has none.
    """
    if not isinstance(device, Device):
        raise UsageError(f"device: give a Device, e.g. Device('rram'), got {device!r}")
    if loss not in LOSSES:
        raise UsageError(choose("loss", loss, list(LOSSES)))
    if len(sizes) < 2:
        raise UsageError(f"sizes: give at least the input's and the output's units, got {tuple(sizes)}")
    network = network or Network()
    where = torch.device(accelerator)
    cuts = convolutions(network, image)
    convolved = [(cut.size, conv.channels) for cut, conv in zip(cuts, network.conv, strict=True)]
    flat = cuts[-1].count * network.conv[-1].channels if cuts else sizes[0]
    shapes = [*convolved, *pairwise([flat, *sizes[1:]])]
    layers = []
    for index, (inputs, outputs) in enumerate(shapes):
        name = f"layer{index}"
        weight = initial_weight(network.init, outputs, inputs, stream(seed, name, "init", device=where))
        slope = None if index == len(shapes) - 1 else network.leaky_slope
        patches = cuts[index] if index < len(cuts) else None
        tile = scaled_tile(device, weight, network.weight_scaling, seed, name)
        r_tile = None
        if decorrelated and decorrelation_on == "tile":
            r_tile = device.tile(torch.eye(inputs, device=where), seed, f"{name}/decorrelation")
        layers.append(
            Layer(
                tile,
                bias=torch.zeros(outputs, device=where) if network.bias else None,
                decorrelated=decorrelated,
                slope=slope,
                patches=patches,
                r_tile=r_tile,
                centred=centred,
            )
        )
    return Chip(layers, LOSSES[loss], seed, where)


def scaled_tile(device: Device, weight: Tensor, share: float | None, seed: int, name: str) -> Tile:
    """Make a tile, behind a digital factor where the weights are to fill a share of the device's range."""
    if not share:
        return device.tile(weight, seed, name)
    factor = range_factor(weight, share, bound_to_fill(device))
    return ScaledTile(device.tile(weight / factor, seed, name), factor)


def bound_to_fill(device: Device) -> float:
    """The weight that ``network.weight_scaling`` takes a share of.

    Raises:
        UsageError: the device's weights have no bounds.
    """
    if device.bound is None:
        raise UsageError(
            f"network.weight_scaling: weights of device '{device.card.name}' have no bounds, so there is no range to "
            "fill; leave it out"
        )
    return device.bound


def convolutions(network: Network, image: tuple[int, int, int] | None) -> list[Patches]:
    """The patches of every convolution, from the input on.

    Raises:
        UsageError: the input is no image, or it is smaller than a patch.
    """
    if network.conv and image is None:
        raise UsageError(
            "network.conv: this task's inputs are no images; leave conv out, or choose digits, cifar10 or tiny-imagenet"
        )
    found: list[Patches] = []
    for index, conv in enumerate(network.conv):
        assert image is not None
        cut = Patches(*image, conv.kernel, conv.stride, conv.padding, channels_first=index == 0)
        if min(cut.height, cut.width) + 2 * cut.padding < cut.kernel:
            raise UsageError(
                f"network.conv.{index}.kernel: a {cut.kernel}x{cut.kernel} patch does not fit into an image of "
                f"{cut.height}x{cut.width} with padding {cut.padding}"
            )
        found.append(cut)
        image = (conv.channels, cut.out_height, cut.out_width)
    return found


def initial_weight(init: str, outputs: int, inputs: int, generator: torch.Generator) -> Tensor:
    """First weights, [outputs, inputs].

    he_truncated: normal of std sqrt(2 / inputs) after truncation at two std (Keras' HeNormal); he: the same without
    truncation (He et al., 2015); glorot: std sqrt(2 / (inputs + outputs)) (Glorot & Bengio, 2010).
    """
    weight = torch.empty(outputs, inputs, device=generator.device)
    if init == "he_truncated":
        torch.nn.init.trunc_normal_(weight, 0.0, 1.0, -2.0, 2.0, generator=generator)
        return weight.mul_((2 / inputs) ** 0.5 / TRUNCATED_STD)
    std = (2 / inputs) ** 0.5 if init == "he" else (2 / (inputs + outputs)) ** 0.5
    return weight.normal_(0.0, std, generator=generator)
