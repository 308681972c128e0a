"""Options beyond the paper: momentum for pulses, centred inputs, antithetic passes. Off, they change no bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from run_support import CtrlC, assert_same_end, table, tiny
from support import make_card, make_tile, normal, through_a_file

import noisyhw
from noisyhw.cards.experiment import UpdateChoice
from noisyhw.cards.loading import load_experiment
from noisyhw.chip.build import build_chip
from noisyhw.chip.chip import Chip
from noisyhw.device import Device
from noisyhw.errors import UsageError
from noisyhw.rules import get_rule
from noisyhw.tasks import get_task
from noisyhw.training.resolve import resolve
from noisyhw.training.run import Interrupted
from noisyhw.training.trainer import Trainer
from noisyhw.updates import PATHS

STEP, ROWS, COLUMNS = 0.01, 40, 50


# Momentum.


def exact_change(momentum: float, batches: int, path: str = "sgd") -> torch.Tensor:
    """What the same gradient of ones, batch after batch, does to an exact tile at rate 1."""
    tile = make_tile(make_card(), torch.zeros(2, 3))
    update = PATHS[path](tile, 1.0, UpdateChoice(momentum=momentum))
    for _ in range(batches):
        update.apply(torch.ones(1, 3), torch.ones(1, 2))
    return tile.twin()


@pytest.mark.parametrize("path", ["sgd", "mixed_precision"])
def test_with_momentum_a_gradient_that_stays_is_taken_up_at_the_same_rate_later(path: str) -> None:
    # sum over n batches of 1 - 0.9^k, k from 1: the whole but for 0.9 / (1 - 0.9) = 9 batches
    wanted = sum(1 - 0.9**k for k in range(1, 31))
    torch.testing.assert_close(exact_change(0.9, 30, path), torch.full((2, 3), -wanted))
    assert wanted == pytest.approx(30 - 9 * (1 - 0.9**30))


def pulses(momentum: float) -> float:
    """Pulses that gradients of nothing but noise send, a cell and batch; the noise moves 1000 steps a batch."""
    card = make_card(weights={"min": -1.0, "max": 1.0}, update={"kind": "pulsed", "step": STEP})
    tile = make_tile(card, torch.zeros(ROWS, COLUMNS))
    update = PATHS["mixed_precision"](tile, 1000 * STEP, UpdateChoice(momentum=momentum))
    sent: list[float] = []
    tile.pulse = lambda counts: sent.append(float(counts.abs().mean()))  # type: ignore[method-assign]
    for number in range(300):
        update.apply(torch.eye(COLUMNS) * COLUMNS, normal(COLUMNS, ROWS, seed=number))
    return sum(sent[100:]) / 200


@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_momentum_spares_pulses_that_cancel_as_the_running_mean_of_white_noise_says(momentum: float) -> None:
    # the mean's std is sqrt((1 - m) / (1 + m)) of the noise's; of 2000 cells and 200 batches the error is below 1 %
    assert pulses(0.0) == pytest.approx(1000 * (2 / torch.pi) ** 0.5, rel=0.02)
    assert pulses(momentum) / pulses(0.0) == pytest.approx(((1 - momentum) / (1 + momentum)) ** 0.5, rel=0.02)


@pytest.mark.parametrize(("path", "fix"), [("adam", "set beta1"), ("on_tile", "use sgd or mixed_precision")])
def test_momentum_on_a_path_without_it_is_refused_with_the_fix(path: str, fix: str) -> None:
    experiment = load_experiment(None, {"device": "ideal"}, ["update.momentum=0.5", f"update.path={path}"])
    with pytest.raises(UsageError, match=rf"^update\.momentum: path '{path}' has no such thing; .*{fix}"):
        resolve(experiment)


# Centring.


def trainer(*sets: str) -> Trainer:
    return Trainer(resolve(load_experiment(None, {"device": "ideal"}, sets)), get_task("digits").load())


def test_the_mean_of_a_layers_inputs_goes_to_zero_at_the_rate_that_is_given() -> None:
    learner = trainer("decorrelation.mean_rate=0.25", "decorrelation.rate=0.0", "update.learning_rate=1e-30")
    x, target = learner.data.train_x[:100], learner.data.train_y[:100]
    first = x.mean(0)
    for batch in range(5):
        seen = learner.chip.layers[0].prepare(x[None])[0].mean(0)
        torch.testing.assert_close(seen, first * 0.75**batch, rtol=1e-4, atol=1e-6)
        learner.learn(x, target)


def test_a_digital_twin_takes_the_same_mean_off() -> None:
    learner = trainer("decorrelation.mean_rate=0.5", "network.hidden=[8]")
    for _ in range(3):
        learner.step()
    layer = learner.chip.layers[0]
    assert layer.mean is not None
    assert float(layer.mean.norm()) > 0.1
    x = learner.data.test_x[None, :20]
    torch.testing.assert_close(layer.exact(x), layer.read(layer.prepare(x)))


def test_a_centred_layer_goes_on_from_its_state() -> None:
    one, two = (trainer("decorrelation.mean_rate=0.5", "network.hidden=[8]") for _ in range(2))
    one.step()
    two.load(through_a_file(one.state()))
    for own, other in zip(one.chip.layers, two.chip.layers, strict=True):
        assert own.mean is not None
        assert other.mean is not None
        assert torch.equal(own.mean, other.mean)


def test_centring_without_decorrelation_is_refused() -> None:
    experiment = load_experiment(None, {"device": "ideal", "rule": "anp"}, ["decorrelation.mean_rate=0.1"])
    with pytest.raises(UsageError, match=r"^decorrelation\.mean_rate: anp does not decorrelate; .* use danp"):
        resolve(experiment)


# Antithetic passes.


def one_layer() -> tuple[Chip, torch.Tensor, torch.Tensor]:
    chip = build_chip(Device("ideal"), (6, 4), loss="squared_error", seed=3)
    return chip, normal(30, 6, seed=1), normal(30, 4, seed=2)


def test_of_a_pair_the_learner_knows_the_difference_and_even_powers_are_in_no_loss_difference() -> None:
    chip, x, target = one_layer()
    gradient = chip.observe(x, target, get_rule("bp")[0]).gradient
    assert gradient is not None
    errors = {}
    for antithetic in (False, True):
        seen = chip.observe(x, target, get_rule("np")[0], 0.5, antithetic=antithetic)
        assert seen.injected is not None
        (noise,) = seen.injected.noise
        (a,) = seen.pre_activations
        torch.testing.assert_close(a[1] - a[0], noise[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(noise.std(), torch.tensor(seen.injected.std), rtol=0.25, atol=0)
        linear = (gradient[0] * noise[0]).sum(1)
        errors[antithetic] = float((seen.losses[1] - seen.losses[0] - linear).abs().max())
    assert errors[True] < 1e-4
    assert errors[False] > 0.1


def test_np_gains_by_a_pair_what_its_noise_loses_twice_over() -> None:
    """Gradient g, N units, device noise as large as the injected: |d|^2 / |g|^2 is 3 N, of a pair 1.5 N (r = 1)."""
    units, samples = 64, 4000
    gradient, injected = normal(units, seed=1), normal(samples, units, seed=2)
    device = normal(2, samples, units, seed=3)
    single = ((injected + device[0] - device[1]) @ gradient)[:, None] * injected
    pair = ((2 * injected + device[0] - device[1]) @ gradient)[:, None] * injected / 2
    powers = [float(d.square().sum(1).mean() / gradient.square().sum()) for d in (single, pair)]
    # E d d^T = |g|^2 (1 + 2 r) I + 2 g g^T and |g|^2 (1 + r / 2) I + 2 g g^T
    assert powers == pytest.approx([3 * units + 2, 1.5 * units + 2], rel=0.08)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (("rule=dinp",), "dinp has no one noisy pass to negate"),
        (("rule=bp",), "bp has no one noisy pass to negate"),
        (("perturbation.passes=2",), "leave perturbation.passes at 1"),
    ],
)
def test_antithetic_passes_where_there_is_no_pair_are_refused(sets: tuple[str, ...], message: str) -> None:
    experiment = load_experiment(None, {"device": "ideal"}, ["perturbation.antithetic=true", *sets])
    with pytest.raises(UsageError, match=rf"^perturbation\.antithetic: .*{message}"):
        resolve(experiment)


def test_a_devices_own_noise_cannot_be_negated(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^perturbation\.antithetic: anp lives on this device's own noise"):
        tiny(tmp_path / "run", "perturbation.antithetic=true", device="rram")


def test_more_than_a_pair_is_not_observed() -> None:
    chip, x, target = one_layer()
    with pytest.raises(UsageError, match=r"^antithetic: takes one noisy pass, and anp was to make 3"):
        chip.observe(x, target, get_rule("anp")[0], 0.1, 3, antithetic=True)


# All of them.

ON = {
    "update.momentum=0.9": "rram",
    "decorrelation.mean_rate=0.1": "rram",
    "perturbation.antithetic=true": "ideal",
}


@pytest.mark.parametrize("option", ON)
def test_an_option_changes_the_run_and_resumes_bit_for_bit(tmp_path: Path, option: str) -> None:
    off = tiny(tmp_path / "off", device=ON[option])
    whole = tiny(tmp_path / "whole", option, device=ON[option])
    assert table(off.path) != table(whole.path)
    with pytest.raises(Interrupted):
        tiny(tmp_path / "part", option, device=ON[option], watcher=CtrlC(11))
    noisyhw.resume(tmp_path / "part")
    assert_same_end(tmp_path / "part", whole.path)
