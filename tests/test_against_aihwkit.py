"""Our physics against aihwkit's C++ tiles: reads, pulsed updates, pulse responses, write noise and device spreads.

Where both backends build a tile from the same card and seed, the cells are the same one by one (bounds, steps), so the
moments over repeated updates are compared cell by cell. Where aihwkit's own preset is taken, its cells are its own, and
the moments over many cells are compared.

Tolerances are five standard errors, and on top of them what is known to differ: aihwkit's noise has a bias
(``LIST_BIAS``), and we take a batch's pulses up and down as interleaved, where aihwkit sends them sample by sample.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from aihwkit_support import (
    LIST_BIAS,
    assert_same_mean,
    assert_same_variance,
    needs_aihwkit,
    on,
    preset,
)
from literal_trains import BATCHES, assert_covariance, covariance, moments
from support import normal
from torch import Tensor

from noisyhw.cards import load_device
from noisyhw.cards.device import DeviceCard
from noisyhw.device import Device
from noisyhw.devices.pulsed import Move
from noisyhw.tiles.base import Tile

pytestmark = [needs_aihwkit, pytest.mark.slow]

ROWS, COLUMNS = 6, 5
BOUNDED = {"min": -0.8, "max": 1.0}
STEP, LONGEST = 0.01, 10


def both(seed: int = 0, **blocks: Any) -> tuple[DeviceCard, DeviceCard]:
    """The same card for our backend and for aihwkit's."""
    return on("noisyhw", **blocks), on("aihwkit", **blocks)


# Reads.

DAC, ADC = {"bits": 7, "range": 1.0}, {"bits": 9, "range": 20.0}
READS: dict[str, dict[str, Any]] = {
    "absolute noise": {"read_noise": {"white": {"std": 0.1}}},
    "noise of the norm": {"read_noise": {"white": {"std": 0.1, "relative_to": "input_norm"}}},
    "noise of the cells": {"read_noise": {"white": {"std": 0.05}, "per_cell": {"std": 0.1}}},
    "scaled inputs": {"read_noise": {"white": {"std": 0.1}}, "periphery": {"input_scaling": "max"}},
    "scaled inputs and noisy cells": {
        "read_noise": {"white": {"std": 0.05}, "per_cell": {"std": 0.1}},
        "periphery": {"input_scaling": "max"},
    },
    "converters": {
        "read_noise": {"white": {"std": 0.1}},
        "periphery": {"input_scaling": "max", "dac": DAC, "adc": ADC},
    },
    "coarse converters without scaling": {
        "read_noise": {"white": {"std": 0.1}},
        "periphery": {"dac": {"bits": 4, "range": 2.0}, "adc": {"bits": 5, "range": 1.5}},
    },
}


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_read_outs_have_the_mean_and_variance_of_aihwkits_at_every_input_scale(
    name: str, scale: float
) -> None:
    weight = normal(ROWS, COLUMNS, seed=1, std=0.4)
    x = scale * normal(1, 4, COLUMNS, seed=2)
    ours, theirs = (Device(card).tile(weight).forward(x, 4000) for card in both(**READS[name]))
    std = ours.double().std(0)
    assert_same_mean(ours, theirs, LIST_BIAS * std)
    assert_same_variance(ours, theirs, 2 * LIST_BIAS)
    assert float(std.max()) > 0


@pytest.mark.parametrize("name", ["ReRamSB", "EcRam"])
def test_a_presets_periphery_is_that_of_our_card(name: str) -> None:
    weight = normal(ROWS, COLUMNS, seed=1, std=0.2)
    theirs = Device(preset(name)).tile(weight)
    card = load_device({"ReRamSB": "rram", "EcRam": "ecram"}[name])
    ours = Device(on("noisyhw", periphery=card.periphery, read_noise=card.read_noise)).tile(theirs.twin())
    reads = [tile.forward(3 * normal(1, 4, COLUMNS, seed=2), 4000) for tile in (ours, theirs)]
    assert_same_mean(*reads, LIST_BIAS * reads[0].double().std(0))
    assert_same_variance(*reads, 2 * LIST_BIAS)


def test_without_noise_both_convert_to_the_same_levels() -> None:
    periphery = {"input_scaling": "max", "dac": {"bits": 4, "range": 1.0}, "adc": {"bits": 5, "range": 2.0}}
    weight, x = normal(ROWS, COLUMNS, seed=1), normal(1, 200, COLUMNS, seed=2)
    ours, theirs = (Device(card).tile(weight).forward(x) for card in both(periphery=periphery))
    level = (4.0 / 30) * x.abs().amax(-1, keepdim=True)
    off = (ours - theirs).abs() / level
    assert bool((off < 1e-3).float().mean() > 0.99), "but for what lies on the edge between two levels"
    assert float(off.max()) < 1.001


