"""The size of an injected perturbation that is left to us."""

from __future__ import annotations

from functools import cache

import pytest
import torch

import noisyhw
from noisyhw.cards import load_experiment
from noisyhw.errors import UsageError
from noisyhw.tasks import Data, get_task
from noisyhw.training.perturbation import PAPER_STD, own_noise
from noisyhw.training.resolve import resolve
from noisyhw.training.trainer import Trainer

QUIET = ("device.read_noise.white.std=0",)


@cache
def digits() -> Data:
    return get_task("digits").load(
        load_experiment(None, {"device": "ideal", "task.name": "digits"}).task, None
    )


def chosen(device: str, *sets: str, rule: str = "dnp") -> Trainer:
    return Trainer(
        resolve(load_experiment(None, {"device": device, "rule.name": rule}, ["task=digits", *sets])),
        digits(),
    )


@pytest.mark.parametrize("bits", [7, 9, 11])
def test_on_a_quiet_device_the_perturbation_is_about_a_step_of_its_adc(bits: int) -> None:
    trainer = chosen("rram", *QUIET, f"device.periphery.adc.bits={bits}")
    step = 40 / (2**bits - 2)
    assert step / 4 <= trainer.perturbation_std <= 4 * step


@pytest.mark.parametrize("sets", [(), ("network.hidden=[]", *QUIET)], ids=["no converters", "one layer"])
def test_where_nothing_is_rounded_away_it_is_the_papers(sets: tuple[str, ...]) -> None:
    assert chosen("rram" if sets else "ideal", *sets).perturbation_std == PAPER_STD


@pytest.mark.parametrize("rule", ["np", "dnp", "inp"])
def test_on_a_noisy_device_it_is_the_devices_own_noise(rule: str) -> None:
    trainer = chosen("rram", rule=rule)
    x, target = trainer._batch(0, 0)
    differences = sum(layer.tile.outputs for layer in trainer.chip.layers) * len(x)
    assert trainer.perturbation_std == pytest.approx(
        own_noise(trainer.chip, x, target), rel=5 * (1 / differences) ** 0.5
    )


def test_the_search_leaves_the_stream_of_perturbations_where_it_was() -> None:
    searched, given = chosen("rram", *QUIET), chosen("rram", *QUIET, "perturbation.std=0.1")
    assert torch.equal(searched.chip.generator.get_state(), given.chip.generator.get_state())


def test_a_rule_that_knows_its_perturbation_learns_on_a_quiet_device_with_converters() -> None:
    def accuracy(std: str) -> float:
        sets = ["epochs=20", f"perturbation.std={std}", *QUIET]
        return float(noisyhw.train(device="rram", rule="dnp", sets=sets).metrics.test_accuracy.iloc[-1])

    assert accuracy("auto") > 0.4  # 360 test digits: 0.1 by chance, give or take 0.016
    assert accuracy("1e-3") < 0.2  # a fiftieth of a step of the ADC


@pytest.mark.parametrize("rule", ["np", "dnp", "inp"])
@pytest.mark.parametrize("sets", [(), QUIET], ids=["noisy", "quiet"])
def test_a_factor_on_auto_multiplies_what_a_rule_that_knows_it_is_given(
    rule: str, sets: tuple[str, ...]
) -> None:
    plain = chosen("rram", *sets, rule=rule).perturbation_std
    assert chosen("rram", *sets, "perturbation.auto_factor=3.0", rule=rule).perturbation_std == 3 * plain


def test_a_factor_on_auto_multiplies_the_noise_that_activity_rules_live_on() -> None:
    """The rms of three passes' differences, 399,000 of them and more: relative error 1 / sqrt(2 n) = 0.0012."""
    one, three = (chosen("rram", f"perturbation.auto_factor={k}", rule="anp") for k in (1.0, 3.0))
    assert one.perturbation_std == 0
    x, target = three._batch(0, 0)
    seen = three.chip.observe(x, target, three.rule, three.perturbation_std, 3)
    first = seen.pre_activations[0]  # of later layers the perturbation of the first is a part
    noise = float((first[1:] - first[1:].mean(0)).square().sum() / (2 * first[0].numel())) ** 0.5
    base = one.chip.observe(x, target, one.rule, 0.0, 3).pre_activations[0]
    own = float((base[1:] - base[1:].mean(0)).square().sum() / (2 * base[0].numel())) ** 0.5
    injected = three.perturbation_std
    assert noise == pytest.approx((own**2 + injected**2) ** 0.5, rel=5 * (1 / base[0].numel()) ** 0.5)
    both = own_noise(one.chip, x, target)
    assert (both**2 + injected**2) ** 0.5 == pytest.approx(3 * both, rel=0.01)


def test_on_a_quiet_device_a_factor_on_auto_multiplies_the_papers_std_of_activity_rules() -> None:
    assert chosen("ideal", "perturbation.auto_factor=2.0", rule="danp").perturbation_std == 2 * PAPER_STD


@pytest.mark.parametrize(
    ("rule", "sets", "said"),
    [
        ("np", ("perturbation.auto_factor=2.0", "perturbation.std=0.1"), "perturbation.std is a number"),
        ("bp", ("perturbation.auto_factor=2.0",), "bp perturbs nothing; leave it at 1"),
        ("np", ("perturbation.auto_factor=0.5",), "auto_factor: must be"),
    ],
)
def test_a_factor_that_multiplies_nothing_is_refused(rule: str, sets: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError) as error:
        chosen("ideal", *sets, rule=rule)
    assert said in str(error.value)
