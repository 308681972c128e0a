"""No dead settings: every physical field of a device card, turned alone, changes what its tile does."""

from __future__ import annotations

import types
import typing
from typing import Any

import pytest
import torch
from pydantic import BaseModel

from noisyhw.cards.device import PROVENANCE, DeviceCard
from noisyhw.tiles.analog import AnalogTile

pytestmark = pytest.mark.slow

BOUNDS = {"min": -0.75, "max": 1.25, "spread": 0.1, "spread_min": 0.2}
PULSED = {
    "kind": "pulsed",
    "step": 0.02,
    "step_spread": 0.2,
    "asymmetry": 0.1,
    "asymmetry_spread": 0.05,
    "cycle_noise": 0.3,
    "write_noise": 0.01,
    "pulses_per_update": 31,
}
CARDS: dict[str, dict[str, Any]] = {
    "reads": {
        "weights": BOUNDS,
        "periphery": {
            "input_scaling": "none",
            "dac": {"bits": 6, "range": 1.5},
            "adc": {"bits": 7, "range": 4.0},
            "adc_gain_spread": 0.05,
            "adc_offset_spread": 0.05,
            "nonlinearity": {"alpha": 1.0},
            "ir_drop": {"wire_resistance_ohm": 50.0, "g_max_us": 100.0},
        },
        "read_noise": {
            "white": {"std": 0.1, "relative_to": "input_norm"},
            "per_cell": {"std": 0.1},
            "telegraph": {"amplitude": 0.1, "flip_probability": 0.2},
            "flicker": {"std": 0.1, "low_hz": 1.0, "high_hz": 50.0, "read_hz": 1000.0},
            "cell_telegraph": {"amplitude": 0.1, "flip_probability": 0.01, "share_of_cells": 0.5},
            "common": {"std": 0.1},
            "weight_dependent": {"coefficient": 0.1, "exponent": 0.5},
            "cell_flicker": {
                "coefficient": 0.1,
                "exponent": 0.5,
                "low_hz": 1.0,
                "high_hz": 50.0,
                "read_hz": 1000.0,
            },
            "mean": 0.2,
        },
        "stuck": {"share_at_min": 0.1, "share_at_max": 0.1, "share_at_zero": 0.1},
        "drift": {"nu": 0.05, "nu_spread": 0.02, "t0_s": 20.0},
        "age": "1h",
    },
    "saturating read noise": {
        "weights": BOUNDS,
        "read_noise": {
            "weight_dependent": {"coefficient": 0.1, "saturates_at": 0.2},
            "cell_flicker": {
                "coefficient": 0.1,
                "saturates_at": 0.2,
                "low_hz": 1.0,
                "high_hz": 50.0,
                "read_hz": 1000.0,
            },
        },
    },
    "linear step": {"weights": BOUNDS, "update": {**PULSED, "slope_up": 0.8, "slope_down": 0.9}},
    "exponential step": {
        "weights": BOUNDS,
        "update": {
            **PULSED,
            "shape": {
                "kind": "exponential",
                "A_up": 0.2,
                "A_down": 0.2,
                "gamma_up": 1.0,
                "gamma_down": 1.0,
                "a": 0.5,
                "b": 0.1,
            },
        },
    },
    "power step": {
        "weights": BOUNDS,
        "update": {
            **PULSED,
            "shape": {"kind": "power", "exponent_up": 1.2, "exponent_down": 1.5, "exponent_spread": 0.1},
        },
    },
    "table step": {
        "weights": BOUNDS,
        "update": {
            **PULSED,
            "shape": {
                "kind": "table",
                "weights": [-0.7, 0.0, 1.2],
                "up": [1.5, 1.0, 0.2],
                "down": [0.2, 1.0, 1.4],
            },
        },
    },
    "programmed": {
        "weights": BOUNDS,
        "update": {
            "kind": "programmed",
            "noise": {
                "constant": 0.02,
                "linear": 0.05,
                "quadratic": 0.03,
                "saturating": 0.04,
                "saturates_at": 0.2,
            },
            "resolution": 0.02,
            "reference": "target",
        },
        "retention": {"tau_s": 1000.0, "tau_spread": 0.2, "rest": 0.1},
        "age": "10min",
        "read_noise": {"white": {"std": 0.1}},
        "temperature": {
            "reference_k": 300.0,
            "conductance_tc": -0.001,
            "conductance_tc_spread": 0.0005,
            "activation_energy_ev": 0.1,
            "thermal_noise": True,
        },
        "temperature_k": 400.0,
    },
    "write and verify": {
        "weights": BOUNDS,
        "update": {
            "kind": "programmed",
            "noise": {"constant": 0.05},
            "resolution": 0.02,
            "verify": {"tolerance": 0.02, "max_rounds": 3, "read_std": 0.01, "correction_noise": 0.3},
        },
    },
    "one-sided, decaying": {
        "weights": BOUNDS,
        "update": {
            "kind": "one_sided",
            "step": 0.02,
            "decay": {"rate": 5.0, "floor": 0.1},
        },
    },
    "one-sided": {
        "weights": BOUNDS,
        "update": {
            "kind": "one_sided",
            "step": 0.02,
            "step_spread": 0.2,
            "saturation": 0.9,
            "cycle_noise": 0.3,
            "cycle_noise_constant": 0.002,
            "cycle_noise_slope": 0.1,
            "refresh": "pulse",
            "refresh_above": 0.3,
            "refresh_other": 0.05,
            "programming_noise": 0.02,
            "pulses_per_update": 31,
        },
    },
}
"""Between them, every field of the schema; a new field that is in none of them fails the last test."""
OTHER_CHOICE: dict[str, Any] = {
    "input_scaling": "max",
    "relative_to": "absolute",
    "cycle_noise_scales": False,
    "step_distribution": "log_normal",
    "reference": "cell",
    "age": "1d",
    "bits": 4,
    "pulses_per_update": 5,
    "max_rounds": 5,
    "thermal_noise": False,
    "refresh": "write",
}
KINDS = {"kind", "backend", "preset"}
"""What chooses a model rather than sets a number; the backends have a suite of their own."""
Path = tuple[str, ...]