# Pulsed updates.

SHAPE = {
    "kind": "exponential",
    "A_up": -1.2,
    "A_down": -0.1,
    "gamma_up": 5.0,
    "gamma_down": 5.0,
    "a": -0.5,
    "b": -0.5,
}
STEPS: dict[str, dict[str, Any]] = {
    "constant": {},
    "soft bounds": {"slope_up": 1.0, "slope_down": 1.0},
    "linear": {"slope_up": 0.3, "slope_down": 0.6},
    "exponential": {"shape": SHAPE},
}
NOISES: dict[str, dict[str, Any]] = {
    "none": {},
    "of the present step": {"cycle_noise": 0.5},
    "of the step at zero": {"cycle_noise": 2.0, "cycle_noise_scales": False},
    "write": {"write_noise": 0.1},
}
RATES = {"small": 0.005, "medium": 0.05, "saturating": 2.0}
"""A sample asks for up to about 2, 20 and 800 pulses of a longest train of 10."""
STARTS = (-0.6, 0.0, 0.7)
TRIALS = 500


def pulsed(step: str, **more: Any) -> dict[str, Any]:
    update = {"kind": "pulsed", "step": STEP, "pulses_per_update": LONGEST, **STEPS[step], **more}
    return {"weights": BOUNDED, "update": update}


