"""c-TTv2 and AGAD: choppers and the reference that is found while training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from aihwkit_support import needs_aihwkit
from run_support import tiny
from support import cosine, make_card, make_tile, normal, through_a_file, updating
from torch import Tensor

from noisyhw.cards import load_experiment
from noisyhw.cards.device import DeviceCard
from noisyhw.cards.experiment import Transfer, UpdateChoice
from noisyhw.errors import UsageError
from noisyhw.tiles.analog import AnalogTile
from noisyhw.tiles.base import Tile
from noisyhw.training.resolve import resolve
from noisyhw.updates import PATHS
from noisyhw.updates.base import mean_outer
from noisyhw.updates.chopped import Agad, ChoppedTikiTakaV2
from noisyhw.updates.tiki_taka import TikiTaka, TikiTakaV2

ROWS, COLUMNS = 8, 12
BOTH = ("c_ttv2", "agad")
ZERO = torch.zeros(ROWS, COLUMNS)
BOUNDS = {"min": -1.0, "max": 1.0}


def make_path(name: str, tile: Tile, lr: float = 0.1, **transfer: Any) -> TikiTaka:
    given = {field: value for field, value in transfer.items() if value is not None}
    path = PATHS[name](tile, lr, UpdateChoice(transfer=Transfer(**given)))
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


CHOPPING: dict[str, dict[str, Any]] = {"by chance": {"chop_probability": 0.4}, "regularly": {"chop_every": 3}}


@pytest.mark.parametrize("how", CHOPPING)
def test_on_exact_cells_c_ttv2_follows_its_formula(how: str) -> None:
    tile = make_tile(make_card(), ZERO)
    path = chopped("c_ttv2", tile, rate=0.2, **CHOPPING[how])
    fast, slow = ZERO.clone(), ZERO.clone()
    for number in range(12):
        x, d = signal(number)
        c = path.chopper.clone()
        path.apply(x, d)
        fast -= 0.1 * mean_outer(x, d) * c
        slow += 0.2 * fast * c
        torch.testing.assert_close(tile.twin(), slow, atol=1e-5, rtol=1e-4)


class LiteralAgad:
    """AGAD on one cell, one read-out after another; lists instead of recursions, and no first period."""

    def __init__(self, rate: float | None, least: float | None) -> None:
        self.rate, self.least = rate, least
        self.all: list[float] = []
        self.period: list[float] = []
        self.reference: tuple[float, float] | None = None

    def mean(self) -> tuple[float, float]:
        """The mean that a flip would make the reference, and its squared standard error."""
        if self.rate is None:
            found, weights = self.period, [1 / len(self.period)] * len(self.period)
        else:  # what came before the first read-out counts as zeros
            found = [0.0] * 60 + self.all
            weights = [self.rate * (1 - self.rate) ** age for age in reversed(range(len(found)))]
        mean = sum(w * a for w, a in zip(weights, found, strict=True))
        squares = sum(w * (a - mean) ** 2 for w, a in zip(weights, found, strict=True))
        size = len(found) if self.rate is None else 2 / self.rate - 1
        return mean, squares / (size - 1) if size > 1 else float("inf")

    def read(self, value: float, c: float, flips: bool) -> float:
        """What H gets for a read-out."""
        self.all.append(value)
        self.period.append(value)
        mean, error = self.mean()
        gained = 0.0
        if self.reference is not None:
            past, past_error = self.reference
            clear = self.least is None or abs(mean - past) >= self.least * (error + past_error) ** 0.5
            gained = c * (value - past) if clear else 0.0
        if flips:
            self.reference, self.period = (mean, error), []
        return gained


@pytest.mark.parametrize("how", CHOPPING)
@pytest.mark.parametrize("significance", [None, 1.0])
@pytest.mark.parametrize("reference", [{"reference": "period"}, {"reference_rate": 0.3}], ids=str)
def test_on_exact_cells_agad_follows_its_formula_cell_by_cell(
    reference: dict[str, Any], significance: float | None, how: str
) -> None:
    """A is the sum of the chopped signals, H is written to C at once, and so their literal sums are C."""
    tile = make_tile(make_card(), torch.zeros(2, 3))
    path = chopped("agad", tile, rate=0.2, significance=significance, **reference, **CHOPPING[how])
    literal = [LiteralAgad(reference.get("reference_rate"), significance) for _ in range(6)]
    fast, slow, silent = torch.zeros(2, 3), torch.zeros(2, 3), 0
    for number in range(40):
        x, d = normal(4, 3, seed=number), normal(4, 2, seed=100 + number)
        c = path.chopper.clone()
        path.apply(x, d)
        fast -= 0.1 * mean_outer(x, d) * c
        signs, flips = c.expand(2, 3).flatten().tolist(), (path.chopper != c).expand(2, 3).flatten().tolist()
        cells = zip(literal, fast.flatten().tolist(), signs, flips, strict=True)
        gained = [cell.read(value, sign, flip) for cell, value, sign, flip in cells]
        silent += gained.count(0.0)
        slow += 0.2 * torch.tensor(gained).view(2, 3)
        torch.testing.assert_close(tile.twin(), slow, atol=1e-5, rtol=1e-4)
    assert float(slow.abs().max()) > 0.01
    assert (silent > 60) == (significance is not None)


def test_a_test_of_significance_lets_as_much_noise_through_as_its_statistic_does() -> None:
    """Read-outs of noise alone: the share that counts is that of a literal simulation, far below one."""
    rows, period, periods, least = 4000, 5, 6, 2.0
    card = make_card(read_noise={"white": {"std": 0.3}})
    path = chopped(
        "agad",
        make_tile(card, torch.zeros(rows, 1)),
        chop_every=period,
        reference="period",
        significance=least,
    )
    counted = 0
    for number in range(period * (periods + 1)):
        before = path.tile.twin()
        path.apply(torch.zeros(1, 1), torch.zeros(1, rows))
        counted += int((path.tile.twin() != before).sum()) if number >= period else 0
    noise = np.random.default_rng(1).standard_normal((rows * periods, 2, period))
    past, error = noise[:, 0].mean(1), noise[:, 0].var(1) / (period - 1)
    hits = np.zeros(rows * periods)
    for k in range(2, period + 1):  # a mean of one read-out has no error, and never counts
        mean, own = noise[:, 1, :k].mean(1), noise[:, 1, :k].var(1) / (k - 1)
        hits += np.abs(mean - past) >= least * np.sqrt(own + error)
    # neighbouring periods share a reference and so correlate: at most twice the variance
    assert abs(counted - hits.sum()) < 4.5 * (3 * len(hits) * hits.var()) ** 0.5
    assert hits.sum() < 0.3 * rows * periods * period


@pytest.mark.parametrize("columns", [4, 5, 12])
@pytest.mark.parametrize("name", BOTH)
def test_a_regular_chopper_flips_after_every_so_many_read_outs_of_its_own_column(
    name: str, columns: int
) -> None:
    path = chopped(name, make_tile(make_card(), ZERO), columns=columns, chop_every=3)
    reads = torch.zeros(COLUMNS, dtype=torch.int64)
    for number in range(60):
        reads[[(number * columns + place) % COLUMNS for place in range(columns)]] += 1
        path.apply(torch.zeros(1, COLUMNS), torch.zeros(1, ROWS))
        assert path.chopper.tolist() == [(-1.0) ** (int(count) // 3) for count in reads]


def test_a_column_without_a_reference_teaches_nothing_yet() -> None:
    path = chopped("agad", make_tile(make_card(), ZERO), rate=0.2, columns=1, chop_every=2)
    for number in range(2 * COLUMNS):
        path.apply(*signal(number))
        assert not path.tile.twin().any()
    path.apply(*signal(99))
    assert path.tile.twin()[:, 0].any()


@pytest.mark.parametrize("forget", [False, True])
def test_a_forgetful_sum_is_empty_after_a_pulse_and_a_faithful_one_keeps_the_rest(forget: bool) -> None:
    card = make_card(weights=BOUNDS, update={"kind": "pulsed", "step": 0.01})
    tile = make_tile(card, torch.zeros(1, 1))
    path = make_path("tiki_taka_v2", tile, rate=0.35, forget_buffer=forget)
    path.fast.write(torch.full((1, 1), 0.02))
    held, pulses, found, expected = 0.0, 0, [], []
    for _ in range(12):
        path.apply(torch.zeros(1, 1), torch.zeros(1, 1))
        held += 0.35 * 0.02 / 0.01
        if held >= 1:
            pulses, held = pulses + 1, 0.0 if forget else held - 1
        found.append(round(float(tile.twin()) / 0.01))
        expected.append(pulses)
    assert found == expected


def test_a_forgetful_sum_without_pulses_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^update\.transfer\.forget_buffer: this device has no pulses"):
        make_path("c_ttv2", make_tile(make_card(), ZERO), chop_probability=0.1, forget_buffer=True)


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


@pytest.mark.parametrize("how", CHOPPING)
@pytest.mark.parametrize("name", BOTH)
def test_a_chopped_path_restored_between_two_flips_continues_bit_for_bit(name: str, how: str) -> None:
    more = {"reference": "period", "significance": 0.5} if name == "agad" else {}

    def fresh() -> tuple[AnalogTile, TikiTaka]:
        tile = make_tile(updating("soft bounds"), ZERO)
        return tile, make_path(name, tile, rate=0.1, columns=5, **more, **CHOPPING[how])

    tile, path = fresh()
    for number in range(20):
        path.apply(*signal(number))
    saved = through_a_file({"tile": tile.state(), "path": path.state()})
    other, restored = fresh()
    other.load(saved["tile"])
    restored.load(saved["path"])
    for number in range(20, 50):
        path.apply(*signal(number))
        restored.apply(*signal(number))
        assert torch.equal(tile.twin(), other.twin())
    assert not torch.equal(tile.twin(), saved["tile"]["cells"]["weight"])


def ternary(width: int, seed: int) -> Tensor:
    return torch.randint(-1, 2, (1, width), generator=torch.Generator().manual_seed(seed)).float()


GRANULARITY = {"tiki_taka_v2": 210.7, "c_ttv2": 31.1, "agad": 53.3}
"""Steps of A that are one of C. A read-out then asks for less than one pulse; aihwkit sends no more than one."""


def constant_steps(name: str, every: int, forget: bool) -> tuple[Any, TikiTaka]:
    """aihwkit's compound of constant-step cells whose pulses are sure to come, and ours: nothing is random."""
    from aihwkit.simulator.configs import ConstantStepDevice, UnitCellRPUConfig
    from aihwkit.simulator.configs.compounds import ChoppedTransferCompound, DynamicTransferCompound
    from aihwkit.simulator.configs.utils import IOParameters, UpdateParameters

    spreads = ["dw_min_dtod", "dw_min_std", "w_max_dtod", "w_min_dtod", "up_down_dtod", "up_down"]
    cells = [
        ConstantStepDevice(dw_min=0.01, w_max=1.0, w_min=-1.0, **dict.fromkeys(spreads, 0.0))
        for _ in range(2)
    ]
    sure = UpdateParameters(desired_bl=1, update_bl_management=False, update_management=False)
    compound = (DynamicTransferCompound if name == "agad" else ChoppedTransferCompound)(
        unit_cell_devices=cells,
        in_chop_random=False,
        in_chop_prob=0.0 if name == "tiki_taka_v2" else 1 / every,
        transfer_every=1.0,
        fast_lr=0.01,
        transfer_lr=1.0,
        scale_transfer_lr=False,
        buffer_granularity=GRANULARITY[name],
        forget_buffer=forget,
        transfer_forward=IOParameters(is_perfect=True),
        transfer_update=sure,
    )
    config = UnitCellRPUConfig(device=compound, update=sure)
    theirs = config.tile_class(4, 3, config)
    theirs.set_weights(torch.zeros(4, 3))
    theirs.tile.set_learning_rate(0.01)
    card = make_card(weights=BOUNDS, update={"kind": "pulsed", "step": 0.01, "pulses_per_update": 1})
    chopping: dict[str, Any] = {} if name == "tiki_taka_v2" else {"chop_every": every}
    tile = make_tile(card, torch.zeros(4, 3))
    return theirs, make_path(
        name, tile, 0.01, rate=1 / GRANULARITY[name], columns=1, forget_buffer=forget, **chopping
    )


