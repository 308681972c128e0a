"""Training on data of one's own that are in memory: recipe, identity, resuming, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

import noisyhw
from noisyhw import Data, RunError, UsageError, foreign
from noisyhw.cards import load_experiment
from noisyhw.tasks import card_of, task_of
from noisyhw.tasks.own import UPDATES, recipe_for
from noisyhw.training.resolve import resolve

DRAWS = np.random.default_rng(0)
X = DRAWS.normal(size=(200, 6))
Y = (X[:, 0] > 0).astype(int)
SMALL = ["network.hidden=[8]", "epochs=2", "batch=40"]


@pytest.fixture(autouse=True)
def another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test gave is not at hand in the next; and no curve is drawn."""
    monkeypatch.setattr(foreign, "_given", {})
    monkeypatch.setattr("noisyhw.training.run.draw_curve", lambda *given: None)


def forget() -> None:
    """Go on as a new process would."""
    foreign._given.clear()


def trained(out: Path, task: Any, **options: Any) -> noisyhw.Run:
    options = {"device": "ideal", "rule": "bp", "sets": SMALL, **options}
    return noisyhw.train(task=task, out=out, **options)


def test_a_pair_of_arrays_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noisyhw.tasks.own.UPDATES", 80)
    run = trained(tmp_path / "run", (X, Y), sets=[])
    last = run.metrics.iloc[-1]
    assert run.status == "done"
    assert last.test_accuracy > 0.85
    assert (last.epoch, last.step) == (10, 80)  # 160 samples to train on, in batches of 20


def test_values_train_as_a_regression(tmp_path: Path) -> None:
    data = Data.from_arrays(X, X[:, :2] ** 2)
    run = trained(tmp_path / "run", data, sets=["network.hidden=[16]", "epochs=8"])
    config = load_experiment(run.path / "config.yaml")
    assert config.loss == "squared_error"
    assert run.metrics.test_accuracy.isna().all()
    assert run.metrics.test_loss.iloc[-1] < 0.9 * run.metrics.test_loss.iloc[0]


def test_images_in_memory_go_through_convolutions(tmp_path: Path) -> None:
    images = DRAWS.normal(size=(40, 1, 4, 4))
    sets = ["network.conv=[{channels: 2, kernel: 2}]", "network.hidden=[4]", "epochs=1"]
    assert trained(tmp_path / "run", (images, Y[:40]), sets=sets).status == "done"


def test_a_torch_data_set_trains(tmp_path: Path) -> None:
    dataset = TensorDataset(torch.as_tensor(X), torch.as_tensor(Y))
    assert trained(tmp_path / "run", dataset).status == "done"


def test_noisy_devices_and_other_rules_take_data_of_one_s_own(tmp_path: Path) -> None:
    assert trained(tmp_path / "run", (X, Y), device="rram", rule="danp").status == "done"


