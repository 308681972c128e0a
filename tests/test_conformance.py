"""Every shipped card, and one device of every kind of update, keeps the promises that all tiles make."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support import (
    UPDATES,
    assert_mean,
    assert_std,
    generator,
    make_tile,
    normal,
    through_a_file,
    updating,
)
from torch import Tensor

from noisyhw.cards import load_device, shipped_devices
from noisyhw.cards.device import (
    Converter,
    DeviceCard,
    ExactUpdate,
    OneSidedUpdate,
    Periphery,
    ProgrammedUpdate,
    ProgrammingNoise,
    PulsedUpdate,
    ReadNoise,
    WhiteNoise,
)
from noisyhw.devices.converters import level_spacing
from noisyhw.tiles.analog import AnalogTile

SHIPPED = sorted(name for name in shipped_devices() if load_device(name).backend == "noisyhw")
"""Those of another backend have a suite of their own: test_aihwkit_backend.py."""
DEVICES = [*SHIPPED, *UPDATES]
ROWS, COLUMNS = 12, 9
WEIGHT = normal(ROWS, COLUMNS, seed=1, std=0.3)


def pulse(tile: AnalogTile, counts: Tensor) -> None:
    """Send pulses to a tile that has any."""
    if tile.step is not None:
        tile.pulse(counts)


Action = Callable[[AnalogTile], Any]
WRITES: dict[str, Action] = {
    "write": lambda tile: tile.write(normal(ROWS, COLUMNS, seed=2, std=0.05)),
    "update": lambda tile: tile.update(normal(6, COLUMNS, seed=3), normal(6, ROWS, seed=4), 0.1),
    "pulse": lambda tile: pulse(tile, normal(ROWS, COLUMNS, seed=5, std=3).round_()),
}


def device(name: str) -> DeviceCard:
    return load_device(name) if name in SHIPPED else updating(name)


def reading(card: DeviceCard, **sources: Any) -> DeviceCard:
    """The card with those sources of read noise alone, and no converters."""
    return card.model_copy(update={"read_noise": ReadNoise(**sources), "periphery": Periphery()})


def silent(card: DeviceCard) -> DeviceCard:
    """The card with no read noise, no converters and no noise of its writes."""
    update = card.update
    if isinstance(update, PulsedUpdate):
        update = update.model_copy(update={"cycle_noise": 0.0, "write_noise": 0.0})
    if isinstance(update, OneSidedUpdate):
        noises = ("cycle_noise", "cycle_noise_constant", "cycle_noise_slope", "programming_noise")
        update = update.model_copy(update=dict.fromkeys(noises, 0.0))
    if isinstance(update, ProgrammedUpdate):
        update = update.model_copy(update={"noise": ProgrammingNoise(), "verify": None})
    return reading(card.model_copy(update={"update": update}))


def read(tile: AnalogTile, passes: int = 2) -> Tensor:
    return tile.forward(normal(passes, 5, COLUMNS, seed=6))


@pytest.mark.parametrize("name", DEVICES)
def test_a_read_has_one_output_per_pass_sample_and_row_in_single_precision(name: str) -> None:
    tile = make_tile(device(name), WEIGHT)
    x = normal(3, 5, COLUMNS)
    assert tile.forward(x).shape == (3, 5, ROWS)
    assert tile.forward(x[:1], 4).shape == (4, 5, ROWS)
    assert tile.forward(x).dtype == torch.float32
    assert tile.twin().shape == (tile.outputs, tile.inputs) == (ROWS, COLUMNS)


@pytest.mark.parametrize("name", DEVICES)
def test_a_read_alters_neither_its_input_nor_the_weights(name: str) -> None:
    tile = make_tile(device(name), WEIGHT)
    x, before = normal(2, 5, COLUMNS), tile.twin()
    kept = x.clone()
    tile.forward(x)
    assert torch.equal(x, kept)
    assert torch.equal(tile.twin(), before)


def life(card: DeviceCard, seed: int) -> tuple[Tensor, Tensor]:
    tile = make_tile(card, WEIGHT, seed)
    reads = [read(tile)]
    for action in WRITES.values():
        action(tile)
        reads.append(read(tile))
    return torch.stack(reads), tile.twin()


@pytest.mark.parametrize("name", DEVICES)
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(name: str) -> None:
    card = device(name)
    first, again, other = life(card, 0), life(card, 0), life(card, 1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    random = (
        silent(card) != reading(card)
        or card.read_noise != ReadNoise()
        or isinstance(card.update, PulsedUpdate | OneSidedUpdate)
    )
    assert torch.equal(first[0], other[0]) is not random


@pytest.mark.parametrize("name", DEVICES)
def test_a_card_without_its_noise_reads_the_exact_product(name: str) -> None:
    tile = make_tile(silent(device(name)), WEIGHT)
    x = normal(2, 5, COLUMNS)
    bounded = tile.cells.bounds.clip_(WEIGHT.clone())
    torch.testing.assert_close(tile.forward(x), x @ bounded.T)


def sources(name: str) -> list[str]:
    noise = device(name).read_noise
    return [source for source in ("white", "per_cell", "mean") if getattr(noise, source)]


@pytest.mark.parametrize(("name", "source"), [(name, source) for name in SHIPPED for source in sources(name)])
def test_each_source_of_a_shipped_card_has_its_mean_and_std(name: str, source: str) -> None:
    card = reading(device(name), **{source: getattr(device(name).read_noise, source)})
    tile = make_tile(card, WEIGHT)
    x = normal(1, 40, COLUMNS)
    error = tile.forward(x, 100) - x @ tile.twin().T
    noise = card.read_noise
    scale = torch.ones(40, 1)
    if source == "per_cell" or (noise.white and noise.white.relative_to == "input_norm"):
        scale = x[0].norm(dim=1, keepdim=True)
    elif noise.white and noise.white.relative_to == "input_max":
        scale = x[0].abs().amax(1, keepdim=True)
    std = getattr(getattr(noise, source), "std", 0.0)
    assert_mean(error / scale, noise.mean, max(std, 1e-4))
    if std:
        assert_std(error / scale, std)


@pytest.mark.parametrize("name", [name for name in SHIPPED if device(name).read_noise.telegraph])
def test_the_telegraph_noise_of_a_shipped_card_has_two_values_and_flips_as_often_as_it_says(
    name: str,
) -> None:
    telegraph = device(name).read_noise.telegraph
    assert telegraph is not None
    tile = make_tile(reading(device(name), telegraph=telegraph), torch.zeros(ROWS, COLUMNS))
    tile.cells.weight.zero_()
    offsets = tile.forward(torch.zeros(1, 2000, COLUMNS))[0]
    torch.testing.assert_close(offsets.abs(), torch.full_like(offsets, telegraph.amplitude))
    flips = (offsets[1:] != offsets[:-1]).float()
    p = telegraph.flip_probability
    assert_mean(flips, p, (p * (1 - p)) ** 0.5)


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("wild", ["write", "pulse", "update"])
def test_no_write_takes_a_cell_beyond_its_bounds(name: str, wild: str) -> None:
    tile = make_tile(device(name), 10 * WEIGHT)
    actions: dict[str, Action] = {
        "write": lambda tile: tile.write(normal(ROWS, COLUMNS, seed=7, std=30)),
        "pulse": lambda tile: pulse(tile, normal(ROWS, COLUMNS, seed=8, std=1e4).round_()),
        "update": lambda tile: tile.update(normal(4, COLUMNS, seed=9), normal(4, ROWS, seed=10), 100.0),
    }
    actions[wild](tile)
    low, high = tile.cells.bounds.low, tile.cells.bounds.high
    weight = getattr(tile.cells, "inner", tile.twin())  # write noise shows what is read beyond the bounds
    assert weight.isfinite().all()
    if low is None or high is None:
        assert device(name).weights.max is None
    else:
        assert bool(((weight >= low) & (weight <= high)).all())


def assert_levels(values: Tensor, converter: Converter) -> None:
    steps = values / level_spacing(converter)
    assert float((steps - steps.round()).abs().max()) < 1e-3
    assert float(values.abs().max()) <= converter.range * (1 + 1e-5)
    assert len(set(values.flatten().tolist())) > 3


@pytest.mark.parametrize("name", [name for name in SHIPPED if device(name).periphery.adc])
def test_read_outs_are_levels_of_the_adc_before_they_are_scaled_back(name: str) -> None:
    card = device(name)
    assert card.periphery.adc is not None
    tile = make_tile(card, WEIGHT)
    x = 100 * normal(2, 50, COLUMNS)
    scale = x.abs().amax(-1, keepdim=True) if card.periphery.input_scaling == "max" else 1.0
    assert_levels(tile.forward(x) / scale, card.periphery.adc)


@pytest.mark.parametrize("name", [name for name in SHIPPED if device(name).periphery.dac])
def test_what_the_array_sees_are_levels_of_the_dac(name: str) -> None:
    card = device(name)
    converters = card.periphery
    assert converters.dac is not None
    exact = make_tile(
        silent(card).model_copy(
            update={"periphery": converters.model_copy(update={"adc": None}), "update": ExactUpdate()}
        ),
        torch.eye(COLUMNS) / 2,
    )
    exact.cells.weight.copy_(torch.eye(COLUMNS))
    x = 100 * normal(1, 50, COLUMNS)
    scale = x.abs().amax(-1, keepdim=True) if converters.input_scaling == "max" else 1.0
    assert_levels(exact.forward(x) / scale, converters.dac)


@pytest.mark.parametrize("name", SHIPPED)
def test_scaled_inputs_leave_a_zero_sample_at_exactly_zero(name: str) -> None:
    card = device(name)
    noisy = card.model_copy(
        update={
            "periphery": card.periphery.model_copy(update={"input_scaling": "max"}),
            "read_noise": ReadNoise(white=WhiteNoise(std=0.1), mean=0.5),
        }
    )
    x = torch.zeros(1, 2, COLUMNS)
    x[0, 1] = 1.0
    y = make_tile(noisy, WEIGHT).forward(x)
    assert not y[0, 0].any()
    assert y[0, 1].any()


@pytest.mark.parametrize("name", DEVICES)
def test_a_tile_restored_from_its_checkpoint_continues_bit_for_bit(name: str) -> None:
    card = device(name)
    original = make_tile(card, WEIGHT)
    for action in (read, *WRITES.values(), read):
        action(original)
    restored = make_tile(card, 0.5 * WEIGHT)
    saved = through_a_file(original.state())
    restored.load(saved)
    assert torch.equal(read(original), read(restored))
    for action in WRITES.values():
        action(original)
        action(restored)
        assert torch.equal(original.twin(), restored.twin())
        assert torch.equal(read(original), read(restored))


@pytest.mark.parametrize("name", DEVICES)
def test_loading_a_state_leaves_that_state_untouched_by_later_writes(name: str) -> None:
    tile = make_tile(device(name), WEIGHT)
    saved = through_a_file(tile.state())
    kept = copy.deepcopy(saved)
    tile.load(saved)
    for action in WRITES.values():
        action(tile)
    read(tile)
    assert torch.equal(saved["cells"]["weight"], kept["cells"]["weight"])
    assert torch.equal(saved["noise"]["generator"], kept["noise"]["generator"])


@pytest.mark.parametrize("name", DEVICES)
def test_a_weight_given_as_a_transposed_view_is_copied_whatever_its_memory_layout(name: str) -> None:
    square = torch.randn((5, 5), generator=generator(3)) * 0.3
    ways = [make_tile(silent(device(name)), weight) for weight in (square.T, square.T.contiguous())]
    for tile in ways:
        tile.write(torch.full((5, 5), 0.05))
    assert torch.equal(ways[0].twin(), ways[1].twin())
    assert torch.equal(square, torch.randn((5, 5), generator=generator(3)) * 0.3)
