"""Tiki-Taka: a fast array gathers outer products by pulses, and its read-out is pulsed into the slow one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from run_support import assert_same_end, tiny
from support import make_card, make_tile, normal, through_a_file, updating
from torch import Tensor

import noisyhw
from noisyhw.cards.device import DeviceCard
from noisyhw.cards.experiment import Transfer, UpdateChoice
from noisyhw.errors import UsageError
from noisyhw.tiles.analog import AnalogTile
from noisyhw.tiles.base import Tile
from noisyhw.updates import PATHS
from noisyhw.updates.base import mean_outer
from noisyhw.updates.tiki_taka import TikiTaka, TikiTakaV2

ROWS, COLUMNS = 6, 9
BOTH = ("tiki_taka", "tiki_taka_v2")
START = normal(ROWS, COLUMNS, seed=1, std=0.1)
BOUNDS = {"min": -1.0, "max": 1.0}
SMOOTH = make_card(weights=BOUNDS, update={"kind": "pulsed", "step": 1e-3})


def make_path(name: str, tile: Tile, lr: float = 0.1, **transfer: Any) -> TikiTaka:
    path = PATHS[name](tile, lr, UpdateChoice(transfer=Transfer(**transfer)))
    assert isinstance(path, TikiTaka)
    return path


def signal(number: int) -> tuple[Tensor, Tensor]:
    return normal(5, COLUMNS, seed=10 + number), normal(5, ROWS, seed=90 + number)


@pytest.mark.parametrize("name", BOTH)
def test_on_exact_cells_the_slow_array_gets_the_running_sum_of_the_fast_one(name: str) -> None:
    tile = make_tile(make_card(), START)
    path = make_path(name, tile, 0.1, rate=0.2)
    fast, slow = torch.zeros(ROWS, COLUMNS), START.clone()
    for number in range(4):
        x, d = signal(number)
        path.apply(x, d)
        fast -= 0.1 * mean_outer(x, d)
        slow += 0.2 * fast
        torch.testing.assert_close(tile.twin(), slow)


@pytest.mark.parametrize("name", BOTH)
def test_only_the_columns_whose_turn_it_is_are_transferred_and_only_when_due(name: str) -> None:
    tile = make_tile(make_card(), START)
    path = make_path(name, tile, rate=0.2, every=2, columns=4)
    turns = [[], [0, 1, 2, 3], [], [4, 5, 6, 7], [], [8, 0, 1, 2], [], [3, 4, 5, 6]]
    for number, turn in enumerate(turns):
        before = tile.twin()
        path.apply(*signal(number))
        moved = (tile.twin() != before).any(0).nonzero().flatten().tolist()
        assert moved == sorted(turn)


def test_the_fast_array_is_another_array_of_the_same_device() -> None:
    card = make_card(
        weights=BOUNDS | {"spread": 0.3}, update={"kind": "pulsed", "step": 0.01, "step_spread": 0.3}
    )
    tile = make_tile(card, torch.zeros(100, 100))
    fast = tile.sibling("fast")
    assert isinstance(fast, AnalogTile)
    assert fast.card == card
    for one in (tile, fast):
        one.pulse(torch.ones(100, 100))
    pair = torch.stack([tile.twin().flatten(), fast.twin().flatten()])
    assert abs(float(torch.corrcoef(pair)[0, 1])) < 4.5 / 100
    assert torch.equal(tile.sibling("fast").twin(), tile.sibling("fast").twin())


@pytest.mark.parametrize("name", BOTH)
def test_the_fast_array_is_read_with_the_devices_own_noise(name: str) -> None:
    moves = []
    for std in (0.0, 0.5):
        card = make_card(
            weights=BOUNDS, read_noise={"white": {"std": std}}, update={"kind": "pulsed", "step": 1e-3}
        )
        tile = make_tile(card, torch.zeros(60, 50))
        path = make_path(name, tile, rate=0.01)
        path.apply(torch.zeros(1, 50), torch.zeros(1, 60))
        moves.append(float(tile.twin().std()))
    assert moves[0] == 0
    # rate * std is 5 steps; stochastic trains add some variance, whole pulses take up to a step away
    assert moves[1] == pytest.approx(0.005, rel=0.15)


def test_version_2_keeps_what_is_not_yet_a_step_and_loses_nothing() -> None:
    tile = make_tile(SMOOTH, START)
    path = make_path("tiki_taka_v2", tile, 0.1, rate=0.003)
    assert isinstance(path, TikiTakaV2)
    asked = torch.zeros(ROWS, COLUMNS)
    for number in range(30):
        path.apply(*signal(number))
        asked += 0.003 * path.fast.twin()
        assert float(path.hidden.abs().max()) < 1e-3 * (1 + 1e-4)
        torch.testing.assert_close(tile.twin() - START + path.hidden, asked, atol=1e-5, rtol=0)
    assert float((tile.twin() - START).abs().max()) > 3e-3


def test_version_1_sends_pulses_at_once_and_is_right_on_average() -> None:
    tile = make_tile(SMOOTH, torch.zeros(100, 80))
    path = make_path("tiki_taka", tile, rate=3e-3)
    path.fast.write(torch.full((100, 80), 0.1))
    fast = float(path.fast.twin().mean())
    path.apply(torch.zeros(1, 80), torch.zeros(1, 100))
    share = 3e-3 * fast / 1e-3
    assert set(tile.twin().div(1e-3).round().flatten().tolist()) == {0.0, 1.0}
    error = (share * (1 - share) / 8000) ** 0.5
    assert abs(float(tile.twin().mean()) / 1e-3 - share) < 4.5 * error


def asymmetric(**update: Any) -> DeviceCard:
    soft = {"kind": "pulsed", "step": 0.01, "slope_up": 1.0, "slope_down": 1.0, "asymmetry_spread": 0.3}
    return make_card(weights=BOUNDS, read_noise={"white": {"std": 0.05}}, update=soft | update)


def test_zero_shift_finds_each_cells_symmetry_point_through_noise() -> None:
    tile = make_tile(asymmetric(cycle_noise=0.3, write_noise=0.05), torch.zeros(40, 30))
    path = make_path("tiki_taka", tile, zero_shift=2000)
    assert path.shift is not None
    assert isinstance(path.fast, AnalogTile)
    cells: Any = path.fast.cells
    symmetry = (cells.step_up - cells.step_down) / (cells.step_up + cells.step_down)
    error = path.shift.t() - symmetry
    # a pair of pulses moves a cell by 0.01 * 0.3 * sqrt 2 and pulls it by 0.02: a random walk of std 0.021 that
    # forgets in 50 pairs, so 1000 reads hold about 10 independent ones; half a step stays
    assert float(symmetry.std()) > 0.25
    assert float(error.square().mean().sqrt()) < 0.021 / 10**0.5 + 0.01


def test_zero_shift_keeps_symmetry_points_from_being_learned_as_a_signal() -> None:
    """Signals of mean zero pull A to its symmetry points; without the shift these would run into C."""
    ends = []
    for shift in (None, 600):
        tile = make_tile(asymmetric(), torch.zeros(ROWS, COLUMNS))
        path = make_path("tiki_taka", tile, 0.1, rate=0.01, zero_shift=shift)
        for number in range(150):
            path.apply(*signal(number))
        ends.append(float(tile.twin().square().mean().sqrt()))
    assert ends[1] < 0.6 * ends[0]


@pytest.mark.parametrize("shift", [None, 4])
@pytest.mark.parametrize("name", BOTH)
def test_a_path_restored_between_two_turns_continues_bit_for_bit(name: str, shift: int | None) -> None:
    card = updating("soft bounds")

    def fresh() -> tuple[AnalogTile, TikiTaka]:
        tile = make_tile(card, START)
        return tile, make_path(name, tile, rate=0.1, every=2, columns=4, zero_shift=shift)

    tile, path = fresh()
    for number in range(5):
        path.apply(*signal(number))
    saved = through_a_file({"tile": tile.state(), "path": path.state()})
    other, restored = fresh()
    other.load(saved["tile"])
    restored.load(saved["path"])
    for number in range(5, 12):
        path.apply(*signal(number))
        restored.apply(*signal(number))
        assert torch.equal(tile.twin(), other.twin())
    assert torch.equal(path.fast.twin(), restored.fast.twin())


@pytest.mark.parametrize("name", BOTH)
def test_a_run_by_pulses_alone_resumes_bit_for_bit(tmp_path: Path, name: str) -> None:
    from run_support import CtrlC

    sets = (f"update.path={name}", "update.transfer.columns=5", "update.transfer.zero_shift=3")
    whole = tiny(tmp_path / "whole", *sets, device="rram")
    with pytest.raises(noisyhw.NoisyhwError):
        tiny(tmp_path / "part", *sets, device="rram", watcher=CtrlC(11))
    noisyhw.resume(tmp_path / "part")
    assert_same_end(tmp_path / "part", whole.path)


def test_zero_shift_without_pulses_is_refused_with_the_fix() -> None:
    with pytest.raises(UsageError, match=r"^update\.transfer\.zero_shift: this device has no pulses"):
        make_path("tiki_taka", make_tile(make_card(), START), zero_shift=10)


def test_a_transfer_beside_another_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"^update\.transfer: path 'adam' transfers nothing; leave it out, or use one of"
    ):
        tiny(tmp_path / "run", "update.transfer.rate=0.1")


def test_a_tile_that_cannot_make_a_second_array_says_so() -> None:
    with pytest.raises(UsageError, match="AnalogTile cannot make a second array; use another update path"):
        Tile.sibling(make_tile(make_card(), START), "fast")
