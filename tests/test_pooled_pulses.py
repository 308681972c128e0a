"""Pulses of a whole batch at once, against the exact counts of every sample's trains."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from support import generator, make_card, make_tile, normal
from torch import Tensor

from noisyhw.devices.pooled_pulses import FEW_SLOTS, draw, train_sums
from noisyhw.devices.pulse_trains import draw_pulses, expected_pulses

LONGEST, TRIALS = 31, 40000
STEPS = {"like": (1.0, 1.0), "unlike": (1.0, 0.3), "one way": (1.0, 0.0)}
MEANS = [(1e-3, 1e-3), (0.05, 0.01), (0.4, 0.3), (1.0, 0.5), (2.0, 3.0), (8.0, 9.0), (200.0, 180.0)]


def moments(x: Tensor, d: Tensor, rate: float) -> tuple[Tensor, ...]:
    """Mean and variance of pulses up and of pulses down as the pooled law takes them."""
    up, down, share = train_sums(x, d, rate, LONGEST).part(slice(None))
    kept = 1 - share
    return tuple(v.view(d.shape[1], x.shape[1]) for v in (up, up * kept, down, down * kept))


@pytest.mark.parametrize("rate", [0.01, 0.5, 20.0, 500.0])
@pytest.mark.parametrize("samples", [1, 20])
def test_mean_numbers_of_pulses_are_those_of_the_trains(rate: float, samples: int) -> None:
    x, d = normal(samples, 7, seed=1), normal(samples, 5, seed=2)
    (up, up_var), (down, down_var) = expected_pulses(x, d, rate, LONGEST)
    found = moments(x, d, rate)
    torch.testing.assert_close(found[0], up.clamp(min=0), rtol=1e-4, atol=1e-4 * float(up.max()))
    torch.testing.assert_close(found[2], down.clamp(min=0), rtol=1e-4, atol=1e-4 * float(down.max()))
    if samples == 1:  # then the sums over the batch factorise; shares above 0.9999 are capped
        atol = 2e-3 * float((up + down).max())
        torch.testing.assert_close(found[1] + found[3], up_var + down_var, rtol=1e-3, atol=atol)


def gaussian() -> tuple[Tensor, Tensor]:
    return normal(1000, 30, seed=1).clamp(min=-0.5), normal(1000, 20, seed=2)


def one_hot() -> tuple[Tensor, Tensor]:
    """What transfers send: every cell is pulsed by one sample only, and these differ."""
    return torch.eye(30), normal(30, 20, seed=2) * torch.arange(30).div(10).exp()[:, None]


def by_class() -> tuple[Tensor, Tensor]:
    """Each class has inputs and an error of its own, as in classification."""
    x, d = torch.rand(1000, 30, generator=generator(1)), 0.05 * normal(1000, 20, seed=2)
    kind = torch.arange(1000) % 10
    x[torch.arange(1000), kind] += 3
    d[torch.arange(1000), kind] -= 1
    return x, d


BATCHES = {"gaussian": gaussian, "one-hot": one_hot, "by class": by_class}


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("rate", [1.0, 30.0])
def test_every_cells_variance_of_pulses_is_that_of_its_trains(
    rate: float, batch: Callable[[], tuple[Tensor, Tensor]]
) -> None:
    x, d = batch()
    (up, up_var), (down, down_var) = expected_pulses(x, d, rate, LONGEST)
    found = moments(x, d, rate)
    atol = 2e-4 * float((up + down).max())  # rounding, and the capped share
    torch.testing.assert_close(found[1] + found[3], up_var + down_var, rtol=2e-3, atol=atol)


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
def test_trains_that_fire_in_few_slots_have_a_variance_within_a_tenth_of_the_mean(
    batch: Callable[[], tuple[Tensor, Tensor]],
) -> None:
    x, d = batch()
    rate = 0.99 * FEW_SLOTS / float((x.abs().amax(1) * d.abs().amax(1)).max())
    (up, up_var), (down, down_var) = expected_pulses(x, d, rate, LONGEST)
    assert isinstance(train_sums(x, d, rate, LONGEST).squares, tuple)
    found = moments(x, d, rate)
    off = (found[1] + found[3] - up_var - down_var).abs()
    assert bool((off <= FEW_SLOTS * (up + down) + 1e-6).all())
    assert float(off.sum() / (up + down).sum()) < 0.04


@pytest.mark.parametrize("step", [0.1, 0.3])
def test_large_steps_of_a_batch_act_as_if_sample_followed_sample(step: float) -> None:
    """Two pulses up on average: a pulse moves a cell to w + step (1 - w), so E[1 - w] = (1 - step / 50)^100."""
    card = make_card(
        weights={"min": -1.0, "max": 1.0},
        update={"kind": "pulsed", "step": step, "slope_up": 1.0, "slope_down": 1.0},
    )
    cells, share = 90000, 0.02
    tile = make_tile(card, torch.zeros(300, 300))
    tile.update(torch.ones(100, 300), -torch.ones(100, 300), 2 * step)
    away = 1 - tile.twin().double()
    mean, square = (1 - share * step) ** 100, (1 - share * (2 * step - step**2)) ** 100
    std = math.sqrt(square - mean**2)
    assert abs(float(away.mean()) - mean) < 5 * std / math.sqrt(cells) + 0.01 * (1 - mean)
    assert abs(float(away.std()) / std - 1) < 5 / math.sqrt(cells) + 0.02


def test_pulses_that_are_sure_to_come_all_come() -> None:
    """31 of them in every second of 32 columns, from a batch of one-hot samples, as a transfer sends them."""
    card = make_card(weights={"min": -50.0, "max": 50.0}, update={"kind": "pulsed", "step": 1.0})
    tile = make_tile(card, torch.zeros(8, 32))
    d = torch.zeros(32, 8)
    d[::2] = -1e3
    tile.update(torch.eye(32), d, 32.0)
    assert torch.allclose(
        tile.twin()[:, ::2], torch.full((8, 16), 31.0), atol=0.3
    )  # 5 of the capped share's std
    assert bool((tile.twin()[:, 1::2] == 0).all())


@pytest.mark.parametrize("mean", MEANS, ids=str)
@pytest.mark.parametrize("share", [0.0, 0.3])
@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_drawn_changes_have_the_mean_variance_and_chances_of_binomial_pulses(
    mean: tuple[float, float], share: float, steps: tuple[float, float]
) -> None:
    up, down = (torch.full((TRIALS,), m) for m in mean)
    a, b = (torch.tensor(step) for step in steps)
    share = min(share, sum(mean))
    draws = generator(3)
    drawn = draw(up, down, torch.full((TRIALS,), share), (a.expand(TRIALS), b.expand(TRIALS)), draws)
    std = (drawn.fluctuation * (drawn.up * a**2 + drawn.down * b**2)).sqrt()
    change = a * drawn.up - b * drawn.down + std * torch.randn(TRIALS, generator=draws)
    variance = (1 - share) * float(a**2 * mean[0] + b**2 * mean[1])
    expected = float(a * mean[0] - b * mean[1])
    assert abs(float(change.mean()) - expected) < 5 * math.sqrt(variance / TRIALS) + 1e-5
    fourth = max(3 * variance**2, variance)  # of a Gaussian, or of rare single steps
    assert abs(float(change.var()) - variance) < 5 * math.sqrt(fourth / TRIALS) + 1e-4 * variance
    none = (1 - share) ** (sum(mean) / share) if share else math.exp(-sum(mean))
    found = float((drawn.any == 0).double().mean())
    assert abs(found - none) <= 5 * math.sqrt(none * (1 - none) / TRIALS) + 1e-6
    assert bool(((drawn.any == 0) == ((drawn.up == 0) & (drawn.down == 0))).all())


def test_single_pulses_are_whole_and_go_one_way() -> None:
    up, down = torch.full((TRIALS,), 0.02), torch.full((TRIALS,), 0.01)
    one = torch.ones(TRIALS)
    drawn = draw(up, down, torch.zeros(TRIALS), (one, one), generator(4))
    single = (drawn.any == 1) & (drawn.fluctuation == 0)
    assert bool(((drawn.up + drawn.down)[single] == 1).all())
    assert int(single.sum()) > 0.9 * int(drawn.any.sum())


@pytest.mark.parametrize("mean", [1e-9, 1e-7])
def test_the_rarest_pulses_come_as_often_as_they_should(mean: float) -> None:
    """A single-precision uniform number knows no chance between 0 and 6e-8."""
    cells, found = 1 << 20, 0.0
    means, one = torch.full((cells,), mean), torch.ones(cells)
    draws = generator(5)
    trials = 100
    for _ in range(trials):
        found += float(draw(means, torch.zeros(cells), torch.zeros(cells), (one, one), draws).up.sum())
    expected = mean * cells * trials
    assert abs(found - expected) <= 5 * math.sqrt(expected) + 0.5


@pytest.mark.parametrize("rate", [1e-4, 1e-2, 0.1, 1.0], ids=str)
@pytest.mark.parametrize("slope", [0.0, 1.0], ids=["hard bounds", "soft bounds"])
def test_a_batch_moves_cells_as_whole_pulses_of_every_sample_would(rate: float, slope: float) -> None:
    update = {"kind": "pulsed", "step": 0.002, "slope_up": slope, "slope_down": slope, "cycle_noise": 0.3}
    card = make_card(weights={"min": -1.0, "max": 0.8}, update=update)
    weight = normal(200, 300, seed=6, std=0.2)
    x, d = normal(100, 300, seed=7), normal(100, 200, seed=8)
    tile, other = make_tile(card, weight), make_tile(card, weight)
    tile.update(x, d, rate)
    trains = expected_pulses(x, d, rate / 100 / 0.002, 31)
    draws = generator(9)
    other.cells._apply(*(draw_pulses(mean, variance, draws) for mean, variance in trains))
    ours, exact = tile.twin() - weight, other.twin() - weight
    count = ours.numel()
    # two independent draws of the same law: their difference is twice the law's variance about zero
    difference = (ours - exact).double()
    spread = float(difference.std())
    assert abs(float(difference.mean())) < 5 * spread / math.sqrt(count)
    mean = (ours + exact) / 2
    slope_of_size = float((ours - exact).mul(mean).sum() / mean.square().sum())
    assert abs(slope_of_size) < 5 * spread / math.sqrt(float(mean.double().square().sum()) + 1e-12)
    residual = [float((part - _expected(card, weight, trains)).double().var()) for part in (ours, exact)]
    kurtosis = 3 + 20 / max(float((trains[0][0] + trains[1][0]).mean()), 0.02)
    assert abs(residual[0] / residual[1] - 1) < 5 * math.sqrt(2 * (kurtosis - 1) / count) + 0.03


def _expected(card: object, weight: Tensor, trains: tuple[tuple[Tensor, Tensor], ...]) -> Tensor:
    """The change at the mean numbers of pulses, without noise."""
    plain = make_tile(
        make_card(
            weights={"min": -1.0, "max": 0.8},
            update=card.update.model_dump() | {"cycle_noise": 0.0},  # type: ignore[attr-defined]
        ),
        weight,
    )
    plain.cells._apply(trains[0][0], trains[1][0])
    change: Tensor = plain.twin() - weight
    return change


def test_a_cell_that_gets_no_pulse_keeps_its_bits() -> None:
    card = make_card(update={"kind": "pulsed", "step": 0.01, "write_noise": 0.1, "cycle_noise": 0.5})
    tile = make_tile(card, normal(50, 60, seed=1))
    before = tile.twin()
    x, d = normal(40, 60, seed=2), normal(40, 50, seed=3)
    x[:, ::2] = 0
    tile.update(x, d, 0.1)
    assert torch.equal(tile.twin()[:, ::2], before[:, ::2])
    assert not torch.equal(tile.twin()[:, 1::2], before[:, 1::2])


def test_no_signal_moves_nothing_and_too_much_stays_finite() -> None:
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
