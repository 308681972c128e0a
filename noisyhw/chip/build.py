"""Building a chip from a device and a network's description."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ..cards.experiment import Network
from ..devices.device import Device
from ..streams import stream
from .chip import Chip
from .layer import Layer
from .losses import LOSSES

TRUNCATED_STD = 0.87962566103423978
"""Std of a standard normal that is truncated at two standard deviations."""


def build_chip(
    device: Device,
    sizes: Sequence[int],
    network: Network | None = None,
    loss: str = "cross_entropy",
    decorrelated: bool = False,
    seed: int = 0,
    accelerator: torch.device | str = "cpu",
) -> Chip:
    """Build a fully connected network, one tile a layer.

    Args:
        device: makes the tiles.
        sizes: units from input to output, e.g. (64, 256, 10).
        network: slope, initialisation and bias; its ``hidden`` is not used.
        loss: a name in ``LOSSES``.
        decorrelated: whether every layer's input goes through a decorrelation matrix.
        seed: of weights, devices and noise.
        accelerator: where the tensors live.
    """
    network = network or Network()
    where = torch.device(accelerator)
    layers = []
    last = len(sizes) - 2
    for index, (inputs, outputs) in enumerate(pairwise(sizes)):
        name = f"layer{index}"
        weight = initial_weight(network.init, outputs, inputs, stream(seed, name, "init", device=where))
        slope = None if index == last else network.leaky_slope
        layers.append(Layer(device.tile(weight, seed, name), network.bias, decorrelated, slope, where))
    return Chip(layers, LOSSES[loss], seed, where)


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
