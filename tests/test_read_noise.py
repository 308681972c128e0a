"""Read noise: every source against its theory, drawn when it says."""

from __future__ import annotations

import math

import pytest
import torch
from support import assert_mean, assert_std, generator, make_card, make_tile, normal
from torch import Tensor

from noisyhw.tiles.analog import AnalogTile

X = normal(1, 8, 20, seed=1)
W = normal(6, 20, seed=2, std=0.2)


def errors(read_noise: dict[str, object], reads: int) -> Tensor:
    """Read-outs less the product: [reads, samples, outputs]."""
    return make_tile(make_card(read_noise=read_noise), W).forward(X, reads) - X @ W.T


@pytest.mark.parametrize("relative_to", ["absolute", "input_max", "input_norm"])
def test_white_noise_has_the_declared_std_for_every_sample(relative_to: str) -> None:
    units = {
        "absolute": torch.ones(8, 1),
        "input_max": X[0].abs().amax(1, keepdim=True),
        "input_norm": X[0].norm(dim=1, keepdim=True),
    }
    found = errors({"white": {"std": 0.3, "relative_to": relative_to}}, 500) / units[relative_to]
    for sample in range(8):
        assert_mean(found[:, sample], 0.0, 0.3)
        assert_std(found[:, sample], 0.3)


def test_white_noise_is_independent_between_reads_samples_and_outputs() -> None:
    found = errors({"white": {"std": 1.0}}, 2000)
    for a, b in (
        (found[1:], found[:-1]),
        (found[:, 1:], found[:, :-1]),
        (found[..., 1:], found[..., :-1]),
    ):
        assert_mean(a * b, 0.0, 1.0)


def perturbed_reads(std: float, reads: int) -> Tensor:
    """A simulation that perturbs every cell's weight anew for every read and sample."""
    draws = torch.randn((reads, 8, 6, 20), generator=generator(5)) * std
    return ((W + draws) * X[0][:, None]).sum(-1) - X @ W.T


def test_per_cell_noise_equals_perturbing_every_cell_at_every_read() -> None:
    reads, std = 1500, 0.05
    ours, simulated = errors({"per_cell": {"std": std}}, reads), perturbed_reads(std, reads)
    norms = X[0].norm(dim=1, keepdim=True)
    for found in (ours / norms, simulated / norms):
        assert_std(found, std)
        assert_mean(found[..., 1:] * found[..., :-1], 0.0, std**2)
    ratio = ours.std(dim=(0, 2)) / simulated.std(dim=(0, 2))
    spread = (1 / (reads * 6)) ** 0.5
    assert float((ratio - 1).abs().max()) < 4.5 * spread


def test_per_cell_and_white_noise_add_up_in_variance() -> None:
    found = errors({"per_cell": {"std": 0.05}, "white": {"std": 0.3}}, 1000)
    std = (0.3**2 + (0.05 * X[0].norm(dim=1, keepdim=True)) ** 2).sqrt()
    assert_std(found / std, 1.0)


def test_the_mean_is_added_to_every_read_out_and_is_not_drawn() -> None:
    found = errors({"mean": -0.7}, 3)
    torch.testing.assert_close(found, torch.full_like(found, -0.7))


P, AMPLITUDE, NODES = 0.08, 0.4, 400


def telegraph_tile(p: float = P) -> AnalogTile:
    card = make_card(read_noise={"telegraph": {"amplitude": AMPLITUDE, "flip_probability": p}})
    return make_tile(card, torch.zeros(NODES, 2))


