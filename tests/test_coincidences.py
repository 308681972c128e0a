"""Pulses of a whole batch: moments, covariances and chances of trains that rows and columns share."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from literal_trains import BATCHES, assert_covariance, covariance, moments, sent_literally
from support import generator, make_card, make_tile, normal
from torch import Tensor

import noisyhw.devices.coincidences as module
from noisyhw.devices.coincidences import coincidences, draw
from noisyhw.devices.line_counts import LineCounts, counted, slot_by_slot, two_points
from noisyhw.devices.pulse_trains import trains

LONGEST, TRIALS = 31, 4000
RATES = {"one slot": 0.2, "some slots": 4.0, "saturating": 60.0}
Batch = Callable[[], tuple[Tensor, Tensor]]


def exactly(x: Tensor, d: Tensor, rate: float, trials: int) -> tuple[Tensor, Tensor]:
    """Pulses up and down, [trials, outputs, inputs], of trains sent slot by slot, all trials at once."""
    x, d = x.repeat(trials, 1), d.repeat(trials, 1)
    signed, total = _products(slot_by_slot(x, d, trains(x, d, rate, LONGEST), generator(3)), trials)
    return (total - signed) / 2, (total + signed) / 2


def by_counts(x: Tensor, d: Tensor, rate: float, trials: int) -> tuple[Tensor, Tensor]:
    """The same of trains sent by how often lines fire."""
    x, d = x.repeat(trials, 1), d.repeat(trials, 1)
    draws = generator(4)
    lines = counted(x, d, trains(x, d, rate, LONGEST), draws)
    assert lines.slots is not None
    signed, total = _products(LineCounts(lines.inputs, lines.errors / lines.slots, None), trials)
    variance = torch.stack(
        [
            LineCounts(*parts).variance()
            for parts in zip(
                *(v.chunk(trials) for v in (lines.inputs, lines.errors, lines.slots)), strict=True
            )
        ]
    )
    up, down = draw(*(v.flatten() for v in ((total - signed) / 2, (total + signed) / 2, variance)), draws)
    return up.view_as(total), down.view_as(total)


def _products(lines: LineCounts, trials: int) -> tuple[Tensor, Tensor]:
    inputs, errors = (v.view(trials, -1, v.shape[1]) for v in (lines.inputs, lines.errors))
    return errors.mT @ inputs, errors.abs().mT @ inputs.abs()


ROUTES = {"slot by slot": exactly, "by counts of lines": by_counts}


@pytest.fixture(params=[True, False], ids=list(ROUTES))
def affordable(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a batch is sent slot by slot; else by counts of lines, but for samples of a single slot."""
    if not request.param:
        monkeypatch.setattr(module, "AFFORDABLE", 0)
        monkeypatch.setattr(module, "SHORT", 0)
    return bool(request.param)


def sent(x: Tensor, d: Tensor, rate: float, trials: int) -> tuple[Tensor, Tensor]:
    """Pulses up and down, [trials, outputs, inputs], as cells get them."""
    draws = generator(3)
    both = [coincidences(x, d, rate, LONGEST, draws).all(draws) for _ in range(trials)]
    return torch.stack([up for up, _ in both]), torch.stack([down for _, down in both])


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
def test_the_covariances_on_paper_are_those_of_literal_trains(rate: float, batch: Batch) -> None:
    x, d = batch()
    up, down = sent_literally(x, d, rate, LONGEST, TRIALS, seed=1)
    assert_covariance((down - up).flatten(1), covariance(x, d, rate, LONGEST))


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
@pytest.mark.parametrize("route", ROUTES)
def test_variances_and_covariances_within_rows_and_columns_are_those_of_shared_trains(
    rate: float, batch: Batch, route: str
) -> None:
    x, d = batch()
    up, down = ROUTES[route](x, d, rate, TRIALS)
    assert torch.equal(up, up.round())
    assert torch.equal(down, down.round())
    assert float(torch.minimum(up, down).min()) >= 0
    # whole numbers of a mean that is none vary by up to 1/4, and those of about two pulses are cut at zero
    share, slack, rounding = (0.0, 0.0, 0.0) if route == "slot by slot" else (0.06, 0.04, 0.25)
    assert_covariance((down - up).flatten(1), covariance(x, d, rate, LONGEST), share=share, rounding=rounding)
    expected = moments(x, d, rate, LONGEST)
    for counts, mean, variance in ((up, *expected[:2]), (down, *expected[2:])):
        error = (variance / TRIALS).sqrt()
        off = (counts.double().mean(0) - mean).abs()
        assert bool((off <= 5 * error + slack * variance.sqrt() + 1e-6).all())


