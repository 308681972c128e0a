"""What else disturbs a read: jumping cells, shared and weight-dependent noise, converters, I-V curves, stuck cells."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from support import (
    BOUNDED,
    UPDATES,
    assert_mean,
    assert_std,
    generator,
    make_card,
    make_tile,
    normal,
    through_a_file,
)
from torch import Tensor

from noisyhw.cards.device import DeviceCard
from noisyhw.tiles.analog import AnalogTile

X = normal(1, 8, 20, seed=1)
W = normal(6, 20, seed=2, std=0.2)


def probe(tile: AnalogTile, passes: int) -> Tensor:
    """Weights that each pass multiplies with, [passes, outputs, inputs], from one unit input after another."""
    return tile.forward(torch.eye(tile.inputs)[None], passes).transpose(1, 2)


# Cells that jump: a pass reads B = 30 samples.
B, P, JUMP = 30, 0.004, 0.05
ROWS = 200


def jumping(share: float = 1.0, p: float = P) -> AnalogTile:
    noise = {"amplitude": JUMP, "flip_probability": p, "share_of_cells": share}
    return make_tile(make_card(read_noise={"cell_telegraph": noise}), torch.full((ROWS, B), 0.3))


def jumps(tile: AnalogTile, passes: int) -> Tensor:
    """Signs of the cells' states: [passes, cells]."""
    return ((probe(tile, passes) - 0.3) / JUMP).flatten(1)


def test_a_cells_telegraph_noise_is_plus_or_minus_its_amplitude_about_the_weight_and_starts_either_way() -> (
    None
):
    signs = jumps(jumping(), 1)[0]
    torch.testing.assert_close(signs.abs(), torch.ones_like(signs), rtol=1e-4, atol=1e-4)
    assert_mean(signs, 0.0, 1.0)


@pytest.mark.parametrize("lag", [1, 3])
def test_cells_flip_between_passes_as_often_as_an_odd_number_of_flips_in_a_passs_reads(lag: int) -> None:
    tile = jumping()
    signs = torch.cat((jumps(tile, 2), jumps(tile, 3)))
    for start in range(5 - lag):
        flipped = (signs[start] * signs[start + lag] < 0).float()
        expected = (1 - (1 - 2 * P) ** (B * lag)) / 2
        assert_mean(flipped, expected, math.sqrt(expected * (1 - expected)))


def test_only_the_declared_share_of_cells_jumps_and_always_the_same_ones() -> None:
    tile = jumping(share=0.3)
    before, after = (jumps(tile, 1)[0].abs() > 0.5 for _ in range(2))
    assert torch.equal(before, after)
    assert_mean(before.float(), 0.3, math.sqrt(0.3 * 0.7))


def test_cells_that_always_flip_depend_on_the_parity_of_a_passs_reads() -> None:
    tile = make_tile(
        make_card(read_noise={"cell_telegraph": {"amplitude": 1.0, "flip_probability": 1.0}}),
        torch.zeros(4, 5),
    )
    first, second, third = (tile.forward(torch.ones(1, reads, 5))[0, 0] for reads in (2, 3, 3))
    torch.testing.assert_close(first, second)
    torch.testing.assert_close(second, -third)


def test_a_cells_state_is_held_within_a_pass_and_passes_given_or_repeated_are_alike() -> None:
    tiles = [jumping(p=0.01) for _ in range(2)]
    x = normal(1, 4, B).expand(3, -1, -1)
    given, repeated = tiles[0].forward(x), tiles[1].forward(x[:1], 3)
    torch.testing.assert_close(given, repeated)
    weights = probe(jumping(p=0.5), 1)
    torch.testing.assert_close(jumping(p=0.5).forward(x[:1]), x[:1] @ weights[0].T)


@pytest.mark.parametrize(
    ("where", "weight"), [("share_at_zero", 0.0), ("share_at_min", -0.8), ("share_at_max", 1.0)]
)
def test_stuck_cells_do_not_jump(where: str, weight: float) -> None:
    noise = {"cell_telegraph": {"amplitude": JUMP, "flip_probability": 0.1}}
    card = make_card(weights=BOUNDED, read_noise=noise, stuck={where: 1.0})
    tile = make_tile(card, torch.full((ROWS, B), 0.3))
    torch.testing.assert_close(probe(tile, 3), torch.full((3, ROWS, B), weight))


