"""Write and verify, against the closed forms of truncated normal and geometric distributions."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from support import assert_mean, assert_std, make_card, make_tile, normal, through_a_file
from torch import Tensor

from noisyhw.characterize import merit, probe
from noisyhw.tiles.analog import AnalogTile

SHAPE = (150, 200)
STD, TOLERANCE = 0.05, 0.04


def verifying(noise: dict[str, float] | None = None, **verify: Any) -> dict[str, Any]:
    update = {"kind": "programmed", "resolution": 0.01, "noise": noise or {"constant": STD}}
    return {"update": update | ({"verify": {"tolerance": TOLERANCE, **verify}} if verify else {})}


def programmed(target: float = 0.3, **verify: Any) -> AnalogTile:
    return make_tile(make_card(**verifying(**verify)), torch.full(SHAPE, target))


def errors(tile: AnalogTile, target: float = 0.3) -> Tensor:
    return tile.twin().double() - target


def events(tile: AnalogTile) -> Tensor:
    return tile.cells.state()["events"].double()  # type: ignore[no-any-return]


def accepted(std: float) -> tuple[float, float]:
    """Chance that |r| <= TOLERANCE for a normal r, and the variance of r then."""
    a = TOLERANCE / std
    chance = math.erf(a / math.sqrt(2))
    return chance, std**2 * (1 - 2 * a * math.exp(-a * a / 2) / math.sqrt(2 * math.pi) / chance)


ROUNDS = pytest.mark.parametrize("rounds", [2, 3, 30])
READS = pytest.mark.parametrize("read_std", [0.0, 0.03])


@READS
@ROUNDS
def test_programming_afresh_takes_a_truncated_geometric_number_of_events(
    rounds: int, read_std: float
) -> None:
    found = events(programmed(max_rounds=rounds, read_std=read_std))
    p, n = accepted(math.hypot(STD, read_std))[0], found.numel()
    for k in range(1, min(rounds, 8) + 1):
        chance = (1 - p) ** (k - 1) * (p if k < rounds else 1)
        share = float((found == k).double().mean())
        assert abs(share - chance) < 4.5 * math.sqrt(chance * (1 - chance) / n)
    mean = (1 - (1 - p) ** rounds) / p
    assert_mean(found, mean, math.sqrt(1 - p) / p)
    assert int(found.max()) <= rounds


@READS
@ROUNDS
def test_programming_afresh_leaves_a_mixture_of_accepted_errors_and_last_tries(
    rounds: int, read_std: float
) -> None:
    """An accepted read is a truncated normal; given the read, the error is normal about its regression on it."""
    error = errors(programmed(max_rounds=rounds, read_std=read_std))
    seen = math.hypot(STD, read_std)
    p, variance = accepted(seen)
    share = (STD / seen) ** 2
    last = (1 - p) ** (rounds - 1)
    variance = share**2 * variance + share * read_std**2
    assert_mean(error, 0.0, STD)
    assert_std(error, math.sqrt((1 - last) * variance + last * STD**2))
    if read_std == 0:
        outside = float((error.abs() > TOLERANCE * (1 + 1e-5)).double().mean())
        assert abs(outside - (1 - p) ** rounds) < 4.5 * math.sqrt((1 - p) ** rounds / error.numel()) + 1e-9


@pytest.mark.parametrize("rounds", [2, 3])
def test_every_correction_leaves_its_share_of_the_error(rounds: int) -> None:
    """Where all cells are corrected, errors are products of independent normals: e_M = e_1 c n_2 .. c n_M."""
    error = errors(programmed(max_rounds=rounds, tolerance=1e-9, correction_noise=0.4))
    assert_std(error, STD * 0.4 ** (rounds - 1), kurtosis=3.0**rounds)


@pytest.mark.parametrize("std", [0.05, 0.5])
def test_a_perfect_correction_leaves_the_verifying_reads_own_error_whatever_the_first_one_was(
    std: float,
) -> None:
    verify = {"max_rounds": 2, "tolerance": 1e-9, "read_std": 0.02, "correction_noise": 0.0}
    error = errors(programmed(noise={"constant": std}, **verify))
    assert_std(error, 0.02)
    assert_mean(error, 0.0, 0.02)


def test_retries_draw_the_error_of_their_own_target() -> None:
    targets = torch.tensor([0.25, 1.0])[:, None].expand(2, 20_000)
    card = make_card(
        weights={"min": -9, "max": 9}, **verifying({"linear": 0.9}, tolerance=1e-9, max_rounds=2)
    )
    error = make_tile(card, targets).twin() - targets
    assert_std(error[0], 0.9 * 0.25 / 9)
    assert_std(error[1], 0.9 * 1.0 / 9)


def test_a_tolerance_that_all_errors_keep_gives_the_bits_of_open_loop_programming() -> None:
    loops = [{}, {"tolerance": 10.0}]
    tiles = [make_tile(make_card(**verifying(**loop)), normal(*SHAPE)) for loop in loops]
    for tile in tiles:
        tile.write(normal(*SHAPE, seed=1))
    assert torch.equal(tiles[0].twin(), tiles[1].twin())
    assert bool((events(tiles[1]) == 2).all())


def test_only_cells_that_are_written_are_verified_and_counted() -> None:
    tile = programmed(max_rounds=50)
    before, count = tile.twin(), events(tile)
    change = torch.zeros(SHAPE)
    change[:, ::2] = 0.1
    tile.write(change)
    assert torch.equal(tile.twin()[:, 1::2], before[:, 1::2])
    assert torch.equal(events(tile)[:, 1::2], count[:, 1::2])
    assert bool((events(tile)[:, ::2] > count[:, ::2]).all())
    assert float((tile.twin()[:, ::2] - 0.4).abs().max()) <= TOLERANCE * (1 + 1e-5)


def test_verified_cells_keep_to_their_bounds() -> None:
    card = make_card(weights={"min": -0.3, "max": 0.3}, **verifying(max_rounds=5, correction_noise=1.0))
    weight = make_tile(card, torch.ones(SHAPE)).twin()
    assert torch.equal(weight.max(), torch.tensor(0.3))
    assert 0.3 < float((weight == 0.3).double().mean()) < 0.9


def test_a_checkpoint_keeps_the_counted_events() -> None:
    tile, restored = programmed(max_rounds=5), programmed(max_rounds=5)
    tile.write(torch.full(SHAPE, 0.1))
    restored.load(through_a_file(tile.state()))
    assert torch.equal(events(tile), events(restored))
    for one in (tile, restored):
        one.write(torch.full(SHAPE, -0.2))
    assert torch.equal(tile.twin(), restored.twin())
    assert torch.equal(events(tile), events(restored))


def test_verifying_exact_programming_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match="'verify' needs 'noise': without it programming is exact"):
        make_card(**verifying({"constant": 0.0}, max_rounds=3))


def test_figures_of_merit_and_bounds_are_those_of_the_quiet_device() -> None:
    card = make_card(weights={"min": -1, "max": 1}, **verifying(max_rounds=3))
    assert merit(card)["steps over the range"] == pytest.approx(2 / 0.01)
    low, high = probe.cell_bounds(card, 50, 0)
    assert (float(low.max()), float(high.min())) == (-1.0, 1.0)