def starts() -> Tensor:
    return torch.tensor(STARTS).repeat(ROWS // 3)[:, None].expand(ROWS, COLUMNS).contiguous()


def updated(blocks: dict[str, Any], x: Tensor, d: Tensor, rate: float) -> tuple[Tensor, Tensor]:
    """Weights after one update from the same start, ours and theirs, [trials, rows, columns]."""
    own, foreign = both(**blocks)
    ours, theirs = Device(own).tile(starts()), Device(foreign).tile(starts())
    found = torch.empty(2, TRIALS, ROWS, COLUMNS)
    for trial in range(TRIALS):
        ours.cells.inner.copy_(starts())  # type: ignore[attr-defined]
        ours.cells.weight.copy_(ours.cells._shown(starts()))  # type: ignore[attr-defined]
        theirs._set(starts())  # type: ignore[attr-defined]
        for number, tile in enumerate((ours, theirs)):
            tile.update(x, d, rate)
            found[number, trial] = tile.twin()
    return found[0], found[1]


def biased(blocks: dict[str, Any], pulses: float) -> float:
    """How far aihwkit's biased noise can shift a mean."""
    update = blocks["update"]
    return LIST_BIAS * (update.get("cycle_noise", 0.0) * pulses * STEP + update.get("write_noise", 0.0))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
def test_one_samples_update_has_the_mean_and_variance_of_aihwkits(step: str, rate: float) -> None:
    x, d = normal(1, COLUMNS, seed=1), normal(1, ROWS, seed=2)
    ours, theirs = updated(pulsed(step), x, d, rate)
    # the tangent of a curved step: its error is of second order in a sub-step of 2 % of the range
    slack = 0.002 if step == "exponential" else 0.0
    assert_same_mean(ours, theirs, slack)
    assert_same_variance(ours, theirs, 0.1 if step == "exponential" else 0.0)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("noise", [name for name in NOISES if name != "none"])
def test_noise_of_pulses_and_writes_has_the_mean_and_variance_of_aihwkits(step: str, noise: str) -> None:
    blocks = pulsed(step, **NOISES[noise])
    if step == "exponential" and noise == "of the step at zero":
        pytest.skip("aihwkit's exponential step has noise of the present step only")
    x, d = normal(1, COLUMNS, seed=1), normal(1, ROWS, seed=2)
    ours, theirs = updated(blocks, x, d, RATES["medium"])
    assert_same_mean(ours, theirs, biased(blocks, LONGEST) + (0.002 if step == "exponential" else 0.0))
    assert_same_variance(ours, theirs, 0.1)


@pytest.mark.parametrize("step", [step for step in STEPS if step != "exponential"])
@pytest.mark.parametrize("rate", [0.005, 0.03], ids=["small", "medium"])
def test_a_batchs_update_has_the_mean_of_aihwkits_up_to_the_order_of_its_samples(
    step: str, rate: float
) -> None:
    x, d = normal(8, COLUMNS, seed=3), normal(8, ROWS, seed=4)
    ours, theirs = updated(pulsed(step), x, d, 8 * rate)
    order = ordering(step, x, d, rate)
    assert_same_mean(ours, theirs, order)
    if rate == 0.005:
        assert float(order.max()) < 0.03
        assert_same_variance(ours, theirs, 0.15)


@pytest.mark.parametrize("batch", ["independent", "correlated", "one-hot", "by class"])
@pytest.mark.parametrize("pulses", [0.2, 4.0, 60.0])
def test_pulses_of_cells_that_share_lines_are_correlated_as_in_aihwkit(batch: str, pulses: float) -> None:
    """Covariances of all cells on paper, which are ours (tests/test_coincidences.py), are theirs too."""
    x, d = BATCHES[batch]()
    size = {"min": -1e4, "max": 1e4}
    foreign = on(
        "aihwkit",
        weights=size,
        update={"kind": "pulsed", "step": 1.0, "slope_up": 0.0, "slope_down": 0.0, "pulses_per_update": 31},
    )
    tile = Device(foreign).tile(torch.zeros(d.shape[1], x.shape[1]))
    found = torch.empty(TRIALS, d.shape[1] * x.shape[1])
    for trial in range(TRIALS):
        tile._set(torch.zeros(d.shape[1], x.shape[1]))  # type: ignore[attr-defined]
        tile.update(x, d, pulses * len(x))
        found[trial] = -tile.twin().flatten()
    assert_covariance(found, covariance(x, d, pulses, 31))


def ordering(step: str, x: Tensor, d: Tensor, rate: float) -> Tensor:
    """What it matters whether all pulses up come before all pulses down, or after them."""
    cells = Device(on("noisyhw", **pulsed(step))).tile(starts()).cells  # type: ignore[attr-defined]
    up, _, down, _ = (count.float() for count in moments(x, d, rate / STEP, LONGEST))
    parts = (cells.step_up, cells.step_down, cells.pull_up, cells.pull_down)
    none = torch.zeros_like(up)

    def walk(*legs: tuple[Tensor, Tensor]) -> Tensor:
        weight = starts()
        for leg in legs:
            weight = cells.bounds.clip_(Move(*leg, *parts).mean(weight))
        return weight

    return (walk((up, none), (none, down)) - walk((none, down), (up, none))).abs()


@pytest.mark.parametrize("backend", ["noisyhw", "aihwkit"])
def test_a_saturated_sample_moves_a_cell_by_the_longest_train(backend: str) -> None:
    tile = Device(on(backend, **pulsed("constant"))).tile(torch.zeros(3, 2))
    tile.update(torch.tensor([[1.0, 0.5]]), torch.tensor([[1.0, 0.3, -0.001]]), 100.0)
    expected = -STEP * LONGEST * torch.tensor([[1.0], [1.0], [-1.0]])
    torch.testing.assert_close(tile.twin()[:, :1], expected, rtol=1e-4, atol=1e-6)


# Pulse responses.

CURVES: dict[str, DeviceCard] = {
    "ReRamES": load_device("rram-exp"),
    "ReRamSB": load_device("rram"),
    "EcRam": load_device("ecram"),
    "EcRamMO": load_device("ecram-oxide"),
    "Capacitor": load_device("capacitor"),
    "GokmenVlasov": load_device("rpu"),
    "ReRamArrayOM": load_device("rram-array-om"),
    "ReRamArrayHfO2": load_device("rram-array-hfo2"),
    "Idealized": on(
        "noisyhw",
        weights={"min": -1.0, "max": 1.0, "spread": 0.3},
        update={"kind": "pulsed", "step": 0.0002, "step_spread": 0.3, "cycle_noise": 0.3},
    ),
}
"""aihwkit's presets, and our cards of the same cells."""
BIG_STEPS = {"ReRamArrayOM": (1, 3, 10, 30, 100), "ReRamArrayHfO2": (1, 3, 10, 30, 100)}
"""Numbers of pulses for those that a few take to the bounds."""
CELLS = (50, 60)
TILES, PART = 10, (50, 6)
"""aihwkit's cells are spread over ten tiles, each with noise of its own bias."""
MARKS = (1, 30, 300, 1000)
SPREAD_SLACK = {"ReRamES": 0.1}
"""Share of a spread over cells, 0.05 else: what our fields do not say, e.g. the 5 % spread of EcRam's slopes, or that
ReRamES adds the spread of a step to both directions alike, of which the one down is smaller by a quarter."""


def response(
    tile: Tile, at_once: bool, marks: tuple[int, ...] = MARKS, signs: tuple[int, ...] = (1, -1)
) -> list[Tensor]:
    """Weights after as many pulses up as the marks say, and as many down again."""
    found, up = [], torch.ones(tile.outputs, tile.inputs)
    for sign in signs:
        done = 0
        for mark in marks:
            for size in [mark - done] if at_once else [1] * (mark - done):
                tile.pulse(sign * size * up)
            done = mark
            found.append(tile.twin().double().flatten())
    return found


@pytest.mark.parametrize("name", CURVES)
def test_potentiation_and_depression_follow_aihwkits_presets_in_mean_and_spread(name: str) -> None:
    """Ours in closed form (up to 700 pulses at once), theirs pulse for pulse."""
    card = CURVES[name]
    update: Any = card.update
    marks = BIG_STEPS.get(name, MARKS)
    ours = response(Device(card).tile(torch.zeros(CELLS)), True, marks)
    theirs = parts(name, marks)
    reach, before = 0.0, 0.0
    for one, two in zip(ours, theirs, strict=True):
        # the noise's bias is a drift of every pulse, of this share of a step
        reach, before = reach + abs(float(one.mean()) - before), float(one.mean())
        bias = update.cycle_noise * reach + update.write_noise
        assert_same_spread_over_cells(one, two, bias, SPREAD_SLACK.get(name, 0.05), update.cycle_noise)


def parts(name: str, *how: tuple[int, ...]) -> list[Tensor]:
    """The responses of a preset, pulse for pulse, all tiles' cells together."""
    found = [
        response(Device(preset(name)).tile(torch.zeros(PART), seed), False, *how) for seed in range(TILES)
    ]
    return [torch.cat(mark) for mark in zip(*found, strict=True)]


def assert_same_spread_over_cells(
    one: Tensor, two: Tensor, bias: float, slack: float, noise: float = 0.0
) -> None:
    """Mean and std over cells agree within five standard errors and the bias of so much of aihwkit's noise."""
    biased = LIST_BIAS / math.sqrt(TILES)
    error = math.sqrt(float(one.var() + two.var()) / one.numel())
    assert abs(float(one.mean() - two.mean())) < 5 * error + biased * bias + 0.002
    kurtosis = float((one - one.mean()).pow(4).mean() / one.var().square())
    spread = 5 * math.sqrt((kurtosis - 1) / (2 * one.numel()))
    assert abs(float(one.std() / two.std()) - 1) < spread + slack + biased * noise


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "at once"])
@pytest.mark.parametrize("signs", [(1,), (-1,), (1, -1)], ids=["up", "down", "up and down"])
def test_pulsed_phase_change_memory_follows_aihwkits_pairs_in_mean_and_spread(
    signs: tuple[int, ...], at_once: bool
) -> None:
    """Up to where pairs are refreshed; from there on aihwkit overshoots, for it writes back open loop."""
    card = load_device("pcm-pulsed")
    marks = (1, 3, 10, 20) if len(signs) == 1 else (1, 3, 5)
    ours = response(Device(card).tile(torch.zeros(CELLS)), at_once, marks, signs)
    # a pulse's noise is at most 0.2, and 20 of them can be biased
    for one, two in zip(ours, parts("PCM", marks, signs), strict=True):
        assert_same_spread_over_cells(one, two, 20 * 0.2, 0.02)


