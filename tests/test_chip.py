"""A chip shows what it should, and no clean pass of a noisy device."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from support import (
    assert_mean,
    assert_std,
    generator,
    make_card,
    make_chip,
    normal,
    through_a_file,
    updating,
)
from torch import Tensor, nn

from noisyhw import Device, NoisyhwError, UsageError, build_chip, load_experiment
from noisyhw.cards.device import DeviceCard
from noisyhw.chip.chip import Chip
from noisyhw.chip.losses import cross_entropy, squared_error
from noisyhw.observation import Observation
from noisyhw.rules import get_rule
from noisyhw.tasks import get_task
from noisyhw.training.resolve import resolve
from noisyhw.training.trainer import Trainer

WIDTHS = (9, 12, 11, 5)
X, TARGET = normal(7, 9, seed=1), torch.randint(5, (7,), generator=generator(2))
NOISE = 0.2


def noisy() -> DeviceCard:
    return make_card(read_noise={"white": {"std": NOISE}})


def observe(chip: Chip, name: str = "anp", std: float = 0.0, passes: int = 1, x: Tensor = X) -> Observation:
    rule, _ = get_rule(name)
    return chip.observe(x, TARGET if x is X else TARGET.repeat(x.shape[0] // 7), rule, std, passes)


def test_the_baseline_of_a_noisy_device_differs_from_read_to_read_in_every_layer() -> None:
    chip = make_chip(WIDTHS, noisy())
    first, second = observe(chip), observe(chip)
    for a, b in zip(first.pre_activations, second.pre_activations, strict=True):
        assert bool((a[0] != b[0]).any(dim=1).all())
    assert bool((first.losses[0] != second.losses[0]).all())


def test_predictions_are_as_noisy_as_the_device() -> None:
    chip = make_chip((9, 5), noisy())
    spread = torch.stack([chip.predict(X) for _ in range(400)]) - X @ chip.layers[0].tile.twin().T
    assert_mean(spread, 0.0, NOISE)
    assert_std(spread, NOISE)


def test_without_noise_prediction_and_every_pass_are_the_same() -> None:
    chip = make_chip(WIDTHS)
    seen = observe(chip, passes=3)
    for a in seen.pre_activations:
        torch.testing.assert_close(a, a[:1].expand_as(a))
    torch.testing.assert_close(chip.predict(X), seen.pre_activations[-1][0])


def test_reads_of_the_first_layer_differ_by_the_devices_noise_alone() -> None:
    seen = observe(make_chip(WIDTHS, noisy()), passes=300)
    product = X @ make_chip(WIDTHS, noisy()).layers[0].tile.twin().T
    error = seen.pre_activations[0] - product
    assert_mean(error, 0.0, NOISE)
    assert_std(error, NOISE)
    assert_std((error[1::2] - error[0:-1:2]), NOISE * math.sqrt(2))


def test_injected_noise_comes_on_top_of_the_devices_in_noisy_passes_only() -> None:
    chip = make_chip(WIDTHS, noisy())
    baselines, perturbed = [], []
    for _ in range(150):
        seen = observe(chip, std=0.5)
        baselines.append(seen.pre_activations[0][0])
        perturbed.append(seen.pre_activations[0][1])
    product = X @ chip.layers[0].tile.twin().T
    assert_std(torch.stack(baselines) - product, NOISE)
    assert_std(torch.stack(perturbed) - product, math.hypot(NOISE, 0.5))


@pytest.mark.parametrize(("name", "each"), [("bp", 0), ("np", 1), ("anp", 1), ("inp", 3)])
@pytest.mark.parametrize("passes", [1, 4])
def test_k_repetitions_give_one_baseline_and_k_times_the_rules_passes(
    name: str, each: int, passes: int
) -> None:
    seen = observe(make_chip(WIDTHS, noisy()), name, 0.01, passes)
    assert seen.losses.shape == (1 + passes * each, 7)
    assert all(a.shape[0] == 1 + passes * each for a in seen.pre_activations)


def test_a_pass_of_inp_perturbs_one_layer_and_what_follows_it() -> None:
    seen = observe(make_chip(WIDTHS), "inp", 0.01)
    for layer, a in enumerate(seen.pre_activations):
        for probed in range(3):
            same = torch.allclose(a[1 + probed], a[0], atol=1e-5)
            assert same is (layer < probed)


def test_injection_is_exactly_what_is_added_to_the_pre_activations_of_its_layer() -> None:
    seen = observe(make_chip(WIDTHS), "inp", 0.01, 2)
    assert seen.injected is not None
    for layer, (noise, passes) in enumerate(zip(seen.injected.noise, seen.injected.passes, strict=True)):
        for place, p in enumerate(passes):
            added = seen.pre_activations[layer][1 + p] - seen.pre_activations[layer][0]
            torch.testing.assert_close(added, noise[place], rtol=0, atol=2e-6)


def test_injected_noise_has_its_std_and_is_independent_between_layers_and_passes() -> None:
    seen = observe(make_chip((9, 12, 12), loss=squared_error), "np", 0.01, 400, normal(7, 9))
    assert seen.injected is not None
    for noise in seen.injected.noise:
        assert_mean(noise, 0.0, 0.01)
        assert_std(noise, 0.01)
        assert_mean(noise[1:] * noise[:-1], 0.0, 1e-4)
    assert_mean(seen.injected.noise[0] * seen.injected.noise[1], 0.0, 1e-4)


def linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    module = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    module.load_state_dict({"weight": weight} | ({} if bias is None else {"bias": bias}))
    return module


def plain_network(chip: Chip) -> nn.Sequential:
    """The same network in plain torch; R is a linear layer without bias."""
    modules: list[nn.Module] = []
    for layer in chip.layers:
        if layer.r is not None:
            modules.append(linear(layer.r, None))
        modules.append(linear(layer.tile.twin(), layer.bias))
        if layer.slope is not None:
            modules.append(nn.LeakyReLU(layer.slope))
    return nn.Sequential(*modules)


@pytest.mark.parametrize("decorrelated", [False, True])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_bps_weight_gradients_are_those_of_plain_torch(loss: str, decorrelated: bool) -> None:
    ours = {"cross_entropy": cross_entropy, "squared_error": squared_error}[loss]
    chip = make_chip(WIDTHS, noisy(), decorrelated=decorrelated, bias=True, loss=ours)
    for place, layer in enumerate(chip.layers):
        assert layer.bias is not None
        layer.bias.copy_(normal(layer.bias.numel(), seed=place))
        if layer.r is not None:
            layer.r.add_(0.2 * normal(*layer.r.shape, seed=place))
    network = plain_network(chip)
    outputs = network(X)
    total = F.cross_entropy(outputs, TARGET, reduction="sum")
    if loss == "squared_error":
        total = (F.one_hot(TARGET, 5) - outputs).square().mean(1).sum()
    parameters = dict(network.named_parameters())
    true = dict(zip(parameters, torch.autograd.grad(total, list(parameters.values())), strict=True))
    seen = observe(chip, "bp")
    assert seen.gradient is not None
    gradients = iter(seen.gradient)
    value = X
    for place, module in enumerate(network):
        if f"{place}.bias" in true:
            gradient = next(gradients)
            torch.testing.assert_close(gradient.T @ value, true[f"{place}.weight"], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(gradient.sum(0), true[f"{place}.bias"], rtol=1e-4, atol=1e-5)
        value = module(value).detach()
    assert next(gradients, None) is None


def test_losses_are_per_sample_of_every_pass() -> None:
    outputs, values = normal(3, 7, 5, seed=5), normal(7, 5, seed=6)
    for p in range(3):
        for b in range(7):
            row = outputs[p, b]
            torch.testing.assert_close(
                cross_entropy(outputs, TARGET)[p, b], -row.log_softmax(0)[TARGET[b]], rtol=1e-5, atol=1e-6
            )
            torch.testing.assert_close(
                squared_error(outputs, values)[p, b], (row - values[b]).square().mean()
            )


def test_observing_changes_neither_weights_nor_the_batch() -> None:
    chip = make_chip(WIDTHS, noisy(), decorrelated=True, bias=True)
    before = [layer.tile.twin() for layer in chip.layers]
    x = X.clone()
    for name in ("bp", "np", "anp", "inp"):
        observe(chip, name, 0.1)
    assert torch.equal(X, x)
    assert all(torch.equal(a, layer.tile.twin()) for a, layer in zip(before, chip.layers, strict=True))


@pytest.mark.parametrize("kind", ["exact", "soft bounds", "programmed"])
def test_a_chip_restored_from_its_checkpoint_continues_bit_for_bit(kind: str) -> None:
    noise = {"telegraph": {"amplitude": 0.1, "flip_probability": 0.3}, "white": {"std": NOISE}}
    card = make_card(**updating(kind).physics() | {"read_noise": noise})
    chips = [make_chip(WIDTHS, card, decorrelated=True, bias=True) for _ in range(2)]
    original, restored = chips
    for layer in original.layers:
        layer.tile.write(torch.full_like(layer.tile.twin(), 0.03))
        assert layer.bias is not None
        assert layer.r is not None
        layer.bias.add_(0.1)
        layer.r.mul_(1.1)
    observe(original, "np", 0.1)
    restored.load(through_a_file(original.state()))
    for _ in range(2):
        ours, theirs = (observe(chip, "np", 0.1) for chip in (original, restored))
        assert torch.equal(ours.losses, theirs.losses)
        assert all(
            torch.equal(a, b) for a, b in zip(ours.pre_activations, theirs.pre_activations, strict=True)
        )
    assert torch.equal(original.predict(X), restored.predict(X))


def test_an_unknown_loss_and_a_net_without_layers_are_refused_with_what_to_give() -> None:
    with pytest.raises(UsageError, match="unknown loss 'hinge'"):
        build_chip(Device("ideal"), (64, 10), loss="hinge")
    with pytest.raises(UsageError, match=r"sizes: give at least"):
        build_chip(Device("ideal"), (64,))


def test_a_rule_that_must_know_its_perturbation_is_not_observed_without_one() -> None:
    chip = build_chip(Device("ideal"), (4, 3))
    with pytest.raises(UsageError, match="std: np learns from its own perturbation"):
        chip.observe(torch.zeros(2, 4), torch.zeros(2, dtype=torch.int64), get_rule("np")[0])


def test_a_chip_that_is_shown_no_samples_answers_with_none_and_stays_as_it_is() -> None:
    noise = {
        "telegraph": {"amplitude": 0.1, "flip_probability": 0.2},
        "flicker": {"std": 0.1, "low_hz": 1.0, "high_hz": 50.0, "read_hz": 1000.0},
    }
    chip, other = (make_chip(WIDTHS, make_card(read_noise=noise)) for _ in range(2))
    assert chip.predict(X[:0]).shape == (0, 5)
    seen = chip.observe(X[:0], TARGET[:0], get_rule("anp")[0])
    assert seen.losses.shape == (2, 0)
    for layer, d in zip(chip.layers, seen.pre_activations, strict=True):
        layer.tile.update(torch.zeros(0, layer.tile.inputs), d[0], 0.1)
    assert torch.equal(chip.predict(X), other.predict(X))


def test_r_learns_from_a_share_of_the_batch_and_not_at_every_batch() -> None:
    data = get_task("digits").load()
    seen = {}
    for label, sets in {
        "all": [],
        "share": ["decorrelation.sample_fraction=0.25"],
        "seldom": ["decorrelation.every=2"],
        "rounded": ["decorrelation.products=bfloat16"],
    }.items():
        trainer = Trainer(resolve(load_experiment(None, {"device": "ideal"}, sets)), data)
        changes = []
        for _ in range(4):
            before = trainer.chip.layers[0].r.clone()
            trainer.step()
            changes.append(not torch.equal(before, trainer.chip.layers[0].r))
        seen[label] = trainer.chip.layers[0].r, changes
    assert seen["seldom"][1] == [False, True, False, True]
    assert all(all(seen[label][1]) for label in ("all", "share", "rounded"))
    whole = seen["all"][0] - torch.eye(64)
    assert 0 < float((seen["rounded"][0] - seen["all"][0]).norm()) < 0.02 * float(whole.norm())
    assert 0 < float((seen["share"][0] - seen["all"][0]).norm()) < 0.5 * float(whole.norm())


def test_r_on_a_tile_multiplies_in_its_own_way() -> None:
    with pytest.raises(NoisyhwError, match=r"decorrelation.*products: R is on a tile"):
        load_experiment(None, {}, ["decorrelation.on=tile", "decorrelation.products=bfloat16"])
