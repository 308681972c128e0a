"""Rules that know the output error, and weight perturbation: literal references, what they converge to, checkpoints."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from networks import Recurrent, ResNet8
from support import assert_mean, assert_std, cosine, generator, make_card, make_chip, normal
from torch import Tensor, nn

import noisyhw
from noisyhw.chip.chip import Chip
from noisyhw.errors import UsageError
from noisyhw.observation import Observation
from noisyhw.rules import RULES, Change, LayerShape, Rule, get_rule
from noisyhw.rules.learned_feedback import LearnedFeedback
from noisyhw.rules.mirror import WeightMirror
from noisyhw.rules.output_error import told
from noisyhw.rules.random_feedback import sent_back

WIDTHS = (6, 9, 8, 5)
SIGMA = 0.02
NOISY = make_card(read_noise={"white": {"std": SIGMA, "relative_to": "absolute"}})


def shapes(chip: Chip) -> tuple[LayerShape, ...]:
    return tuple(layer.shape for layer in chip.layers)


def linear_chip(widths: tuple[int, ...] = WIDTHS, decorrelated: bool = False) -> Chip:
    """A net whose activations are the identity, read with white noise of std SIGMA everywhere."""
    chip = make_chip(widths, NOISY, decorrelated=decorrelated)
    for layer in chip.layers[:-1]:
        layer.slope = 1.0
    return chip


def batches(chip: Chip, rule: Rule, number: int, samples: int = 400, passes: int = 1) -> list[Observation]:
    inputs = normal(number, samples, chip.layers[0].shape.inputs, seed=5)
    classes = torch.randint(chip.layers[-1].shape.outputs, (number, samples), generator=generator(6))
    return [chip.observe(x, y, rule, 0.0, passes) for x, y in zip(inputs, classes, strict=True)]


def weights(chip: Chip) -> list[Tensor]:
    return [layer.tile.twin() for layer in chip.layers]


# --- learned feedback


@pytest.mark.parametrize("passes", [1, 3])
@pytest.mark.parametrize("options", [{}, {"solver": "rls"}, {"feedback": "chained"}, {"remainder": 0.5}])
def test_learned_feedback_is_its_formula_one_sample_at_a_time(options: dict[str, Any], passes: int) -> None:
    rule = LearnedFeedback(rate=0.3, **options)
    chip = make_chip(WIDTHS, NOISY)
    state = rule.init(shapes(chip), generator())
    feedback = [
        torch.zeros(n, m).double()
        for n, m in zip(WIDTHS[1:-1], (WIDTHS[2] if options.get("feedback") else 5, 5), strict=True)
    ]
    covariances: list[Tensor | None] = [None, None]
    for seen in batches(chip, rule, 3, samples=4, passes=passes):
        signals, state = rule.learn(seen, state)
        expected = literal(seen, feedback, covariances, rule.options)
        for signal, own in zip(signals, expected, strict=True):
            assert isinstance(signal, Tensor)
            assert torch.allclose(signal.double(), own, rtol=1e-3, atol=1e-6 * float(own.abs().max() + 1))


def literal(seen: Observation, feedback: list[Tensor], covariances: list[Any], options: Any) -> list[Tensor]:
    """The rule by loops over samples and passes; feedback and covariances are moved in place."""
    error, slopes = told(seen)
    samples, noisy = len(error), len(seen.losses) - 1
    signals = [error.double()]
    for place in (1, 0):
        back = (signals[0] if options.feedback == "chained" else error).double()
        a, slope = seen.pre_activations[place].double(), slopes[place].double()
        rows, power = [], 0.0
        product = torch.zeros_like(feedback[place])
        for b in range(samples):
            plain = slope[b] * (feedback[place] @ back[b])
            row = plain.clone()
            for p in range(1, 1 + noisy):
                da = a[p, b] - a[0, b]
                left = float(seen.losses[p, b]) - float(seen.losses[0, b]) - float(plain @ da)
                power += float(da @ da) / (noisy * samples * len(da))
                product += torch.outer(slope[b] * da * left, back[b]) / noisy
                row += options.remainder * len(da) * left * da / (da @ da) / noisy
            rows.append(row)
        floor = options.ridge * float((error.double() ** 2).mean())
        if options.solver == "lms":
            step = product / power / ((back**2).sum() + floor * back.numel())
        else:
            now, before = back.t() @ back / samples, covariances[place]
            covariances[place] = now if before is None else before + (now - before) / options.memory
            damped = covariances[place] + floor * torch.eye(len(now))
            step = product / power / samples @ torch.linalg.inv(damped)
        feedback[place] += options.rate * step
        signals.insert(0, torch.stack(rows))
    return signals


@pytest.mark.parametrize(
    "options", [{"solver": "rls"}, {"solver": "rls", "feedback": "chained"}, {"rate": 0.2}]
)
def test_learned_feedback_finds_the_transposed_weights_though_noise_adds_up_from_layer_to_layer(
    options: dict[str, Any],
) -> None:
    """In a linear net g_l = W_(l+1)^T ... W_L^T e exactly.

    At rest what is left is noise of the layers behind: a batch of b samples tells B up to a relative variance of about
    units K / b, and the running one has rate / 2 of that; with lms the K - 1 directions of errors share the rate.
    Three times its root is allowed.
    """
    rule = LearnedFeedback(**{"rate": 0.05, **options})
    chip = linear_chip()
    state = rule.init(shapes(chip), generator())
    for seen in batches(chip, rule, 500):
        signals, state = rule.learn(seen, state)
    found = [one for one in signals if isinstance(one, Tensor)]
    _, second, third = weights(chip)
    error, _ = told(seen)
    true = [error @ third @ second, error @ third, error]
    tolerance = 3 * math.sqrt(9 * 5 / 400 * 0.05 / 2)
    for signal, gradient in zip(found, true, strict=True):
        assert float((signal - gradient).norm() / gradient.norm()) < tolerance


def test_learned_feedback_has_no_bias_where_activity_based_node_perturbation_has() -> None:
    """ANP's mean signal is the gradient times the covariance of da, which earlier layers' noise has coloured."""
    alf, (anp, _) = LearnedFeedback(solver="rls", rate=0.05), get_rule("anp")
    chip = linear_chip((6, 12, 12, 5))
    chip.layers[1].tile.cells.weight.mul_(3)  # type: ignore[attr-defined]
    state = alf.init(shapes(chip), generator())
    for seen in batches(chip, alf, 500):
        signals, state = alf.learn(seen, state)
    error, _ = told(seen)
    gradient = error[:8] @ weights(chip)[2]
    x, y = normal(500, 400, 6, seed=5)[-1, :8], torch.randint(5, (500, 400), generator=generator(6))[-1, :8]
    mean = anp.signals(chip.observe(x, y, anp, 0.0, 20_000))[1]
    assert cosine(signals[1][:8], gradient) > 0.98
    assert cosine(mean, gradient) < 0.9


def test_learned_feedback_does_not_heed_noise_of_the_layers_behind() -> None:
    """That noise is in the loss difference and not in this layer's own: it costs certainty, and moves nothing."""
    found = []
    for sigma in (SIGMA, 3 * SIGMA):
        rule = LearnedFeedback(solver="rls", rate=0.02)
        chip = linear_chip()
        state = rule.init(shapes(chip), generator())
        noise = generator(9)
        for seen in batches(chip, rule, 600):
            error, _ = told(seen)
            more = torch.randn(error.shape, generator=noise) * math.sqrt(2 * (sigma**2 - SIGMA**2))
            losses = seen.losses.clone()
            losses[1] += (error * more).sum(1)
            object.__setattr__(seen, "losses", losses)
            _, state = rule.learn(seen, state)
        found.append(state["weights"][1])
    centred = weights(linear_chip())[2].t() @ (torch.eye(5) - 1 / 5)
    for one in found:
        assert float((one - centred).norm() / centred.norm()) < 0.15