@needs_aihwkit
@pytest.mark.slow
@pytest.mark.parametrize("forget", [False, True])
@pytest.mark.parametrize("every", [4, 10])
@pytest.mark.parametrize("name", ["tiki_taka_v2", *BOTH])
def test_each_array_and_sum_goes_as_in_aihwkit_update_by_update(name: str, every: int, forget: bool) -> None:
    """Signals start where aihwkit sends AGAD's first pulses: after a first period and one more cycle."""
    theirs, path = constant_steps(name, every, forget)
    quiet = 3 * (every + 1)
    for number in range(quiet + 150):
        x, d = ternary(3, 2 * number), ternary(4, 2 * number + 1)
        if number % 3:
            x[0, 0], d[0, 0] = 1.0, -1.0  # a signal that stays
        if number < quiet:
            x.zero_()
        path.apply(x, d)
        theirs.update(x, d)
        hidden = theirs.get_hidden_parameters()
        held = next(values for field, values in hidden.items() if field.startswith("buffered_FP_weight"))
        torch.testing.assert_close(path.fast.twin(), hidden["hidden_weights_0"], atol=1e-5, rtol=0)
        torch.testing.assert_close(path.tile.twin(), hidden["hidden_weights_1"], atol=1e-5, rtol=0)
        assert isinstance(path, TikiTakaV2)
        torch.testing.assert_close(path.hidden / 0.01, held, atol=1e-4, rtol=0)
        if isinstance(path, Agad):
            torch.testing.assert_close(path.found.mean.t(), hidden["running_mean_weight"], atol=1e-5, rtol=0)
    assert path.tile.twin().any()


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
        ("tiki_taka", "forget_buffer", "true", "tiki_taka_v2, c_ttv2, agad"),
        ("tiki_taka", "chop_probability", "0.1", "c_ttv2, agad"),
        ("tiki_taka_v2", "chop_probability", "0.1", "c_ttv2, agad"),
        ("tiki_taka_v2", "chop_every", "5", "c_ttv2, agad"),
        ("c_ttv2", "reference_rate", "0.1", "agad"),
        ("c_ttv2", "reference", "period", "agad"),
        ("c_ttv2", "significance", "2.0", "agad"),
    ],
)
def test_what_a_path_does_not_use_is_refused(
    tmp_path: Path, path: str, field: str, value: str, users: str
) -> None:
    with pytest.raises(UsageError, match=rf"^update\.transfer\.{field}: path '{path}' .* or use {users}$"):
        tiny(tmp_path / "run", f"update.path={path}", f"update.transfer.{field}={value}", device="rram")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (("chop_every=5", "chop_probability=0.1"), r"'chop_every' takes the place of 'chop_probability'"),
        (
            ("reference=period", "reference_rate=0.1"),
            r"'reference_rate' is of the running mean; leave it out",
        ),
        (("chop_probability=0.0",), r"^update\.transfer\.chop_probability: agad learns from flips"),
        (("chop_every=5", "significance=2.0"), r"^update\.transfer\.significance: .*reference_rate below 1$"),
        (("chop_every=1", "reference=period", "significance=2.0"), r"significance: .*; flip less often$"),
        (
            ("chop_probability=1.0", "reference=period", "significance=2.0"),
            r"significance: .*; flip less often$",
        ),
        (("chop_every=0",), r"update\.transfer\.chop_every: "),
        (("significance=-1.0",), r"update\.transfer\.significance: "),
        (("reference=last",), r"update\.transfer\.reference: must be one of recent, period"),
    ],
)
def test_choppers_and_references_that_contradict_each_other_are_refused(
    tmp_path: Path, fields: tuple[str, ...], message: str
) -> None:
    sets = [f"update.transfer.{field}" for field in fields]
    with pytest.raises(UsageError, match=message):
        tiny(tmp_path / "run", "update.path=agad", *sets, device="rram")


