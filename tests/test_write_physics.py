"""What a write does to cells, against a simulation that sends one pulse after another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from support import (
    BOUNDED,
    UPDATES,
    assert_mean,
    assert_std,
    generator,
    make_card,
    make_tile,
    normal,
    updating,
)
from torch import Tensor

from noisyhw.cards.device import DeviceCard
from noisyhw.tiles.analog import AnalogTile

MIN, MAX, STEP = -0.8, 1.0, 0.01
SHAPE = (100, 200)
CELLS = SHAPE[0] * SHAPE[1]


def pulsed(bounds: dict[str, Any] | None = None, **update: Any) -> DeviceCard:
    return make_card(weights=bounds or BOUNDED, update={"kind": "pulsed", "step": STEP, **update})


def one_by_one(
    weight: Tensor, pulses: Sequence[int], slope: float, cycle_noise: float = 0.0, scales: bool = True
) -> Tensor:
    """Every pulse for itself: step (1 - slope w / bound), noise, bounds."""
    draws = generator(77)
    for sign in pulses:
        bound = MAX if sign > 0 else MIN
        step = STEP * (1 - slope * weight / bound)
        noise = torch.randn(weight.shape, generator=draws) * cycle_noise
        weight = weight + sign * step + noise * (step if scales else STEP)
        weight = weight.clamp(MIN, MAX)
    return weight


def send(tile: AnalogTile, up: float, down: float) -> None:
    """Pulses in both directions within one update."""
    tile.cells._apply(torch.full(SHAPE, up), torch.full(SHAPE, down))  # type: ignore[attr-defined]


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0], ids=["hard bounds", "linear step", "soft bounds"])
@pytest.mark.parametrize("count", [1, -1, 7, -7, 60, -60, 900, -900])
def test_many_pulses_at_once_end_where_pulses_one_by_one_end(slope: float, count: int) -> None:
    start = torch.linspace(MIN, MAX, 40).view(8, 5)
    tile = make_tile(pulsed(slope_up=slope, slope_down=slope), start)
    tile.pulse(torch.full((8, 5), float(count)))
    expected = one_by_one(start, [int(math.copysign(1, count))] * abs(count), slope)
    torch.testing.assert_close(tile.twin(), expected, atol=2e-6, rtol=1e-5)
    if abs(count) == 900:
        torch.testing.assert_close(
            tile.twin(), torch.full((8, 5), MAX if count > 0 else MIN), atol=1e-3, rtol=0
        )


def test_slopes_up_and_down_are_apart() -> None:
    tile = make_tile(pulsed(slope_up=1.0), torch.full((1, 2), 0.5))
    tile.pulse(torch.tensor([[1.0, -1.0]]))
    torch.testing.assert_close(tile.twin(), torch.tensor([[0.5 + STEP * 0.5, 0.5 - STEP]]))


EVEN, UNEVEN = [1, -1] * 40, [1, 1, -1, 1] * 20


@pytest.mark.parametrize(("pulses", "start"), [(EVEN, 0.4), (UNEVEN, -0.7)], ids=["even", "uneven"])
def test_pulses_in_both_directions_act_as_if_interleaved(pulses: list[int], start: float) -> None:
    weight = torch.full(SHAPE, start)
    tile = make_tile(pulsed(slope_up=1.0, slope_down=1.0), weight)
    send(tile, pulses.count(1), pulses.count(-1))
    orders = [one_by_one(weight[:1, :1], order, 1.0) for order in (pulses, pulses[::-1])]
    largest_pull = STEP / abs(MIN)
    assert abs(float(tile.twin()[0, 0] - sum(orders) / 2)) < largest_pull * STEP
    assert abs(float(orders[0]) - start) > 10 * STEP


@pytest.mark.parametrize("scales", [True, False], ids=["of the present step", "of the step at zero"])
@pytest.mark.parametrize("slope", [0.0, 1.0], ids=["constant step", "soft bounds"])
@pytest.mark.parametrize("pulses", [[1], [1] * 6, [-1] * 6, EVEN], ids=["one", "up", "down", "both"])
def test_cycle_noise_of_a_few_pulses_has_the_variance_of_noise_drawn_at_each(
    scales: bool, slope: float, pulses: list[int]
) -> None:
    check_cycle_noise(scales, slope, pulses, 0.0)


@pytest.mark.parametrize("scales", [True, False], ids=["of the present step", "of the step at zero"])
@pytest.mark.parametrize("pulses", [[1] * 150, [-1] * 120, [1, -1] * 150], ids=["up", "down", "both"])
def test_cycle_noise_of_many_pulses_saturates_as_noise_drawn_at_each_does(
    scales: bool, pulses: list[int]
) -> None:
    check_cycle_noise(scales, 1.0, pulses, 0.0)


@pytest.mark.parametrize("scales", [True, False], ids=["of the present step", "of the step at zero"])
@pytest.mark.parametrize(("ups", "downs", "start"), [(3, 1, -0.6), (1, 3, 0.8), (1, 1, 0.8)])
def test_cycle_noise_follows_a_step_that_changes_on_the_way_to_rest(
    scales: bool, ups: int, downs: int, start: float
) -> None:
    check_cycle_noise(scales, 1.0, ([1] * ups + [-1] * downs) * 12, start)


def check_cycle_noise(scales: bool, slope: float, pulses: list[int], start: float) -> None:
    """Mean and std over cells, within standard errors; the closed form's std is true to first order in the pull."""
    noise = 0.4
    weight = torch.full(SHAPE, start)
    update: dict[str, Any] = {
        "slope_up": slope,
        "slope_down": slope,
        "cycle_noise": noise,
        "cycle_noise_scales": scales,
    }
    tile = make_tile(pulsed(**update), weight)
    send(tile, pulses.count(1), pulses.count(-1))
    found, expected = tile.twin(), one_by_one(weight, pulses, slope, noise, scales)
    assert bool(((expected > MIN) & (expected < MAX)).all()), "the bounds must not shape this comparison"
    pull = slope * STEP / abs(MIN)
    std = expected.std().item()
    assert abs(found.std().item() / std - 1) < 4.5 / math.sqrt(CELLS) + pull
    order = STEP if -1 in pulses and 1 in pulses else 1e-6
    assert abs(float(found.mean() - expected.mean())) < 4.5 * std * math.sqrt(2 / CELLS) + order