def test_with_a_whole_remainder_and_no_feedback_yet_it_is_node_perturbation_by_layers() -> None:
    chip = make_chip(WIDTHS, NOISY)
    rule = LearnedFeedback(remainder=1.0)
    (seen,) = batches(chip, rule, 1, samples=7)
    signals, _ = rule.learn(seen, rule.init(shapes(chip), generator()))
    for signal, a in zip(signals[:-1], seen.pre_activations[:-1], strict=True):
        da, rise = a[1] - a[0], seen.losses[1] - seen.losses[0]
        expected = a.shape[2] * rise[:, None] * da / da.square().sum(1, keepdim=True)
        assert isinstance(signal, Tensor)
        assert torch.allclose(signal, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 8, 8), (8, 8)], ids=["residual", "recurrent"])
def test_learned_feedback_trains_residual_and_recurrent_nets_further_than_node_perturbation(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    """Digits, as images or as series of rows, at one learning rate."""
    torch.manual_seed(0)
    net = noisyhw.from_torch(ResNet8(1) if len(shape) == 3 else Recurrent(), torch.zeros(2, *shape))
    sets = ["epochs=8", "update.path=adam", "update.learning_rate=0.01", "perturbation.std=0.01"]
    losses = {
        rule: noisyhw.train(
            device="ideal", rule=rule, network=net, sets=sets, out=tmp_path / rule
        ).metrics.train_loss
        for rule in ("alf", "anp")
    }
    assert losses["alf"].iloc[-1] < losses["anp"].iloc[-1] - 0.1


# --- the mirror, and random ways back


@pytest.mark.parametrize("decorrelated", [False, True])
def test_the_mirror_finds_what_a_layer_makes_of_the_one_before(decorrelated: bool) -> None:
    """V -> W R, but for noise: of variance about 2 (rate / 2) / b in each entry at rest, and 0.02 for what is left."""
    rule = WeightMirror(rate=0.05)
    chip = linear_chip(decorrelated=decorrelated)
    if decorrelated:
        for layer in chip.layers:
            layer.r.add_(0.3 * normal(*layer.r.shape, seed=3))
    ways = rule.init(shapes(chip), generator())
    for seen in batches(chip, rule, 600):
        _, ways = rule.learn(seen, ways)
    for way, weight, layer in zip(ways, weights(chip)[1:], chip.layers[1:], strict=True):
        true = weight if layer.r is None else weight @ layer.r
        assert float((way - true.t()).abs().max()) < 5 * math.sqrt(2 * 0.05 / 2 / 400) + 0.02


def test_errors_sent_back_through_the_weights_are_the_gradient() -> None:
    chip = make_chip(WIDTHS)
    (bp, _), (dfa, _) = get_rule("bp"), get_rule("dfa")
    x, y = normal(7, 6), torch.arange(7) % 5
    error, slopes = told(chip.observe(x, y, dfa))
    true = bp.signals(chip.observe(x, y, bp))
    for signal, gradient in zip(
        sent_back(error, slopes, [w.t() for w in weights(chip)[1:]]), true, strict=True
    ):
        assert torch.allclose(signal, gradient, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", ["fa", "dfa"])
def test_random_feedback_is_drawn_once_of_the_declared_size_and_sends_the_error_back(name: str) -> None:
    widths = (20, 60, 80, 10)
    chip = make_chip(widths, NOISY)
    rule = RULES[name](scale=0.5)
    first = rule.init(shapes(chip), generator(4))
    one, two = batches(chip, rule, 2, samples=6)
    signals, state = rule.learn(one, first)
    _, after = rule.learn(two, state)
    drawn, again = (s["weights"] if isinstance(s, dict) else s for s in (state, after))
    assert all(torch.equal(a, b) for a, b in zip(drawn, again, strict=True))
    assert not torch.equal(
        drawn[0][:, :10], RULES[name](scale=0.5).learn(one, rule.init(shapes(chip), generator(5)))[0][0]
    )
    error, slopes = told(one)
    sources = [signals[1], error] if name == "fa" else [error, error]
    for place in (0, 1):
        assert_std(drawn[place], 0.5 * math.sqrt(2 / widths[1 + place]))
        assert_mean(drawn[place], 0.0, 0.5 * math.sqrt(2 / widths[1 + place]))
        assert torch.allclose(
            signals[place], slopes[place] * (sources[place] @ drawn[place].t()), rtol=1e-4, atol=1e-7
        )
    assert torch.equal(signals[2], error)


@pytest.mark.parametrize("rule", ["fa", "mirror"])
def test_a_rule_that_needs_one_dense_layer_after_another_says_so(rule: str, tmp_path: Path) -> None:
    images = ["network.conv=[{channels: 4}]"]
    for sets, given in (
        (images, {}),
        ([], {"network": nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))}),
    ):
        with pytest.raises(UsageError, match=rf"^rule: {rule} sends errors from each layer"):
            noisyhw.train(rule=rule, sets=[*sets, "epochs=1"], out=tmp_path / "run", **given)