def pairs_of_constant_steps() -> Any:
    """One pair of aihwkit's cells of constant step, refreshed after a mini-batch by a noise-free read."""
    from aihwkit.simulator.configs import ConstantStepDevice, UnitCellRPUConfig
    from aihwkit.simulator.configs.compounds import OneSidedUnitCell
    from aihwkit.simulator.configs.utils import IOParameters, UpdateParameters

    spreads = ["dw_min_dtod", "dw_min_std", "w_max_dtod", "w_min_dtod", "up_down_dtod", "up_down"]
    still = dict.fromkeys([*spreads, "reset", "reset_dtod", "reset_std"], 0.0)
    cell = OneSidedUnitCell(
        unit_cell_devices=[ConstantStepDevice(dw_min=STEP, w_max=1.0, w_min=0.0, **still)],
        refresh_every=1,
        units_in_mbatch=True,
        refresh_forward=IOParameters(is_perfect=True),
        refresh_update=UpdateParameters(desired_bl=127, update_management=True, update_bl_management=True),
    )
    config = UnitCellRPUConfig(
        device=cell,
        update=UpdateParameters(desired_bl=1, update_bl_management=False, update_management=False),
    )
    tile = config.tile_class(1, 1, config)
    tile.set_weights(torch.zeros(1, 1))
    tile.tile.set_learning_rate(STEP)
    return tile


