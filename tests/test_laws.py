"""What the learning rules converge to, how fast, and how they compare.

With linear propagation, noise e injected into all layers (concatenated) moves the activities by da = J e, where J is
block lower triangular with identity blocks on its diagonal, and the loss by dL = g . e with g the gradient that
backpropagation gives.
"""

from __future__ import annotations

import math

import pytest
import torch
from support import CPU, cosine, generator, make_chip, normal
from torch import Tensor

from noisyhw.chip.chip import Chip
from noisyhw.chip.decorrelation import decorrelate, learn_decorrelation_
from noisyhw.observation import Observation
from noisyhw.rules import get_rule
from noisyhw.updates.base import mean_outer

STD = 1e-3
WIDTHS = (10, 12, 12, 8)
UNITS = WIDTHS[1:]
SAMPLES = 8
X = normal(SAMPLES, WIDTHS[0], seed=21)
TARGET = torch.randint(WIDTHS[-1], (SAMPLES,), generator=generator(22))


def signals(chip: Chip, rule: str, passes: int = 1, x: Tensor = X, target: Tensor = TARGET) -> list[Tensor]:
    """d of every layer, averaged over so many repetitions of the rule's passes."""
    chosen, _ = get_rule(rule)
    return [d.double() for d in chosen.signals(chip.observe(x, target, chosen, STD, passes))]


def chunks(chip: Chip, rule: str, passes: int, number: int) -> Tensor:
    """Independent averages of all layers' d: [number, samples, all units]."""
    return torch.stack([torch.cat(signals(chip, rule, passes), 1) for _ in range(number)])


def gradient(chip: Chip) -> list[Tensor]:
    return signals(chip, "bp")


def propagation(chip: Chip, sample: int) -> Tensor:
    """J of one sample, [all units, all units], from weights and slopes alone."""
    bp, _ = get_rule("bp")
    seen = chip.observe(X, TARGET, bp)
    rows: list[list[Tensor]] = []
    for place, layer in enumerate(chip.layers):
        row = [torch.zeros(UNITS[place], units, dtype=torch.float64) for units in UNITS]
        row[place] = torch.eye(UNITS[place], dtype=torch.float64)
        if place:
            slope = torch.where(seen.pre_activations[place - 1][0, sample] > 0, 1.0, 0.2).double()
            for earlier in range(place):
                row[earlier] = layer.tile.twin().double() * slope @ rows[place - 1][earlier]
        rows.append(row)
    return torch.cat([torch.cat(row, 1) for row in rows])