def test_cells_that_are_not_stuck_jump_as_if_none_were() -> None:
    noise = {"cell_telegraph": {"amplitude": JUMP, "flip_probability": 0.01}}
    some, none = (
        make_tile(make_card(read_noise=noise, **stuck), torch.full((ROWS, B), 0.3))
        for stuck in ({"stuck": {"share_at_zero": 0.4}}, {})
    )
    dead = some.twin() == 0
    found, free = probe(some, 4), probe(none, 4)
    assert_mean(dead.float(), 0.4, math.sqrt(0.4 * 0.6))
    torch.testing.assert_close(found, torch.where(dead, 0.0, free))


# Noise that columns share.


@pytest.mark.parametrize(("common", "white"), [(0.3, 0.3), (0.2, 0.4), (0.5, 0.0)])
def test_common_noise_correlates_all_columns_as_its_share_of_the_variance(
    common: float, white: float
) -> None:
    card = make_card(read_noise={"common": {"std": common}, "white": {"std": white}})
    found = (make_tile(card, W).forward(X, 1500) - X @ W.T).flatten(0, 1)
    total = common**2 + white**2
    rho = common**2 / total
    matrix = torch.corrcoef(found.T.double())
    expected = torch.full((6, 6), rho, dtype=torch.float64).fill_diagonal_(1.0)
    tolerance = 5 * (1 - rho**2) / math.sqrt(found.shape[0]) + 1e-5
    assert float((matrix - expected).abs().max()) < tolerance
    assert_std(found[:, 0], math.sqrt(total))


def test_common_noise_is_independent_between_reads_and_samples() -> None:
    found = make_tile(make_card(read_noise={"common": {"std": 1.0}}), 0 * W).forward(X, 3000)[..., 0]
    assert_mean(found[1:] * found[:-1], 0.0, 1.0)
    assert_mean(found[:, 1:] * found[:, :-1], 0.0, 1.0)


# Noise that grows with the weight.


def weight_noise(reads: int, exponent: float, **more: Any) -> Tensor:
    noise = {"weight_dependent": {"coefficient": 0.2, "exponent": exponent}, **more}
    card = make_card(weights={"min": -0.5, "max": 0.5}, read_noise=noise)
    return make_tile(card, W.clamp(-0.5, 0.5)).forward(X, reads) - X @ W.clamp(-0.5, 0.5).T


@pytest.mark.parametrize("exponent", [1.0, 0.35, 2.0])
def test_noise_of_cells_that_grows_with_their_weight_equals_perturbing_every_cell(exponent: float) -> None:
    reads = 1500
    w = W.clamp(-0.5, 0.5)
    cells = 0.2 * 0.5 * (w.abs() / 0.5) ** exponent
    found = weight_noise(reads, exponent)
    draws = torch.randn((reads, 8, 6, 20), generator=generator(5)) * cells
    simulated = (draws * X[0][:, None]).sum(-1)
    ratio = found.std(0) / simulated.std(0)
    assert float((ratio - 1).abs().max()) < 4.5 * math.sqrt(1 / reads)
    std = (X.square() @ cells.square().T).sqrt()
    assert_std(found / std, 1.0)
    assert_mean((found / std)[..., 1:] * (found / std)[..., :-1], 0.0, 1.0)
    assert_mean((found / std)[1:] * (found / std)[:-1], 0.0, 1.0)


def test_noise_of_cells_can_saturate_with_their_weight() -> None:
    noise = {"weight_dependent": {"coefficient": 0.2, "saturates_at": 0.3}}
    w = W.clamp(-0.5, 0.5)
    tile = make_tile(make_card(weights={"min": -0.5, "max": 0.5}, read_noise=noise), w)
    cells = 0.2 * 0.5 * (1 - (-w.abs() / 0.5 / 0.3).exp())
    assert_std((tile.forward(X, 1500) - X @ w.T) / (X.square() @ cells.square().T).sqrt(), 1.0)


def test_noise_that_grows_with_the_weight_adds_to_white_noise_in_variance() -> None:
    std = (0.3**2 + X.square() @ (0.2 * W.clamp(-0.5, 0.5)).square().T).sqrt()
    assert_std(weight_noise(1000, 1.0, white={"std": 0.3}) / std, 1.0)


def test_noise_that_grows_with_the_weight_follows_writes() -> None:
    tile = make_tile(make_card(read_noise={"weight_dependent": {"coefficient": 0.2}}), W)
    tile.forward(X)
    tile.write(3 * W)
    found = tile.forward(X, 500) - X @ (4 * W).T
    assert_std(found / (X.square() @ (0.8 * W).square().T).sqrt(), 1.0)


