"""Phase-change memory: the `pcm` card and our drift against aihwkit's PCMLikeNoiseModel.

Its noise comes from torch's own generator, which is seeded here; tolerances are five standard errors of both samples.
Conductances are shares r of g_max = 25 uS.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from aihwkit_support import needs_aihwkit
from support import make_card, make_tile
from torch import Tensor

from noisyhw.cards import load_device
from noisyhw.cards.ageing import seconds

pytestmark = needs_aihwkit

G_MAX = 25.0
SHAPE = (200, 200)
AGES = ["1h", "1d", "1y"]


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def model(**scales: float) -> Any:
    from aihwkit.inference.noise.pcm import PCMLikeNoiseModel

    return PCMLikeNoiseModel(g_max=G_MAX, **scales)


def targets(r: float) -> Tensor:
    return torch.full(SHAPE, r * G_MAX)


def assert_same(ours: Tensor, theirs: Tensor, share: float = 0.0) -> None:
    """Mean and std within five standard errors; ``share`` is that of the std for what a card rounds."""
    one, two = ours.double().flatten(), theirs.double().flatten()
    error = math.sqrt(float(one.var() + two.var()) / one.numel())
    assert abs(float(one.mean() - two.mean())) < 5 * error
    kurtosis = float((two - two.mean()).pow(4).mean() / two.var().square())
    spread = 5 * math.sqrt((kurtosis - 1) / (2 * one.numel()))
    assert abs(float(one.std() / two.std()) - 1) < spread + share


@pytest.mark.parametrize("r", [0.05, 0.2, 0.5, 0.8])
def test_the_pcm_cards_programming_error_is_that_of_the_model(r: float) -> None:
    theirs = model().apply_programming_noise_to_conductance(targets(r)) / G_MAX
    for sign in (1, -1):
        assert_same(sign * make_tile(load_device("pcm"), torch.full(SHAPE, sign * r)).twin(), theirs)


@pytest.mark.parametrize("r", [0.0, 1.0])
def test_at_the_ends_of_the_range_programmed_cells_are_the_models_cut_to_it(r: float) -> None:
    """The model lets a cell exceed g_max, our bounds do not; its cells end at zero, our weight is a pair's."""
    theirs = model().apply_programming_noise_to_conductance(targets(r)) / G_MAX
    ours = make_tile(load_device("pcm"), torch.full(SHAPE, r)).twin()
    assert_same(ours.clamp(min=0), theirs.clamp(max=1))


@pytest.mark.parametrize("r", [0.1, 0.3, 1.0])
def test_the_pcm_cards_read_noise_is_that_of_the_model_20_s_after_programming(r: float) -> None:
    theirs = model().apply_drift_noise_to_conductance(targets(r), torch.zeros(SHAPE), 0.0) / G_MAX
    noise = load_device("pcm").read_noise.cell_flicker
    assert noise is not None
    card = make_card(
        weights={"min": -1.0, "max": 1.0},
        read_noise={"cell_flicker": noise.model_dump(exclude_none=True)},
    )
    tile = make_tile(card, torch.full((SHAPE[0] * SHAPE[1], 1), r))
    for samples in (1, 50):
        assert_same(tile.forward(torch.ones(1, samples, 1))[0, -1], theirs, 0.001)


def exponents(r: float) -> dict[str, float]:
    """The model's drift exponent at conductance r: mean and spread."""
    nu = min(max(-0.0155 * math.log(r) + 0.0244, 0.049), 0.1)
    return {"nu": nu, "nu_spread": min(max(-0.0125 * math.log(r) - 0.0059, 0.008), 0.045)}


def drifted(r: float, age: str) -> Tensor:
    """The model's conductances at that age, without read noise."""
    quiet = model(read_noise_scale=0.0)
    nu = quiet.generate_drift_coefficients(targets(r))
    aged: Tensor = quiet.apply_drift_noise_to_conductance(targets(r), nu, seconds(age)) / G_MAX
    return aged


@pytest.mark.parametrize("r", [0.15, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("age", AGES)
def test_drift_with_a_conductances_own_exponent_is_that_of_the_model(r: float, age: str) -> None:
    tile = make_tile(make_card(drift={**exponents(r), "t0_s": 20.0}), torch.full(SHAPE, r))
    tile.set_age(age)
    assert_same(tile.twin(), drifted(r, age))


@pytest.mark.parametrize("age", AGES)
def test_above_a_third_of_full_scale_one_drift_exponent_is_the_models_for_all_cells(age: str) -> None:
    tile = make_tile(
        make_card(drift={"nu": 0.049, "nu_spread": 0.008}), torch.linspace(0.34, 1, 200).expand(SHAPE)
    )
    tile.set_age(age)
    for column in (0, 100, 199):
        r = 0.34 + 0.66 * column / 199
        quiet = drifted(r, age).flatten()[: SHAPE[0]]
        assert_same(tile.twin()[:, column], quiet)


def test_below_a_third_the_models_cells_drift_faster_than_one_exponent_says() -> None:
    """What the drift block leaves out: at 5 % of full scale a day leaves a sixth less of the weight."""
    tile = make_tile(make_card(drift={"nu": 0.049, "nu_spread": 0.008}), torch.full(SHAPE, 0.05))
    tile.set_age("1d")
    ratio = float(drifted(0.05, "1d").mean() / tile.twin().mean())
    error = float(drifted(0.05, "1d").std() / 0.05) / math.sqrt(SHAPE[0] * SHAPE[1])
    nu = exponents(0.05)
    age = math.log(1 + seconds("1d") / 20)
    # the mean of exp(-nu age) over a normal nu
    expected = math.exp(-(nu["nu"] - 0.049) * age + (nu["nu_spread"] ** 2 - 0.008**2) * age**2 / 2)
    assert abs(ratio - expected) < 5 * error * 2 + 0.003
    assert 0.8 < expected < 0.9
