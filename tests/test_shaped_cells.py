"""Shaped cells: pulses in both directions in random order, and finite numbers, whatever is asked of a card."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch
from literal_pulses import Literal
from support import make_card, make_tile
from test_step_shapes import BOUNDS, HIGH, LOW, SHAPES, STEP, shaped
from torch import Tensor

from noisyhw.cards import load_device
from noisyhw.cards.device import DeviceCard
from noisyhw.tiles.analog import AnalogTile

SIDE = 50
CELLS = SIDE * SIDE
QUANTILES = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95])
STEEP = {
    "kind": "table",
    "weights": [-1, -0.05, 0.05, 1],
    "up": [1.2, 1, 0.2, 0.15],
    "down": [0.15, 0.2, 1, 1.2],
}


def send(tile: AnalogTile, ups: float, downs: float) -> Tensor:
    """Pulses in both directions within one update; the inner weights afterwards."""
    shape = tile.twin().shape
    tile.cells._apply(torch.full(shape, ups), torch.full(shape, downs))  # type: ignore[attr-defined]
    return tile.cells.inner  # type: ignore[attr-defined,no-any-return]


def both(card: DeviceCard, start: float, ups: int, downs: int) -> tuple[Tensor, Tensor]:
    """Weights of the same cells after pulses at once, and after pulses one by one."""
    tile = make_tile(card, torch.full((SIDE, SIDE), start))
    literal = Literal(card, tile)
    return send(tile, float(ups), float(downs)), literal.send(ups, downs)


def same_spread(here: Tensor, there: Tensor, floor: float, quantile: float = 0.25) -> None:
    """The mean within a tenth of the spread, the spread within a tenth, quantiles within a quarter of it.

    Five standard errors of two samples come on top, of quantiles those of a Gaussian's fifth percentile (2.1 / root n);
    and ``floor``, in weight units.
    """
    spread, root = float(there.std()), math.sqrt(there.numel())
    assert abs(float(here.mean() - there.mean())) <= (0.1 + 5 * 2**0.5 / root) * spread + floor
    assert abs(float(here.std()) - spread) <= (0.1 + 5 / root) * spread + floor
    off = here.flatten().quantile(QUANTILES) - there.flatten().quantile(QUANTILES)
    assert float(off.abs().max()) <= (quantile + 5 * 2**0.5 * 2.1 / root) * spread + floor


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("start", [-0.5, 0.6])
@pytest.mark.parametrize("pairs", [1, 10, pytest.param(100, marks=pytest.mark.slow)])
def test_pulses_of_any_shape_in_both_directions_act_in_random_order(
    name: str, start: float, pairs: int
) -> None:
    """Without noise, cells differ by the order of their pulses alone."""
    here, there = both(shaped(name), start, 2 * pairs, pairs)
    same_spread(here, there, floor=STEP * STEP + 3e-3 * abs(float(there.mean()) - start))


@pytest.mark.parametrize("scales", [True, False], ids=["of the present step", "of the step's unit"])
@pytest.mark.parametrize("name", SHAPES)
def test_noisy_pulses_of_any_shape_in_both_directions_act_in_random_order(name: str, scales: bool) -> None:
    here, there = both(shaped(name, cycle_noise=0.4, cycle_noise_scales=scales), 0.15, 100, 100)
    same_spread(here, there, floor=STEP * STEP)


@pytest.mark.slow
@pytest.mark.parametrize("start", [-1.0, -0.3, 0.0, 0.7])
def test_a_steep_piece_of_a_curve_is_not_overshot(start: float) -> None:
    """Pulses up and down cancel at 0, in a piece so steep that a cell would leave it in one coarse sub-step."""
    card = make_card(
        weights={"min": -1.0, "max": 1.0}, update={"kind": "pulsed", "step": 0.01, "shape": STEEP}
    )
    here, there = both(card, start, 1000, 1000)
    same_spread(here, there, floor=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rram-exp", "rram-agsi", "fefet"])
@pytest.mark.parametrize("start", [0.3])
@pytest.mark.parametrize("count", [1, 3, 10, 30, 100, 1000, 10000])
@pytest.mark.parametrize("up", [1.0, 0.75, 0.5, 0.0], ids=["up", "mostly up", "both", "down"])
def test_pulses_of_a_shipped_card_at_once_spread_as_one_by_one_in_random_order(
    name: str, start: float, count: int, up: float
) -> None:
    ups = math.ceil(count * up)
    here, there = both(load_device(name), start, ups, count - ups)
    same_spread(here, there, floor=1e-3)


@pytest.mark.parametrize(("up", "end"), [(1e6, 1.0), (-1e6, -1.0)])
def test_steps_that_grow_along_the_way_end_at_the_bound(up: float, end: float) -> None:
    growing = {"kind": "table", "weights": [-1, 1], "up": [1, 4], "down": [4, 1]}
    card = make_card(
        weights={"min": -1.0, "max": 1.0}, update={"kind": "pulsed", "step": 0.001, "shape": growing}
    )
    assert torch.equal(
        send(make_tile(card, torch.zeros(3, 4)), max(up, 0), max(-up, 0)), torch.full((3, 4), end)
    )


@pytest.mark.parametrize("count", [50_000.0, 1e9])
def test_any_number_of_pulses_down_takes_a_fefet_to_its_lowest_weight(count: float) -> None:
    end = send(make_tile(load_device("fefet"), torch.zeros(20, 20)), 0.0, count)
    assert float(end.max()) < -0.9


EXTREMES = (0.0, 1e-30, 1e-6, 1e-3, 0.1, 1.0, 5.0, 500.0, 1e6, 1e9)
COUNTS = (0.0, 1.0, 2.0, 9.0, 1e3, 5e4, 1e6, 1e9)


def drawn_shape(draws: random.Random) -> dict[str, Any]:
    """Any legal shape, many of them absurd."""

    def real() -> float:
        return draws.choice(EXTREMES) * draws.choice((-1, 1))

    kind = draws.choice(("exponential", "power", "table"))
    if kind == "exponential":
        return {"kind": kind} | {k: real() for k in ("A_up", "A_down", "gamma_up", "gamma_down", "a", "b")}
    if kind == "power":
        return {"kind": kind} | {
            k: min(draws.choice(EXTREMES), 1e3) for k in ("exponent_up", "exponent_down", "exponent_spread")
        }
    nodes = sorted({draws.uniform(-1, 1) for _ in range(draws.randint(2, 5))})
    values = {k: [draws.choice(EXTREMES) for _ in nodes] for k in ("up", "down")}
    return {"kind": kind, "weights": nodes} | values


def drawn_card(draws: random.Random) -> DeviceCard:
    """Any legal card of shaped cells, many of them absurd."""
    shape, scale = drawn_shape(draws), 1.0
    if shape["kind"] != "table":
        scale = draws.choice((1e-12, 1e-6, 1.0, 1e6, 1e9))
    update = {
        "kind": "pulsed",
        "step": min(max(draws.choice(EXTREMES), 1e-15), 1e3),
        "step_spread": draws.choice((0.0, 0.3, 3.0)),
        "step_distribution": draws.choice(("normal", "log_normal")),
        "asymmetry": draws.choice((-1.0, 0.0, 0.3, 1.0)),
        "asymmetry_spread": draws.choice((0.0, 0.3, 1e3)),
        "cycle_noise": min(draws.choice(EXTREMES), 1e3),
        "cycle_noise_scales": draws.choice((True, False)),
        "shape": shape,
    }
    bounds = {
        "min": -scale,
        "max": scale * draws.choice((1.0, 1e-3)),
        "spread": draws.choice((0.0, 0.3, 5.0)),
    }
    if shape["kind"] == "table":
        bounds["max"] = scale
    return make_card(weights=bounds, update=update)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 5))])
def test_no_legal_card_of_shaped_cells_gives_a_number_that_is_not_finite(seed: int) -> None:
    """Six cards each, and all numbers of pulses up to a billion, in one direction or both."""
    draws = random.Random(seed)
    counts = torch.tensor(COUNTS)
    up, down = (
        counts.expand(len(COUNTS), -1).contiguous(),
        counts[:, None].expand(-1, len(COUNTS)).contiguous(),
    )
    for _ in range(6):
        card = drawn_card(draws)
        tile = make_tile(card, torch.linspace(LOW, HIGH, up.numel()).view(up.shape))
        low, high = tile.cells.bounds.low, tile.cells.bounds.high
        assert low is not None
        assert high is not None
        for sent in ((up, down), (down, up)):
            tile.cells._apply(*sent)  # type: ignore[attr-defined]
            end = tile.cells.inner  # type: ignore[attr-defined]
            assert bool(end.isfinite().all()), (card.update, card.weights)
            assert bool(((end >= low) & (end <= high)).all()), (card.update, card.weights)


@pytest.mark.parametrize("name", SHAPES)
def test_a_single_pulse_in_either_direction_is_exact(name: str) -> None:
    start = torch.linspace(LOW, HIGH, CELLS).view(SIDE, SIDE)
    for ups in (0, 1):
        tile = make_tile(make_card(weights=BOUNDS, update=shaped(name).update.model_dump()), start)
        literal = Literal(shaped(name), tile)
        torch.testing.assert_close(
            send(tile, float(ups), float(1 - ups)), literal.send(ups, 1 - ups), atol=1e-6, rtol=0
        )
