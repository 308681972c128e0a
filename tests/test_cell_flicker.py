"""1/f noise of cells: variance of a read, what a pass holds, correlation between passes, and resuming."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from support import BOUNDED, assert_mean, assert_std, make_card, make_tile, through_a_file
from torch import Tensor

from noisyhw.cards import load_device
from noisyhw.devices.cell_flicker import fresh_share, sources
from noisyhw.tiles.analog import AnalogTile

LOW, HIGH, READ_HZ = 1.0, 1e4, 2e4
NOISE = {"coefficient": 0.1, "exponent": 0.35, "low_hz": LOW, "high_hz": HIGH, "read_hz": READ_HZ}
WEIGHT = 0.3
STD = 0.1 * WEIGHT**0.35
"""Of a cell of that weight, whose bound is 1."""
CELLS = 20_000


def flickering(cells: int = CELLS, seed: int = 0, **changes: Any) -> AnalogTile:
    """A column of cells, each with an output of its own, so that a read of 1 shows every cell."""
    card = make_card(weights={"min": -1.0, "max": 1.0}, read_noise={"cell_flicker": {**NOISE, **changes}})
    return make_tile(card, torch.full((cells, 1), WEIGHT), seed)


def reads(tile: AnalogTile, passes: int, samples: int) -> Tensor:
    """What cells are off by, in units of their std: [passes, samples, cells]."""
    return (tile.forward(torch.ones(1, samples, 1), passes) - WEIGHT) / STD


def one_over_f(lag: float) -> float:
    """Autocorrelation of 1/f noise between the corners: the integral of cos(2 pi f t) / f, over that of 1 / f."""
    f = np.geomspace(LOW, HIGH, 200_001)
    return float(np.trapezoid(np.cos(2 * math.pi * f * lag / READ_HZ), np.log(f)) / math.log(HIGH / LOW))


def of_processes(lag: float) -> float:
    """Autocorrelation of one process a decade, from corner to corner, of which the end ones count half."""
    corners, shares = np.geomspace(LOW, HIGH, 5), np.array([1, 2, 2, 2, 1]) / 8
    return float((shares * np.exp(-2 * math.pi * corners * lag / READ_HZ)).sum())


def assert_correlated(one: Tensor, two: Tensor, rho: float, slack: float = 0.0) -> None:
    """The mean product of n pairs of unit variance is within 4.5 standard errors and the slack."""
    error = math.sqrt((1 + rho**2) / one.numel())
    assert abs(float((one.double() * two.double()).mean()) - rho) < 4.5 * error + slack


@pytest.mark.parametrize("weight", [0.0, 0.05, -0.3, 1.0])
@pytest.mark.parametrize("samples", [1, 20])
def test_a_read_has_the_stated_std_at_any_weight_and_in_a_pass_of_any_length(
    weight: float, samples: int
) -> None:
    tile = make_tile(
        make_card(weights={"min": -1.0, "max": 1.0}, read_noise={"cell_flicker": NOISE}),
        torch.full((CELLS, 1), weight),
    )
    found = tile.forward(torch.ones(1, samples, 1), 3) - weight
    if weight == 0:
        assert not found.any()
        return
    for one in (found[0, 0], found[2, -1]):
        assert_mean(one, 0.0, 0.1 * abs(weight) ** 0.35)
        assert_std(one, 0.1 * abs(weight) ** 0.35)


@pytest.mark.parametrize("lag", [1, 2, 5, 20, 100])
def test_reads_one_by_one_correlate_as_the_integral_of_1_over_f_says(lag: int) -> None:
    found = reads(flickering(), lag + 3, 1)[:, 0]
    assert_correlated(found[2], found[2 + lag], of_processes(lag))
    assert_correlated(found[2], found[2 + lag], one_over_f(lag), slack=0.07)


def literal(steps: int, cells: int) -> np.ndarray:
    """Every cell's noise read by read, [reads, cells]: five processes that are renewed at random, each by itself."""
    generator = np.random.default_rng(0)
    corners, shares = np.geomspace(LOW, HIGH, 5), np.array([1, 2, 2, 2, 1]) / 8
    states, series = generator.standard_normal((5, cells)), []
    chances = 1 - np.exp(-2 * math.pi * corners / READ_HZ)
    for _ in range(steps):
        series.append(np.sqrt(shares) @ states)
        renewed = generator.random((5, cells)) < chances[:, None]
        states = np.where(renewed, generator.standard_normal((5, cells)), states)
    return np.array(series)