def test_agad_refuses_a_shift_that_its_reference_would_cancel(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^update\.transfer\.zero_shift: agad finds its reference"):
        tiny(tmp_path / "run", "update.path=agad", "update.transfer.zero_shift=10", device="rram")


@pytest.mark.parametrize(
    ("path", "given", "shown"),
    [
        ("c_ttv2", (), ["chop_probability: 0.1"]),
        ("c_ttv2", ("chop_every=4",), ["chop_every: 4"]),
        ("agad", (), ["chop_every: 10", "reference: recent", "reference_rate: 0.5"]),
        (
            "agad",
            ("chop_probability=0.02",),
            ["chop_probability: 0.02", "reference: recent", "reference_rate: 0.1"],
        ),
        ("agad", ("reference=period",), ["chop_every: 10", "reference: period"]),
    ],
)
def test_a_transfers_defaults_are_those_of_its_path(
    path: str, given: tuple[str, ...], shown: list[str]
) -> None:
    fields = ("chop_probability", "chop_every", "reference", "reference_rate", "significance")
    sets = [f"update.transfer.{field}" for field in given]
    experiment = resolve(load_experiment(None, {"device": "rram"}, (f"update.path={path}", *sets)))
    assert experiment.update.transfer is not None
    found = experiment.update.transfer.model_dump(include=set(fields), exclude_none=True)
    assert sorted(f"{field}: {value}" for field, value in found.items()) == sorted(shown)
    assert resolve(experiment) == experiment


def test_a_runs_config_shows_the_choppers_defaults(tmp_path: Path) -> None:
    run = tiny(tmp_path / "run", "update.path=agad", device="rram", epochs=1)
    config = (run.path / "config.yaml").read_text()
    assert "chop_every: 10" in config
    assert "reference_rate: 0.5" in config


def test_a_tile_without_random_streams_says_so() -> None:
    with pytest.raises(UsageError, match="AnalogTile has no random streams of its own"):
        Tile.stream(make_tile(make_card(), ZERO), "chop")


def test_a_tiles_streams_hang_on_its_name_and_their_purpose() -> None:
    tile, other = make_tile(make_card(), ZERO), AnalogTile(make_card(), ZERO, 0, "other")
    draws = [torch.rand(4, generator=g) for g in (tile.stream("a"), tile.stream("b"), other.stream("a"))]
    assert torch.equal(draws[0], torch.rand(4, generator=tile.stream("a")))
    assert not torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
