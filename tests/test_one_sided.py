"""One-sided pairs: pulses only raise conductances, and full pairs are refreshed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from support import assert_mean, assert_std, make_card, make_tile, normal, through_a_file

from noisyhw.cards import load_device
from noisyhw.cards.device import DeviceCard
from noisyhw.devices.one_sided import OneSidedCells
from noisyhw.tiles.analog import AnalogTile

STEP, SHAPE = 0.01, (100, 200)


def one_sided(bounds: dict[str, Any] | None = None, **update: Any) -> DeviceCard:
    fields = {"kind": "one_sided", "step": STEP, **update}
    return make_card(weights=bounds or {"min": -1.0, "max": 1.0}, update=fields)


def cells(tile: AnalogTile) -> OneSidedCells:
    assert isinstance(tile.cells, OneSidedCells)
    return tile.cells


@pytest.mark.parametrize("saturation", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("count", [1, 10, 70])
def test_many_pulses_raise_a_half_as_pulses_one_by_one_do(saturation: float, count: int) -> None:
    tile = make_tile(one_sided(saturation=saturation), torch.zeros(1, 2))
    tile.pulse(torch.tensor([[float(count), -float(count)]]))
    expected = 0.0
    for _ in range(count):
        expected += STEP * (1 - saturation * expected)
    torch.testing.assert_close(cells(tile).pair, torch.tensor([[[expected, 0.0]], [[0.0, expected]]]))
    torch.testing.assert_close(tile.twin(), torch.tensor([[expected, -expected]]))


def test_no_pulse_lowers_a_conductance_before_a_refresh() -> None:
    tile = make_tile(
        one_sided(step_spread=0.3, refresh_above=1.0, refresh_other=1.0), normal(*SHAPE, std=0.3)
    )
    for seed in range(5):
        before = cells(tile).pair
        tile.pulse(normal(*SHAPE, seed=seed, std=5).round_())
        assert bool((cells(tile).pair >= before).all())


def test_a_refresh_keeps_the_weight_and_empties_the_pair() -> None:
    tile = make_tile(one_sided(saturation=0.0), torch.zeros(1, 3))
    tile.pulse(torch.tensor([[50.0, 80.0, 20.0]]))
    tile.pulse(torch.tensor([[-80.0, -20.0, -60.0]]))
    torch.testing.assert_close(tile.twin(), torch.tensor([[-0.3, 0.6, -0.4]]))
    # the first pair passes both thresholds, the others only one
    assert cells(tile).refreshes.tolist() == [[1, 0, 0]]
    torch.testing.assert_close(cells(tile).pair[:, 0], torch.tensor([[0.0, 0.8, 0.2], [0.3, 0.2, 0.6]]))


def test_without_refresh_a_pair_runs_full_and_with_it_goes_on_learning() -> None:
    ends = []
    for above in (0.75, 1.0):
        tile = make_tile(one_sided(saturation=0.0, refresh_above=above), torch.zeros(1, 1))
        for _ in range(30):
            tile.pulse(torch.tensor([[10.0]]))
            tile.pulse(torch.tensor([[-9.0]]))
        ends.append(float(tile.twin()))
    assert ends[0] == pytest.approx(0.3, abs=1e-4)
    assert ends[1] < 0.12


def test_a_refresh_programs_with_its_noise() -> None:
    tile = make_tile(one_sided(saturation=0.0, programming_noise=0.02), torch.full(SHAPE, 0.3))
    assert_mean(tile.twin(), 0.3, 0.02)
    assert_std(tile.twin(), 0.02)
    cells(tile).pair = torch.stack([torch.full(SHAPE, 0.74), torch.full(SHAPE, 0.3)])
    tile.pulse(torch.full(SHAPE, 4.0))
    assert int(cells(tile).refreshes.min()) == 1
    assert_mean(tile.twin(), 0.48, 0.02)
    assert_std(tile.twin(), 0.02)


def test_cycle_noise_and_spread_of_one_pulse() -> None:
    for field, name in ((0.3, "cycle_noise"), (0.2, "step_spread")):
        tile = make_tile(one_sided(**{name: field}), torch.zeros(SHAPE))
        tile.pulse(torch.ones(SHAPE))
        # what would fall below zero is clipped: at 3.3 std and more, below the tolerance
        assert_mean(tile.twin() / STEP, 1.0, field)
        assert_std(tile.twin() / STEP, field)


@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_no_pulses_take_a_pair_beyond_its_bounds(spread: float) -> None:
    card = one_sided({"min": -1.0, "max": 1.0, "spread": spread}, cycle_noise=1.0, programming_noise=0.1)
    tile = make_tile(card, normal(30, 20))
    for seed in range(6):
        tile.pulse(normal(30, 20, seed=seed, std=1e3).round_())
        assert bool((cells(tile).pair >= 0).all() & (cells(tile).pair <= cells(tile).full).all())


def test_a_written_change_has_the_right_mean() -> None:
    tile = make_tile(one_sided(), torch.zeros(SHAPE))
    tile.write(torch.full(SHAPE, -0.003))
    assert_mean(tile.twin(), -0.003, STEP * math.sqrt(0.3 * 0.7))


def test_outer_products_move_the_weights_down_the_gradient() -> None:
    tile = make_tile(one_sided(), torch.zeros(40, 30))
    x, d = normal(4, 30, seed=5), normal(4, 40, seed=6)
    tile.update(x, d, 0.1)
    wanted = -0.1 * d.T @ x / 4
    assert float((tile.twin() * wanted).sum() / (tile.twin().norm() * wanted.norm())) > 0.8


def test_a_pair_restored_from_its_checkpoint_continues_bit_for_bit() -> None:
    card = one_sided(step_spread=0.3, cycle_noise=0.5, programming_noise=0.05)
    tile, restored = (make_tile(card, normal(20, 10, std=0.3)) for _ in range(2))
    for seed in range(20):
        tile.pulse(normal(20, 10, seed=seed, std=10).round_())
    assert int(cells(tile).refreshes.sum()) > 0
    restored.load(through_a_file(tile.state()))
    for seed in range(20, 40):
        for one in (tile, restored):
            one.pulse(normal(20, 10, seed=seed, std=10).round_())
        assert torch.equal(cells(tile).pair, cells(restored).pair)
    assert torch.equal(cells(tile).refreshes, cells(restored).refreshes)


DECAY = {"rate": 5.0, "floor": 0.05}


def pcm_pulsed(**update: Any) -> DeviceCard:
    """The shipped card, with other numbers for its writes."""
    card = load_device("pcm-pulsed")
    return card.model_copy(update={"update": card.update.model_copy(update=update)})


TRIALS = 20_000
PCM: dict[str, Any] = {"step_spread": 0.0, "programming_noise": 0.109}
BEGIN = {
    (4, 12): (0.4, 1.5),
    (2, 20): (0.4, 1.6),
    (12, 4): (1.5, 0.4),
    (9, 8): (1.3, 1.2),
    (0, 6): (1.6, 1.3),
}
"""Pulses up and down, and the pair that they find."""


def literal(counts: tuple[int, int], begin: tuple[float, float], each: bool) -> tuple[np.ndarray, np.ndarray]:
    """Weights and refreshes of ``pcm-pulsed`` without spread: one pulse of one cell after another, in random order.

    Each column of ``order`` is the next pulse of every cell; a refresh is due after it (``each``) or after the last.
    """
    drawn = np.random.default_rng(7)
    up, down = counts
    order = drawn.permuted(np.tile(np.repeat([0, 1], [up, down]), (TRIALS, 1)), axis=1)
    pair, every = np.tile(np.array(begin), (TRIALS, 1)), np.arange(TRIALS)
    refreshes = np.zeros(TRIALS)
    for turn, half in enumerate(order.T):
        g = pair[every, half]
        step = 0.28235 * (0.035417 + (1 - 0.035417) * np.exp(-5 * g / 2))
        std = 0.6 * step + 0.0252 + 0.0648 * g
        pair[every, half] = np.clip(g + step + std * drawn.standard_normal(TRIALS), 0, 2)
        if each or turn == up + down - 1:
            due = (pair.max(1) > 0.75 * 2) & (pair.min(1) > 0.25 * 2)
            target = pair[:, 0] - pair[:, 1]
            size = np.clip(np.abs(target) + 0.109 * drawn.standard_normal(TRIALS), 0, 2)
            pair[due] = np.stack([size * (target > 0), size * (target < 0)], 1)[due]
            refreshes += due
    return pair[:, 0] - pair[:, 1], refreshes


def assert_same_moments(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Means and stds of independent draws agree within 4.5 standard errors of their difference."""
    one, two = ours.double(), theirs.double()
    error = math.sqrt(float(one.var()) / one.numel() + float(two.var()) / two.numel())
    assert abs(float(one.mean() - two.mean())) <= 4.5 * error
    fourth = float((two - two.mean()).pow(4).mean() / two.var().square().clamp(min=1e-30))
    assert abs(float(one.var() - two.var())) <= 4.5 * float(two.var()) * math.sqrt(2 * fourth / two.numel())