# --- weight perturbation


def test_weight_perturbation_s_mean_change_is_the_gradient() -> None:
    """A draw's projection on the unit gradient has mean |G| and variance 2 |G|^2; n = 2000 draws."""
    chip = make_chip((4, 5, 3))
    (wp, _), (bp, _) = get_rule("wp"), get_rule("bp")
    x, y = normal(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    seen = chip.observe(x, y, bp)
    true = [d.t() @ own / 6 for d, own in zip(bp.signals(seen), seen.inputs, strict=True)]
    draws = []
    for _ in range(2000):
        changes, _ = wp.learn(chip.observe(x, y, wp, 1e-3), None)
        draws.append(
            sum(
                float((c.weight * g).sum())
                for c, g in zip(changes, true, strict=True)
                if isinstance(c, Change)
            )
        )
    size = math.sqrt(sum(float(g.square().sum()) for g in true))
    assert_mean(torch.tensor(draws) / size, size, math.sqrt(2) * size)


# --- in a run


KINDS = {
    "alf": {},
    "rls": {"name": "alf", "solver": "rls"},
    "chained": {"name": "alf", "feedback": "chained", "remainder": 0.1},
    "dfa": {},
    "fa": {},
    "mirror": {},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_resumed_with_the_same_bits(kind: str, tmp_path: Path) -> None:
    rule = {"name": kind, "decorrelate": True} | KINDS[kind]
    sets = ["epochs=3", "batch=300", *(f"rule.{key}={value}" for key, value in rule.items())]
    whole = noisyhw.train(device="rram", sets=sets, out=tmp_path / "whole")
    noisyhw.train(device="rram", sets=sets, out=tmp_path / "cut", pause_after=1)
    again = noisyhw.resume(tmp_path / "cut")
    columns = ["train_loss", "test_loss", "pulses_per_weight"]
    assert again.metrics[columns].equals(whole.metrics[columns])


@pytest.mark.parametrize("rule", ["alf", "mirror", "dfa", "fa"])
def test_hidden_layers_learn(rule: str, tmp_path: Path) -> None:
    """A net whose hidden layers stand still ends with a larger loss, at each of two seeds."""
    sets = ["epochs=12", "update.path=adam", "update.learning_rate=3e-3"]
    for seed in (0, 1):
        run = noisyhw.train(device="ideal", rule=rule, seed=seed, sets=sets, out=tmp_path / f"{seed}")
        still = noisyhw.train(
            device="ideal",
            rule="alf",
            seed=seed,
            sets=[*sets, "rule.rate=1e-9"],
            out=tmp_path / f"still-{seed}",
        )
        assert run.metrics.train_loss.iloc[-1] < 0.8 * still.metrics.train_loss.iloc[-1]