@pytest.mark.parametrize("samples", [64, 200])
@pytest.mark.parametrize("rate", [0.5, 4.0, 40.0])
def test_what_a_read_feels_of_the_pulses_has_the_variance_of_shared_trains(
    rate: float, samples: int, affordable: bool
) -> None:
    """x . dW for a fixed x: the covariances of a row add up to several times the variances."""
    x, d = torch.rand(samples, 64, generator=generator(1)), normal(samples, 8, seed=2)
    read, trials = torch.rand(64, generator=generator(3)), 100
    up, down = sent(x, d, rate, trials)
    found = ((down - up) @ read).double().var(0).mean()
    most = d.abs().amax(1)
    expected = torch.stack([_felt(x, d[:, i], rate, read, most) for i in range(8)]).mean()
    apart = (moments(x, d, rate, LONGEST)[1] + moments(x, d, rate, LONGEST)[3]) @ read.double().square()
    assert expected > 3 * apart.mean()
    assert abs(float(found / expected) - 1) < 5 * math.sqrt(2 / (8 * trials)) + 0.01


def _felt(x: Tensor, column: Tensor, rate: float, read: Tensor, largest: Tensor) -> Tensor:
    """Variance of read . dW of one output, from the chances of a slot."""
    total = torch.zeros((), dtype=torch.float64)
    for row, error, most in zip(x.double(), column.double(), largest.double(), strict=True):
        strength = float(row.max() * most) * rate
        slots = min(math.ceil(strength - 1e-5), LONGEST)
        share = math.sqrt(min(strength / slots, 1.0))
        p = share * row / row.max()
        q = min(float(error.abs() / most) * share * max(strength / slots, 1.0), 1.0)
        mean, spread = (read * p).sum(), (read.double().square() * p * (1 - p)).sum()
        total += slots * (q * (spread + mean**2) - (q * mean) ** 2)
    return total


def test_one_sure_pulse_among_rare_ones_always_comes(affordable: bool) -> None:
    """One sample whose pulse is sure and 63 of a chance of a hundredth: P(none) = 0 and P(one) = 0.99^63."""
    up, down = sent(*BATCHES["sure and rare"](), 1.0, trials=200)
    assert not up.any()
    assert float(down.min()) >= 1
    one = float((down == 1).double().mean())
    expected = 0.99**63
    # the twelve cells share lines: at least the trials are independent
    assert abs(one - expected) < 5 * math.sqrt(expected * (1 - expected) / 200)


def test_no_cell_moves_against_a_unanimous_batch(affordable: bool) -> None:
    x, d = torch.rand(100, 30, generator=generator(1)), torch.rand(100, 20, generator=generator(2))
    for rate in (0.01, 0.3, 3.0, 100.0):
        up, down = sent(x, d, rate, trials=20)
        assert not up.any()
        assert bool(down.any())