@pytest.mark.parametrize("refresh", ["pulse", "write"])
@pytest.mark.parametrize("counts", BEGIN)
def test_pulses_up_and_down_of_one_write_end_as_in_random_order_one_by_one(
    counts: tuple[int, int], refresh: str
) -> None:
    card = pcm_pulsed(refresh=refresh, **PCM)
    card = card.model_copy(update={"weights": card.weights.model_copy(update={"spread": 0.0})})
    tile = make_tile(card, torch.zeros(100, TRIALS // 100))
    begin = torch.tensor(BEGIN[counts]).view(2, 1, 1).expand_as(cells(tile).pair)
    cells(tile).pair = begin.contiguous()
    cells(tile)._apply(torch.tensor(counts).view(2, 1, 1).expand_as(begin).float())
    weight, refreshes = literal(counts, BEGIN[counts], refresh == "pulse")
    assert refreshes.sum() > 0
    assert_same_moments(tile.twin().flatten(), torch.from_numpy(weight))
    assert_same_moments(cells(tile).refreshes.flatten(), torch.from_numpy(refreshes))


def test_of_thousands_of_pulses_each_way_neither_direction_comes_first() -> None:
    """Some go several at a time, up and down in the shares that are left; as many up as down cancel."""
    tile = make_tile(pcm_pulsed(refresh="pulse"), torch.zeros(SHAPE))
    cells(tile)._apply(torch.full_like(cells(tile).pair, 3000.0))
    assert_mean(tile.twin(), 0.0, float(tile.twin().std()))
    assert (cells(tile).sent == 6000).all()


@pytest.mark.parametrize("decay", [None, DECAY])
def test_pairs_are_refreshed_after_a_whole_write_or_after_each_pulse(decay: dict[str, float] | None) -> None:
    """8 pulses up and 40 down fill both halves; with a refresh on the way the pair goes on from its difference."""
    shrinks: dict[str, Any] = {"saturation": 0.0} if decay is None else {"decay": decay}
    shrinks |= {"step": 0.05, "refresh_above": 0.6}
    ends = []
    for refresh in ("write", "pulse"):
        tile = make_tile(one_sided(refresh=refresh, **shrinks), torch.full((1, 1), 0.7))
        cells(tile)._apply(torch.tensor([8.0, 40.0]).view(2, 1, 1))
        ends.append((float(tile.twin()), int(cells(tile).refreshes)))
    assert ends[0][1] == 1
    assert ends[1][1] >= 1
    assert ends[0][0] != ends[1][0]


@pytest.mark.parametrize("count", [1, 2, 7, 60, 1000])
def test_a_decaying_step_shrinks_exponentially_from_pulse_to_pulse(count: int) -> None:
    tile = make_tile(one_sided({"min": -2.0, "max": 2.0}, step=0.25, decay=DECAY), torch.zeros(1, 2))
    tile.pulse(torch.tensor([[float(count), -1.0]]))
    expected = 0.0
    for _ in range(count):
        expected = min(expected + 0.25 * (0.05 + 0.95 * math.exp(-2.5 * expected)), 2.0)
    torch.testing.assert_close(cells(tile).pair[0, 0, 0], torch.tensor(expected))
    torch.testing.assert_close(cells(tile).pair[1, 0, 1], torch.tensor(0.25))


def test_several_pulses_at_a_time_follow_the_tangent_of_a_decaying_step() -> None:
    """A thousand pulses of one update are sent five at a time."""
    tile = make_tile(one_sided(step=0.002, decay=DECAY), torch.zeros(1, 1))
    tile.pulse(torch.full((1, 1), 1000.0))
    expected = 0.0
    for _ in range(1000):
        expected += 0.002 * (0.05 + 0.95 * math.exp(-5 * expected))
    assert abs(float(tile.twin()) - expected) < 1e-3


@pytest.mark.parametrize("decay", [None, {"rate": 2.0, "floor": 0.1}])
def test_a_pulses_noise_has_a_share_of_the_step_a_constant_and_a_share_of_the_conductance(
    decay: dict[str, float] | None,
) -> None:
    parts = {"cycle_noise": 0.5, "cycle_noise_constant": 0.004, "cycle_noise_slope": 0.02}
    weight, bounds = 0.4, {"min": -2.0, "max": 2.0}
    step = STEP * (1 - weight / 2 if decay is None else 0.1 + 0.9 * math.exp(-weight))
    sizes = {"cycle_noise": 0.5 * step, "cycle_noise_constant": 0.004, "cycle_noise_slope": 0.02 * weight}
    for names in [[name] for name in parts] + [list(parts)]:
        chosen: dict[str, Any] = {name: parts[name] for name in names}
        tile = make_tile(one_sided(bounds, decay=decay, **chosen), torch.full(SHAPE, weight))
        tile.pulse(torch.ones(SHAPE))
        std = sum(sizes[name] for name in names)
        assert_mean(tile.twin() - weight, step, std)
        assert_std(tile.twin(), std)


@pytest.mark.parametrize("counts", [[100, -100], [7, 3, -5], [0, 40, -90, 200]])
def test_many_pulses_of_one_write_refresh_pairs_as_pulses_one_by_one_do(counts: list[int]) -> None:
    """With ``refresh: pulse`` a pair that fills up within a write does not lose the difference of its halves."""
    once, singly = (make_tile(pcm_pulsed(refresh="pulse"), torch.zeros(20, 10)) for _ in range(2))
    once.pulse(normal(20, 10, seed=1).mul(5).round())
    singly.load(through_a_file(once.state()))
    shares = torch.linspace(0, 1, 10).expand(20, 10)
    for count in counts:
        sent = (shares * count).round()
        once.pulse(sent)
        for turn in range(abs(count) or 1):
            singly.pulse((sent.abs() > turn) * sent.sign())
    assert int(cells(once).refreshes.sum()) > 0
    assert torch.equal(cells(once).pair, cells(singly).pair)
    assert torch.equal(once.twin(), singly.twin())
    assert torch.equal(cells(once).refreshes, cells(singly).refreshes)
    assert torch.equal(cells(once).pulses(), cells(singly).pulses())


def test_a_write_of_more_pulses_than_go_one_by_one_refreshes_within_it_too() -> None:
    tile = make_tile(pcm_pulsed(refresh="pulse"), torch.zeros(SHAPE))
    tile.pulse(torch.full(SHAPE, 300.0))
    tile.pulse(torch.full(SHAPE, -1000.0))
    assert float(tile.twin().mean()) < -1


def test_how_a_cells_pulses_go_does_not_hang_on_its_neighbours() -> None:
    """Ten pulses go one by one also beside a cell that gets a thousand, which go five at a time."""
    alone, beside = (make_tile(load_device("pcm-pulsed"), torch.zeros(1, 2000)) for _ in range(2))
    counts = torch.full((1, 2000), 10.0)
    alone.pulse(counts)
    many = counts.clone()
    many[:, 0] = 1000.0
    beside.pulse(many)
    ours, theirs = alone.twin()[:, 1:], beside.twin()[:, 1:]
    assert abs(float(ours.mean() - theirs.mean())) < 5 * float(ours.std()) * (2 / 2000) ** 0.5
    assert abs(float(ours.std() / theirs.std()) - 1) < 5 / 2000**0.5


def test_without_decay_and_constant_noise_a_pair_has_the_closed_form_still() -> None:
    assert type(make_tile(one_sided(cycle_noise=0.5), torch.zeros(1, 1)).cells) is OneSidedCells


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ({"weights": {}}, "one_sided needs the bounds weights.min and weights.max"),
        ({"decay": DECAY, "saturation": 0.5}, "'decay' takes the place of 'saturation'; leave this out"),
        ({"refresh_above": 0.2}, "'refresh_other' is the emptier half's threshold: at most 'refresh_above'"),
    ],
)
def test_a_pair_that_cannot_be_refreshed_is_refused(blocks: dict[str, Any], message: str) -> None:
    weights = blocks.pop("weights", {"min": -1, "max": 1})
    with pytest.raises(ValueError, match=message):
        make_card(weights=weights, update={"kind": "one_sided", "step": STEP, **blocks})