@pytest.mark.parametrize("samples", [2, 12, 50])
def test_the_mean_over_a_pass_varies_as_if_every_read_were_drawn(samples: int) -> None:
    found = reads(flickering(), 1, samples)[0].mean(0)
    simulated = literal(samples, CELLS).mean(0)
    assert abs(float(found.var()) / simulated.var() - 1) < 4.5 * math.sqrt(4 / CELLS)
    lags = np.abs(np.subtract.outer(np.arange(samples), np.arange(samples)))
    expected = np.mean([of_processes(lag) for lag in lags.flat])
    assert_std(found, math.sqrt(expected))


@pytest.mark.parametrize(("samples", "apart"), [(12, 1), (12, 4), (50, 1), (50, 3)])
def test_passes_correlate_as_the_reads_in_them_but_for_what_changes_within_one(
    samples: int, apart: int
) -> None:
    """What is lost is the sources that change during a pass: at most 6 % of the variance between neighbours."""
    found = reads(flickering(), 2 + apart, samples).mean(1)
    simulated = literal(samples * (1 + apart), CELLS).reshape(1 + apart, samples, CELLS).mean(1)
    ours = float((found[1] * found[1 + apart]).mean())
    theirs = float((simulated[0] * simulated[apart]).mean())
    error = math.sqrt(2 * 2 / CELLS)
    assert abs(ours - theirs) < 4.5 * error + (0.06 if apart == 1 else 0.02)
    between = np.add.outer(samples * apart + np.arange(samples), -np.arange(samples))
    exact = np.mean([one_over_f(lag) for lag in np.unique(between)])
    assert abs(ours - exact) < 4.5 * error / math.sqrt(2) + 0.08


def test_samples_of_a_pass_share_what_is_slow_and_no_more() -> None:
    card = make_card(weights=BOUNDED, read_noise={"cell_flicker": NOISE}).read_noise.cell_flicker
    assert card is not None
    found = reads(flickering(), 1, 50)[0]
    shared = 1 - fresh_share(card, 50)
    for one, two in ((0, 1), (0, 49), (20, 31)):
        assert_correlated(found[one], found[two], shared)
    pairs = np.array([of_processes(lag) * (50 - lag) for lag in range(1, 50)]).sum() / (50 * 49 / 2)
    assert shared == pytest.approx(pairs, abs=0.01 * 5)
    assert 0.3 < shared < 0.7


def test_short_passes_after_a_long_one_have_forgotten_what_they_should() -> None:
    tile = flickering()
    before = reads(tile, 1, 1)[0, 0]
    reads(tile, 1, 500)
    after = reads(tile, 1, 1)[0, 0]
    assert_correlated(before, after, of_processes(501))


