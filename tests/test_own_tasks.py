"""A task of one's own in one file: options that its class checks, trust, identity, sweeps; and as a plug-in."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

import noisyhw
from noisyhw import UsageError, foreign
from noisyhw.cards import load_experiment
from noisyhw.cards.experiment import Experiment
from noisyhw.errors import CardError
from noisyhw.sweeps import plan
from noisyhw.sweeps.record import Job
from noisyhw.sweeps.stacked import key_of
from noisyhw.tasks import TASKS, data_of, get_task, load_data, task_of
from noisyhw.training.resolve import resolve

SMALL = ["epochs=1", "network.hidden=[4]", "batch=20"]
MINE = """
import numpy as np
from pydantic import Field
from noisyhw import Data, Task
from noisyhw.tasks import Options, recipe_for


class Waves(Options):
    frequency: float = Field(1.0, gt=0, description="Periods from 0 to 1.")
    shift: float | None = None

    def for_seed(self, seed):
        return self if self.shift is not None else self.model_copy(update={"shift": SHIFT * seed})


class Sines(Task):
    name = "sines"
    title = "Sines from their arguments"
    kind = "regression"
    inputs = 1
    outputs = 1
    recipe = recipe_for("regression", 80)
    options_model = Waves

    def load(self, card, data_dir=None):
        options = self.options_of(card)
        x = np.linspace(0, 1, 100)[:, None] + (options.shift or 0.0)
        return Data.from_arrays(x, np.sin(2 * np.pi * options.frequency * x))

    def found(self, data_dir):
        return "built in"


