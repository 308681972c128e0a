"""Steps that are not linear in the weight, against a simulation that sends one pulse after another."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support import generator, make_card, make_tile, normal
from torch import Tensor

from noisyhw.cards import load_device
from noisyhw.cards.device import DeviceCard
from noisyhw.errors import CardError
from noisyhw.tiles.analog import AnalogTile

LOW, HIGH, STEP = -0.8, 1.0, 0.004
WIDTH = HIGH - LOW
BOUNDS = {"min": LOW, "max": HIGH}
TABLE = {"kind": "table", "weights": [-0.6, 0.1, 0.9], "up": [1.5, 1.0, 0.2], "down": [0.3, 1.0, 1.2]}
SHAPES: dict[str, dict[str, Any]] = {
    "exponential": {
        "kind": "exponential",
        "A_up": 0.02,
        "A_down": 0.1,
        "gamma_up": 3.0,
        "gamma_down": 2.5,
        "a": 1.0,
        "b": 0.2,
    },
    "growing": {
        "kind": "exponential",
        "A_up": -1.18,
        "A_down": -0.08,
        "gamma_up": 5.0,
        "gamma_down": 5.0,
        "a": -0.5,
        "b": -0.5,
    },
    "power": {"kind": "power", "exponent_up": 2.0, "exponent_down": 0.7},
    "table": TABLE,
}


def exponential(name: str) -> Callable[[Tensor, int], Tensor]:
    card = SHAPES[name]

    def factor(w: Tensor, sign: int) -> Tensor:
        z = 2 * card["a"] * w / WIDTH + card["b"]
        amplitude, gamma = (
            (card["A_up"], card["gamma_up"]) if sign > 0 else (card["A_down"], card["gamma_down"])
        )
        return (1 - amplitude * (sign * gamma * z).exp()).clamp(min=0)

    return factor


def power(w: Tensor, sign: int) -> Tensor:
    place = ((w - LOW) / WIDTH).clamp(0, 1)
    return (1 - place) ** 2.0 if sign > 0 else place**0.7


def table(w: Tensor, sign: int) -> Tensor:
    steps = TABLE["up"] if sign > 0 else TABLE["down"]
    (x0, x1, x2), (y0, y1, y2) = TABLE["weights"], steps
    first = y0 + (y1 - y0) * (w - x0) / (x1 - x0)
    second = y1 + (y2 - y1) * (w - x1) / (x2 - x1)
    return torch.where(w < x0, y0, torch.where(w > x2, y2, torch.where(w < x1, first, second)))


FACTORS = {
    "exponential": exponential("exponential"),
    "growing": exponential("growing"),
    "power": power,
    "table": table,
}


def shaped(name: str, bounds: dict[str, Any] | None = None, **update: Any) -> DeviceCard:
    fields = {"kind": "pulsed", "step": STEP, "shape": SHAPES.get(name), **update}
    return make_card(weights=bounds or BOUNDS, update=fields)


def one_by_one(
    name: str, weight: Tensor, pulses: list[int], noise: float = 0.0, scales: bool = True
) -> Tensor:
    """Every pulse for itself, in double precision."""
    draws = generator(77)
    weight = weight.double()
    for sign in pulses:
        step = STEP * FACTORS[name](weight, sign)
        weight = weight + sign * step
        if noise:
            size = step if scales else STEP
            weight = weight + size * noise * torch.randn(weight.shape, generator=draws, dtype=torch.float64)
        weight = weight.clamp(LOW, HIGH)
    return weight.float()


def send(tile: AnalogTile, up: float, down: float) -> None:
    """Pulses in both directions within one update."""
    shape = tile.twin().shape
    tile.cells._apply(torch.full(shape, up), torch.full(shape, down))  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("count", [1, -1, 10, -10, 100, -100, 1000, -1000])
def test_many_pulses_of_any_shape_end_where_pulses_one_by_one_end(name: str, count: int) -> None:
    start = torch.linspace(LOW, HIGH, 60).view(6, 10)
    tile = make_tile(shaped(name), start)
    tile.pulse(torch.full((6, 10), float(count)))
    expected = one_by_one(name, start, [int(math.copysign(1, count))] * abs(count))
    moved = (expected - start).abs().max()
    assert float(moved) > 0.8 * STEP
    tolerance = 1e-6 if abs(count) == 1 else 2e-3 * float(moved)
    torch.testing.assert_close(tile.twin(), expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("scales", [True, False], ids=["of the present step", "of the step's unit"])
@pytest.mark.parametrize("pulses", [[1], [1] * 12, [-1] * 80], ids=["one", "up", "down"])
def test_cycle_noise_of_any_shape_has_the_variance_of_noise_drawn_at_each_pulse(
    name: str, scales: bool, pulses: list[int]
) -> None:
    weight, noise, cells = torch.full((100, 200), 0.15), 0.4, 20000
    tile = make_tile(shaped(name, cycle_noise=noise, cycle_noise_scales=scales), weight)
    send(tile, pulses.count(1), pulses.count(-1))
    found, expected = tile.twin(), one_by_one(name, weight, pulses, noise, scales)
    std = expected.std().item()
    # 4.5 standard errors of two independent stds, and 2 % for the tangent
    assert abs(found.std().item() / std - 1) < 4.5 / math.sqrt(cells) + 0.02
    moved = abs(float(expected.mean()) - 0.15)
    assert (
        abs(float(found.mean() - expected.mean())) < 4.5 * std * math.sqrt(2 / cells) + 5e-3 * moved + STEP**2
    )


@pytest.mark.slow
@pytest.mark.parametrize("direction", [1, -1])
def test_noise_of_many_steps_a_pulse_moves_the_mean_of_many_pulses_at_once_as_it_does_one_by_one(
    direction: int,
) -> None:
    """Noise of five steps a pulse spreads cells over the bend of the curve and into the bounds."""
    cells = 20000
    tiles = [make_tile(load_device("rram-exp"), torch.zeros(1, cells)) for _ in range(2)]
    for count in (300, 700):
        tiles[0].pulse(torch.full((1, cells), float(direction * count)))
        for _ in range(count):
            tiles[1].pulse(torch.full((1, cells), float(direction)))
        found, expected = (tile.twin() for tile in tiles)
        std = float(expected.std())
        # five standard errors, and for the size of a sub-step 0.3 % of the range and 1 % of the spread
        assert abs(float(found.mean() - expected.mean())) < 5 * std * math.sqrt(2 / cells) + 0.006
        assert abs(float(found.std()) / std - 1) < 5 / math.sqrt(cells) + 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("ups", "downs", "start"), [(300, 300, 0.0), (3000, 3000, 0.0), (3000, 1500, 0.9)])
def test_cells_that_noise_has_made_forget_their_start_spread_as_one_by_one(
    ups: int, downs: int, start: float
) -> None:
    """Their first sub-steps are coarse: their mean is off by less than a tenth of their spread, which is right within
    a tenth; 5 standard errors of 2500 cells on top."""
    one, many = (make_tile(load_device("rram-exp"), torch.full((50, 50), start)) for _ in range(2))
    draws = generator(1)
    for _ in range(ups + downs):
        up = (torch.rand((50, 50), generator=draws) < ups / (ups + downs)).float()
        one.cells._apply(up, 1 - up)  # type: ignore[attr-defined]
    send(many, float(ups), float(downs))
    there, here = (tile.cells.inner for tile in (one, many))  # type: ignore[attr-defined]
    spread = float(there.std())
    assert spread > 0.1
    assert abs(float(here.mean() - there.mean())) < (0.1 + 5 * 2**0.5 / 50) * spread
    assert abs(float(here.std()) / spread - 1) < 0.1 + 5 / 50


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rram-exp", "rram-agsi", "fefet"])
@pytest.mark.parametrize("counts", [(400,), (1000,), (-1000,), (400, -400)], ids=str)
def test_many_noisy_pulses_of_a_shipped_card_at_once_spread_as_one_by_one(
    name: str, counts: tuple[int, ...]
) -> None:
    """The mean is off by less than a tenth of the spread, which is right within 6 %; 5 standard errors and
    0.1 % of the range on top."""
    one, many = (make_tile(load_device(name), torch.zeros(64, 64)) for _ in range(2))
    for count in counts:
        many.cells.pulse(torch.full((64, 64), float(count)))  # type: ignore[attr-defined]
        for _ in range(abs(count)):
            one.cells.pulse(torch.full((64, 64), math.copysign(1.0, count)))  # type: ignore[attr-defined]
    there, here = (tile.cells.inner for tile in (one, many))  # type: ignore[attr-defined]
    spread = float(there.std())
    assert abs(float(here.mean() - there.mean())) <= (0.1 + 5 * 2**0.5 / 64) * spread + 0.002
    assert abs(float(here.std()) - spread) <= (0.06 + 5 / 64) * spread + 0.002


@pytest.mark.parametrize("count", [1, 30, 1000])
def test_a_step_towards_a_bound_that_is_larger_than_its_noise_leaves_no_cell_short_of_it(count: int) -> None:
    """A step of 0.025 with noise of 0.005: five standard deviations."""
    shape = {"kind": "table", "weights": [LOW, HIGH], "up": [1.0, 1.0], "down": [1.0, 1.0]}
    update = {"kind": "pulsed", "step": 0.025, "cycle_noise": 0.2, "shape": shape}
    tile = make_tile(make_card(weights=BOUNDS, update=update), torch.full((50, 50), HIGH))
    send(tile, float(count), 0.0)
    assert float((tile.twin() < HIGH).float().mean()) < 1e-3


@pytest.mark.parametrize(
    "shape",
    [
        {"kind": "power", "exponent_up": 0.5, "exponent_down": 0.5},
        {"kind": "exponential", "A_up": 0.1, "A_down": 0.1, "gamma_up": 100.0, "gamma_down": 100.0, "a": 1.0},
    ],
    ids=["power", "exponential"],
)
@pytest.mark.parametrize("start", [LOW, HIGH])
def test_steep_shapes_stay_numbers_at_the_bounds(shape: dict[str, Any], start: float) -> None:
    """Where their slopes are infinite; and cells whose own step is zero are among them."""
    update = {"kind": "pulsed", "step": 0.01, "step_spread": 0.5, "shape": shape}
    tile = make_tile(make_card(weights=BOUNDS, update=update), torch.full((40, 40), start))
    for up, down in ((3.0, 0.0), (0.0, 3.0), (500.0, 400.0)):
        send(tile, up, down)
        assert bool(tile.twin().isfinite().all())


@pytest.mark.parametrize("slope", [0.3, 1.0])
def test_a_straight_table_is_the_linear_step(slope: float) -> None:
    line = {"kind": "table", "weights": [LOW, HIGH], "up": [1 - slope * LOW / HIGH, 1 - slope]}
    line["down"] = [1 - slope, 1 - slope * HIGH / LOW]
    start = torch.linspace(LOW, HIGH, 40).view(8, 5)
    linear = make_card(
        weights=BOUNDS,
        update={"kind": "pulsed", "step": STEP, "slope_up": slope, "slope_down": slope},
    )
    tiles = [make_tile(linear, start), make_tile(shaped("", shape=line), start)]
    counts = normal(8, 5, seed=3, std=200).round_()
    for tile in tiles:
        tile.pulse(counts)
    torch.testing.assert_close(tiles[0].twin(), tiles[1].twin(), atol=3e-5, rtol=0)


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_stretched_to_each_cells_own_bounds(name: str) -> None:
    """A cell with bounds twice as far and a step twice as large walks the same way, twice as far."""
    near = make_tile(shaped(name), torch.full((1, 1), 0.1))
    shape = SHAPES[name] | ({"weights": [2 * w for w in TABLE["weights"]]} if name == "table" else {})
    far = make_tile(
        shaped(name, {"min": 2 * LOW, "max": 2 * HIGH}, step=2 * STEP, shape=shape), torch.full((1, 1), 0.2)
    )
    for tile in (near, far):
        tile.pulse(torch.full((1, 1), 90.0))
    torch.testing.assert_close(far.twin(), 2 * near.twin(), rtol=1e-4, atol=1e-6)


def test_exponents_spread_over_cells_and_are_drawn_once_per_device() -> None:
    card = shaped(
        "", shape={"kind": "power", "exponent_up": 2.0, "exponent_down": 1.0, "exponent_spread": 0.1}
    )
    first, again = (make_tile(card, torch.zeros(100, 200)) for _ in range(2))
    for tile in (first, again):
        tile.pulse(torch.ones(100, 200))
    assert torch.equal(first.twin(), again.twin())
    exponents = (first.twin() / STEP).log() / math.log(HIGH / WIDTH)
    assert abs(float(exponents.mean()) - 2.0) < 4.5 * 0.2 / math.sqrt(20000)
    assert abs(float(exponents.std()) / 0.2 - 1) < 4.5 / math.sqrt(40000)


@pytest.mark.parametrize("name", SHAPES)
def test_no_number_of_pulses_takes_a_shaped_cell_beyond_its_bounds(name: str) -> None:
    tile = make_tile(shaped(name, BOUNDS | {"spread": 0.5}, cycle_noise=1.0), normal(30, 30, std=0.5))
    for seed in range(3):
        tile.pulse(normal(30, 30, seed=seed, std=1e4).round_())
        send(tile, 5e4, 4e4)
        low, high = tile.cells.bounds.low, tile.cells.bounds.high
        assert low is not None
        assert high is not None
        assert bool(((tile.twin() >= low) & (tile.twin() <= high)).all())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slope_up": 1.0}, "'shape' takes the place of 'slope_up' and 'slope_down'"),
        ({"bounds": {}}, "update.shape needs the bounds weights.min and weights.max"),
        (
            {"shape": TABLE | {"weights": [-0.9, 0, 0.9]}},
            "must lie within weights.min -0.8 and weights.max 1",
        ),
        ({"shape": TABLE | {"weights": [0.1, 0.1, 0.9]}}, "'weights' must rise from each value to the next"),
        ({"shape": TABLE | {"up": [1.0, 1.0]}}, "need as many values each, got 3, 2 and 3"),
    ],
)
def test_a_shape_that_contradicts_its_card_is_refused_with_the_reason(
    changes: dict[str, Any], message: str
) -> None:
    bounds = changes.pop("bounds", BOUNDS)
    update = {"kind": "pulsed", "step": STEP, "shape": TABLE} | changes
    with pytest.raises(ValueError, match=message):
        make_card(weights=bounds, update=update)


def test_a_wrong_shape_in_a_card_file_is_named_with_its_choices(tmp_path: Any) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: rram\nupdate: {slope_up: 0, slope_down: 0, shape: {kind: cubic}}\n")
    with pytest.raises(CardError, match=r"update.shape.kind: must be one of exponential, power, table"):
        load_device(path)


@pytest.mark.parametrize("count", [40, -40])
def test_the_exponential_step_is_that_of_aihwkit(count: int) -> None:
    devices = pytest.importorskip("aihwkit.simulator.configs")
    card = SHAPES["growing"]
    quiet = dict.fromkeys(("dw_min_dtod", "dw_min_std", "up_down_dtod", "w_max_dtod", "w_min_dtod"), 0.0)
    step = devices.ExpStepDevice(
        dw_min=STEP,
        w_max=HIGH,
        w_min=LOW,
        write_noise_std=0.0,
        **quiet,
        **{k: v for k, v in card.items() if k != "kind"},
    )
    config = devices.SingleRPUConfig(device=step)
    config.update.desired_bl = 1
    config.update.update_bl_management = config.update.update_management = False
    start = torch.linspace(LOW, HIGH, 11)[None]
    other = config.tile_class(1, 11, config)
    other.set_weights(start)
    other.set_learning_rate(1.0)
    ours = make_tile(shaped("growing"), start)
    sign = math.copysign(1, count)
    for _ in range(abs(count)):  # rates far above 1, so that every train of one slot fires
        other.update(torch.full((1, 11), 100.0), torch.full((1, 1), -100.0 * sign))
    ours.pulse(torch.full((1, 11), float(count)))
    torch.testing.assert_close(ours.twin(), other.get_weights()[0], atol=3e-4, rtol=0)