def test_cells_are_independent_and_an_outputs_noise_is_the_sum_of_its_cells() -> None:
    found = reads(flickering(), 1, 1)[0, 0]
    assert_correlated(found[1:], found[:-1], 0.0)
    card = make_card(weights={"min": -1.0, "max": 1.0}, read_noise={"cell_flicker": NOISE})
    x = torch.linspace(-1, 1, 10).expand(1, 6, 10)
    off = make_tile(card, torch.full((CELLS // 4, 10), WEIGHT)).forward(x, 2) - WEIGHT * x.sum(-1)[..., None]
    assert_std(off[1, 3], STD * float(x[0, 0].square().sum().sqrt()))


@pytest.mark.parametrize("decades", range(1, 31))
def test_a_batch_of_one_sample_is_a_number_whatever_the_band(decades: int) -> None:
    """A pass of one read holds all of the noise; its shares may add up to more than 1 in their last digit."""
    tile = flickering(3, low_hz=10.0 ** (6 - decades), high_hz=1e6, read_hz=1e7)
    assert fresh_share(tile.card.read_noise.cell_flicker, 1) >= 0  # type: ignore[arg-type]
    assert bool(tile.forward(torch.ones(1, 1, 1)).isfinite().all())


def test_the_sources_share_the_variance_of_a_read_and_cover_the_band_of_the_pcm_card() -> None:
    card = load_device("pcm").read_noise.cell_flicker
    assert card is not None
    rates, shares = sources(card)
    assert float(shares.sum()) == pytest.approx(1)
    corners = rates.numpy() * card.read_hz / (2 * math.pi)
    assert (corners[0], corners[-1]) == (pytest.approx(card.low_hz), pytest.approx(card.high_hz))
    f = np.geomspace(100 * card.low_hz, card.high_hz / 100, 5001)
    power = 2 / math.pi * (shares.numpy() * corners / (f[:, None] ** 2 + corners**2)).sum(1)
    level = power * f * math.log(card.high_hz / card.low_hz)
    assert 0.93 < level.min() < level.max() < 1.07
    assert level.mean() == pytest.approx(1, abs=0.01)


def test_most_of_the_pcm_cards_read_noise_is_held_over_a_batch() -> None:
    card = load_device("pcm").read_noise.cell_flicker
    assert card is not None
    for batch, lowest, highest in ((50, 0.15, 0.25), (1000, 0.3, 0.45)):
        assert lowest < fresh_share(card, batch) < highest
    assert fresh_share(card, 1) == pytest.approx(0)


def test_cell_flicker_restored_from_a_checkpoint_continues_bit_for_bit() -> None:
    tile, restored = flickering(50, seed=1), flickering(50, seed=2)
    reads(tile, 2, 20)
    saved = through_a_file(tile.state())
    restored.load(saved)
    kept = saved["array"]["flicker"]["states"].clone()
    again = [torch.cat((reads(one, 2, 20).flatten(), reads(one, 3, 1).flatten())) for one in (tile, restored)]
    # what is fresh comes from the stream 'read', which the state holds too
    assert torch.equal(again[0], again[1])
    assert torch.equal(saved["array"]["flicker"]["states"], kept)


def test_cell_flicker_follows_writes_and_keeps_its_phase() -> None:
    tile = flickering()
    before = reads(tile, 1, 1)[0, 0]
    tile.write(torch.full((CELLS, 1), 0.2))
    after = (tile.forward(torch.ones(1, 1, 1))[0, 0] - 0.5) / (0.1 * 0.5**0.35)
    assert_std(after, 1.0)
    assert_correlated(before, after, of_processes(1))


def test_dead_cells_do_not_flicker() -> None:
    card = make_card(weights=BOUNDED, read_noise={"cell_flicker": NOISE}, stuck={"share_at_zero": 1.0})
    assert not make_tile(card, torch.full((50, 3), WEIGHT)).forward(torch.ones(1, 4, 3), 2).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"low_hz": 1e4}, "'low_hz' must lie below 'high_hz', got 10000 and 10000"),
        ({"read_hz": 1.5}, "reads see white noise: use 'weight_dependent'"),
        ({"saturates_at": 0.2}, "leave one of them out"),
    ],
)
def test_cell_flicker_that_makes_no_sense_is_refused_with_the_reason(
    changes: dict[str, float], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        make_card(weights=BOUNDED, read_noise={"cell_flicker": {**NOISE, **changes}})


def test_cell_flicker_with_an_exponent_needs_bounds() -> None:
    with pytest.raises(ValidationError, match=r"cell_flicker.exponent: other than 1 needs weights.min"):
        make_card(read_noise={"cell_flicker": NOISE})