# Converters.


def test_adc_gains_and_offsets_have_the_declared_spread_and_stay_as_they_are() -> None:
    periphery = {"adc_gain_spread": 0.05, "adc_offset_spread": 0.2}
    tile = make_tile(make_card(periphery=periphery), torch.ones(4000, 1))
    x = torch.tensor([0.0, 1.0]).view(1, 2, 1)
    offset, one = tile.forward(x)[0]
    assert_mean(offset, 0.0, 0.2)
    assert_std(offset, 0.2)
    assert_mean(one - offset, 1.0, 0.05)
    assert_std(one - offset, 0.05)
    assert_mean((one - offset - 1) * offset, 0.0, 0.05 * 0.2)
    assert torch.equal(tile.forward(x)[0], torch.stack((offset, one)))
    again, other = (make_tile(tile.card, torch.ones(4000, 1), seed).forward(x) for seed in (0, 1))
    assert torch.equal(again[0, 0], offset)
    assert not torch.equal(other[0, 0], offset)


def test_gain_and_offset_act_before_the_adc_clips_and_rounds() -> None:
    periphery = {"adc_offset_spread": 1.0, "adc": {"bits": 2, "range": 1.0}}
    read = make_tile(make_card(periphery=periphery), torch.zeros(4000, 1)).forward(torch.zeros(1, 1, 1))
    assert set(read.flatten().tolist()) == {-1.0, 0.0, 1.0}
    assert_mean((read == 0).float(), math.erf(0.5 / math.sqrt(2)), 0.5)


def test_a_gain_spread_never_turns_a_columns_sign() -> None:
    read = make_tile(make_card(periphery={"adc_gain_spread": 3.0}), torch.ones(500, 1)).forward(
        torch.ones(1, 1, 1)
    )
    assert float(read.min()) == 0.0
    assert float(read.max()) > 3.0


# The cells' I-V curve.


@pytest.mark.parametrize("alpha", [0.01, 2.0, 20.0])
def test_cells_with_a_curved_i_v_weigh_inputs_by_the_hyperbolic_sine(alpha: float) -> None:
    card = make_card(periphery={"dac": {"bits": 5, "range": 1.5}, "nonlinearity": {"alpha": alpha}})
    x = torch.linspace(-3, 3, 60).view(1, 3, 20)
    level = 3 / 30
    seen = (x.clamp(-1.5, 1.5) / level).round() * level
    bent = 1.5 * torch.sinh(alpha * seen / 1.5) / math.sinh(alpha)
    torch.testing.assert_close(make_tile(card, W).forward(x), bent @ W.T, rtol=1e-4, atol=1e-5)


def test_a_curved_i_v_refers_to_the_scaled_inputs_maximum_and_leaves_the_input_as_it_is() -> None:
    card = make_card(periphery={"input_scaling": "max", "nonlinearity": {"alpha": 2.0}})
    largest, kept = X.abs().amax(-1, keepdim=True), X.clone()
    expected = largest * (torch.sinh(2 * X / largest) / math.sinh(2)) @ W.T
    torch.testing.assert_close(make_tile(card, W).forward(X), expected)
    assert torch.equal(X, kept)


# Stuck cells.
SHARES = {"share_at_min": 0.1, "share_at_max": 0.2, "share_at_zero": 0.15}
START = normal(60, 50, seed=3, std=0.2)


def stuck_tile(kind: str, seed: int = 0, **weights: float) -> AnalogTile:
    card = make_card(weights={**BOUNDED, **weights}, update=UPDATES[kind], stuck=SHARES)
    return make_tile(card, START, seed)


def free_tile(kind: str) -> AnalogTile:
    return make_tile(make_card(weights=BOUNDED, update=UPDATES[kind]), START)


def rewrite(tile: AnalogTile) -> None:
    tile.write(normal(60, 50, seed=4, std=0.3))
    tile.update(normal(5, 50, seed=5), normal(5, 60, seed=6), 0.1)
    if tile.step is not None:
        tile.pulse(normal(60, 50, seed=7, std=4).round_())


def test_the_declared_shares_of_cells_are_stuck_at_the_lowest_and_highest_weight_and_dead() -> None:
    held = probe(stuck_tile("exact"), 1)[0]
    for value, share in ((-0.8, 0.1), (1.0, 0.2), (0.0, 0.15)):
        assert_mean((held == value).float(), share, math.sqrt(share * (1 - share)))