SHIFT = 0.0
"""


@pytest.fixture(autouse=True)
def nothing_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test allowed is not allowed in the next; and no curve is drawn."""
    monkeypatch.setattr(foreign, "_allowed", set())
    monkeypatch.setattr(foreign, "_everything", False)
    monkeypatch.delenv(foreign.TRUST, raising=False)
    monkeypatch.setattr("noisyhw.training.run.draw_curve", lambda *given: None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my_task.py"
    path.write_text(MINE)
    return path


def experiment(task: Any, *sets: str) -> Experiment:
    return resolve(
        load_experiment(None, {"device": "ideal", "rule": "bp", "task.name": task}, [*SMALL, *sets])
    )


def identity(one: Experiment) -> str:
    return one.identity(load_data(data_of(one)).version, "code")


def test_a_task_in_a_file_trains_with_options_of_its_own(file: Path, tmp_path: Path) -> None:
    sets = [*SMALL, "task.frequency=2.0"]
    run = noisyhw.train(device="ideal", rule="bp", task=f"{file}:Sines", sets=sets, out=tmp_path / "run")
    assert run.status == "done"
    config = load_experiment(run.path / "config.yaml")
    assert (config.task.name, config.task.file, config.task.options) == (
        "Sines",
        str(file),
        {"frequency": 2.0},
    )
    assert config.loss == "squared_error"


def test_its_options_are_checked_by_its_class_and_told_with_field_and_choices(file: Path) -> None:
    for setting, told in (
        (
            "task.frequncy=2.0",
            r"task\.frequncy: .*no such option; did you mean 'frequency'\? Choices: frequency, shift",
        ),
        ("task.frequency=-1.0", r"task\.frequency: must be > 0, got -1\.0"),
        ("task.frequency=fast", r"task\.frequency: must be a number, got 'fast'"),
    ):
        with pytest.raises(UsageError, match=told):
            experiment(file, setting)


def test_its_options_are_in_the_identity_and_their_defaults_and_its_file_s_place_are_not(
    file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "elsewhere" / "renamed.py"
    other.parent.mkdir()
    other.write_text(MINE)
    one = identity(experiment(file))
    assert identity(experiment(f"{other}:Sines", "task.frequency=1.0")) == one
    assert identity(experiment(file, "task.frequency=3.0")) != one


def test_an_edited_task_file_makes_another_run(file: Path, tmp_path: Path) -> None:
    options = {"device": "ideal", "rule": "bp", "task": str(file), "sets": [*SMALL, "epochs=2"]}
    one = noisyhw.train(**options, out=tmp_path / "run", pause_after=1)
    file.write_text(MINE.replace("linspace(0, 1,", "linspace(0, 2,"))
    assert noisyhw.train(**options, out=tmp_path / "other").identity != one.identity
    with pytest.raises(
        UsageError, match=r"task: the code of Sines has changed since this run began; put it back"
    ):
        noisyhw.resume(one.path, trust=True)


def test_a_card_that_names_a_task_s_file_runs_nothing_unasked(file: Path, tmp_path: Path) -> None:
    card, marker = tmp_path / "card.yaml", tmp_path / "ran"
    file.write_text(MINE + f"\nopen({str(marker)!r}, 'w').close()\n")
    card.write_text("device: ideal\nrule: bp\ntask: {file: my_task.py, frequency: 2.0}\nepochs: 1\n")
    with pytest.raises(
        UsageError, match=r"task: a card names code in .*is not run unasked.*--task .*--trust"
    ):
        noisyhw.train(card, out=tmp_path / "run", sets=SMALL)
    assert not marker.exists()
    assert noisyhw.train(card, out=tmp_path / "run", sets=SMALL, trust=True).status == "done"
    assert marker.exists()


def test_a_run_of_a_task_in_a_file_is_resumed_only_where_the_file_is_trusted(
    file: Path, tmp_path: Path
) -> None:
    options = {"device": "ideal", "rule": "bp", "task": str(file), "sets": [*SMALL, "epochs=2"]}
    whole = noisyhw.train(**options, out=tmp_path / "whole")
    cut = noisyhw.train(**options, out=tmp_path / "cut", pause_after=1)
    foreign._allowed.clear()
    with pytest.raises(UsageError, match="unasked"):
        noisyhw.resume(cut.path)
    assert list(noisyhw.resume(cut.path, trust=True).metrics.test_loss) == list(whole.metrics.test_loss)


CARD = {"experiment": {"device": "ideal", "rule": "bp", "epochs": 1, "network": {"hidden": [4]}, "batch": 20}}


@pytest.mark.parametrize("engine", ["serial", pytest.param("processes", marks=pytest.mark.slow)])
def test_an_option_of_its_own_is_swept_and_an_edit_computes_anew(
    file: Path, tmp_path: Path, engine: str
) -> None:
    card = CARD | {"grid": {"task.frequency": [0.5, 2.0]}, "seeds": 2}
    sets = [f"task={file}:Sines"]
    first = noisyhw.sweep(card, out=tmp_path / "sweep", sets=sets, engine=engine).table
    assert list(first["status"]) == ["done"] * 4
    assert set(first["task.frequency"]) == {0.5, 2.0}
    file.write_text(MINE.replace("SHIFT = 0.0", "SHIFT = 0.5"))
    again = noisyhw.sweep(card, out=tmp_path / "sweep", sets=sets, engine=engine).table
    assert list(again["status"]) == ["done"] * 4
    assert not set(first["identity"]) & set(again["identity"])


def test_runs_of_one_s_own_task_are_stacked_and_those_of_other_samples_are_not(file: Path) -> None:
    file.write_text(MINE.replace("SHIFT = 0.0", "SHIFT = 0.5"))
    points = plan(CARD | {"seeds": 2}, [f"task={file}"]).points
    keys = [key_of(Job(one.identity, one.experiment)) for one in points]
    assert None not in keys
    assert keys[0] != keys[1]
    fixed = plan(CARD | {"seeds": 2}, [f"task={file}", "task.shift=0.1"]).points
    assert len({key_of(Job(one.identity, one.experiment)) for one in fixed}) == 1


BROKEN = {
    "no class": ("x = 1\n", r"name the class, my_task\.py:NAME; it has no subclass of noisyhw\.Task"),
    "no recipe": (
        MINE.replace("    recipe =", "    other ="),
        r"Sines has no 'recipe'; a task says name, title, kind",
    ),
    "no load": (
        MINE.replace("def load", "def lode"),
        r"no complete subclass of noisyhw\.Task|name the class",
    ),
    "a mistake": (MINE + "\n1 / 0\n", r"my_task\.py:\d+: ZeroDivisionError"),
    "no data": (
        MINE.replace("Data.from_arrays", "tuple")
        .replace("(x, np.sin(", "([x, np.sin(")
        .replace("* x))", "* x)])"),
        r"my_task\.py: load gives a tuple; give noisyhw\.Data\.from_arrays",
    ),
    "other sizes": (
        MINE.replace("inputs = 1", "inputs = 3"),
        r"says inputs = 3, and its data have 1; give both alike",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_task_s_file_that_does_not_do_is_refused_in_one_line(name: str, file: Path) -> None:
    text, told = BROKEN[name]
    file.write_text(text)
    with pytest.raises(UsageError, match=told) as refused:
        identity(experiment(file))
    assert "\n" not in str(refused.value)


def test_a_plug_in_s_task_brings_its_options_into_cards_without_any_edit(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugged = task_of(experiment(file).task)
    monkeypatch.setitem(TASKS, "sines", plugged)
    card = tmp_path / "card.yaml"
    card.write_text("device: ideal\nrule: bp\ntask:\n  name: sines\n  frequency: 0\n")
    with pytest.raises(CardError, match=r"card\.yaml:5: task\.frequency: must be > 0, got 0"):
        load_experiment(card)
    with pytest.raises(CardError, match=r"--set task\.folds=3: task\.folds: task 'sines' has no such option"):
        experiment("sines", "task.folds=3")
    [slow, fast] = plan(CARD | {"tasks": ["sines"], "grid": {"task.frequency": [1.0, 2.0]}}).points
    assert (slow.experiment.task.options, fast.experiment.task.options) == ({}, {"frequency": 2.0})
    assert slow.identity != fast.identity
    assert get_task("sines") is plugged


def test_an_option_of_a_shipped_task_is_refused_elsewhere_with_its_line_and_the_choices(
    tmp_path: Path,
) -> None:
    card = tmp_path / "card.yaml"
    card.write_text("device: ideal\ntask:\n  name: sarcos\n  folds: 3\n")
    told = (
        r"card\.yaml:4: task\.folds: task 'sarcos' has no such option; leave it out\. Choices: split, scaling"
    )
    with pytest.raises(CardError, match=told):
        load_experiment(card)


def test_what_is_no_task_names_the_tasks_and_files() -> None:
    with pytest.raises(
        UsageError, match=r"unknown task 'nothing'.*; or a file, \./data\.csv or \./my_task\.py"
    ):
        experiment("nothing")


def test_the_example_of_the_docs_trains(tmp_path: Path) -> None:
    docs = Path(__file__).resolve().parents[1] / "docs" / "extend.md"
    [example] = re.findall(r"^   ```python\n(.*?)^   ```", docs.read_text(encoding="utf-8"), re.S | re.M)
    file = tmp_path / "my_task.py"
    file.write_text(textwrap.dedent(example))
    sets = [*SMALL, "task.frequency=2"]
    run = noisyhw.train(device="ideal", rule="bp", task=f"{file}:Sines", sets=sets, out=tmp_path / "run")
    assert run.status == "done"
    assert load_experiment(run.path / "config.yaml").task.options == {"frequency": 2.0}
