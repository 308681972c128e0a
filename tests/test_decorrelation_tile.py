"""Decorrelation on a tile of its own: read with noise in every pass, learned by an update path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from run_support import CtrlC, assert_same_end, checkpoint, table, tiny
from support import make_card, normal
from torch import Tensor

import noisyhw
from noisyhw.cards.device import DeviceCard
from noisyhw.cards.experiment import UpdateChoice
from noisyhw.chip.build import build_chip
from noisyhw.chip.chip import Chip
from noisyhw.chip.decorrelation import decorrelation_factors, learn_decorrelation_
from noisyhw.chip.layer import Layer
from noisyhw.device import Device
from noisyhw.errors import UsageError
from noisyhw.rules import RULES
from noisyhw.tiles.base import Tile
from noisyhw.updates import PATHS
from noisyhw.updates.base import columns, mean_outer

ON_TILE = "decorrelation.on=tile"
CPU = torch.device("cpu")
INPUTS = 8
ECRAM: dict[str, Any] = {
    "weights": {"min": -2.0, "max": 2.0},
    "read_noise": {"white": {"std": 0.02}},
    "update": {"kind": "pulsed", "step": 0.002, "cycle_noise": 0.3, "slope_up": 0.2, "slope_down": 0.2},
}


def make_chip(card: DeviceCard, widths: tuple[int, ...] = (INPUTS, 6, 3)) -> Chip:
    return build_chip(Device(card), widths, decorrelated=True, decorrelation_on="tile")


def r_of(layer: Layer) -> Tile:
    assert layer.r is None
    assert layer.r_tile is not None
    return layer.r_tile


def correlated(samples: int) -> Tensor:
    mix = torch.eye(INPUTS) + 0.3 * normal(INPUTS, INPUTS, seed=30)
    return normal(samples, INPUTS, seed=31) @ mix.t()


def off_diagonal(x: Tensor) -> float:
    covariance = x.t().mm(x) / len(x)
    return float((covariance - covariance.diag().diag()).square().mean())


@pytest.mark.parametrize("samples", [5, 40])
def test_the_outer_products_sum_to_the_digital_rules_change(samples: int) -> None:
    r = torch.eye(INPUTS) + 0.1 * normal(INPUTS, INPUTS, seed=33)
    x = correlated(samples)
    change = -0.05 * mean_outer(*decorrelation_factors(x, r))
    wanted = r.clone()
    learn_decorrelation_(wanted, x, 0.05)
    torch.testing.assert_close(r + change, wanted)


def test_columns_are_the_weights_as_the_tile_reads_them() -> None:
    weight = normal(6, 4, seed=3)
    exact = Device(make_card()).tile(weight)
    assert torch.equal(columns(exact, CPU), weight)
    noisy = Device(make_card(read_noise={"white": {"std": 0.1}})).tile(weight)
    assert not torch.equal(columns(noisy, CPU), columns(noisy, CPU))


def test_on_an_exact_device_a_run_equals_the_digital_one_but_for_rounding(tmp_path: Path) -> None:
    runs = [tiny(tmp_path / on, f"decorrelation.on={on}") for on in ("digital", "tile")]
    digital, tile = (run.metrics for run in runs)
    # Adam's first steps have the sign of a gradient, so a rounding error can turn a small one around
    assert (digital.train_loss - tile.train_loss).abs().max() < 1e-2
    one, two = (checkpoint(run.path) for run in runs)
    for layer in range(2):
        r = one[f".trainer.chip.layers.{layer}.r"]
        assert float((r - torch.eye(len(r))).abs().max()) > 1e-3
        torch.testing.assert_close(
            two[f".trainer.chip.layers.{layer}.r_tile.cells.weight"], r, atol=2e-3, rtol=0
        )


@pytest.mark.parametrize("path", ["on_tile", "mixed_precision", "sgd"])
def test_correlations_fall_on_a_pulsed_tile_with_noise(path: str) -> None:
    tile = r_of(make_chip(make_card(**ECRAM)).layers[0])
    x = correlated(300) / INPUTS**0.5
    learn = PATHS[path](tile, 0.1, UpdateChoice())
    before = off_diagonal(tile.forward(x[None])[0])
    for _ in range(300):
        learn.apply(*decorrelation_factors(tile.forward(x[None])[0], columns(tile, CPU)))
    assert off_diagonal(tile.forward(x[None])[0]) < 0.1 * before


def test_every_pass_reads_the_decorrelation_tile_anew_in_every_layer() -> None:
    chip = make_chip(make_card(read_noise={"white": {"std": 0.1}}))
    for index, layer in enumerate(chip.layers):
        given = torch.ones(1, 3, layer.tile.inputs)
        reads = layer.prepare(given, 4)
        assert reads.shape == (4, 3, layer.tile.inputs)
        for one in range(4):
            assert not any(torch.equal(reads[one], reads[other]) for other in range(one)), index
    seen = chip.observe(normal(3, INPUTS), torch.tensor([0, 1, 2]), RULES["anp"](), passes=2)
    first = seen.pre_activations[0]
    assert first.shape == (3, 3, 6)
    # the noise of W's own read is 0.1; what R's read adds goes through W
    spread = float((first[1:] - first[:1]).square().mean()) / 2
    weight = chip.layers[0].tile.twin()
    added = 0.01 * float(weight.square().sum(1).mean())
    assert spread == pytest.approx(0.01 + added, rel=0.9)


def test_a_layers_input_is_what_the_baseline_pass_read() -> None:
    chip = make_chip(make_card())
    x = normal(3, INPUTS)
    r_of(chip.layers[0]).write(0.1 * normal(INPUTS, INPUTS, seed=2))
    seen = chip.observe(x, torch.tensor([0, 1, 2]), RULES["anp"](), std=0.1)
    torch.testing.assert_close(seen.inputs[0], x @ r_of(chip.layers[0]).twin().t())


def test_a_digital_twin_sees_the_tiles_present_matrix_without_noise() -> None:
    chip = make_chip(make_card(read_noise={"white": {"std": 0.5}}))
    layer = chip.layers[0]
    r_of(layer).write(0.1 * normal(INPUTS, INPUTS, seed=2))
    x = normal(1, 3, INPUTS)
    expected = x @ r_of(layer).twin().t() @ layer.tile.twin().t()
    torch.testing.assert_close(layer.exact(x), expected)


def test_the_decorrelation_tile_ages_with_the_others() -> None:
    chip = make_chip(make_card(weights={"min": -1.0, "max": 1.0}, drift={"nu": 0.1}))
    chip.set_age("1d")
    assert float(r_of(chip.layers[0]).twin().diagonal().max()) < 0.6
    chip.set_age(0)
    assert torch.equal(r_of(chip.layers[0]).twin(), torch.eye(INPUTS))


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=() if path in ("mixed_precision", "tiki_taka") else pytest.mark.slow)
        for path in PATHS
    ],
)
def test_a_run_with_r_on_tiles_resumes_bit_for_bit(tmp_path: Path, path: str) -> None:
    sets = (ON_TILE, f"update.path={path}")
    whole = tiny(tmp_path / "whole", *sets, device="rram")
    with pytest.raises(noisyhw.NoisyhwError):
        tiny(tmp_path / "part", *sets, device="rram", watcher=CtrlC(11))
    noisyhw.resume(tmp_path / "part")
    assert_same_end(tmp_path / "part", whole.path)


def test_where_r_lives_and_its_rate_are_part_of_what_a_run_is(tmp_path: Path) -> None:
    runs = [
        tiny(tmp_path / str(number), *sets, device="ecram", epochs=1)
        for number, sets in enumerate([(), (ON_TILE,), (ON_TILE, "decorrelation.rate=0.0")])
    ]
    assert len({run.identity for run in runs}) == 3
    assert len({str(table(run.path)) for run in runs}) == 3


def test_a_rule_that_does_not_decorrelate_refuses_the_tile(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^decorrelation\.on: anp does not decorrelate; .* use danp$"):
        tiny(tmp_path / "run", ON_TILE, rule="anp")
