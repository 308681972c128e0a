"""The size of an injected perturbation that is left to us."""

from __future__ import annotations

from functools import cache

import pytest
import torch

import noisyhw
from noisyhw.cards import load_experiment
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
