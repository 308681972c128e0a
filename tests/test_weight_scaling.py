"""Weights that fill a device's range: for W it is as if the device were so much finer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from aihwkit_support import needs_aihwkit
from run_support import CtrlC, table, tiny
from support import assert_mean, assert_std, make_card, normal, through_a_file, updating
from torch import Tensor

import noisyhw
from noisyhw.batched import stack_key, train_stack
from noisyhw.cards import load_device, load_experiment
from noisyhw.cards.experiment import Convolution, Experiment, Network
from noisyhw.chip.build import build_chip
from noisyhw.device import Device
from noisyhw.errors import UsageError
from noisyhw.tasks import get_task
from noisyhw.tiles.scaled import ScaledTile, range_factor
from noisyhw.training.resolve import resolve
from noisyhw.training.run import Interrupted

BOUNDED = {"min": -0.8, "max": 1.0}
WEIGHT = normal(12, 9, seed=1, std=0.02)
SCALED = "network.weight_scaling=0.6"


def scaled(blocks: dict[str, object], weight: Tensor = WEIGHT, share: float = 0.6) -> ScaledTile:
    device = Device(make_card(weights=BOUNDED, **blocks))
    assert device.bound is not None
    factor = range_factor(weight, share, device.bound)
    return ScaledTile(device.tile(weight / factor, 0, "tile"), factor)


def resolved(device: str, task: str = "cifar10", **sets: object) -> Experiment:
    return resolve(load_experiment(None, {"device": device, "task.name": task, **sets}))


def test_the_largest_weight_takes_the_asked_share_of_the_nearer_bound() -> None:
    tile = scaled({})
    torch.testing.assert_close(tile.tile.twin().abs().max(), torch.tensor(0.6 * 0.8))
    torch.testing.assert_close(tile.twin(), WEIGHT)


def test_a_noise_free_read_is_that_of_the_weights_themselves() -> None:
    x = normal(1, 50, 9, seed=2)
    torch.testing.assert_close(scaled({}).forward(x), x @ WEIGHT.t())


def test_read_noise_is_the_factor_times_the_devices_own() -> None:
    tile = scaled({"read_noise": {"white": {"std": 0.5, "relative_to": "absolute"}}})
    x = torch.zeros(1, 4000, 9)
    y = tile.forward(x)
    assert_mean(y, 0.0, 0.5 * tile.factor)
    assert_std(y, 0.5 * tile.factor)


def test_write_noise_is_the_factor_times_the_devices_own() -> None:
    weight = normal(100, 90, seed=3, std=0.02)
    update = {"kind": "pulsed", "step": 0.01, "write_noise": 0.01}
    tile = scaled({"update": update}, weight)
    tile.pulse(torch.ones(100, 90))
    moved = tile.twin() - weight
    assert_mean(moved, tile.factor * 0.01, tile.factor * 0.01)
    assert_std(moved, tile.factor * 0.01)


def test_changes_and_outer_products_are_those_of_the_scaled_weights() -> None:
    tile = scaled({})
    change = normal(12, 9, seed=4, std=1e-3)
    tile.write(change)
    torch.testing.assert_close(tile.twin(), WEIGHT + change)
    x, d = normal(6, 9, seed=5), normal(6, 12, seed=6)
    tile.update(x, d, 1e-3)
    torch.testing.assert_close(tile.twin(), WEIGHT + change - 1e-3 * d.t() @ x / 6)


def test_a_step_is_the_factor_times_the_cells() -> None:
    tile = scaled({"update": {"kind": "pulsed", "step": 0.01}})
    assert tile.step == pytest.approx(0.01 * tile.factor)
    tile.pulse(torch.full((12, 9), 2.0))
    torch.testing.assert_close(tile.twin(), WEIGHT + 2 * tile.step)


def test_a_second_array_has_the_same_factor() -> None:
    tile = scaled({"update": {"kind": "pulsed", "step": 0.01}})
    other = tile.sibling("fast")
    assert other.factor == tile.factor
    assert other.step == tile.step
    assert not other.twin().any()


def test_weights_of_zero_are_not_divided_by() -> None:
    assert range_factor(torch.zeros(3, 2), 0.6, 1.0) == 1.0


def test_a_state_comes_back() -> None:
    card = updating("soft bounds")
    first, second = (ScaledTile(Device(card).tile(WEIGHT, 0, "tile"), 0.1) for _ in range(2))
    first.write(normal(12, 9, seed=7, std=0.01))
    second.load(through_a_file(first.state()))
    for tile in (first, second):
        tile.update(normal(6, 9, seed=8), normal(6, 12, seed=9), 0.01)
    assert torch.equal(first.twin(), second.twin())


@pytest.mark.parametrize(
    "path", ["on_tile", "mixed_precision", "sgd", "adam", "tiki_taka", "tiki_taka_v2", "agad"]
)
def test_every_update_path_learns_on_scaled_tiles_and_resumes_with_the_same_bits(
    path: str, tmp_path: Path
) -> None:
    sets = (SCALED, f"update.path={path}")
    whole = tiny(tmp_path / "whole", *sets, device="rram")
    with pytest.raises(Interrupted):
        tiny(tmp_path / "cut", *sets, device="rram", watcher=CtrlC(after=5))
    resumed = noisyhw.resume(tmp_path / "cut")
    assert table(whole.path) == table(resumed.path)
    plain = tiny(tmp_path / "plain", f"update.path={path}", device="rram")
    assert table(whole.path) != table(plain.path)


def test_a_scaled_tile_ages_and_warms_as_its_device_does() -> None:
    drift = {"drift": {"nu": 0.1, "t0_s": 1.0}, "temperature": {"conductance_tc": -0.001}}
    tile = scaled(drift)
    x = normal(1, 20, 9, seed=2)
    fresh = tile.forward(x)
    tile.set_age("1d")
    old = tile.forward(x)
    torch.testing.assert_close(old, fresh * (1 + 86400.0) ** -0.1, rtol=1e-3, atol=1e-6)
    tile.set_age(0)
    tile.set_temperature(400.0)
    assert not torch.equal(tile.forward(x), fresh)


def test_convolutions_and_decorrelation_tiles_are_scaled_and_not_scaled() -> None:
    """Kernels are weights and are scaled; a decorrelation matrix starts as the identity and is written as it is."""
    network = Network(conv=(Convolution(channels=4),), weight_scaling=0.6)
    chip = build_chip(
        Device(make_card(weights=BOUNDED)),
        (64, 10),
        network,
        image=(1, 8, 8),
        decorrelated=True,
        decorrelation_on="tile",
    )
    assert all(isinstance(layer.tile, ScaledTile) for layer in chip.layers)
    assert not any(isinstance(layer.r_tile, ScaledTile) for layer in chip.layers)
    plain = build_chip(
        Device("ideal"), (64, 10), network.model_copy(update={"weight_scaling": None}), image=(1, 8, 8)
    )
    x = normal(5, 64, seed=3)
    torch.testing.assert_close(chip.predict(x), plain.predict(x), rtol=1e-4, atol=1e-5)


def test_scaled_runs_train_alone() -> None:
    one = resolved("rram", "digits", **{"network.weight_scaling": 0.6})
    assert stack_key(one) is None
    with pytest.raises(UsageError, match=r"network\.weight_scaling: 0\.6 is not stacked"):
        train_stack([one, one], get_task("digits").load())


@needs_aihwkit
def test_tiles_of_aihwkit_are_scaled_too() -> None:
    card = load_device("rram-aihwkit")
    weight = normal(12, 9, seed=1, std=0.02)
    factor = range_factor(weight, 0.6, 1.0)
    tile = ScaledTile(Device(card).tile(weight / factor, 0, "tile"), factor)
    x = normal(1, 4000, 9, seed=2)
    noise = tile.forward(x) - x @ tile.twin().t()
    plain = tile.tile.forward(x) - x @ tile.tile.twin().t()
    assert float(noise.std() / plain.std()) == pytest.approx(factor, rel=0.05)


def test_cifar10_fills_the_range_of_a_device_that_has_one() -> None:
    assert resolved("rram").network.weight_scaling == 0.6
    assert resolved("ideal").network.weight_scaling is None
    assert resolved("rram", **{"network.weight_scaling": 0.0}).network.weight_scaling == 0.0
    assert resolved("rram", **{"network.weight_scaling": 0.3}).network.weight_scaling == 0.3


def test_zero_where_nothing_is_scaled_is_the_same_run() -> None:
    assert resolved("rram", "digits") == resolved("rram", "digits", **{"network.weight_scaling": 0.0})
    assert resolved("ideal") == resolved("ideal", **{"network.weight_scaling": 0.0})


def test_a_device_without_bounds_has_no_range_to_fill() -> None:
    with pytest.raises(
        UsageError, match=r"network\.weight_scaling: weights of device 'ideal' have no bounds"
    ):
        resolved("ideal", **{"network.weight_scaling": 0.6})
    with pytest.raises(UsageError, match="have no bounds"):
        build_chip(Device("ideal"), (4, 3), Network(weight_scaling=0.6))


def test_a_preset_of_aihwkit_is_taken_to_reach_from_minus_one_to_one() -> None:
    card = load_device("rram-aihwkit")
    assert card.preset is not None
    assert Device(card).bound == 1.0


def test_write_noise_drowns_a_wide_layer_unless_it_fills_the_range() -> None:
    """Of 512 inputs' first weights, of std 0.0625, 0.112 a cell is 1.8 times; spread out to 0.45, only 0.56 times."""
    wanted = first_weights("ideal", 0.0)
    small, filling = (first_weights("rram", share) - wanted for share in (0.0, 0.6))
    factor = range_factor(wanted, 0.6, 0.75)
    assert float(small.std() / wanted.std()) == pytest.approx(0.112 / 0.0625, rel=0.05)
    assert float(filling.std() / small.std()) == pytest.approx(factor, rel=0.1)  # bounds clip a few


def first_weights(device: str, share: float) -> Tensor:
    network = Network(weight_scaling=share)
    return build_chip(Device(device), (512, 64), network).layers[0].tile.twin()