@pytest.mark.parametrize("kind", UPDATES)
def test_a_stuck_cell_reads_the_same_whatever_is_written_and_the_others_as_if_none_were_stuck(
    kind: str,
) -> None:
    tile, free = stuck_tile(kind), free_tile(kind)
    stuck = tile.twin() != free.twin()
    before = tile.twin()
    assert 0.4 < float(stuck.float().mean()) < 0.5
    rewrite(tile)
    rewrite(free)
    after = tile.twin()
    assert torch.equal(after[stuck], before[stuck])
    assert torch.equal(after[~stuck], free.twin()[~stuck])
    assert not torch.equal(after[~stuck], before[~stuck])
    torch.testing.assert_close(probe(tile, 1)[0], after)


def test_a_cell_is_stuck_at_its_own_bound_where_bounds_spread() -> None:
    tile = stuck_tile("exact", spread=0.3)
    high = tile.cells.bounds.high
    assert high is not None
    assert_mean((tile.twin() == high).float(), 0.2, 0.4)


def test_cells_stay_stuck_as_the_rest_drifts_away() -> None:
    card = make_card(weights=BOUNDED, stuck={"share_at_max": 0.5}, drift={"nu": 0.1, "t0_s": 1.0})
    tile = make_tile(card, START)
    stuck = tile.twin() == 1.0
    tile.set_age("1d")
    assert torch.equal(tile.twin() == 1.0, stuck)
    assert float(tile.twin()[~stuck].norm()) < 0.5 * float(START[~stuck].norm())


def test_the_same_cells_are_stuck_with_the_same_seed_and_others_with_another() -> None:
    first, again, other = (stuck_tile("exact", seed).twin() for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first == 1.0, other == 1.0)


# All together.
EVERYTHING: dict[str, Any] = {
    "weights": BOUNDED,
    "read_noise": {
        "white": {"std": 0.1},
        "flicker": {"std": 0.1, "low_hz": 1.0, "high_hz": 100.0, "read_hz": 1e3},
        "cell_telegraph": {"amplitude": 0.05, "flip_probability": 0.01, "share_of_cells": 0.5},
        "common": {"std": 0.1},
        "weight_dependent": {"coefficient": 0.1, "exponent": 0.5},
    },
    "periphery": {
        "dac": {"bits": 7, "range": 3.0},
        "adc_gain_spread": 0.1,
        "adc_offset_spread": 0.1,
        "nonlinearity": {"alpha": 1.0},
        "ir_drop": {"wire_resistance_ohm": 2.0, "g_max_us": 25.0},
    },
    "stuck": SHARES,
}


@pytest.mark.parametrize("kind", UPDATES)
def test_a_tile_with_every_read_effect_continues_from_its_checkpoint_bit_for_bit(kind: str) -> None:
    card = make_card(**EVERYTHING, update=UPDATES[kind])
    tile, restored = make_tile(card, START), make_tile(card, 0.5 * START)
    x = normal(2, 7, 50, seed=8)
    tile.forward(x)
    rewrite(tile)
    tile.forward(x)
    restored.forward(x)
    saved = through_a_file(tile.state())
    signs = saved["array"]["telegraph"]["sign"].clone()
    restored.load(saved)
    for _ in range(2):
        assert torch.equal(tile.forward(x), restored.forward(x))
        rewrite(tile)
        rewrite(restored)
    assert torch.equal(saved["array"]["telegraph"]["sign"], signs)


SILENT: dict[str, dict[str, Any]] = {
    "cell_telegraph": {"read_noise": {"cell_telegraph": {"amplitude": 0.0, "flip_probability": 0.5}}},
    "common": {"read_noise": {"common": {"std": 0.0}}},
    "weight_dependent": {"read_noise": {"weight_dependent": {"coefficient": 0.0}}},
    "stuck": {"stuck": {"share_at_zero": 0.0}},
}


@pytest.mark.parametrize("effect", SILENT)
def test_an_effect_of_size_zero_leaves_every_other_draw_as_it_is(effect: str) -> None:
    noise: dict[str, Any] = {"white": {"std": 0.2}, "telegraph": {"amplitude": 0.1, "flip_probability": 0.2}}
    silent = SILENT[effect]
    plain = make_card(read_noise=noise)
    with_it = make_card(**{**silent, "read_noise": {**noise, **silent.get("read_noise", {})}})
    reads = [make_tile(card, W).forward(X, 3) for card in (plain, with_it)]
    assert torch.equal(reads[0], reads[1])


