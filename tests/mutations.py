"""Mutants of cards: fields scaled, emptied, retyped, taken away, set to a limit, or swapped with another card's."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Tree = dict[str, Any]
Path = tuple[str | int, ...]

GONE = "(gone)"
"""Stands for a key that was taken away."""
NUMBERS = (
    0,
    1,
    -1,
    2,
    0.5,
    1e-30,
    1e-12,
    1e-7,
    1e-3,
    50.0,
    500.0,
    1e4,
    1e6,
    1e9,
    1e12,
    1e18,
    1e30,
    1e-300,
    1e300,
)
NO_NUMBERS = (
    float("inf"),
    float("-inf"),
    float("nan"),
    True,
    "text",
    "1e5",
    None,
    [],
    [1.0],
    {},
    {"a": 1},
    10**30,
)
WORDS = ("none", "auto", "1", "table", "1e5", "a word")
CHOICES: dict[str, tuple[Any, ...]] = {
    "input_scaling": ("none", "max"),
    "relative_to": ("absolute", "input_max", "input_norm"),
    "step_distribution": ("normal", "log_normal"),
    "reference": ("target", "cell", "first", "mean"),
    "kind": ("exact", "programmed", "pulsed", "one_sided", "exponential", "power", "table"),
    "age": ("0s", "1s", "20 min", "1d", "1y", "1e30y", "-1s"),
    "on": ("digital", "tile"),
    "path": (
        "on_tile",
        "mixed_precision",
        "sgd",
        "adam",
        "tiki_taka",
        "tiki_taka_v2",
        "c_ttv2",
        "agad",
        "auto",
    ),
    "init": ("he", "glorot", "he_truncated"),
    "loss": ("cross_entropy", "squared_error", "auto"),
    "products": ("float32", "bfloat16"),
    "rule": tuple({"name": name} for name in ("bp", "np", "anp", "inp", "dbp", "dnp", "danp", "dinp")),
    "std": ("auto", 0.01),
    "weight_scaling": (0.6, 0, 1.0, 1e-9),
    "learning_rate": (0.1, 1e-3, 1e6),
}
"""Words, and numbers of fields that are empty in most cards."""
TYPED = (
    *(
        "",
        "null",
        "~",
        "nan",
        ".nan",
        ".inf",
        "1e999",
        "1e-5",
        "0x10",
        "0o7",
        "1_000",
        "[",
        "{",
        "[1, 2]",
        "{a: 1}",
    ),
    *("!!int 3", "&a *a", "yes", "'", "on", "1:30", "-", "\t", "\u0000", "9" * 400, "2001-01-01"),
)
"""What people and scripts type after ``--set key=``."""
BLOCKS: dict[str, tuple[Any, ...]] = {
    "flicker": ({"std": 0.05, "low_hz": 1.0, "high_hz": 1e4, "read_hz": 1e6},),
    "telegraph": ({"amplitude": 0.01, "flip_probability": 0.1},),
    "cell_telegraph": ({"amplitude": 0.01, "flip_probability": 0.1, "share_of_cells": 0.5},),
    "common": ({"std": 0.02},),
    "white": ({"std": 0.1, "relative_to": "input_norm"},),
    "per_cell": ({"std": 0.02},),
    "weight_dependent": ({"coefficient": 0.05, "exponent": 0.5}, {"coefficient": 0.05, "saturates_at": 0.2}),
    "stuck": ({"share_at_min": 0.1, "share_at_max": 0.1, "share_at_zero": 0.1},),
    "drift": ({"nu": 0.05, "nu_spread": 0.02, "t0_s": 20.0},),
    "retention": ({"tau_s": 1e6, "tau_spread": 0.5, "rest": 0.1},),
    "temperature": ({"conductance_tc": 1e-3, "conductance_tc_spread": 1e-3, "thermal_noise": False},),
    "nonlinearity": ({"alpha": 2.0},),
    "ir_drop": ({"wire_resistance_ohm": 1.0, "g_max_us": 25.0},),
    "dac": ({"bits": 7, "range": 1.0},),
    "adc": ({"bits": 9, "range": 12.0},),
    "verify": ({"tolerance": 0.02, "max_rounds": 5, "read_std": 0.01, "correction_noise": 0.2},),
    "decay": ({"rate": 3.0, "floor": 0.1},),
    "shape": (
        {"kind": "exponential", "A_up": 0.1, "A_down": 0.1, "gamma_up": 2.0, "gamma_down": 2.0, "a": 1.0},
        {"kind": "power", "exponent_up": 1.0, "exponent_down": 2.0, "exponent_spread": 0.1},
        {"kind": "table", "weights": [-1.0, 0.0, 1.0], "up": [2.0, 1.0, 0.0], "down": [0.0, 1.0, 2.0]},
    ),
    "update": (
        {"kind": "exact"},
        {"kind": "pulsed", "step": 0.01, "slope_up": 0.5, "slope_down": 0.5, "cycle_noise": 0.3},
        {"kind": "pulsed", "step": 0.01, "step_spread": 0.5, "step_distribution": "log_normal"},
        {"kind": "programmed", "resolution": 0.01, "noise": {"constant": 0.02, "linear": 0.03}},
        {"kind": "one_sided", "step": 0.01, "cycle_noise": 0.3},
        {"path": "tiki_taka", "transfer": {"rate": 0.1, "columns": 2}},
        {"path": "sgd", "momentum": 0.9},
    ),
    "transfer": ({"rate": 0.1, "every": 2, "columns": 1, "zero_shift": 10},),
    "conv": ([{"channels": 2, "kernel": 3}], [{"channels": 2, "kernel": 2, "stride": 2, "padding": 1}]),
    "hidden": ([], [5], [4, 4, 4]),
}  # fmt: skip
"""Blocks that few shipped cards have."""


@dataclass(frozen=True)
class Mutation:
    """One field and its new value; typed: as text after ``--set``."""

    path: Path
    value: Any
    typed: bool = False

    @property
    def setting(self) -> str:
        """What is written after ``--set``."""
        return ".".join(map(str, self.path)) + f"={self.value}"

    def __str__(self) -> str:
        return f"--set {self.setting!r}" if self.typed else self.setting


def mutations(
    card: Tree, donors: Sequence[Tree], limits: Mapping[str, Sequence[float]], rng: random.Random
) -> list[Mutation]:
    """One to three mutations of a card, or a dozen that are near or at a limit.

    Args:
        card: the shipped card.
        donors: cards whose blocks may come in.
        limits: field -> where the schema ends it.
        rng: draws.
    """
    fields = list(_fields(card))
    if rng.random() < 0.7:
        return [_mutation(card, rng.choice(fields), donors, rng) for _ in range(rng.choice((1, 1, 2, 3)))]
    numbers = [path for path in fields if _is_number(_at(card, path))]
    blocks = [path for path in fields if path[-1] in BLOCKS and rng.random() < 0.1]
    swapped = [Mutation(path, rng.choice(BLOCKS[str(path[-1])])) for path in blocks]
    chosen = rng.sample(numbers, min(len(numbers), rng.randint(1, 12)))
    return swapped + [
        Mutation(path, _extreme(_at(card, path), limits.get(str(path[-1]), ()), rng)) for path in chosen
    ]


def limits_of(schema: Mapping[str, Any]) -> dict[str, list[float]]:
    """Where a JSON schema ends its fields: name -> least and largest numbers, of all fields of that name."""
    found: dict[str, list[float]] = {}
    for block in (schema, *schema.get("$defs", {}).values()):
        for name, field in block.get("properties", {}).items():
            for branch in (field, *field.get("anyOf", ())):
                found.setdefault(name, []).extend(
                    branch[key] for key in ("minimum", "maximum") if key in branch
                )
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _extreme(value: float, limits: Sequence[float], rng: random.Random) -> Any:
    """A limit, or another size of number, or zero."""
    size = 10.0 ** rng.uniform(-10, 10)
    choices = [*limits, *limits, value * size, (abs(value) or 1.0) * size, value, 0.0]
    found = rng.choice(choices)
    return round(found) if isinstance(value, int) else float(found)


def mutated(card: Tree, changes: Sequence[Mutation]) -> Tree:
    """A copy of the card with these changes; one that finds its place gone is left out."""
    card = copy.deepcopy(card)
    for change in changes:
        owner: Any = card
        try:
            for key in change.path[:-1]:
                owner = owner[key]
            if change.value is GONE:
                del owner[change.path[-1]]
            else:
                owner[change.path[-1]] = copy.deepcopy(change.value)
        except (LookupError, TypeError):
            continue
    return card


def _fields(node: Any, path: Path = ()) -> Iterator[Path]:
    """Every field of a card, blocks among them; all fields of a deeper block count as much as one of a flatter."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from _fields(value, (*path, key))


