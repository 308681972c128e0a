"""Temperature: what reads see of cells that are warmer or colder than the card's numbers say."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from run_support import tiny
from scipy import constants
from support import assert_mean, assert_std, make_card, make_chip, make_tile, normal, through_a_file

from noisyhw.cards.device import DeviceCard
from noisyhw.characterize import merit
from noisyhw.errors import UsageError
from noisyhw.tiles.aihwkit_card import check_card

SHAPE = (100, 200)
ONES = torch.ones(SHAPE)
EV_PER_K = constants.k / constants.e
RETENTION = {"tau_s": 1e6}


def warm(temperature: dict[str, Any], **blocks: Any) -> DeviceCard:
    return make_card(temperature={"reference_k": 300.0, **temperature}, **blocks)


@pytest.mark.parametrize(
    ("kelvin", "factor"), [(300.0, 1.0), (350.0, 0.9), (250.0, 1.1), (77.0, 1.446), (900.0, 0.0)]
)
def test_weights_follow_the_temperature_coefficient_and_never_pass_zero(kelvin: float, factor: float) -> None:
    weight, x = normal(*SHAPE, std=0.3), normal(1, 4, SHAPE[1])
    tile = make_tile(warm({"conductance_tc": -0.002}), weight)
    tile.set_temperature(kelvin)
    torch.testing.assert_close(tile.twin(), weight * factor, rtol=1e-5, atol=0)
    torch.testing.assert_close(tile.forward(x), x @ (weight * factor).T, rtol=1e-4, atol=1e-4)


def test_temperature_coefficients_spread_over_cells_and_belong_to_the_device() -> None:
    card = warm({"conductance_tc": 0.001, "conductance_tc_spread": 0.0005})
    first, again, other = (make_tile(card, ONES, seed) for seed in (0, 0, 1))
    for tile in (first, again, other):
        tile.set_temperature(400.0)
    coefficients = (first.twin() - 1) / 100
    assert_mean(coefficients, 0.001, 0.0005)
    assert_std(coefficients, 0.0005)
    assert torch.equal(first.twin(), again.twin())
    assert not torch.equal(first.twin(), other.twin())


@pytest.mark.parametrize("kelvin", [250.0, 300.0, 358.0, 423.0])
def test_retention_is_accelerated_by_arrhenius_law(kelvin: float) -> None:
    card = warm({"activation_energy_ev": 1.1}, retention={**RETENTION, "tau_spread": 0.3})
    tile, at_reference = (make_tile(card, ONES) for _ in range(2))
    tile.set_temperature(kelvin)
    speed = math.exp(1.1 / EV_PER_K * (1 / 300 - 1 / kelvin))
    tile.set_age(1e5 / speed)
    at_reference.set_age(1e5)
    torch.testing.assert_close(tile.twin(), at_reference.twin(), rtol=1e-5, atol=0)
    assert 0.8 < float(tile.twin().mean()) < 0.95


def test_the_slope_of_an_arrhenius_plot_is_the_activation_energy() -> None:
    tile = make_tile(warm({"activation_energy_ev": 0.6}, retention=RETENTION), torch.ones(1, 1))
    points = []
    for kelvin in (320.0, 400.0):
        tile.set_temperature(kelvin)
        tile.set_age("1h")
        points.append((1 / (EV_PER_K * kelvin), math.log(3600 / -math.log(float(tile.twin())))))
    (x0, y0), (x1, y1) = points
    assert (y0 - y1) / (x0 - x1) == pytest.approx(0.6, rel=1e-3)


def test_cells_that_forget_far_faster_than_numbers_reach_are_at_their_rest() -> None:
    card = warm({"activation_energy_ev": 10.0}, retention={**RETENTION, "rest": 0.2})
    tile = make_tile(card, ONES)
    tile.set_temperature(2000.0)
    tile.set_age("1y")
    torch.testing.assert_close(tile.twin(), torch.full(SHAPE, 0.2))
    tile.set_temperature(1.0)
    torch.testing.assert_close(tile.twin(), ONES)


@pytest.mark.parametrize("kelvin", [75.0, 300.0, 1200.0])
def test_johnson_noise_grows_as_the_root_of_the_temperature_and_other_noise_does_not(kelvin: float) -> None:
    noise = {"white": {"std": 0.3}, "per_cell": {"std": 0.01}}
    tile = make_tile(warm({"thermal_noise": True}, read_noise=noise), ONES)
    x = torch.ones(1, 1, SHAPE[1])
    tile.set_temperature(kelvin)
    read = tile.forward(x, 200) - SHAPE[1]
    assert_std(read, math.sqrt(0.3**2 * kelvin / 300 + 0.01**2 * SHAPE[1]))


EVERYTHING: dict[str, Any] = {
    "temperature": {
        "reference_k": 300.0,
        "conductance_tc": 0.001,
        "conductance_tc_spread": 0.001,
        "activation_energy_ev": 0.5,
        "thermal_noise": True,
    },
    "retention": {"tau_s": 1000.0},
    "read_noise": {"white": {"std": 0.1}},
    "update": {"kind": "pulsed", "step": 0.01, "cycle_noise": 0.5},
}


@pytest.mark.parametrize("back", [None, 300.0])
def test_at_the_reference_a_card_gives_the_bits_of_one_that_knows_no_temperature(back: float | None) -> None:
    reads = []
    for card in (make_card(**EVERYTHING), make_card(**(EVERYTHING | {"temperature": None}))):
        tile = make_tile(card, normal(*SHAPE, std=0.3))
        tile.pulse(normal(*SHAPE, seed=4).round_())
        tile.set_age(100.0)
        if card.temperature is not None:
            tile.set_temperature(400.0)
            tile.set_temperature(back)
        reads.append(tile.forward(normal(2, 5, SHAPE[1])))
    assert torch.equal(*reads)


def test_age_and_temperature_can_be_set_in_any_order() -> None:
    first, second = (make_tile(make_card(**EVERYTHING), ONES) for _ in range(2))
    first.set_age(100.0)
    first.set_temperature(350.0)
    second.set_temperature(350.0)
    second.set_age(100.0)
    assert torch.equal(first.twin(), second.twin())


def test_a_warm_tile_keeps_its_temperature_through_a_checkpoint() -> None:
    weight, x = normal(*SHAPE), normal(1, 4, SHAPE[1])
    tile, restored = (make_tile(make_card(**EVERYTHING), weight) for _ in range(2))
    tile.set_age("1h")
    tile.set_temperature(350.0)
    restored.load(through_a_file(tile.state()))
    assert torch.equal(tile.twin(), restored.twin())
    assert torch.equal(tile.forward(x), restored.forward(x))


def test_stuck_cells_read_the_same_at_any_temperature() -> None:
    card = warm({"conductance_tc": 0.001}, weights={"min": -1, "max": 1}, stuck={"share_at_max": 1.0})
    tile = make_tile(card, normal(*SHAPE, std=0.1))
    tile.set_temperature(400.0)
    assert torch.equal(tile.twin(), ONES)


def test_a_chip_warms_as_a_whole_and_cools_again() -> None:
    chip = make_chip((6, 5, 4), warm({"conductance_tc": 0.001}))
    before = [layer.tile.twin() for layer in chip.layers]
    chip.set_temperature(400.0)
    for layer, weight in zip(chip.layers, before, strict=True):
        torch.testing.assert_close(layer.tile.twin(), weight * 1.1)
    chip.set_temperature(None)
    assert all(torch.equal(layer.tile.twin(), w) for layer, w in zip(chip.layers, before, strict=True))


def test_training_is_at_the_reference_and_the_test_pass_at_the_cards_temperature(tmp_path: Path) -> None:
    card = tmp_path / "warm.yaml"
    card.write_text("extends: ideal\ntemperature: {conductance_tc: -0.01}\n")
    sets = [(), ("device.temperature_k=300.0",), ("device.temperature_k=400.0",)]
    rows = [tiny(tmp_path / str(n), *changes, device=card).metrics.iloc[-1] for n, changes in enumerate(sets)]
    assert rows[0].train_loss == rows[1].train_loss == rows[2].train_loss
    assert rows[0].test_loss == rows[1].test_loss != rows[2].test_loss
    assert rows[2].test_accuracy < 0.3  # all weights are gone


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ({"temperature_k": 350.0}, "temperature_k: 350 changes nothing without 'temperature'"),
        ({"temperature": {"reference_k": 290.0}}, "nothing depends on it; give conductance_tc"),
        ({"temperature": {"activation_energy_ev": 1.0}}, "activation_energy_ev needs 'retention'"),
        (
            {"temperature": {"activation_energy_ev": 1.0}, "drift": {"nu": 0.1}},
            "activation_energy_ev needs 'retention'",
        ),
        ({"temperature": {"thermal_noise": True}}, "thermal_noise needs 'read_noise.white'"),
    ],
)
def test_a_temperature_on_which_nothing_depends_is_refused(blocks: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_card(**blocks)


def test_a_device_that_does_not_depend_on_temperature_refuses_one_by_name() -> None:
    with pytest.raises(
        UsageError, match="device 'test' does not depend on it; give its card a 'temperature'"
    ):
        make_chip((3, 2)).set_temperature(350.0)


@pytest.mark.parametrize("kelvin", [-20.0, 0.0, 1e4, math.nan, math.inf])
def test_a_temperature_out_of_range_is_refused(kelvin: float) -> None:
    with pytest.raises(UsageError, match="must be 1 to 2000 K, or None for the reference"):
        make_tile(warm({"conductance_tc": 0.001}), ONES[:2]).set_temperature(kelvin)


def test_the_mean_device_has_no_spread_of_temperature_coefficients() -> None:
    card = warm({"conductance_tc_spread": 0.1}, temperature_k=400.0, update=EVERYTHING["update"])
    assert merit(card)["step at weight 0"] == pytest.approx(0.01)


@pytest.mark.parametrize("block", [{"temperature_k": 350.0}, {}])
def test_aihwkit_refuses_a_temperature_by_its_field(block: dict[str, Any]) -> None:
    card = warm({"conductance_tc": 0.001}, backend="aihwkit", **block)
    with pytest.raises(UsageError, match=r"^temperature.*: aihwkit's tiles have no such parameter"):
        check_card(card)