def errors_across(found: list[Tensor], true: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Per layer: each sample's part along the unit gradient, and the squared length of what is across it."""
    parts = []
    for d, g in zip(found, true, strict=True):
        along = (d * g).sum(1) / g.norm(dim=1)
        parts.append((along, d.square().sum(1) - along.square()))
    return parts


@pytest.mark.parametrize("n", [200, 3200])
def test_inp_finds_each_layers_gradient_and_its_angle_falls_as_one_over_root_n(n: int) -> None:
    """E|across|^2 = |g_l|^2 N_l (N_l - 1) / ((N_l + 2) n), from the moments of a random direction."""
    chip = make_chip(WIDTHS)
    found, true = signals(chip, "inp", n), gradient(chip)
    for units, g, (along, across) in zip(UNITS, true, errors_across(found, true), strict=True):
        size = g.norm(dim=1)
        std = size * math.sqrt((2 * units - 2) / (units + 2) / n)
        assert float(((along - size) / std).abs().max()) < 4.5
        ratio = across / (size.square() * units * (units - 1) / (units + 2) / n)
        assert abs(float(ratio.mean()) - 1) < 4.5 * math.sqrt(2 / ((units - 1) * SAMPLES))
        assert cosine(torch.cat([d[:1] for d in found], 1), torch.cat([t[:1] for t in true], 1)) > 1 - 12 / n


@pytest.mark.parametrize("n", [500, 8000])
def test_np_finds_the_gradient_with_an_error_that_comes_from_all_layers(n: int) -> None:
    """E|across|^2 = (N_l - 1) |g|^2 / n with g the gradient of all layers: noise of the others disturbs each."""
    chip = make_chip(WIDTHS)
    found, true = signals(chip, "np", n), gradient(chip)
    total = torch.cat(true, 1).square().sum(1)
    for units, g, (along, across) in zip(UNITS, true, errors_across(found, true), strict=True):
        size = g.norm(dim=1)
        assert float(((along - size) / ((total + size.square()) / n).sqrt()).abs().max()) < 4.5
        ratio = across / ((units - 1) * total / n)
        assert abs(float(ratio.mean()) - 1) < 4.5 * math.sqrt(2 / ((units - 1) * SAMPLES))


def expected_anp(j: Tensor, g: Tensor) -> Tensor:
    """Exact mean of N dL da / |da|^2 for da = J e, dL = g . e, e normal.

    With J^T J = V diag(q) V^T, the mean of e e^T / e^T J^T J e is V diag(c) V^T, where c_i is the integral
    over t > 0 of (1 + 2 q_i t)^-1 prod_j (1 + 2 q_j t)^-1/2.
    """
    q, v = torch.linalg.eigh(j.T @ j)
    log_t = torch.linspace(-30, 30, 6001, dtype=torch.float64)
    t = log_t.exp()[:, None]
    factors = 1 + 2 * q * t
    c = torch.trapezoid(t / factors * factors.log().sum(1, keepdim=True).mul(-0.5).exp(), log_t, dim=0)
    mean: Tensor = j.shape[0] * j @ (v * c @ (v.T @ g))
    return mean


def test_anps_mean_formula_holds_for_equal_stretches() -> None:
    g = torch.randn(9, generator=generator(1), dtype=torch.float64)
    torch.testing.assert_close(expected_anp(3 * torch.eye(9, dtype=torch.float64), g), g / 3)


def mean_square_z(averages: Tensor, expected: Tensor) -> float:
    """Mean over components of (mean - expected)^2 / squared standard error; near 1 if the expectation is right."""
    number = averages.shape[0]
    z = (averages.mean(0) - expected) / (averages.std(0) / math.sqrt(number))
    return float(z.square().mean()) * (number - 3) / (number - 1)


def test_anp_converges_to_the_gradient_seen_through_the_covariance_of_activity_differences() -> None:
    chip = make_chip(WIDTHS)
    g = torch.cat(gradient(chip), 1)
    j = [propagation(chip, sample) for sample in range(SAMPLES)]
    averages = chunks(chip, "anp", 400, 30)
    expected = torch.stack([expected_anp(each, row) for each, row in zip(j, g, strict=True)])
    simple = torch.stack([each @ row for each, row in zip(j, g, strict=True)])
    # a mean of 256 squared t values of 29 degrees of freedom, not all independent
    assert abs(mean_square_z(averages, expected) - 1) < 0.45
    assert mean_square_z(averages, g) > 5
    found = averages.mean(0)
    for sample in range(SAMPLES):
        assert cosine(found[sample], expected[sample]) > 0.99
        assert cosine(expected[sample], simple[sample]) > 0.95
        assert cosine(found[sample], g[sample]) < cosine(found[sample], expected[sample]) - 0.02


def test_np_does_not_share_anps_bias() -> None:
    chip = make_chip(WIDTHS)
    averages = chunks(chip, "np", 400, 30)
    assert abs(mean_square_z(averages, torch.cat(gradient(chip), 1)) - 1) < 0.45


def test_in_a_one_layer_net_np_anp_and_inp_are_the_same_up_to_scale_sample_by_sample() -> None:
    found = {rule: signals(make_chip((10, 12)), rule, x=X)[0] for rule in ("np", "anp", "inp")}
    # da is a difference of activities of order 1 in single precision, 1e-7, and noise is 1e-3
    torch.testing.assert_close(
        found["anp"], found["inp"], rtol=0, atol=1e-3 * float(found["inp"].abs().max())
    )
    directions = {rule: d / d.norm(dim=1, keepdim=True) for rule, d in found.items()}
    torch.testing.assert_close(directions["np"], directions["inp"], rtol=0, atol=1e-5)
    scale = found["np"].norm(dim=1) / found["inp"].norm(dim=1)
    assert float(scale.std()) > 0.05, (
        "np weighs a sample by the length of its perturbation; the others do not"
    )


def test_np_is_the_literal_formula() -> None:
    rule, _ = get_rule("np")
    seen = make_chip(WIDTHS).observe(X, TARGET, rule, STD, 3)
    assert seen.injected is not None
    for noise, d in zip(seen.injected.noise, rule.signals(seen), strict=True):
        terms = [noise[p] * (seen.losses[1 + p] - seen.losses[0])[:, None] / STD**2 for p in range(3)]
        torch.testing.assert_close(d, torch.stack(terms).mean(0))


def test_anp_is_the_literal_formula() -> None:
    rule, _ = get_rule("anp")
    seen = make_chip(WIDTHS).observe(X, TARGET, rule, STD, 3)
    found = torch.cat(rule.signals(seen), 1)
    a = torch.cat(seen.pre_activations, 2)
    terms = []
    for p in range(1, 4):
        da, rise = a[p] - a[0], (seen.losses[p] - seen.losses[0])[:, None]
        terms.append(a.shape[2] * rise * da / da.square().sum(1, keepdim=True))
    torch.testing.assert_close(found, torch.stack(terms).mean(0))


def test_inp_is_the_literal_formula_with_one_pass_per_layer() -> None:
    rule, _ = get_rule("inp")
    chip = make_chip(WIDTHS)
    seen = chip.observe(X, TARGET, rule, STD, 2)
    layers = len(chip.layers)
    assert seen.losses.shape[0] == 1 + 2 * layers
    for place, d in enumerate(rule.signals(seen)):
        terms = []
        for p in (1 + place, 1 + layers + place):
            v = seen.pre_activations[place][p] - seen.pre_activations[place][0]
            rise = (seen.losses[p] - seen.losses[0])[:, None]
            terms.append(v.shape[1] * rise * v / v.square().sum(1, keepdim=True))
        torch.testing.assert_close(d, torch.stack(terms).mean(0), rtol=1e-2, atol=1e-3)


def test_a_pass_in_which_nothing_moved_gives_no_signal_rather_than_nan() -> None:
    rule, _ = get_rule("anp")
    a = normal(1, 3, 4).expand(2, -1, -1)
    seen = Observation((a, a), torch.ones(2, 3), (normal(3, 4), normal(3, 4)), outputs=a)
    assert all(torch.equal(d, torch.zeros(3, 4)) for d in rule.signals(seen))


ANGLE_WIDTHS, BATCH, SEEDS = (20, 20, 20, 20, 10), 50, 12


def weight_update(chip: Chip, rule: str, passes: int, x: Tensor, target: Tensor) -> Tensor:
    chosen, _ = get_rule(rule)
    seen = chip.observe(x, target, chosen, STD, passes)
    outer = [mean_outer(i, d) for i, d in zip(seen.inputs, chosen.signals(seen), strict=True)]
    return torch.cat([o.flatten() for o in outer])


def angles(iterations: int) -> dict[str, Tensor]:
    """Degrees between a rule's averaged update and BP's, over seeds, in a net with three hidden layers."""
    found: dict[str, list[float]] = {"inp": [], "anp": [], "np": []}
    for seed in range(SEEDS):
        chip = make_chip(ANGLE_WIDTHS, seed=seed)
        x = normal(BATCH, ANGLE_WIDTHS[0], seed=50 + seed)
        target = torch.randint(ANGLE_WIDTHS[-1], (BATCH,), generator=generator(seed))
        bp = weight_update(chip, "bp", 1, x, target)
        for rule, values in found.items():
            values.append(
                math.degrees(math.acos(cosine(weight_update(chip, rule, iterations, x, target), bp)))
            )
    return {rule: torch.tensor(values) for rule, values in found.items()}


def surely_smaller(a: Tensor, b: Tensor) -> bool:
    """Paired over seeds, by more than four standard errors."""
    gap = b - a
    return float(gap.mean()) > 4 * float(gap.std()) / math.sqrt(SEEDS)


def test_at_few_noise_iterations_angles_to_bp_order_inp_anp_np() -> None:
    found = angles(10)
    assert surely_smaller(found["inp"], found["anp"])
    assert surely_smaller(found["anp"], found["np"])


def test_at_many_noise_iterations_anps_bias_leaves_it_behind_np() -> None:
    found = angles(300)
    assert surely_smaller(found["inp"], found["np"])
    assert surely_smaller(found["np"], found["anp"])


def correlated(samples: int, inputs: int) -> Tensor:
    mixing = torch.eye(inputs) + 0.4 * normal(inputs, inputs, seed=31)
    return normal(samples, inputs, seed=32) @ mixing.T


def off_diagonal(x: Tensor) -> float:
    covariance = x.T @ x / x.shape[0]
    return float((covariance - covariance.diag().diag()).square().mean())


def literal(r: Tensor, x: Tensor, rate: float) -> Tensor:
    """R - rate (C - diag C) R, in double precision."""
    r, x = r.double(), x.double()
    covariance = x.T @ x / x.shape[0]
    return r - rate * (covariance - torch.diag(covariance.diagonal())) @ r


@pytest.mark.parametrize(("samples", "inputs"), [(5, 12), (12, 12), (40, 12)], ids=["few", "as many", "many"])
def test_both_ways_to_learn_r_equal_the_formula(samples: int, inputs: int) -> None:
    r = torch.eye(inputs) + 0.1 * normal(inputs, inputs, seed=33)
    x = correlated(samples, inputs)
    expected = literal(r, x, 0.05)
    learn_decorrelation_(r, x, 0.05)
    torch.testing.assert_close(r.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("samples", "inputs"), [(300, 8), (40, 50)], ids=["many samples", "many inputs"])
def test_learning_r_drives_correlations_out(samples: int, inputs: int) -> None:
    x = correlated(samples, inputs) / inputs**0.5
    r = torch.eye(inputs)
    before = off_diagonal(x)
    for _ in range(1500):
        learn_decorrelation_(r, decorrelate(x[None], r)[0], 0.1)
    assert off_diagonal(decorrelate(x[None], r)[0]) < before * (1e-4 if inputs == 8 else 0.1)


def test_learning_r_leaves_uncorrelated_inputs_alone_whatever_their_variances() -> None:
    x = torch.diag(torch.tensor([3.0, 0.1, 1.0, 7.0]))
    r = normal(4, 4, seed=34)
    for samples in (x, torch.cat([x, x])):
        after = r.clone()
        learn_decorrelation_(after, samples, 0.1)
        torch.testing.assert_close(after, r)


def test_a_decorrelated_layer_multiplies_its_input_by_r() -> None:
    chip = make_chip(WIDTHS, decorrelated=True)
    rule, _ = get_rule("anp")
    for place, layer in enumerate(chip.layers):
        assert layer.r is not None
        assert layer.r.device == CPU
        layer.r.copy_(torch.eye(WIDTHS[place]) + 0.2 * normal(WIDTHS[place], WIDTHS[place], seed=place))
    seen = chip.observe(X, TARGET, rule, STD)
    first = chip.layers[0]
    assert first.r is not None
    torch.testing.assert_close(seen.inputs[0], X @ first.r.T)
    torch.testing.assert_close(seen.pre_activations[0][0], X @ first.r.T @ first.tile.twin().T)
