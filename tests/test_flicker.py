"""Flicker noise: its variance, its correlation within and across calls, its spectrum, and resuming."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from support import CPU, assert_mean, assert_std, make_card, make_tile, normal, through_a_file
from torch import Tensor

from noisyhw.cards.read_effects import FlickerNoise
from noisyhw.devices.flicker import Block, processes
from noisyhw.tiles.analog import AnalogTile

FLICKER = {"std": 0.3, "low_hz": 1.0, "high_hz": 100.0, "read_hz": 1000.0}


def flicker_tile(nodes: int, seed: int = 0, **changes: float) -> AnalogTile:
    card = make_card(read_noise={"flicker": {**FLICKER, **changes}})
    return make_tile(card, torch.zeros(nodes, 1), seed)


def series(tile: AnalogTile, *samples: int) -> Tensor:
    """Read-outs of zero, [reads, nodes], in calls of so many samples."""
    return torch.cat([tile.forward(torch.zeros(1, number, 1))[0] for number in samples])


def share_within(corner: float, low: float, high: float) -> float:
    """Share of a Lorentzian's power from low to high, by the trapezoidal rule."""
    f = np.geomspace(low, high, 20_001)
    return float(np.trapezoid(2 / math.pi * corner / (f**2 + corner**2), f))


def expected_shares(low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Corners at two a decade and their variances as shares of std^2: K - 1 intervals share it, ends fill the band."""
    number = math.ceil(2 * math.log10(high / low)) + 1
    corners = np.geomspace(low, high, number)
    within = np.array([share_within(corner, low, high) for corner in corners])
    shares = np.full(number, 1 / (number - 1))
    shares[0] = shares[-1] = (1 - (shares * within)[1:-1].sum()) / (within[0] + within[-1])
    return corners, shares


SHARES = expected_shares(1.0, 100.0)
STD = 0.3 * math.sqrt(SHARES[1].sum())
"""Of all reads: that of the band and of both tails."""


def correlation(lag: int) -> float:
    """Of reads so far apart: exp(-2 pi f lag / read_hz) of every process, by its variance."""
    corners, shares = SHARES
    return float((np.exp(-2 * math.pi * corners * lag / 1000) * shares).sum() / shares.sum())


CALLS = (1, 40, 300, 256, 90)


def test_flicker_noise_has_mean_zero_and_the_std_of_its_band_and_tails_at_every_read() -> None:
    found = series(flicker_tile(4000), *CALLS)
    for read in (0, 1, 40, 41, 296, 297, 340, 341, 596, 597, 686):
        assert_mean(found[read], 0.0, STD)
        assert_std(found[read], STD)


@pytest.mark.parametrize(
    ("start", "lag"),
    [(50, 1), (50, 30), (295, 1), (296, 1), (290, 100), (340, 1), (330, 30), (0, 1), (10, 600), (596, 1)],
)
def test_flicker_noise_correlates_as_its_processes_within_blocks_and_across_calls(
    start: int, lag: int
) -> None:
    found = series(flicker_tile(8000), *CALLS) / STD
    rho = correlation(lag)
    assert_mean(found[start] * found[start + lag], rho, math.sqrt(1 + rho**2))


def test_flicker_noise_keeps_its_std_over_many_short_calls() -> None:
    found = series(flicker_tile(60_000), *[40] * 12)
    assert_std(found[-1], STD)
    assert_mean(found[-1] * found[-6] / STD**2, correlation(5), math.sqrt(1 + correlation(5) ** 2))


@pytest.mark.parametrize("reads", [1, 2, 50, 256])
def test_a_block_of_reads_has_exactly_the_covariance_of_its_processes(reads: int) -> None:
    """From stationary start states: values among themselves, with the end states, and these."""
    rates = 2 * math.pi * torch.logspace(0, 2, 5, dtype=torch.float64) / 1000
    v = torch.tensor([0.8, 0.25, 0.25, 0.25, 0.8], dtype=torch.float64)
    block = Block(rates, v, reads, CPU)
    start = torch.cat((block.carried.double(), block.kept.flatten().diag()))
    found = start @ v.diag() @ start.T + block.factor.double() @ block.factor.double().T
    t = torch.arange(1.0, reads + 1, dtype=torch.float64)
    values = torch.exp(-(t[:, None] - t).abs()[..., None] * rates) @ v
    ends = torch.exp(-(reads - t)[:, None] * rates) * v
    expected = torch.cat((torch.cat((values, ends), 1), torch.cat((ends.T, v.diag()), 1)))
    torch.testing.assert_close(found, expected, rtol=0, atol=3e-6)


def test_the_reads_of_a_pass_follow_those_of_the_pass_before() -> None:
    passes = flicker_tile(8000).forward(torch.zeros(1, 10, 1), 3) / STD
    rho = correlation(1)
    assert_mean(passes[1, 0] * passes[0, 9], rho, math.sqrt(1 + rho**2))
    rho = correlation(10)
    assert_mean(passes[2, 4] * passes[1, 4], rho, math.sqrt(1 + rho**2))


def spectrum(found: Tensor, parts: int, read_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean power over nodes and parts, one-sided, in read-out units squared per Hz (Hann window)."""
    values = found.double().numpy().reshape(parts, -1, found.shape[1])
    window = np.hanning(values.shape[1])[:, None]
    power = np.abs(np.fft.rfft(values * window, axis=1)) ** 2 / (window**2).sum() * 2 / read_hz
    return np.fft.rfftfreq(values.shape[1], 1 / read_hz), power.mean((0, 2))


def slope(frequency: np.ndarray, power: np.ndarray, low: float, high: float) -> float:
    """Of log power against log frequency, in bands of equal log width."""
    edges = np.geomspace(low, high, 9)
    bands = [(frequency >= a) & (frequency < b) for a, b in itertools.pairwise(edges)]
    points = [(np.log(frequency[band]).mean(), np.log(power[band].mean())) for band in bands]
    x, y = np.transpose(points)
    return float(np.polyfit(x, y, 1)[0])


def test_the_spectrum_falls_as_one_over_f_between_the_corners() -> None:
    read_hz, low, high = 1e4, 1.0, 1e3
    tile = flicker_tile(64, low_hz=low, high_hz=high, read_hz=read_hz)
    frequency, power = spectrum(series(tile, 2**17), 4, read_hz)
    assert abs(slope(frequency, power, 8 * low, high / 8) + 1) < 0.04


@pytest.mark.parametrize(("low", "high"), [(1.0, 3.0), (1.0, 100.0), (1.0, 1e3), (1e-3, 1e5)])
def test_the_processes_hold_the_stated_variance_between_the_corners_and_1_over_f_there(
    low: float, high: float
) -> None:
    """The Lorentzians' sum, integrated over the band, and its level against std^2 / (ln(high / low) f)."""
    rates, variances = processes(FlickerNoise(std=0.3, low_hz=low, high_hz=high, read_hz=1e7))
    corners = rates.numpy() * 1e7 / (2 * math.pi)
    f = np.geomspace(low, high, 20_001)
    power = 2 / math.pi * (variances.numpy() * corners / (f[:, None] ** 2 + corners**2)).sum(1)
    assert np.trapezoid(power, f) == pytest.approx(0.09, rel=1e-5)
    level = power * f * math.log(high / low) / 0.09
    if high > 10 * low:
        assert level.max() < 1.02
        assert level.min() == pytest.approx(level[0], rel=1e-6) == pytest.approx(level[-1], rel=1e-6)
        assert 0.89 < level.min() < 0.9
        assert variances.sum() == pytest.approx(0.09 * (1 + 2.48 / math.log(high / low)), rel=0.002)


BANDS = [(10, 32), (32, 100), (100, 316)]


def test_reads_show_the_stated_variance_within_the_band_two_sided() -> None:
    """Three decades, seen in 256 series: in each half decade the 1/f law's integral, and std^2 in all.

    The std of a sum of n periodograms is about its mean over sqrt(n), and Hann's window makes neighbours share half of
    their draws. Above and below the corners the tails add what docs/physics.md derives.
    """
    read_hz, low, high, reads, nodes = 1e4, 1.0, 1e3, 2**14, 256
    tile = flicker_tile(nodes, low_hz=low, high_hz=high, read_hz=read_hz)
    frequency, power = spectrum(series(tile, reads), 1, read_hz)
    for a, b in BANDS:
        inside = (frequency >= a) & (frequency < b)
        bins = frequency[inside]
        law = 0.09 / math.log(high / low) / bins
        ratio = power[inside].sum() / law.sum()
        # variances of the bins by their sizes, twice for the window
        error = math.sqrt(2 * np.square(law).sum() / nodes) / law.sum()
        assert abs(ratio - 1) < 4.5 * error + 0.02


def test_the_spectrum_is_flat_below_the_low_corner_and_steeper_above_the_high_one() -> None:
    read_hz = 1e4
    tile = flicker_tile(256, low_hz=100.0, high_hz=300.0, read_hz=read_hz)
    frequency, power = spectrum(series(tile, 2**16), 4, read_hz)
    assert abs(slope(frequency, power, 2, 16)) < 0.06
    assert -2.1 < slope(frequency, power, 1000, 2500) < -1.7


def test_flicker_noise_is_independent_between_nodes() -> None:
    found = series(flicker_tile(8000), 20)[-1] / STD
    assert_mean(found[1:] * found[:-1], 0.0, 1.0)


def test_corners_far_below_the_read_rate_hardly_move_within_a_call_and_keep_the_std() -> None:
    found = series(flicker_tile(4000, low_hz=1e-3, high_hz=10.0, read_hz=1e8), 300)
    corners, shares = expected_shares(1e-3, 10.0)
    assert_std(found[0], 0.3 * math.sqrt(shares.sum()))
    assert_std(found[-1], 0.3 * math.sqrt(shares.sum()))
    moved = (found[-1] - found[0]).double().std().item()
    expected = 0.3 * math.sqrt((2 * -np.expm1(-2 * math.pi * corners * 299 / 1e8) * shares).sum())
    assert moved == pytest.approx(expected, rel=0.06)


def test_flicker_noise_restored_from_a_checkpoint_continues_bit_for_bit() -> None:
    tile, restored = flicker_tile(7, seed=1), flicker_tile(7, seed=2)
    series(tile, 300)
    saved = through_a_file(tile.state())
    restored.load(saved)
    kept = saved["noise"]["flicker"]["states"].clone()
    assert torch.equal(series(tile, 30, 400), series(restored, 30, 400))
    assert torch.equal(saved["noise"]["flicker"]["states"], kept)


def test_the_same_seed_gives_the_same_flicker_noise_and_another_seed_other() -> None:
    first, again, other = (series(flicker_tile(5, seed=seed), 30) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_flicker_noise_leaves_the_draws_of_other_noise_as_they_are() -> None:
    white = {"white": {"std": 0.2}}
    silent = {**white, "flicker": {**FLICKER, "std": 0.0}}
    reads = [
        make_tile(make_card(read_noise=noise), normal(4, 3)).forward(normal(2, 5, 3))
        for noise in (white, silent)
    ]
    assert torch.equal(reads[0], reads[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"low_hz": 100.0}, "'low_hz' must lie below 'high_hz', got 100 and 100"),
        ({"low_hz": 600.0, "high_hz": 900.0}, "reads see white noise: use 'white'"),
        ({"read_hz": 0.0}, "read_hz"),
    ],
)
def test_flicker_corners_that_make_no_sense_are_refused_with_the_reason(
    changes: dict[str, float], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        make_card(read_noise={"flicker": {**FLICKER, **changes}})