def test_pairs_are_refreshed_after_a_mini_batch_as_in_aihwkit() -> None:
    """Sure pulses of constant steps, in batches of 110 samples that fill both halves.

    aihwkit rewrites by pulses, of which one may miss, and counts them as samples: after k refreshes the next comes k
    samples before a batch's end. So the last samples here are zero.
    """
    theirs = pairs_of_constant_steps()
    update = {"kind": "one_sided", "step": STEP, "saturation": 0.0}
    bounds = {"min": -1.0, "max": 1.0}
    ours = Device(on("noisyhw", weights=bounds, update=update)).tile(torch.zeros(1, 1))
    each = Device(on("noisyhw", weights=bounds, update={**update, "refresh": "pulse"})).tile(
        torch.zeros(1, 1)
    )
    cells, beside = ours.cells, each.cells  # type: ignore[attr-defined]
    batches = [(60, 20), (30, 40), (25, 60), (90, 10), (5, 90), (50, 50)]
    x = torch.zeros(110, 1)
    apart = 0.0
    for up, down in batches:
        x[: up + down], x[up + down :] = 1.0, 0.0
        theirs.update(x, torch.where(torch.arange(110)[:, None] < up, -1.0, 1.0))
        for one in (cells, beside):
            one._apply(torch.tensor([float(up), float(down)]).view(2, 1, 1))
        hidden = theirs.get_hidden_parameters()
        found = torch.stack([hidden["hidden_weights_1"], hidden["hidden_weights_0"]])
        torch.testing.assert_close(cells.pair, found, atol=2 * STEP + 1e-4, rtol=0)
        apart = max(apart, float((beside.pair - found).abs().max()))
        cells.pair = found.clone()
    assert int(cells.refreshes) >= 3
    assert apart > 10 * STEP


@pytest.mark.parametrize("step", STEPS)
def test_many_pulses_at_once_follow_aihwkits_one_by_one_on_the_same_cells(step: str) -> None:
    blocks = pulsed(step, step_spread=0.3, asymmetry=0.2, asymmetry_spread=0.05)
    ours, theirs = (Device(card).tile(torch.zeros(CELLS)) for card in both(**blocks))
    slack = (
        0.01 if step == "exponential" else 2e-4
    )  # its tangents: half a percent of the range, at the worst cell
    for count in (1.0, 40.0, -100.0, 10.0):
        ours.pulse(torch.full(CELLS, count))
        for _ in range(int(abs(count))):
            theirs.pulse(torch.full(CELLS, math.copysign(1.0, count)))
        off = (ours.twin() - theirs.twin()).abs()
        assert int((off > slack).sum()) <= 5, "one pulse in four million fails to be sent"
        assert float(off.max()) < slack + 3 * STEP


# Write noise, and what is drawn once per device.


def test_write_noise_shows_weights_about_the_inner_state_beyond_the_bounds_too() -> None:
    """aihwkit's inner state is clipped to the bounds, and what reads see is not."""
    blocks = {"weights": BOUNDED, "update": {"kind": "pulsed", "step": STEP, "write_noise": 0.1}}
    ours, theirs = (Device(card).tile(torch.zeros(CELLS)) for card in both(**blocks))
    for tile in (ours, theirs):
        tile.pulse(torch.full(CELLS, 300.0))
        shown = tile.twin().double()
        bias = LIST_BIAS * 0.1
        assert abs(float(shown.mean()) - 1.0) < 5 * 0.1 / math.sqrt(shown.numel()) + bias
        assert abs(float(shown.std()) / 0.1 - 1) < 5 / math.sqrt(2 * shown.numel()) + LIST_BIAS
        assert 0.4 < float((shown > 1.0).double().mean()) < 0.6


@pytest.mark.parametrize("name", ["ReRamSB", "EcRam", "GokmenVlasov"])
def test_bounds_and_steps_of_cells_are_spread_like_those_of_aihwkits_presets(name: str) -> None:
    """A draw of the wrong sign is folded by aihwkit and clipped by us: 0.6 % of ReRamSB's lower bounds."""
    size = (100, 200)
    cells = Device(CURVES[name]).tile(torch.zeros(size)).cells  # type: ignore[attr-defined]
    hidden = Device(preset(name)).tile(torch.zeros(size)).state()["hidden"]
    ours = {
        "max_bound": cells.bounds.high,
        "min_bound": cells.bounds.low,
        "dwmin_up": cells.step_up,
        "dwmin_down": cells.step_down,
    }
    for key, values in ours.items():
        one, two = values.double().flatten(), hidden[key].double().flatten()
        n = one.numel()
        assert abs(float(one.mean() - two.mean())) < 5 * float(one.std()) * math.sqrt(2 / n) + 0.002 * abs(
            float(two.mean())
        )
        assert abs(float(one.std() / two.std()) - 1) < 5 / math.sqrt(n) + 0.01
