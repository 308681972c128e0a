"""Ageing: what reads see of cells that were written some time ago."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from run_support import tiny
from support import assert_mean, assert_std, make_card, make_chip, make_tile, normal, through_a_file

from noisyhw.cards.ageing import seconds
from noisyhw.cards.device import DeviceCard
from noisyhw.errors import UsageError

SHAPE = (100, 200)
ONES = torch.ones(SHAPE)


def drifting(**drift: Any) -> DeviceCard:
    return make_card(drift={"nu": 0.05, "t0_s": 20.0, **drift})


def forgetting(**retention: Any) -> DeviceCard:
    return make_card(retention={"tau_s": 1000.0, **retention})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0s", 0),
        ("90s", 90),
        ("20 min", 1200),
        ("1h", 3600),
        ("1.5d", 129600),
        ("1y", 31557600),
        ("1e3s", 1000),
    ],
)
def test_an_age_is_a_number_with_a_unit(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "5", "1 week", "-1s", "h", "1h30min", "1H", "nans", "1e999s"])
def test_an_age_without_number_or_unit_is_refused_with_the_units(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        make_card(drift={"nu": 0.1}, age=text)
    with pytest.raises(UsageError, match=r"^age: must be"):
        make_tile(drifting(), ONES[:2]).set_age(text)


@pytest.mark.parametrize("age", [-1.0, math.nan, math.inf])
def test_an_age_in_seconds_must_be_finite_and_not_negative(age: float) -> None:
    with pytest.raises(UsageError, match="must be a finite number of seconds >= 0"):
        make_tile(drifting(), ONES[:2]).set_age(age)


@pytest.mark.parametrize("age", ["20s", "1h", "1d", "1y"])
def test_drift_is_a_power_law_of_the_time_since_the_first_read(age: str) -> None:
    tile, weight = make_tile(drifting(), normal(*SHAPE, std=0.3)), normal(*SHAPE, std=0.3)
    tile.set_age(age)
    factor = ((seconds(age) + 20.0) / 20.0) ** -0.05
    torch.testing.assert_close(tile.twin(), weight * factor, rtol=1e-5, atol=0)
    x = normal(1, 4, SHAPE[1])
    torch.testing.assert_close(tile.forward(x), x @ (weight * factor).T, rtol=1e-4, atol=1e-4)


def test_drift_exponents_spread_over_cells_and_belong_to_the_device() -> None:
    card = drifting(nu_spread=0.01)
    first, again, other = (make_tile(card, ONES, seed) for seed in (0, 0, 1))
    for tile in (first, again, other):
        tile.set_age(20.0 * (math.e - 1))  # so that ln(weight) = -nu
    nu = -first.twin().log()
    assert_mean(nu, 0.05, 0.01)
    assert_std(nu, 0.01)
    assert torch.equal(first.twin(), again.twin())
    assert not torch.equal(first.twin(), other.twin())


def test_no_cell_grows_by_drift() -> None:
    tile = make_tile(drifting(nu=0.01, nu_spread=0.05), ONES)
    tile.set_age("1y")
    assert float(tile.twin().max()) == 1.0
    assert float(tile.twin().min()) < 0.5


def test_retention_decays_exponentially_to_its_rest() -> None:
    weight = normal(*SHAPE, std=0.3)
    tile = make_tile(forgetting(rest=0.1), weight)
    tile.set_age(500.0)
    torch.testing.assert_close(tile.twin(), 0.1 + (weight - 0.1) * math.exp(-0.5), rtol=1e-5, atol=1e-6)
    tile.set_age("1y")
    torch.testing.assert_close(tile.twin(), torch.full(SHAPE, 0.1))


def test_time_constants_spread_log_normally_over_cells() -> None:
    tile = make_tile(forgetting(tau_spread=0.2), ONES)
    tile.set_age(1000.0)
    logs = -(-tile.twin().log()).log()
    assert_mean(logs, 0.0, 0.2)
    assert_std(logs, 0.2)


def test_age_can_be_set_back_and_leaves_what_was_written_untouched() -> None:
    weight = normal(*SHAPE)
    tile = make_tile(drifting(nu_spread=0.01), weight)
    for age in ("1d", 60.0, "1y"):
        tile.set_age(age)
    tile.set_age(0)
    assert torch.equal(tile.twin(), weight)


def test_an_aged_tile_keeps_its_age_through_a_checkpoint() -> None:
    card, weight = drifting(nu_spread=0.01), normal(*SHAPE)
    tile, restored = make_tile(card, weight), make_tile(card, weight)
    tile.set_age("1h")
    restored.load(through_a_file(tile.state()))
    assert torch.equal(tile.twin(), restored.twin())
    assert not torch.equal(tile.twin(), weight)


@pytest.mark.parametrize("block", [{"drift": {"nu": 0.1, "nu_spread": 0.1}}, {"retention": {"tau_s": 1.0}}])
def test_at_age_zero_a_card_that_ages_gives_the_bits_of_one_that_does_not(block: dict[str, Any]) -> None:
    noisy = {"read_noise": {"white": {"std": 0.1}}, "weights": {"min": -1, "max": 1, "spread": 0.1}}
    noisy["update"] = {"kind": "pulsed", "step": 0.01, "cycle_noise": 0.5}
    x = normal(2, 5, SHAPE[1])
    reads = []
    for card in (make_card(**noisy), make_card(**noisy, **block)):
        tile = make_tile(card, normal(*SHAPE, std=0.3))
        tile.pulse(normal(*SHAPE, seed=4).round_())
        reads.append(tile.forward(x))
    assert torch.equal(*reads)


def test_a_chip_ages_as_a_whole() -> None:
    chip = make_chip((6, 5, 4), drifting())
    before = [layer.tile.twin() for layer in chip.layers]
    chip.set_age("1d")
    for layer, weight in zip(chip.layers, before, strict=True):
        torch.testing.assert_close(layer.tile.twin(), weight * (86420 / 20) ** -0.05)


def test_training_is_at_age_zero_and_the_test_pass_at_the_cards_age(tmp_path: Path) -> None:
    card = tmp_path / "old.yaml"
    card.write_text("extends: ideal\nretention: {tau_s: 10}\n")
    rows = [tiny(tmp_path / age, f"device.age={age}", device=card).metrics.iloc[-1] for age in ("0s", "1y")]
    assert rows[0].train_loss == rows[1].train_loss
    assert rows[0].test_loss != rows[1].test_loss
    assert rows[1].test_accuracy < 0.3  # all weights are gone, and biases alone tell no digits apart


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ({"drift": {"nu": 0.1}, "retention": {"tau_s": 1.0}}, "give 'drift' or 'retention', not both"),
        ({"age": "1h"}, "age: '1h' changes nothing without 'drift' or 'retention'"),
    ],
)
def test_ageing_that_contradicts_itself_is_refused(blocks: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_card(**blocks)


def test_a_device_without_ageing_refuses_an_age_by_name() -> None:
    with pytest.raises(
        UsageError, match="device 'test' does not age; give its card a 'drift' or 'retention'"
    ):
        make_chip((3, 2)).set_age("1h")
