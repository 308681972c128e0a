"""Which samples train and which test: folds of digits, samples held out for choosing, and repeated noisy tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import noisyhw
from noisyhw.batched.alike import stack_key
from noisyhw.cards import load_experiment
from noisyhw.cards.experiment import Experiment, TaskCard
from noisyhw.errors import CardError, UsageError
from noisyhw.sweeps import load, plan
from noisyhw.tasks import data_of, get_task, load_data
from noisyhw.tasks.holding_out import hold_out
from noisyhw.training.resolve import resolve
from noisyhw.training.trainer import Trainer


def experiment(*sets: str, device: str = "ideal", rule: str = "danp") -> Experiment:
    small = ("network.hidden=[4]", "epochs=1")
    return resolve(load_experiment(None, {"device": device, "rule.name": rule}, [*small, *sets]))


def rows(x: torch.Tensor) -> set[bytes]:
    return {row.numpy().tobytes() for row in x}


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_runs_of_as_many_seeds_as_folds_test_on_every_image_once(folds: int) -> None:
    parts = [
        load_data(data_of(experiment(f"task.folds={folds}", f"seed={seed + 7}"))) for seed in range(folds)
    ]
    assert sum(len(part.test_x) for part in parts) == 1797
    usual = load_data(TaskCard(name="digits"))
    every = torch.cat([usual.train_x, usual.test_x])
    found = torch.cat([part.test_x for part in parts])
    for one, other in zip(*(x.unique(dim=0, return_counts=True) for x in (every, found)), strict=True):
        assert torch.equal(one, other)
    for part in parts:
        assert len(part.train_x) + len(part.test_x) == 1797
        assert not rows(part.train_x) & rows(part.test_x)
        shares = torch.bincount(part.test_y, minlength=10) * folds / torch.bincount(every_labels(usual))
        assert (shares - 1).abs().max() < folds / 170  # one image more or less of a class of 174 and more


def every_labels(data: noisyhw.tasks.Data) -> torch.Tensor:
    return torch.cat([data.train_y, data.test_y])


def test_without_folds_the_split_is_the_usual_one() -> None:
    data = load_data(data_of(experiment()))
    assert (len(data.train_x), len(data.test_x)) == (1437, 360)
    assert data_of(experiment("seed=3")) == TaskCard(name="digits")


@pytest.mark.slow
def test_runs_of_two_folds_have_identities_and_stacks_of_their_own(tmp_path: Path) -> None:
    keys = {stack_key(experiment("task.folds=3", f"seed={seed}")) for seed in range(6)}
    assert len(keys) == 3
    card = {"experiment": {"task": {"folds": 2}, "epochs": 1, "network": {"hidden": [4]}}}
    card |= {"devices": ["ideal"], "rules": ["bp"], "seeds": 4}
    assert len(plan(card).runs) == 4
    together = noisyhw.sweep(card, out=tmp_path / "s", engine="serial").table
    assert together["status"].tolist() == ["done"] * 4
    alone = [noisyhw.sweep(card | {"seeds": [s]}, out=tmp_path / f"{s}", engine="serial") for s in range(4)]
    assert [one.table["test_loss"][0] for one in alone] == together["test_loss"].tolist()
    assert len(load(tmp_path / "s")) == 4


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (("task.folds=1",), "task.folds: must be"),
        (("task.fold=0",), "fold: must be below task.folds, which are not given"),
        (("task.folds=3", "task.fold=3"), "fold: must be below task.folds, got 3"),
        (("task=sarcos", "task.folds=3"), "task.folds: task 'sarcos' has no such option"),
        (("task.held_out=0.0",), "task.held_out: must be"),
        (("task.held_out=1.0",), "task.held_out: must be"),
        (("evaluation.repeats=0",), "evaluation.repeats: must be"),
    ],
)
def test_splits_that_mean_nothing_are_refused(sets: tuple[str, ...], said: str) -> None:
    with pytest.raises((CardError, UsageError)) as error:
        experiment(*sets)
    assert said in str(error.value)


@pytest.mark.parametrize("share", [0.01, 0.2, 0.999])
def test_samples_held_out_are_training_samples_and_no_others(share: float) -> None:
    data = get_task("digits").load()
    held = hold_out(data, share)
    number = min(max(1, round(share * 1437)), 1436)
    assert (len(held.test_x), len(held.train_x)) == (number, 1437 - number)
    assert not rows(held.test_x) & rows(data.test_x)
    together = torch.cat([held.train_x, held.test_x]), data.train_x
    for one, other in zip(*(x.unique(dim=0, return_counts=True) for x in together), strict=True):
        assert torch.equal(one, other)
    again = hold_out(data, share)
    assert torch.equal(again.test_x, held.test_x)


def test_a_run_that_holds_samples_out_is_tested_on_them() -> None:
    one = experiment("task.held_out=0.25")
    trainer = Trainer(one, load_data(data_of(one)))
    assert len(trainer.data.test_x) == round(0.25 * 1437)
    assert one.identity("", "") != experiment().identity("", "")


@pytest.mark.slow
def test_repeated_noisy_tests_vary_less_by_the_root_of_their_number() -> None:
    """The spread of 60 tests of 16 passes over that of 60 single ones is 1/4, known to 13 %; 4 of these are 1.7."""
    one = experiment("evaluation.repeats=16", device="rram", rule="anp")
    trainer = Trainer(one, load_data(data_of(one)))
    x, y = trainer.data.test_x, trainer.data.test_y

    def spread(repeats: int) -> float:
        tallies = [trainer.evaluate(x, y, repeats) for _ in range(60)]
        assert all(tally.samples == repeats * len(x) for tally in tallies)
        return float(torch.tensor([tally.loss / tally.samples for tally in tallies]).std())

    assert 0.25 / 1.7 < spread(16) / spread(1) < 0.25 * 1.7


def test_only_the_last_epoch_is_tested_repeatedly(monkeypatch: pytest.MonkeyPatch) -> None:
    one = experiment("evaluation.repeats=3", "epochs=2", "batch=2000")
    trainer, seen = Trainer(one, load_data(data_of(one))), []
    evaluate = Trainer.evaluate

    def noted(self: Trainer, x: torch.Tensor, y: torch.Tensor, repeats: int = 1) -> object:
        seen.append(repeats)
        return evaluate(self, x, y, repeats)

    monkeypatch.setattr(Trainer, "evaluate", noted)
    while not trainer.finished:
        trainer.step()
    assert seen == [1, 3]
