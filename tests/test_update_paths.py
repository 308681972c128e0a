"""Every update path on every kind of write."""

from __future__ import annotations

import pytest
import torch
from support import UPDATES, cosine, make_card, make_tile, normal, through_a_file, updating

from noisyhw.cards.experiment import UpdateChoice
from noisyhw.tiles.analog import AnalogTile
from noisyhw.updates import PATHS, UpdatePath
from noisyhw.updates.base import mean_outer

ROWS, COLUMNS, BATCH = 10, 14, 6
START = normal(ROWS, COLUMNS, seed=1, std=0.1)
RATES = {
    "on_tile": 0.1,
    "mixed_precision": 0.1,
    "sgd": 0.1,
    "adam": 0.02,
    "tiki_taka": 0.3,
    "tiki_taka_v2": 0.3,
    "c_ttv2": 0.3,
    "agad": 0.3,
}
CHOICE = UpdateChoice()


def batch(number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and errors: a part that stays from batch to batch and one that does not."""
    x = normal(BATCH, COLUMNS, seed=2) + 0.5 * normal(BATCH, COLUMNS, seed=100 + number)
    d = normal(BATCH, ROWS, seed=3) + 0.5 * normal(BATCH, ROWS, seed=200 + number)
    return x, d


def path_on(tile: AnalogTile, path: str, rate: float | None = None) -> UpdatePath:
    return PATHS[path](tile, rate or RATES[path], CHOICE)


@pytest.mark.parametrize("kind", UPDATES)
@pytest.mark.parametrize("path", PATHS)
def test_every_path_on_every_device_moves_weights_against_the_mean_outer_product(
    kind: str, path: str
) -> None:
    tile = make_tile(updating(kind), START)
    before = tile.twin()
    update = path_on(tile, path)
    wanted = torch.zeros(ROWS, COLUMNS)
    for number in range(20):
        x, d = batch(number)
        wanted -= mean_outer(x, d)
        update.apply(x, d)
    # the cosine of two unrelated changes of 140 weights has a std of 0.085
    assert cosine(tile.twin() - before, wanted) > 0.45


def test_sgd_on_exact_cells_is_the_formula_bit_for_bit() -> None:
    tile = make_tile(make_card(), START)
    x, d = batch(0)
    path_on(tile, "sgd", 0.3).apply(x, d)
    assert torch.equal(tile.twin(), START + d.t().mm(x) / BATCH * -0.3)


@pytest.mark.parametrize("path", ["on_tile", "mixed_precision"])
def test_on_exact_cells_the_other_plain_paths_are_sgd(path: str) -> None:
    tile = make_tile(make_card(), START)
    x, d = batch(0)
    path_on(tile, path, 0.3).apply(x, d)
    torch.testing.assert_close(tile.twin(), START - 0.3 * d.t().mm(x) / BATCH)


def test_adam_equals_torchs_adam_on_a_plain_parameter() -> None:
    choice = UpdateChoice(beta1=0.8, beta2=0.95, epsilon=1e-4)
    tile = make_tile(make_card(), START)
    update = PATHS["adam"](tile, 0.01, choice)
    plain = START.clone().requires_grad_()
    optimizer = torch.optim.Adam([plain], lr=0.01, betas=(0.8, 0.95), eps=1e-4)
    for number in range(30):
        x, d = batch(number)
        update.apply(x, d)
        plain.grad = d.t().mm(x) / BATCH
        optimizer.step()
    torch.testing.assert_close(tile.twin(), plain.detach(), rtol=1e-5, atol=1e-6)


def test_adam_takes_betas_and_epsilon_from_the_choice() -> None:
    ends = []
    for change in ({}, {"beta1": 0.5}, {"beta2": 0.9}, {"epsilon": 0.5}):
        tile = make_tile(make_card(), START)
        update = PATHS["adam"](tile, 0.01, UpdateChoice(**change))
        for number in range(3):
            update.apply(*batch(number))
        ends.append(tile.twin())
    assert all(not torch.equal(ends[0], end) for end in ends[1:])


NOISE_FREE = {
    "pulsed": {"kind": "pulsed", "step": 0.01},
    "programmed": {"kind": "programmed", "resolution": 0.01},
}


@pytest.mark.parametrize("kind", NOISE_FREE)
def test_mixed_precision_loses_nothing_and_keeps_less_than_a_step_back(kind: str) -> None:
    """On a noise-free constant step, weight change plus chi is all that was ever asked for."""
    tile = make_tile(make_card(update=NOISE_FREE[kind]), START)
    update = path_on(tile, "mixed_precision", 0.05)
    asked = torch.zeros(ROWS, COLUMNS)
    for number in range(25):
        x, d = batch(number)
        asked -= 0.05 * d.t().mm(x) / BATCH
        update.apply(x, d)
        chi = update.state()["chi"]
        assert float(chi.abs().max()) < 0.01 * (1 + 1e-5)
        torch.testing.assert_close(tile.twin() - START + chi, asked, rtol=0, atol=2e-6)
    assert float((tile.twin() - START).abs().max()) > 0.05


def test_mixed_precision_sends_nothing_before_a_step_is_due() -> None:
    tile = make_tile(make_card(update=NOISE_FREE["pulsed"]), START)
    update = path_on(tile, "mixed_precision", 1.0)
    x, d = torch.ones(1, COLUMNS), torch.full((1, ROWS), 0.004)
    moved = []
    for _ in range(3):
        update.apply(x, d)
        moved.append(float((tile.twin() - START).mean()))
    assert moved[:2] == [0.0, 0.0]
    assert moved[2] == pytest.approx(-0.01, rel=1e-3)


@pytest.mark.parametrize("kind", UPDATES)
@pytest.mark.parametrize("path", PATHS)
def test_a_path_restored_from_its_checkpoint_continues_bit_for_bit(kind: str, path: str) -> None:
    original_tile = make_tile(updating(kind), START)
    original = path_on(original_tile, path)
    for number in range(3):
        original.apply(*batch(number))
    saved = through_a_file({"tile": original_tile.state(), "path": original.state()})
    tile = make_tile(updating(kind), START)
    restored = path_on(tile, path)
    tile.load(saved["tile"])
    restored.load(saved["path"])
    for number in range(3, 6):
        original.apply(*batch(number))
        restored.apply(*batch(number))
        assert torch.equal(original_tile.twin(), tile.twin())


@pytest.mark.parametrize("path", PATHS)
def test_a_path_does_not_alter_what_it_is_given(path: str) -> None:
    x, d = batch(0)
    kept = x.clone(), d.clone()
    path_on(make_tile(updating("soft bounds"), START), path).apply(x, d)
    assert torch.equal(x, kept[0])
    assert torch.equal(d, kept[1])
