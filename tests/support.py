"""What several test modules need: cards in one line, tiles, chips, and moments with derived tolerances."""

from __future__ import annotations

import io
import itertools
import math
from typing import Any

import torch
from torch import Tensor

from noisyhw.cards.device import DeviceCard
from noisyhw.chip.chip import Chip
from noisyhw.chip.layer import Layer
from noisyhw.chip.losses import Loss, cross_entropy
from noisyhw.tiles.analog import AnalogTile

CPU = torch.device("cpu")
UPDATES: dict[str, dict[str, Any]] = {
    "exact": {"kind": "exact"},
    "programmed": {"kind": "programmed", "resolution": 0.01, "noise": {"constant": 0.02, "linear": 0.03}},
    "programmed from the cell": {
        "kind": "programmed",
        "resolution": 0.01,
        "noise": {"constant": 0.02},
        "reference": "cell",
    },
    "write and verify": {
        "kind": "programmed",
        "resolution": 0.01,
        "noise": {"constant": 0.02, "linear": 0.03},
        "verify": {"tolerance": 0.02, "max_rounds": 4, "read_std": 0.01, "correction_noise": 0.3},
    },
    "constant step": {"kind": "pulsed", "step": 0.01, "cycle_noise": 0.3},
    "soft bounds": {
        "kind": "pulsed",
        "step": 0.01,
        "slope_up": 1.0,
        "slope_down": 1.0,
        "step_spread": 0.3,
        "asymmetry_spread": 0.1,
        "cycle_noise": 0.5,
        "cycle_noise_scales": False,
        "write_noise": 0.05,
    },
    "exponential step": {
        "kind": "pulsed",
        "step": 0.01,
        "step_spread": 0.3,
        "cycle_noise": 0.5,
        "shape": {
            "kind": "exponential",
            "A_up": 0.1,
            "A_down": 0.1,
            "gamma_up": 2.0,
            "gamma_down": 2.0,
            "a": 1.0,
        },
    },
    "one-sided pairs": {"kind": "one_sided", "step": 0.01, "step_spread": 0.3, "cycle_noise": 0.5},
}
"""One device of every kind of update, noisy wherever it can be."""
BOUNDED = {"min": -0.8, "max": 1.0}


def make_card(**blocks: Any) -> DeviceCard:
    """A card with the given blocks, else ideal."""
    return DeviceCard.model_validate({"name": "test", **blocks})


def updating(kind: str) -> DeviceCard:
    """A bounded card with one of UPDATES."""
    return make_card(weights=BOUNDED, update=UPDATES[kind])


def make_tile(card: DeviceCard, weight: Tensor, seed: int = 0) -> AnalogTile:
    return AnalogTile(card, weight, seed, "tile")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0, std: float = 1.0) -> Tensor:
    return torch.randn(shape, generator=generator(seed)) * std


def through_a_file(state: Any) -> Any:
    """What a checkpoint does to a state."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def make_chip(
    widths: tuple[int, ...],
    card: DeviceCard | None = None,
    seed: int = 0,
    decorrelated: bool = False,
    bias: bool = False,
    loss: Loss = cross_entropy,
) -> Chip:
    """A leaky-ReLU net with He-normal weights."""
    layers = []
    for place, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        weight = normal(outputs, inputs, seed=1000 * seed + place, std=math.sqrt(2 / inputs))
        tile = AnalogTile(card or make_card(), weight, seed, f"layer {place}")
        slope = 0.2 if place < len(widths) - 2 else None
        layers.append(
            Layer(
                tile, bias=torch.zeros(tile.outputs) if bias else None, decorrelated=decorrelated, slope=slope
            )
        )
    return Chip(layers, loss, seed, CPU)


def assert_mean(values: Tensor, expected: float, std: float, sigmas: float = 4.5) -> None:
    """The mean of n independent values is within ``sigmas`` standard errors of what is expected."""
    error = std / math.sqrt(values.numel())
    assert abs(values.double().mean().item() - expected) < sigmas * error + 1e-7 * abs(expected)


def assert_std(values: Tensor, expected: float, sigmas: float = 4.5, kurtosis: float = 3.0) -> None:
    """The std of n independent values is within ``sigmas`` standard errors, expected sqrt((kurtosis - 1) / 4 n)."""
    share = values.double().std().item() / expected - 1
    assert abs(share) < sigmas * math.sqrt((kurtosis - 1) / (4 * values.numel()))


def cosine(a: Tensor, b: Tensor) -> float:
    a, b = a.double().flatten(), b.double().flatten()
    return float(a @ b / (a.norm() * b.norm()))
