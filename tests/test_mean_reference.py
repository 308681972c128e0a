"""Comparing passes with their mean instead of a noisy baseline pass."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from run_support import assert_same_end, table, tiny
from support import normal
from torch import Tensor

import noisyhw
from noisyhw.errors import UsageError
from noisyhw.observation import Observation, about_the_mean
from noisyhw.rules import RULES

SAMPLES, UNITS = 4000, 60
GRADIENT = normal(UNITS, seed=5)


def passes(noisy: int) -> Observation:
    """A loss that is linear in one layer's activities, all passes noisy."""
    a = normal(1 + noisy, SAMPLES, UNITS, seed=1)
    return Observation(
        pre_activations=(a,), losses=a @ GRADIENT, inputs=(torch.zeros(SAMPLES, 1),), outputs=a
    )


def mean_square_cosine(d: Tensor) -> float:
    """(E d.g)^2 / (E |d|^2 |g|^2): how well one sample's signal knows the gradient."""
    along = float((d @ GRADIENT).mean())
    return along**2 / float(d.square().sum(1).mean() * GRADIENT.square().sum())


@pytest.mark.parametrize("noisy", [20, 120])
def test_about_the_mean_a_signal_knows_the_gradient_as_a_sample_covariance_does(noisy: int) -> None:
    (d,) = RULES["anp"]().signals(about_the_mean(passes(noisy)))
    assert mean_square_cosine(d) == pytest.approx(1 / (1 + (UNITS + 1) / noisy), rel=0.05)


@pytest.mark.parametrize("noisy", [20, 120])
def test_about_a_noisy_first_pass_more_passes_help_up_to_a_limit_only(noisy: int) -> None:
    (d,) = RULES["anp"]().signals(passes(noisy))
    # one pass: E |d|^2 = N |g|^2; two passes share xi_0: E d_k.d_l = (N + 5) |g|^2 / 4
    expected = 1 / (UNITS / noisy + (1 - 1 / noisy) * (UNITS + 5) / 4)
    assert mean_square_cosine(d) == pytest.approx(expected, rel=0.08)


def test_with_one_noisy_pass_both_are_the_same() -> None:
    seen = passes(1)
    (first,), (mean,) = (RULES["anp"]().signals(s) for s in (passes(1), about_the_mean(seen)))
    torch.testing.assert_close(first, mean, rtol=1e-3, atol=1e-4)


def test_a_run_about_the_mean_differs_from_one_about_the_first_and_repeats(tmp_path: Path) -> None:
    sets = ("perturbation.passes=3",)
    first = tiny(tmp_path / "first", *sets, device="rram", epochs=1)
    runs = [
        tiny(tmp_path / name, *sets, "perturbation.reference=mean", device="rram", epochs=1) for name in "ab"
    ]
    assert_same_end(runs[0].path, runs[1].path)
    assert table(first.path) != table(runs[0].path)


def test_on_one_pass_the_mean_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^perturbation\.reference: about the mean, one noisy pass"):
        tiny(tmp_path / "run", "perturbation.reference=mean", device="rram")


@pytest.mark.parametrize("rule", ["np", "dinp"])
def test_rules_that_know_their_perturbation_do_not_take_the_mean(tmp_path: Path, rule: str) -> None:
    with pytest.raises(noisyhw.UsageError, match=rf"^perturbation\.reference: only anp .* {rule} knows"):
        tiny(
            tmp_path / "run",
            "perturbation.reference=mean",
            "perturbation.passes=2",
            device="rram",
            rule=rule,
        )