@pytest.mark.parametrize("samples", [1, 5, 160, 1437, 5000, 60_000])
def test_the_recipe_makes_about_as_many_updates_whatever_the_number_of_samples(samples: int) -> None:
    recipe = recipe_for("classification", samples)
    assert recipe.hidden == (256,)
    assert 8 <= recipe.batch <= 400
    assert recipe.epochs * -(-samples // recipe.batch) == pytest.approx(UPDATES, rel=0.05)


def test_a_million_samples_are_seen_once() -> None:
    assert recipe_for("regression", 10**6).epochs == 1


def test_learning_rates_are_those_of_a_shipped_task_of_that_kind() -> None:
    for kind, name in (("classification", "digits"), ("regression", "sarcos")):
        own, shipped = recipe_for(kind, 100), noisyhw.get_task(name).recipe  # type: ignore[arg-type]
        assert dict(own.learning_rate) == dict(shipped.learning_rate)


def test_the_task_says_what_its_data_are() -> None:
    from noisyhw.cards.experiment import TaskCard

    images = Data.from_arrays(DRAWS.normal(size=(20, 3, 2, 2)), list("ab" * 10))
    card = TaskCard.model_validate(card_of(images))
    task = task_of(card)
    assert (task.kind, task.inputs, task.outputs, task.image) == ("classification", 12, 2, (3, 2, 2))
    assert (task.name, task.found(None), task.test_samples(card)) == ("arrays", "given", 4)
    assert task.test_samples(card.model_copy(update={"held_out": 0.2})) is None
    assert task.load(card) == images


def test_a_run_is_named_by_its_data_s_content_and_not_by_their_type(tmp_path: Path) -> None:
    one = trained(tmp_path / "one", (X, Y))
    same = trained(tmp_path / "same", Data.from_arrays(torch.as_tensor(X), Y.tolist()))
    other = trained(tmp_path / "other", (X + 1, Y))
    assert one.identity == same.identity != other.identity
    assert one.record["data_version"] == load_experiment(one.path / "config.yaml").task.version
    assert list(one.metrics.train_loss) == list(same.metrics.train_loss)


def test_the_version_is_in_an_identity_once() -> None:
    experiments = [
        resolve(load_experiment(None, {"device": "ideal", "task": card_of((x, Y))})) for x in (X, X + 1)
    ]
    assert experiments[0].identity("d", "c") == experiments[1].identity("d", "c")
    held = load_experiment(None, {"device": "ideal", "task": card_of((X, Y))}, ["task.held_out=0.2"])
    assert resolve(held).identity("d", "c") != experiments[0].identity("d", "c")


def test_a_run_on_data_in_memory_goes_on_where_it_paused_bit_for_bit(tmp_path: Path) -> None:
    straight = trained(tmp_path / "straight", (X, Y), rule="danp", device="rram")
    path = tmp_path / "paused"
    paused = trained(path, (X, Y), rule="danp", device="rram", pause_after=1)
    assert paused.status == "stopped"
    forget()
    done = noisyhw.resume(path, task=(X, Y))
    assert done.status == "done"
    assert list(done.metrics.test_loss) == list(straight.metrics.test_loss)


def test_a_run_whose_data_are_not_given_again_says_so_in_one_line(tmp_path: Path) -> None:
    trained(tmp_path / "run", (X, Y), pause_after=1)
    forget()
    with pytest.raises(
        UsageError, match=r"^task: .*given as an object; .*noisyhw\.resume\(path, task=\.\.\.\)$"
    ):
        noisyhw.resume(tmp_path / "run")


def test_a_run_goes_on_with_its_own_data_only(tmp_path: Path) -> None:
    trained(tmp_path / "run", (X, Y), pause_after=1)
    with pytest.raises(
        RunError, match=r"begun with other data \(version \w+, and those given now have \w+\)"
    ):
        noisyhw.resume(tmp_path / "run", task=(X, 1 - Y))


def test_a_run_of_a_named_task_takes_no_data(tmp_path: Path) -> None:
    sets = ["network.hidden=[4]", "epochs=2", "batch=1000"]
    noisyhw.train(device="ideal", rule="bp", sets=sets, out=tmp_path / "run", pause_after=1)
    with pytest.raises(UsageError, match="finds its data itself; leave task out"):
        noisyhw.resume(tmp_path / "run", task=(X, Y))


def test_data_replace_the_task_of_a_card_as_a_whole(tmp_path: Path) -> None:
    card = tmp_path / "card.yaml"
    card.write_text("device: ideal\nrule: bp\ntask: {name: sarcos, split: blocks}\n")
    run = noisyhw.train(card, task=(X, Y), sets=SMALL, out=tmp_path / "run")
    assert load_experiment(run.path / "config.yaml").task.options == {}


def test_a_task_s_name_replaces_data_in_a_card(tmp_path: Path) -> None:
    card = tmp_path / "card.yaml"
    card.write_text("device: ideal\ntask: {name: arrays, version: 0123456789abcdef}\n")
    assert load_experiment(card, {"task.name": "digits"}) == load_experiment(None, {"device": "ideal"})


def test_data_that_were_changed_under_their_old_version_are_named_anew() -> None:
    data = Data.from_arrays(X, np.where(Y, "on", "off"))
    changed = replace(data, train_x=data.train_x * 2)
    card = card_of(changed)
    assert card["version"] != data.version
    kept = foreign.given(f"data {card['version']}", "task")
    assert kept.classes == ("off", "on")
    assert torch.equal(kept.train_x, changed.train_x)
    assert torch.equal(kept.test_y, data.test_y)


def test_data_of_a_shipped_task_can_be_given(tmp_path: Path) -> None:
    digits = noisyhw.get_task("digits").load()
    sets = ["network.hidden=[4]", "epochs=1", "batch=400"]
    own = trained(tmp_path / "own", digits, sets=sets)
    named = trained(tmp_path / "named", "digits", sets=sets)
    assert list(own.metrics.test_loss) == list(named.metrics.test_loss)


def test_data_made_by_hand_are_checked_at_the_door() -> None:
    data = Data.from_arrays(X, Y)
    broken = replace(data, test_x=torch.full_like(data.test_x, torch.nan))
    with pytest.raises(UsageError, match=r"^test x, row 0, column 0: is missing"):
        card_of(broken)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((X,), r"task: got 1 things; give a task's name, a file, \(x, y\), or data"),
        (X, r"task: got a ndarray; give"),
        ({"x": X, "y": Y}, r"task: got a mapping; give"),
        ((X, Y, X, Y), r"task: got 4 things; give"),
        ((X, Y[:-1]), r"x has 200 samples, and y 199; give one target a sample"),
        ((X, np.zeros(200, int)), r"y: all samples are of one class \(0\)"),
    ],
)
def test_what_is_no_data_is_refused_in_one_line(given: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        card_of(given)
    assert "\n" not in str(refused.value)
