"""c-TTv2 and AGAD: choppers and the reference that is found while training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from aihwkit_support import needs_aihwkit
from run_support import tiny
from support import cosine, make_card, make_tile, normal, updating
from torch import Tensor

from noisyhw.cards.device import DeviceCard
from noisyhw.cards.experiment import Transfer, UpdateChoice
from noisyhw.errors import UsageError
from noisyhw.tiles.analog import AnalogTile
from noisyhw.tiles.base import Tile
from noisyhw.updates import PATHS
from noisyhw.updates.base import mean_outer
from noisyhw.updates.chopped import ChoppedTikiTakaV2
from noisyhw.updates.tiki_taka import TikiTaka

ROWS, COLUMNS = 8, 12
BOTH = ("c_ttv2", "agad")
ZERO = torch.zeros(ROWS, COLUMNS)
BOUNDS = {"min": -1.0, "max": 1.0}


def make_path(name: str, tile: Tile, lr: float = 0.1, **transfer: Any) -> TikiTaka:
    path = PATHS[name](tile, lr, UpdateChoice(transfer=Transfer(**transfer)))
    assert isinstance(path, TikiTaka)
    return path


def chopped(name: str, tile: Tile, lr: float = 0.1, **transfer: Any) -> ChoppedTikiTakaV2:
    path = make_path(name, tile, lr, **transfer)
    assert isinstance(path, ChoppedTikiTakaV2)
    return path


def soft(**update: Any) -> DeviceCard:
    """Soft bounds; a cell's symmetry point is its asymmetry."""
    return make_card(
        weights=BOUNDS,
        update={"kind": "pulsed", "step": 0.01, "slope_up": 1.0, "slope_down": 1.0, **update},
    )


def signal(number: int) -> tuple[Tensor, Tensor]:
    return normal(5, COLUMNS, seed=10 + number), normal(5, ROWS, seed=990 + number)


def test_without_flips_c_ttv2_is_version_2_bit_for_bit() -> None:
    ends = []
    for name, transfer in (("tiki_taka_v2", {}), ("c_ttv2", {"chop_probability": 0.0})):
        tile = make_tile(updating("soft bounds"), ZERO)
        path = make_path(name, tile, rate=0.1, **transfer)
        for number in range(10):
            path.apply(*signal(number))
        ends.append(tile.twin())
    assert torch.equal(*ends)
    assert not torch.equal(ends[0], ZERO)


def test_on_exact_cells_c_ttv2_follows_its_formula() -> None:
    tile = make_tile(make_card(), ZERO)
    path = chopped("c_ttv2", tile, rate=0.2, chop_probability=0.4)
    fast, slow = ZERO.clone(), ZERO.clone()
    for number in range(12):
        x, d = signal(number)
        c = path.chopper.clone()
        path.apply(x, d)
        fast -= 0.1 * mean_outer(x, d) * c
        slow += 0.2 * fast * c
        torch.testing.assert_close(tile.twin(), slow, atol=1e-5, rtol=1e-4)


def test_on_exact_cells_agad_follows_its_formula() -> None:
    tile = make_tile(make_card(), ZERO)
    path = chopped("agad", tile, rate=0.2, chop_probability=0.4, reference_rate=0.3)
    fast, slow, recent, reference = (ZERO.clone() for _ in range(4))
    for number in range(12):
        x, d = signal(number)
        c = path.chopper.clone()
        path.apply(x, d)
        fast -= 0.1 * mean_outer(x, d) * c
        slow += 0.2 * (fast - reference) * c
        recent = 0.7 * recent + 0.3 * fast
        reference = torch.where(path.chopper == c, reference, recent)
        torch.testing.assert_close(tile.twin(), slow, atol=1e-5, rtol=1e-4)
    assert float(reference.abs().max()) > 0


@pytest.mark.parametrize("name", BOTH)
def test_a_chopper_flips_as_often_as_asked_and_only_after_its_column_was_read(name: str) -> None:
    path = chopped(name, make_tile(make_card(), ZERO), columns=4, chop_probability=0.3)
    flips = 0
    for number in range(300):
        before, turn = path.chopper.clone(), set(range(number * 4 % 12, number * 4 % 12 + 4))
        path.apply(torch.zeros(1, COLUMNS), torch.zeros(1, ROWS))
        flipped = (path.chopper != before).nonzero().flatten().tolist()
        assert set(flipped) <= turn
        flips += len(flipped)
    assert abs(flips - 1200 * 0.3) < 4.5 * (1200 * 0.3 * 0.7) ** 0.5
    assert set(path.chopper.unique().tolist()) <= {-1.0, 1.0}


def drift(name: str, **transfer: Any) -> float:
    """How far signals of mean zero carry C, in the mean over cells whose symmetry points lie at 0.5."""
    tile = make_tile(soft(asymmetry=0.5), torch.zeros(40, COLUMNS))
    path = make_path(name, tile, 0.1, rate=0.005, **transfer)
    for number in range(200):
        x, d = signal(number)
        path.apply(x, d.repeat(1, 5))
    return float(tile.twin().mean())


def test_a_symmetry_point_off_zero_drifts_into_c_and_choppers_and_reference_prevent_it() -> None:
    plain, with_choppers, with_reference = drift("tiki_taka_v2"), drift("c_ttv2"), drift("agad")
    assert plain > 0.2
    assert abs(with_choppers) < 0.5 * plain
    assert abs(with_reference) < 0.25 * plain


