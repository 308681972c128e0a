"""Stochastic pulse trains and what they do to a tile, against trains of which every slot is drawn."""

from __future__ import annotations

import math

import pytest
import torch
from literal_trains import chances, moments, sent_literally
from support import generator, make_card, make_tile, normal

from noisyhw.devices.coincidences import coincidences
from noisyhw.devices.pulse_trains import trains

LONGEST = 10
X = torch.tensor([[0.7, -0.2, 1.3], [-0.4, 0.9, 0.05], [2.0, 1.0, -0.6], [0.1, -0.1, 0.02]])
D = torch.tensor([[0.5, -1.0], [0.3, 0.8], [-0.9, 0.1], [1.5, -0.7]])
RATES = {"small": 0.1, "medium": 2.0, "saturating": 12.0}
"""Pulses per unit of d x; the largest |d| max|x| of a sample is 1.8 and the longest train 10."""


@pytest.mark.parametrize("rate", [*RATES.values(), 1e6])
def test_lines_fire_with_the_chances_of_update_management(rate: float) -> None:
    found = trains(X, D, rate, LONGEST)
    for number, (row, column) in enumerate(zip(X, D, strict=True)):
        inputs, errors, slots = chances(row, column, rate, LONGEST)
        assert float(found.slots[number]) == slots
        torch.testing.assert_close(found.inputs[number], inputs)
        torch.testing.assert_close(found.errors[number], errors)


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
def test_trains_ask_for_rate_times_the_outer_product_unless_they_are_too_long(rate: float) -> None:
    found = trains(X, D, rate, LONGEST)
    asked = found.slots[..., None] * found.errors[:, :, None] * found.inputs[:, None]
    wanted = rate * D.abs()[:, :, None] * X.abs()[:, None]
    free = found.errors < 1
    torch.testing.assert_close(asked[free], wanted[free])
    assert bool((asked <= wanted * (1 + 1e-5)).all())


def test_numbers_that_are_as_small_or_large_as_can_be_give_chances() -> None:
    for size in (0.0, 1e-38, 1e-20, 1e20, 1e38):
        for rate in (1e-38, 1.0, 1e38):
            found = trains(X * size, D, rate, LONGEST)
            for chance in (found.inputs, found.errors):
                assert bool(((chance >= 0) & (chance <= 1)).all())
            assert bool(((found.slots >= 1) & (found.slots <= LONGEST)).all())


@pytest.mark.parametrize("rate", [*RATES.values(), 1e6])
def test_one_sample_moves_a_cell_by_no_more_pulses_than_the_longest_train(rate: float) -> None:
    draws = generator(5)
    for row, column in zip(X, D, strict=True):
        for _ in range(50):
            up, down = coincidences(row[None], column[None], rate, LONGEST, draws).all(draws)
            assert float((up + down).max()) <= LONGEST
            assert bool(((torch.outer(column, row) > 0) | (down == 0)).all())
            assert bool(((torch.outer(column, row) < 0) | (up == 0)).all())


def test_the_strongest_cell_of_a_saturated_sample_gets_the_longest_train_for_sure() -> None:
    tile = make_tile(
        make_card(update={"kind": "pulsed", "step": 0.01, "pulses_per_update": LONGEST}), 0 * D.T[:, :3]
    )
    tile.update(X[:1], D[:1], 1e3)
    moved = -tile.twin() / 0.01
    strongest = int(X[0].abs().argmax())
    torch.testing.assert_close(moved[1, strongest], torch.tensor(-float(LONGEST)))
    assert float(moved.abs().max()) <= LONGEST * (1 + 1e-5)


def test_no_signal_means_no_pulse() -> None:
    draws = generator(6)
    for up_or_down in coincidences(X, torch.zeros(4, 2), 1e6, LONGEST, draws).all(draws):
        assert not up_or_down.any()


def test_an_on_tile_update_moves_weights_by_minus_rate_times_the_mean_outer_product() -> None:
    card = make_card(update={"kind": "pulsed", "step": 0.001, "pulses_per_update": 31})
    x, d = normal(20, 50, seed=1), normal(20, 40, seed=2)
    tile = make_tile(card, torch.zeros(40, 50))
    trials, rate = 100, 0.01
    for _ in range(trials):
        tile.update(x, d, rate)
    expected = -rate * trials * d.T @ x / 20
    up, up_variance, down, down_variance = moments(x, d, rate / 20 / 0.001, 31)
    z = (tile.twin() - expected) / (0.001 * (trials * (up_variance + down_variance)).sqrt())
    # cells that share a line correlate: of 40 x 50 cells at least the 40 + 50 lines are independent
    assert abs(float(z.mean())) < 4.5 / math.sqrt(90)
    assert abs(float(z.std()) - 1) < 4.5 / math.sqrt(2 * 90)
    assert float((up + down).sum()) > 1000 / trials


@pytest.mark.parametrize("slope", [0.0, 1.0], ids=["hard bounds", "soft bounds"])
@pytest.mark.parametrize("rate", [1e-3, 0.1, 10.0], ids=str)
def test_what_a_read_feels_of_a_batch_is_what_literal_trains_send(rate: float, slope: float) -> None:
    """Mean and variance of x . dW for a fixed x, on cells with and without a pull to their bounds."""
    step, samples, trials = 0.002, 32, 200
    update = {"kind": "pulsed", "step": step, "slope_up": slope, "slope_down": slope, "pulses_per_update": 31}
    card = make_card(weights={"min": -1.0, "max": 0.8}, update=update)
    start = normal(8, 24, seed=6, std=0.2)
    x, d = torch.rand(samples, 24, generator=generator(7)), normal(samples, 8, seed=8)
    read = torch.rand(24, generator=generator(9))
    up, down = sent_literally(x, d, rate / samples / step, 31, trials, seed=1)
    theirs = torch.empty(trials, 8)
    ours = torch.empty(trials, 8)
    literal, tile = make_tile(card, start), make_tile(card, start)
    for trial in range(trials):
        for one in (literal, tile):
            one.cells.inner.copy_(start)
            one.cells.weight.copy_(start)
        literal.cells._apply(up[trial], down[trial])
        tile.update(x, d, rate)
        theirs[trial], ours[trial] = ((one.twin() - start) @ read for one in (literal, tile))
    spread = (theirs.var(0) + ours.var(0)).sqrt()
    assert bool(((theirs.mean(0) - ours.mean(0)).abs() < 5 * spread / math.sqrt(trials) + 1e-6).all())
    ratio = ours.var(0).mean() / theirs.var(0).mean()
    assert abs(float(ratio) - 1) < 5 * math.sqrt(4 / (8 * trials)) + 0.01
