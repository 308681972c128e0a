"""Stochastic pulse trains against a simulation that draws every slot of every train."""

from __future__ import annotations

import math

import pytest
import torch
from support import generator, make_card, make_tile, normal
from torch import Tensor

from noisyhw.devices.pulse_trains import draw_pulses, expected_pulses

LONGEST, TRIALS = 10, 20000
X = torch.tensor([[0.7, -0.2, 1.3], [-0.4, 0.9, 0.05], [2.0, 1.0, -0.6], [0.1, -0.1, 0.02]])
D = torch.tensor([[0.5, -1.0], [0.3, 0.8], [-0.9, 0.1], [1.5, -0.7]])
RATES = {"small": 0.1, "medium": 2.0, "saturating": 12.0}
"""Pulses per unit of d x; the largest |d| max|x| of a sample is 1.8 and the longest train 10."""


def slot_by_slot(x: Tensor, d: Tensor, rate: float) -> tuple[Tensor, Tensor]:
    """Pulses up and down per trial and cell: trains of Bernoulli slots, coincidences counted."""
    draws = generator(3)
    counts = [torch.zeros(TRIALS, d.shape[1], x.shape[1]) for _ in range(2)]
    for row, column in zip(x, d, strict=True):
        strength = float(row.abs().max() * column.abs().max()) * rate
        slots = min(max(math.ceil(strength), 1), LONGEST)
        share = math.sqrt(min(strength, LONGEST) / slots)
        # what is too much is asked of the errors alone
        shares = (share * max(strength / LONGEST, 1.0), share)
        fires = [
            torch.rand((TRIALS, slots, v.numel()), generator=draws) < part * v.abs() / v.abs().max()
            for v, part in zip((column, row), shares, strict=True)
        ]
        pulses = torch.einsum("tsi,tsj->tij", fires[0].float(), fires[1].float())
        down = torch.outer(column, row) > 0
        counts[0] += pulses * ~down
        counts[1] += pulses * down
    return counts[0], counts[1]


def assert_moments(counts: Tensor, mean: Tensor, variance: Tensor) -> None:
    """Mean and variance over trials agree within 5 standard errors for every cell."""
    centred = counts.double() - counts.double().mean(0)
    found, fourth = centred.square().mean(0), centred.pow(4).mean(0)
    enough = 5 / math.sqrt(TRIALS)
    assert bool(((counts.double().mean(0) - mean).abs() <= enough * found.sqrt() + 1e-5).all())
    excess = found - variance
    limit = enough * (fourth - found.square()).clamp(min=0).sqrt() + 1e-4
    assert bool((excess >= -limit).all())
    assert bool((excess <= limit).all())


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
@pytest.mark.parametrize("samples", [1, 4])
def test_expected_pulses_are_the_moments_of_coinciding_trains(rate: float, samples: int) -> None:
    x, d = X[:samples], D[:samples]
    expected = expected_pulses(x, d, rate, LONGEST)
    for counts, (mean, variance) in zip(slot_by_slot(x, d, rate), expected, strict=True):
        assert_moments(counts, mean, variance)


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
@pytest.mark.parametrize("samples", [1, 4])
def test_drawn_pulses_are_whole_and_have_the_expected_moments(rate: float, samples: int) -> None:
    for mean, variance in expected_pulses(X[:samples], D[:samples], rate, LONGEST):
        shape = (TRIALS, *mean.shape)
        counts = draw_pulses(mean.expand(shape), variance.expand(shape), generator(4))
        assert torch.equal(counts, counts.round())
        assert float(counts.min()) >= 0
        assert_moments(counts, mean, variance)


@pytest.mark.parametrize("rate", [*RATES.values(), 1e6])
def test_one_sample_moves_a_cell_by_no_more_pulses_than_the_longest_train(rate: float) -> None:
    shape = (TRIALS, 2, 3)
    for row, column in zip(X, D, strict=True):
        for mean, variance in expected_pulses(row[None], column[None], rate, LONGEST):
            counts = draw_pulses(mean.expand(shape), variance.expand(shape), generator(5))
            assert float(counts.max()) <= LONGEST


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
    nothing = torch.zeros(4, 2)
    for mean, variance in expected_pulses(X, nothing, 1e6, LONGEST):
        assert not draw_pulses(mean, variance, generator(6)).any()


def test_an_on_tile_update_moves_weights_by_minus_rate_times_the_mean_outer_product() -> None:
    card = make_card(update={"kind": "pulsed", "step": 0.001, "pulses_per_update": 31})
    tile = make_tile(card, torch.zeros(40, 50))
    x, d = normal(20, 50, seed=1), normal(20, 40, seed=2)
    trials, rate = 30, 0.01
    for _ in range(trials):
        tile.update(x, d, rate)
    expected = -rate * trials * d.T @ x / 20
    trains = expected_pulses(x, d, rate / 20 / 0.001, 31)
    variance = trials * (trains[0][1] + trains[1][1])
    z = (tile.twin() - expected) / (0.001 * variance.sqrt())
    assert abs(float(z.mean())) < 4.5 / math.sqrt(z.numel())
    assert abs(float(z.std()) - 1) < 4.5 / math.sqrt(2 * z.numel()) + 0.02