def _at(node: Any, path: Path) -> Any:
    for key in path:
        try:
            node = node[key]
        except (LookupError, TypeError):
            return None
    return node


def _mutation(card: Tree, path: Path, donors: Sequence[Tree], rng: random.Random) -> Mutation:
    if rng.random() < 0.1 and all(isinstance(key, str) for key in path):
        return Mutation(path, rng.choice((*TYPED, *map(str, NUMBERS), *WORDS)), typed=True)
    chance = rng.random()
    if chance < 0.02:
        return Mutation(path, GONE)
    if chance < 0.03:
        return Mutation((*path[:-1], rng.choice(("bits", "kind", "stepp", "extends", "max", ""))), 1.0)
    if chance < 0.06:
        return Mutation(path, rng.choice(NO_NUMBERS))
    return Mutation(path, _value(_at(card, path), path, donors, rng))


def _value(value: Any, path: Path, donors: Sequence[Tree], rng: random.Random) -> Any:
    """Another value of the same kind."""
    known = BLOCKS.get(str(path[-1])) or CHOICES.get(str(path[-1]))
    if known is not None and rng.random() < (0.5 if isinstance(value, dict | list | float) else 0.9):
        return copy.deepcopy(rng.choice(known))
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return _number(value, rng)
    if isinstance(value, str):
        return rng.choice(WORDS)
    if isinstance(value, list) and rng.random() < 0.6:
        return _list(value, rng)
    if value is None and known is None and rng.random() < 0.7:
        return _number(1.0, rng)
    return copy.deepcopy(_at(rng.choice(donors), path))


def _number(value: float, rng: random.Random) -> Any:
    """A scaled one, near or far, or one of the usual suspects; whole numbers stay whole."""
    exponent = rng.choice((rng.uniform(-1, 1), rng.uniform(-4, 4), rng.uniform(-4, 4), rng.uniform(-30, 30)))
    near = value * 10**exponent
    found = rng.choice((near, near, near, -value, float(rng.choice(NUMBERS)), 10.0 ** rng.randint(-15, 15)))
    return round(found) if isinstance(value, int) and abs(found) < 1e18 else found


def _list(value: list[Any], rng: random.Random) -> list[Any]:
    """A shorter one, a longer one, or the same in another order."""
    way = rng.randrange(4)
    if way == 0:
        return value[: rng.randint(0, len(value))]
    if way == 1:
        return [*value, *value]
    if way == 2 or not all(isinstance(item, float | int) for item in value):
        return rng.sample(value, len(value))
    return [_number(item, rng) for item in value]