def aihwkits(name: str) -> tuple[Tensor, Tensor]:
    """Fast and slow weights of aihwkit's compound of the same soft-bounds cells after the same kind of signals.

    Its choppers flip regularly here: random ones have no seed.
    """
    from aihwkit.simulator.configs import SoftBoundsDevice, UnitCellRPUConfig
    from aihwkit.simulator.configs.compounds import ChoppedTransferCompound, DynamicTransferCompound
    from aihwkit.simulator.configs.utils import IOParameters, UpdateParameters

    def cells(up_down: float) -> Any:
        plain = dict.fromkeys(["dw_min_dtod", "dw_min_std", "w_max_dtod", "w_min_dtod", "up_down_dtod"], 0.0)
        return SoftBoundsDevice(dw_min=0.01, w_max=1.0, w_min=-1.0, up_down=up_down, **plain)

    compound = (DynamicTransferCompound if name == "agad" else ChoppedTransferCompound)(
        unit_cell_devices=[cells(0.5), cells(0.0)],
        in_chop_random=False,
        in_chop_prob=0.0 if name == "tiki_taka_v2" else 0.1,
        transfer_every=1.0,
        fast_lr=0.05,
        transfer_lr=1.0,
        scale_transfer_lr=False,
        buffer_granularity=10.0,
        forget_buffer=False,
        transfer_forward=IOParameters(is_perfect=True),
        transfer_update=UpdateParameters(desired_bl=1, update_bl_management=False, update_management=False),
    )
    config = UnitCellRPUConfig(device=compound)
    tile = config.tile_class(40, COLUMNS, config)
    tile.set_weights(torch.zeros(40, COLUMNS))
    tile.tile.set_learning_rate(0.05)
    for number in range(600):
        tile.update(normal(1, COLUMNS, seed=2 * number), normal(1, 40, seed=2 * number + 1))
    hidden = tile.get_hidden_parameters()
    return hidden["hidden_weights_0"], hidden["hidden_weights_1"]


def ours(name: str) -> tuple[Tensor, Tensor]:
    """The same on our tiles: a step down is half of one up."""
    tile = make_tile(soft(asymmetry=1 / 3), torch.zeros(40, COLUMNS))
    path = make_path(name, tile, 0.05, rate=0.01, columns=1)
    for number in range(300):
        path.apply(normal(1, COLUMNS, seed=2 * number), normal(1, 40, seed=2 * number + 1))
    return path.fast.twin(), tile.twin()


@needs_aihwkit
@pytest.mark.slow
@pytest.mark.parametrize("simulate", [aihwkits, ours])
def test_as_in_aihwkit_a_symmetry_point_off_zero_stays_in_a_and_choppers_keep_it_from_c(
    simulate: Any,
) -> None:
    fast, slow = simulate("tiki_taka_v2")
    # A rests at 1/3; it forgets in some 10 updates of 10 pulses, so its cells are all but independent
    assert float(fast.mean()) == pytest.approx(1 / 3, abs=0.03)
    for name, share in (("c_ttv2", 0.5), ("agad", 0.5)):
        fast, chopped_slow = simulate(name)
        assert float(fast.mean()) == pytest.approx(1 / 3, abs=0.03)
        assert abs(float(chopped_slow.mean())) < share * float(slow.mean())


def learned(name: str, **transfer: Any) -> float:
    """Cosine of what C learned with a signal that stays, below noise of mean zero, on scattered symmetry points."""
    wanted = mean_outer(normal(1, COLUMNS, seed=1), normal(1, ROWS, seed=2))
    tile = make_tile(soft(asymmetry_spread=0.5), ZERO)
    path = make_path(name, tile, 0.05, rate=0.002, **transfer)
    for number in range(400):
        x, d = signal(number)
        path.apply(torch.cat([x, normal(1, COLUMNS, seed=1)]), torch.cat([d, normal(1, ROWS, seed=2)]))
    return cosine(tile.twin(), -wanted)


def test_agad_learns_through_scattered_symmetry_points_what_version_2_does_not() -> None:
    # the cosine of two unrelated changes of 96 weights has a std of 0.1
    assert abs(learned("tiki_taka_v2")) < 0.3
    assert learned("agad") > 0.5


@pytest.mark.parametrize(
    ("path", "field", "value", "users"),
    [
        ("tiki_taka", "chop_probability", 0.1, "c_ttv2, agad"),
        ("tiki_taka_v2", "chop_probability", 0.1, "c_ttv2, agad"),
        ("c_ttv2", "reference_rate", 0.1, "agad"),
    ],
)
def test_what_a_path_does_not_use_is_refused(
    tmp_path: Path, path: str, field: str, value: float, users: str
) -> None:
    with pytest.raises(UsageError, match=rf"^update\.transfer\.{field}: path '{path}' .* or use {users}$"):
        tiny(tmp_path / "run", f"update.path={path}", f"update.transfer.{field}={value}", device="rram")


def test_agad_refuses_a_shift_that_its_reference_would_cancel(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^update\.transfer\.zero_shift: agad finds its reference"):
        tiny(tmp_path / "run", "update.path=agad", "update.transfer.zero_shift=10", device="rram")


def test_a_runs_config_shows_the_choppers_defaults(tmp_path: Path) -> None:
    run = tiny(tmp_path / "run", "update.path=agad", device="rram", epochs=1)
    config = (run.path / "config.yaml").read_text()
    assert "chop_probability: 0.1" in config
    assert "reference_rate: 0.2" in config


def test_a_tile_without_random_streams_says_so() -> None:
    with pytest.raises(UsageError, match="AnalogTile has no random streams of its own"):
        Tile.stream(make_tile(make_card(), ZERO), "chop")


def test_a_tiles_streams_hang_on_its_name_and_their_purpose() -> None:
    tile, other = make_tile(make_card(), ZERO), AnalogTile(make_card(), ZERO, 0, "other")
    draws = [torch.rand(4, generator=g) for g in (tile.stream("a"), tile.stream("b"), other.stream("a"))]
    assert torch.equal(draws[0], torch.rand(4, generator=tile.stream("a")))
    assert not torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