def leaves(block: dict[str, Any], path: Path = ()) -> list[Path]:
    found: list[Path] = []
    for key, value in block.items():
        found += leaves(value, (*path, key)) if isinstance(value, dict) else [(*path, key)]
    return [leaf for leaf in found if leaf[-1] not in KINDS]


def turned(block: dict[str, Any], path: Path) -> dict[str, Any]:
    """The card with that one field at another value."""
    head, *rest = path
    value = block.get(head)
    if rest:
        return {**block, head: turned(value or {}, tuple(rest))}
    if head in OTHER_CHOICE:
        return {**block, head: OTHER_CHOICE[head]}
    if isinstance(value, list | tuple):
        return {**block, head: [*value[:-1], value[-1] * 0.8]}
    return {**block, head: value * (1.2 if head in ("min", "max") else 0.7)}


def behaviour(card: dict[str, Any]) -> torch.Tensor:
    """What reads give before and after every kind of write, fresh and aged."""
    tile = AnalogTile(DeviceCard.model_validate({"name": "test", **card}), normal(6, 8) * 0.3, 0, "tile")
    inputs, errors = normal(40, 8, seed=1), normal(40, 6, seed=2)
    reads = [tile.forward(inputs[None], 2)]
    tile.update(inputs, errors, 0.05)
    tile.update(inputs, errors, 50.0)
    reads.append(tile.forward(inputs[None]))
    for seed in range(3):
        tile.write(normal(6, 8, seed=seed) * 0.1)
        if tile.step is not None:
            tile.pulse((normal(6, 8, seed=seed + 5) * 20).round())
        reads.append(tile.forward(inputs[None]))
    if "age" in card:
        tile.set_age(card["age"])
        tile.set_temperature(card.get("temperature_k"))
        reads.append(tile.forward(inputs[None]))
    return torch.cat(reads)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


CASES = [(name, leaf) for name, card in CARDS.items() for leaf in leaves(card)]
CASES += [("linear step", ("update", name)) for name in ("cycle_noise_scales", "step_distribution")]


@pytest.mark.parametrize(
    ("name", "leaf"), CASES, ids=lambda part: part if isinstance(part, str) else ".".join(part)
)
def test_a_field_turned_alone_changes_what_the_tile_does(name: str, leaf: Path) -> None:
    before, after = behaviour(CARDS[name]), behaviour(turned(CARDS[name], leaf))
    assert not torch.equal(before, after)


def schema_leaves(model: type[BaseModel], path: Path = ()) -> set[Path]:
    """Every field of the schema, by its path."""
    found: set[Path] = set()
    for name, field in model.model_fields.items():
        models = [
            part for part in parts(field.annotation) if isinstance(part, type) and issubclass(part, BaseModel)
        ]
        for part in models:
            found |= schema_leaves(part, (*path, name))
        if not models and name not in KINDS:
            found.add((*path, name))
    return found


def parts(annotation: Any) -> list[Any]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [leaf for part in typing.get_args(annotation) for leaf in parts(part)]
    if typing.get_origin(annotation) is typing.Annotated:
        return parts(typing.get_args(annotation)[0])
    return [annotation]


def test_every_physical_field_of_the_schema_is_walked() -> None:
    walked = {leaf for _, leaf in CASES}
    physical = {leaf for leaf in schema_leaves(DeviceCard) if leaf[0] not in PROVENANCE}
    assert physical - walked == {
        ("read_noise", "registered"),  # has tests of its own, with a registered source
        ("weight_perturbation",),  # lets a rule in that perturbs weights; test_own_rules
    }
