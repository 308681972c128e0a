"""Shipped cards against the figures that their sources state: pulse responses and standard deviations."""

from __future__ import annotations

import math

import pytest
import torch
from support import assert_mean, assert_std, make_tile
from torch import Tensor

from noisyhw.cards import load_device
from noisyhw.cards.device import DeviceCard, PulsedUpdate
from noisyhw.devices.cells import ProgrammedCells, programming_std

NEUROSIM: dict[str, tuple[tuple[int, float], tuple[int, float]]] = {
    "fefet": ((32, 0.702081), (32, 0.848677)),
    "rram-agsi": ((97, 0.499181), (100, -0.200303)),
}
"""Levels P and A / P of potentiation and of depression (negative: its curve bends the other way)."""
SHARE_OF_RANGE = {"fefet": 0.003, "rram-agsi": 0.035}


def curve(levels: int, a: float) -> list[float]:
    """NeuroSim's weight after x = 0 ... P pulses: B (1 - exp(-x / A)) - 1."""
    full = 2 / (1 - math.exp(-1 / a))
    return [full * (1 - math.exp(-x / (a * levels))) - 1 for x in range(levels + 1)]


def without_noise(name: str) -> DeviceCard:
    card = load_device(name)
    return card.model_copy(update={"update": card.update.model_copy(update={"cycle_noise": 0.0})})


@pytest.mark.parametrize("name", NEUROSIM)
@pytest.mark.parametrize("direction", [1, -1], ids=["up", "down"])
def test_a_cell_walks_neurosims_closed_form_pulse_by_pulse(name: str, direction: int) -> None:
    expected = curve(*NEUROSIM[name][0 if direction > 0 else 1])[::direction]
    tile = make_tile(without_noise(name), torch.full((1, 1), expected[0]))
    for weight in expected[1:]:
        tile.pulse(torch.full((1, 1), float(direction)))
        assert abs(float(tile.twin()) - weight) < 2e-5
    assert abs(float(tile.twin()) - direction) < 2e-5


@pytest.mark.parametrize("name", NEUROSIM)
@pytest.mark.parametrize("direction", [1, -1], ids=["up", "down"])
def test_any_number_of_pulses_at_once_ends_on_neurosims_closed_form(name: str, direction: int) -> None:
    expected = curve(*NEUROSIM[name][0 if direction > 0 else 1])[::direction]
    counts = torch.arange(len(expected), dtype=torch.float32)[None]
    tile = make_tile(without_noise(name), torch.full_like(counts, expected[0]))
    tile.pulse(direction * counts)
    torch.testing.assert_close(tile.twin(), torch.tensor([expected]), atol=5e-5, rtol=0)


@pytest.mark.parametrize("name", NEUROSIM)
@pytest.mark.parametrize("count", [1, -1, 4])
def test_a_pulses_noise_is_neurosims_share_of_the_range(name: str, count: int) -> None:
    shape = (100, 200)
    card = load_device(name)
    assert isinstance(card.update, PulsedUpdate)
    pulls = [abs(rise) * card.update.step / 2 for rise in _rises(card.update)]
    tile, still = (make_tile(c, torch.zeros(shape)) for c in (card, without_noise(name)))
    for each in (tile, still):
        each.pulse(torch.full(shape, float(count)))
    # later pulses pull the noise of earlier ones together, by this share each
    keep = 1 - pulls[0] if count > 0 else 1.0
    std = 2 * SHARE_OF_RANGE[name] * math.sqrt(sum(keep ** (2 * k) for k in range(abs(count))))
    assert_mean(tile.twin(), float(still.twin()[0, 0]), std)
    assert_std(tile.twin(), std)


def _rises(update: PulsedUpdate) -> tuple[float, float]:
    """By how much the steps up and down change from weight -1 to 1."""
    shape = update.shape
    assert shape is not None
    assert shape.kind == "table"
    return shape.up[1] - shape.up[0], shape.down[1] - shape.down[0]


FULL_SCALE_NA = 1600.0


@pytest.mark.parametrize(
    ("current_na", "error_na", "read_na"),
    [(0.0, 0.0, 0.0), (80.0, 7.254, 3.903), (400.0, 17.829, 10.617), (1600.0, 19.884, 12.573)],
)
def test_sonos_cells_have_the_published_standard_deviations(
    current_na: float, error_na: float, read_na: float
) -> None:
    """19.88665 (1 - exp(-I / 176.3115)) and 12.58037 (1 - exp(-I / 215.36557)), in nA."""
    card, shape = load_device("flash-sonos"), (200, 200)
    tile = make_tile(card, torch.full(shape, 0.0))
    assert isinstance(tile.cells, ProgrammedCells)
    ratio = torch.tensor(current_na / FULL_SCALE_NA)
    std = programming_std(tile.cells.update.noise, ratio) * FULL_SCALE_NA
    assert float(std) == pytest.approx(error_na, abs=2e-3)
    source = tile.noise.weight_dependent
    assert source is not None
    variance = source.variance(torch.ones(1, 1, 1), ratio.view(1, 1))
    assert float(variance.sqrt()) * FULL_SCALE_NA == pytest.approx(read_na, abs=2e-3)


def test_sonos_cells_are_written_with_the_published_error() -> None:
    target = 0.25
    written: Tensor = make_tile(load_device("flash-sonos"), torch.full((200, 200), -target)).twin()
    assert_mean(written * FULL_SCALE_NA, -target * FULL_SCALE_NA, 17.829)
    assert_std(written * FULL_SCALE_NA, 17.829)