def offsets(samples: int, calls: int) -> Tensor:
    """One node a column, one read a row, over several calls."""
    tile = telegraph_tile()
    return torch.cat([tile.forward(torch.zeros(2, samples // 2, 2)).flatten(0, 1) for _ in range(calls)])


def test_telegraph_noise_is_plus_or_minus_its_amplitude_with_mean_zero() -> None:
    found = offsets(50, 4)
    torch.testing.assert_close(found.abs(), torch.full_like(found, AMPLITUDE))
    rho = 1 - 2 * P
    effective_std = AMPLITUDE * ((1 + rho) / (1 - rho)) ** 0.5
    assert_mean(found, 0.0, effective_std)


@pytest.mark.parametrize("lag", [1, 3, 10])
def test_telegraph_noise_correlates_as_1_minus_2p_to_the_lag_within_and_across_calls(lag: int) -> None:
    signs = offsets(20, 20) / AMPLITUDE
    products = signs[lag:] * signs[:-lag]
    expected = (1 - 2 * P) ** lag
    # products along a node are correlated over about 1/(2p) reads, so its mean is one independent value per node
    per_node = products.mean(0)
    assert_mean(per_node, expected, per_node.std().item())
    across = products[20 - lag :: 20]
    assert_mean(across.mean(0), expected, across.mean(0).std().item())


def test_telegraph_noise_that_always_flips_alternates_from_call_to_call_and_one_that_never_does_stays() -> (
    None
):
    for p, factor in ((1.0, -1.0), (0.0, 1.0)):
        tile = telegraph_tile(p)
        first, second = (tile.forward(torch.zeros(1, 1, 2)) for _ in range(2))
        assert torch.equal(second, factor * first)


def test_telegraph_nodes_start_up_and_down_alike_and_flip_independently() -> None:
    signs = offsets(2, 1)[0].sign()
    assert_mean(signs, 0.0, 1.0)
    assert_mean(signs[1:] * signs[:-1], 0.0, 1.0)


def test_a_dac_clips_and_rounds_inputs_to_the_nearest_level() -> None:
    tile = make_tile(make_card(periphery={"dac": {"bits": 3, "range": 1.5}}), torch.ones(1, 1))
    x = torch.tensor([-9.0, -1.5, -0.76, -0.74, -0.1, 0.0, 0.2, 0.3, 1.2, 1.3, 1.5, 2.0]).view(1, -1, 1)
    seen = torch.tensor([-1.5, -1.5, -1.0, -0.5, 0.0, 0.0, 0.0, 0.5, 1.0, 1.5, 1.5, 1.5]).view(1, -1, 1)
    torch.testing.assert_close(tile.forward(x), seen)


def test_an_adc_clips_and_rounds_read_outs_noise_included() -> None:
    card = make_card(
        periphery={"adc": {"bits": 2, "range": 1.0}}, read_noise={"white": {"std": 0.5}, "mean": 0.4}
    )
    found = make_tile(card, torch.zeros(3, 1)).forward(torch.zeros(1, 4000, 1))
    assert set(found.flatten().tolist()) == {-1.0, 0.0, 1.0}
    below, above = (0.5 * math.erfc(distance / 0.5 / math.sqrt(2)) for distance in (0.9, 0.1))
    for level, p in ((-1.0, below), (1.0, above)):
        assert_mean((found == level).float(), p, math.sqrt(p * (1 - p)))


def test_input_scaling_divides_each_sample_by_its_largest_input_and_multiplies_the_noisy_read_out_back() -> (
    None
):
    card = make_card(periphery={"input_scaling": "max"}, read_noise={"white": {"std": 0.3}})
    largest = X[0].abs().amax(1, keepdim=True)
    found = (make_tile(card, W).forward(X, 500) - X @ W.T) / largest
    assert_std(found, 0.3)
    per_cell = make_card(periphery={"input_scaling": "max"}, read_noise={"per_cell": {"std": 0.05}})
    found = make_tile(per_cell, W).forward(X, 500) - X @ W.T
    assert_std(found / X[0].norm(dim=1, keepdim=True), 0.05)


def test_input_scaling_gives_exactly_zero_for_a_zero_sample_whatever_the_noise() -> None:
    telegraph = {"amplitude": 0.2, "flip_probability": 0.5}
    noise = {"white": {"std": 0.3}, "telegraph": telegraph, "mean": 1.0}
    card = make_card(periphery={"input_scaling": "max"}, read_noise=noise)
    x = X.clone()
    x[0, 3] = 0.0
    found = make_tile(card, W).forward(x)
    assert not found[0, 3].any()
    assert found[0, 2].all()