def _fields(block: dict[str, Any], at: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Paths to all numbers of a card."""
    found = []
    for name, value in block.items():
        found += _fields(value, (*at, name)) if isinstance(value, dict) else [(*at, name)]
    return found


def _scaled(block: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    name, *rest = path
    value = _scaled(block[name], tuple(rest)) if rest else block[name] * 0.7
    return {**block, name: value}


OURS = [
    path
    for path in _fields(EVERYTHING)
    if path[0] != "weights" and path[1] not in ("white", "dac") and path != ("stuck",)
]


def test_shares_that_add_up_to_one_but_for_rounding_are_taken() -> None:
    shares = {"share_at_min": 0.33, "share_at_max": 0.56, "share_at_zero": 0.11}
    assert sum(shares.values()) > 1
    assert bool(make_tile(make_card(weights=BOUNDED, stuck=shares), W).array.stuck.stuck.all())  # type: ignore[union-attr]


@pytest.mark.parametrize("reads", [None, 3])
@pytest.mark.parametrize("name", ["telegraph", "flicker", "cell_telegraph", "everything", "nothing"])
def test_no_samples_give_no_read_outs_and_leave_all_states_as_they_are(name: str, reads: int | None) -> None:
    noise = EVERYTHING["read_noise"] | {"telegraph": {"amplitude": 0.1, "flip_probability": 0.2}}
    cards = {"everything": EVERYTHING, "nothing": {}}
    card = DeviceCard(name="test", **cards.get(name, {"read_noise": {name: noise.get(name)}}))
    tile, other = (make_tile(card, START) for _ in range(2))
    assert tile.forward(torch.zeros(1, 0, 50), reads).shape == (reads or 1, 0, len(START))
    x = normal(2, 40, 50, seed=8)
    assert torch.equal(tile.forward(x), other.forward(x))


@pytest.mark.parametrize("path", OURS, ids=".".join)
def test_every_field_changes_what_is_read(path: tuple[str, ...]) -> None:
    x = normal(2, 40, 50, seed=8)
    reads = [
        make_tile(DeviceCard(name="test", **card), START).forward(x)
        for card in (EVERYTHING, _scaled(EVERYTHING, path))
    ]
    assert not torch.equal(reads[0], reads[1])


@pytest.mark.parametrize("bits", [2, 7, 16])
def test_a_zero_sample_reads_zero_with_converters_of_the_smallest_range(bits: int) -> None:
    converter = {"bits": bits, "range": 1e-6}
    card = make_card(periphery={"input_scaling": "max", "dac": converter, "adc": converter})
    assert not make_tile(card, W).forward(torch.zeros(1, 2, 20)).any()


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"periphery": {"dac": {"bits": 7, "range": 1e-7}}}, r"range\n.*greater than or equal"),
    ({"periphery": {"nonlinearity": {"alpha": 1.0}}}, "give periphery.dac or input_scaling 'max'"),
    ({"periphery": {"ir_drop": {"wire_resistance_ohm": 1.0, "g_max_us": 25.0}}}, "ir_drop needs weights.min"),
    ({"stuck": {"share_at_min": 0.1}}, "stuck.share_at_max need the bounds"),
    ({"stuck": {"share_at_max": 0.1}}, "stuck.share_at_max need the bounds"),
    (
        {"read_noise": {"weight_dependent": {"coefficient": 0.1, "exponent": 0.5}}},
        "other than 1 needs weights.min and weights.max",
    ),
    (
        {"read_noise": {"weight_dependent": {"coefficient": 0.1, "saturates_at": 0.5}}},
        "saturates_at needs weights.min and weights.max",
    ),
    (
        {
            "read_noise": {"weight_dependent": {"coefficient": 0.1, "saturates_at": 0.5, "exponent": 0.5}},
            "weights": BOUNDED,
        },
        "'saturates_at' takes the place of 'exponent'",
    ),
    (
        {"stuck": {"share_at_min": 0.6, "share_at_zero": 0.6}, "weights": BOUNDED},
        "shares add up to 1.2; at most 1",
    ),
]


@pytest.mark.parametrize(("blocks", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_an_effect_without_what_it_refers_to_is_refused_with_the_reason(
    blocks: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        make_card(**blocks)