def test_asymmetry_makes_steps_up_larger_and_steps_down_smaller() -> None:
    tile = make_tile(pulsed(asymmetry=0.2), torch.zeros(1, 2))
    tile.pulse(torch.tensor([[1.0, -1.0]]))
    torch.testing.assert_close(tile.twin(), torch.tensor([[STEP * 1.2, -STEP * 0.8]]))


def steps(**update: Any) -> tuple[Tensor, Tensor]:
    """Size of one pulse up and of one pulse down of the same cells."""
    up, down = (make_tile(pulsed(**update), torch.zeros(SHAPE)) for _ in range(2))
    up.pulse(torch.ones(SHAPE))
    down.pulse(-torch.ones(SHAPE))
    return up.twin(), -down.twin()


def test_step_spread_is_drawn_once_per_cell_and_scales_both_directions() -> None:
    up, down = steps(step_spread=0.2)
    torch.testing.assert_close(up, down)
    assert_mean(up, STEP, 0.2 * STEP)
    assert_std(up, 0.2 * STEP)


def test_asymmetry_spread_is_drawn_once_per_cell_and_leaves_the_mean_of_both_directions() -> None:
    up, down = steps(asymmetry=0.1, asymmetry_spread=0.05)
    torch.testing.assert_close(up + down, torch.full(SHAPE, 2 * STEP))
    asymmetry = (up - down) / (2 * STEP)
    assert_mean(asymmetry, 0.1, 0.05)
    assert_std(asymmetry, 0.05)


def test_a_step_is_the_same_at_every_pulse_of_a_cell_and_another_on_another_device() -> None:
    first, other = (make_tile(pulsed(step_spread=0.2), torch.zeros(SHAPE), seed) for seed in (0, 1))
    for tile in (first, other):
        tile.pulse(torch.ones(SHAPE))
    once = first.twin()
    first.pulse(torch.ones(SHAPE))
    torch.testing.assert_close(first.twin(), 2 * once)
    assert abs(float(torch.corrcoef(torch.stack([once.flatten(), other.twin().flatten()]))[0, 1])) < (
        4.5 / math.sqrt(CELLS)
    )


@pytest.mark.parametrize(("spread_min", "expected"), [(None, 0.1), (0.2, 0.2)])
def test_bounds_spread_over_cells_each_bound_by_its_own_share(
    spread_min: float | None, expected: float
) -> None:
    bounds = {"min": MIN, "max": MAX, "spread": 0.1, "spread_min": spread_min}
    tile = make_tile(pulsed(bounds), torch.zeros(SHAPE))
    ends = []
    for direction in (1e4, -1e4):
        tile.pulse(torch.full(SHAPE, direction))
        ends.append(tile.twin())
    for end, bound, spread in ((ends[0], MAX, 0.1), (ends[1], MIN, expected)):
        assert_mean(end / bound, 1.0, spread)
        assert_std(end / bound, spread)


def test_soft_bounds_approach_each_cells_own_bound() -> None:
    bounds = {"min": MIN, "max": MAX, "spread": 0.1}
    soft = make_tile(pulsed(bounds, slope_up=1.0), torch.zeros(SHAPE))
    hard = make_tile(pulsed(bounds), torch.zeros(SHAPE))
    for tile in (soft, hard):
        tile.pulse(torch.full(SHAPE, 5000.0))
    torch.testing.assert_close(soft.twin(), hard.twin())