@pytest.mark.parametrize("chance", [1e-6, 0.01, 0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("slots", [1, 2, 5, 31])
def test_counts_of_a_lines_firings_have_three_moments_of_a_binomial(chance: float, slots: int) -> None:
    """On paper, from the two values and their chances; and between 0 and the number of slots."""
    number = 100_000
    p, length = torch.full((number, 1), chance), torch.full((number, 1), float(slots))
    drawn = two_points(p, length, generator(1)).double().flatten()
    low, high = float(drawn.min()), float(drawn.max())
    assert low >= 0
    assert high <= slots * (1 + 1e-6)
    mean, variance = slots * chance, slots * chance * (1 - chance)
    assert abs(float(drawn.mean()) - mean) <= 5 * math.sqrt(variance / number) + 1e-6
    # two values that multiply to slots (slots - 1) p^2 and add up to twice their middle have all three moments
    if len(drawn.unique()) == 2:
        assert low + high == pytest.approx(2 * mean + 1 - 2 * chance, rel=1e-4, abs=1e-4)
        assert (mean - low) * (high - mean) == pytest.approx(variance, rel=1e-3, abs=1e-5)


MEANS = [(1e-3, 1e-3), (0.05, 0.01), (0.4, 0.3), (1.0, 0.5), (2.0, 3.0), (8.0, 9.0), (200.0, 180.0)]


@pytest.mark.parametrize("mean", MEANS, ids=str)
@pytest.mark.parametrize("share", [0.3, 0.7, 1.0])
def test_drawn_pulses_are_whole_and_have_the_mean_and_variance_that_are_asked_for(
    mean: tuple[float, float], share: float
) -> None:
    number = 40000
    up, down = (torch.full((number,), m) for m in mean)
    found = draw(up, down, (up + down) * share, generator(3))
    for counts, expected in zip(found, mean, strict=True):
        assert torch.equal(counts, counts.round())
        assert float(counts.min()) >= 0
        over = expected % 1
        variance = max(share * expected, over * (1 - over))  # no whole numbers of that mean have less
        # where it is about two pulses, rounded Gaussians are cut at zero
        slack = 0.04 if 0.5 < share * expected < 4 else 0.002
        off = abs(float(counts.mean()) - expected)
        assert off < 5 * math.sqrt(variance / number) + slack * math.sqrt(variance)
        fourth = max(3 * variance**2, variance)
        limit = 5 * math.sqrt(fourth / number) + (0.12 if slack == 0.04 else 0.02) * variance
        assert abs(float(counts.var()) - variance) < limit


def test_numbers_of_pulses_that_are_certain_are_drawn_as_they_are() -> None:
    number = torch.arange(50.0)
    up, down = draw(number, number.flip(0), torch.zeros(50), generator(3))
    assert torch.equal(up, number)
    assert torch.equal(down, number.flip(0))


@pytest.mark.parametrize("strength", [1e-9, 1e-7])
def test_the_rarest_pulses_come_as_often_as_they_should(strength: float) -> None:
    """Lines fire with a chance of sqrt(strength), which single precision knows no uniform number for."""
    draws, found, trials = generator(5), 0.0, 40
    x, d = torch.ones(500, 500), torch.ones(500, 400)
    for _ in range(trials):
        _, down = coincidences(x, d, strength, LONGEST, draws).all(draws)
        found += float(down.sum())
    samples = 500 * trials
    expected = samples * 500 * 400 * strength
    chance = math.sqrt(strength)
    # cells share lines: a coincidence brings others along with it
    variance = expected * (1 + 900 * chance)
    assert abs(found - expected) <= 5 * math.sqrt(variance) + 0.5


def test_pulses_that_are_sure_to_come_all_come() -> None:
    """31 of them in every second of 32 columns, from a batch of one-hot samples, as a transfer sends them."""
    card = make_card(weights={"min": -50.0, "max": 50.0}, update={"kind": "pulsed", "step": 1.0})
    tile = make_tile(card, torch.zeros(8, 32))
    d = torch.zeros(32, 8)
    d[::2] = -1e3
    tile.update(torch.eye(32), d, 32.0)
    assert torch.equal(tile.twin()[:, ::2], torch.full((8, 16), 31.0))
    assert bool((tile.twin()[:, 1::2] == 0).all())


@pytest.mark.parametrize("step", [0.1, 0.3])
def test_large_steps_of_a_batch_act_as_if_sample_followed_sample(step: float) -> None:
    """Two pulses up on average: a pulse moves a cell to w + step (1 - w), so E[1 - w] = (1 - step / 50)^100."""
    card = make_card(
        weights={"min": -1.0, "max": 1.0},
        update={"kind": "pulsed", "step": step, "slope_up": 1.0, "slope_down": 1.0},
    )
    share, trials = 0.02, 60
    x, d = torch.ones(100, 20), -torch.ones(100, 20)
    found = []
    for trial in range(trials):
        tile = make_tile(card, torch.zeros(20, 20), seed=trial)
        tile.update(x, d, 2 * step)
        found.append(1 - tile.twin().double())
    away = torch.stack(found)
    mean, square = (1 - share * step) ** 100, (1 - share * (2 * step - step**2)) ** 100
    std = math.sqrt(square - mean**2)
    # cells of a tile share lines; a line's firing is common to about a seventh of a cell's variance
    error = std * math.sqrt((1 / 400 + math.sqrt(share) / 10) / trials)
    assert abs(float(away.mean()) - mean) < 5 * error + 0.01 * (1 - mean)
    assert abs(float(away.var(0).mean().sqrt()) / std - 1) < 5 / math.sqrt(20 * trials) + 0.02


def test_a_cell_that_gets_no_pulse_keeps_its_bits() -> None:
    card = make_card(update={"kind": "pulsed", "step": 0.01, "write_noise": 0.1, "cycle_noise": 0.5})
    tile = make_tile(card, normal(50, 60, seed=1))
    before = tile.twin()
    x, d = normal(40, 60, seed=2), normal(40, 50, seed=3)
    x[:, ::2] = 0
    tile.update(x, d, 0.1)
    assert torch.equal(tile.twin()[:, ::2], before[:, ::2])
    assert not torch.equal(tile.twin()[:, 1::2], before[:, 1::2])


def test_no_signal_moves_nothing_and_too_much_stays_finite(affordable: bool) -> None:
    card = make_card(
        weights={"min": -1.0, "max": 1.0},
        update={"kind": "pulsed", "step": 0.01, "slope_up": 1.0, "slope_down": 1.0, "cycle_noise": 1.0},
    )
    tile = make_tile(card, normal(50, 60, seed=1, std=0.1))
    before = tile.twin()
    tile.update(normal(40, 60, seed=2), torch.zeros(40, 50), 1.0)
    assert torch.equal(tile.twin(), before)
    for rate in (1e-30, 1e-8, 1e3, 1e30):
        tile.update(normal(40, 60, seed=2), normal(40, 50, seed=3), rate)
        assert bool(tile.twin().isfinite().all())
        assert float(tile.twin().abs().max()) <= 1