def test_write_noise_does_not_add_up() -> None:
    tile = make_tile(pulsed(write_noise=0.03), torch.zeros(SHAPE))
    for count in (1.0, -1.0, 4.0, -4.0, 1.0, -1.0):
        assert_mean(tile.twin(), 0.0 if count > 0 else STEP * -count, 0.03)
        assert_std(tile.twin(), 0.03)
        tile.pulse(torch.full(SHAPE, count))
    assert_std(tile.twin(), 0.03)


def test_write_noise_is_redrawn_whenever_a_cell_is_pulsed() -> None:
    tile = make_tile(pulsed(write_noise=0.03), torch.zeros(SHAPE))
    before = tile.twin()
    tile.pulse(torch.ones(SHAPE))
    product = before * (tile.twin() - STEP)
    assert_mean(product, 0.0, 0.03**2)


@pytest.mark.parametrize("kind", UPDATES)
@pytest.mark.parametrize("way", ["write", "pulse"])
def test_a_cell_that_gets_no_pulse_keeps_its_bits(kind: str, way: str) -> None:
    tile = make_tile(make_card(weights=BOUNDED, update=UPDATES[kind]), normal(30, 20, std=0.2))
    if way == "pulse" and tile.step is None:
        tile.write(torch.zeros(30, 20))
        way = "write"
    asked = torch.zeros(30, 20)
    asked[::3] = 0.2 if way == "write" else 2.0
    before = tile.twin()
    getattr(tile, way)(asked)
    same = tile.twin() == before
    assert bool(same[asked == 0].all())
    assert float(same[asked != 0].float().mean()) < 0.1


SMALLEST = {"pulsed": "step", "one_sided": "step", "programmed": "resolution"}


@pytest.mark.parametrize("kind", SMALLEST)
def test_the_smallest_step_gives_numbers_and_a_smaller_one_is_refused(kind: str) -> None:
    field = SMALLEST[kind]
    tile = make_tile(make_card(weights=BOUNDED, update={"kind": kind, field: 1e-15}), torch.zeros(5, 4))
    tile.write(torch.full((5, 4), 0.1))
    tile.update(torch.ones(3, 4), torch.ones(3, 5), 0.1)
    assert bool(tile.twin().isfinite().all())
    with pytest.raises(ValueError, match=rf"{field}\n.*greater than or equal"):
        make_card(weights=BOUNDED, update={"kind": kind, field: 1e-16})


@pytest.mark.parametrize("kind", UPDATES)
def test_an_update_from_no_samples_changes_nothing(kind: str) -> None:
    tile, other = (make_tile(updating(kind), torch.zeros(5, 4)) for _ in range(2))
    tile.update(torch.zeros(0, 4), torch.zeros(0, 5), 0.1)
    for one in (tile, other):
        one.update(torch.ones(3, 4), torch.ones(3, 5), 0.1)
    assert torch.equal(tile.twin(), other.twin())


@pytest.mark.parametrize("change", [0.3 * STEP, -0.3 * STEP, 2.6 * STEP, -7.25 * STEP])
def test_a_written_change_is_rounded_to_whole_pulses_with_the_right_mean(change: float) -> None:
    tile = make_tile(pulsed(), torch.zeros(SHAPE))
    tile.write(torch.full(SHAPE, change))
    pulses = tile.twin() / STEP
    share = change / STEP - math.floor(change / STEP)
    assert_mean(pulses, change / STEP, math.sqrt(share * (1 - share)))
    torch.testing.assert_close(pulses, pulses.round(), atol=1e-4, rtol=0)
    assert set(pulses.round().flatten().tolist()) == {math.floor(change / STEP), math.ceil(change / STEP)}


def test_exact_cells_take_every_change_exactly_up_to_their_bounds() -> None:
    start, change = normal(6, 5, std=0.3), normal(6, 5, seed=1, std=0.5)
    tile = make_tile(make_card(weights=BOUNDED), start)
    tile.write(change)
    assert torch.equal(tile.twin(), (start.clamp(MIN, MAX) + change).clamp(MIN, MAX))


@pytest.mark.parametrize("scales", [True, False])
@pytest.mark.parametrize("count", [1, 2, -5])
def test_the_noise_of_steps_that_are_a_third_of_the_range_is_that_of_pulses_one_by_one(
    scales: bool, count: int
) -> None:
    update = {"kind": "pulsed", "step": 0.3, "slope_up": 1.0, "slope_down": 1.0, "cycle_noise": 0.05}
    card = make_card(weights={"min": -1.0, "max": 1.0}, update={**update, "cycle_noise_scales": scales})
    tile = make_tile(card, torch.full(SHAPE, -0.2))
    tile.pulse(torch.full(SHAPE, float(count)))
    variance, weight, sign = 0.0, -0.2, math.copysign(1, count)
    for _ in range(abs(count)):
        size = 0.3 * (1 - sign * weight)
        variance = variance * 0.7**2 + (0.05 * (size if scales else 0.3)) ** 2
        weight += sign * size
    assert_mean(tile.twin(), weight, math.sqrt(variance))
    assert_std(tile.twin(), math.sqrt(variance))


def test_log_normal_steps_have_the_cards_step_as_median_and_its_spread_of_the_log() -> None:
    update = {"kind": "pulsed", "step": 0.05, "step_spread": 0.8, "step_distribution": "log_normal"}
    tile = make_tile(make_card(update=update), torch.zeros(SHAPE))
    tile.pulse(torch.ones(SHAPE))
    logs = (tile.twin() / 0.05).log()
    assert_mean(logs, 0.0, 0.8)
    assert_std(logs, 0.8)


def programmed(noise: dict[str, float], reference: str = "target", bound: float = 1.0) -> DeviceCard:
    update = {"kind": "programmed", "resolution": STEP, "noise": noise, "reference": reference}
    return make_card(weights={"min": -bound, "max": bound}, update=update)


@pytest.mark.parametrize("target", [0.0, 1.0, -1.0, 2.4])
def test_programming_noise_follows_its_polynomial_in_target_over_max(target: float) -> None:
    noise = {"constant": 0.02, "linear": 0.05, "quadratic": -0.03}
    tile = make_tile(programmed(noise, bound=4.0), torch.zeros(SHAPE))
    tile.write(torch.full(SHAPE, target))
    ratio = abs(target) / 4.0
    std = 0.02 + 0.05 * ratio - 0.03 * ratio**2
    assert_mean(tile.twin(), target, std)
    assert_std(tile.twin(), std)


@pytest.mark.parametrize("target", [0.0, 0.2, -1.0, 4.0])
def test_programming_noise_can_saturate_above_a_share_of_max(target: float) -> None:
    noise = {"constant": 0.002, "saturating": 0.05, "saturates_at": 0.1}
    tile = make_tile(programmed(noise, bound=8.0), torch.zeros(SHAPE))
    tile.write(torch.full(SHAPE, target))
    std = 0.002 + 0.05 * (1 - math.exp(-abs(target) / 8.0 / 0.1))
    assert_mean(tile.twin(), target, std)
    assert_std(tile.twin(), std)


@pytest.mark.parametrize("noise", [{"saturating": 0.1}, {"saturates_at": 0.1}])
def test_half_of_a_saturating_programming_noise_is_refused(noise: dict[str, float]) -> None:
    with pytest.raises(
        ValueError, match="give both 'saturating' \\(above 0\\) and 'saturates_at', or neither"
    ):
        programmed(noise)


def test_a_saturating_programming_noise_needs_bounds() -> None:
    noise = {"saturating": 0.1, "saturates_at": 0.1}
    with pytest.raises(ValueError, match=r"update.noise.saturates_at needs weights.min and weights.max"):
        make_card(update={"kind": "programmed", "resolution": STEP, "noise": noise})


def test_the_first_programming_of_a_tile_is_noisy_too() -> None:
    tile = make_tile(programmed({"constant": 0.05}), torch.full(SHAPE, 0.2))
    assert_mean(tile.twin(), 0.2, 0.05)
    assert_std(tile.twin(), 0.05)


def test_a_polynomial_below_zero_means_no_programming_noise() -> None:
    tile = make_tile(programmed({"constant": -0.01, "linear": 0.02}), torch.full(SHAPE, 0.4))
    assert torch.equal(tile.twin(), torch.full(SHAPE, 0.4))


@pytest.mark.parametrize("reference", ["target", "cell"])
def test_programming_errors_stay_with_a_kept_target_and_grow_as_sqrt_n_from_the_cell(reference: str) -> None:
    tile = make_tile(programmed({"constant": 0.01}, reference, bound=4.0), torch.zeros(SHAPE))
    for n in range(1, 17):
        tile.write(torch.full(SHAPE, 0.1 if n % 2 else -0.1))
        if n in (2, 8, 16):
            std = 0.01 if reference == "target" else 0.01 * math.sqrt(n + 1)
            assert_mean(tile.twin(), 0.0, std)
            assert_std(tile.twin(), std)


def test_pulses_of_a_programmed_device_are_its_resolution() -> None:
    tile = make_tile(programmed({}), torch.zeros(1, 3))
    tile.pulse(torch.tensor([[3.0, 0.0, -2.0]]))
    torch.testing.assert_close(tile.twin(), torch.tensor([[3 * STEP, 0.0, -2 * STEP]]))
