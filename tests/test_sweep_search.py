"""Every device, rule and point of a sweep gets the same search, by training samples that are held out for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from cli_support import said_by
from report_support import SCALE, falling, grid, make_sweep
from sweep_support import assert_same_results, content

import noisyhw
from noisyhw.errors import CardError, NoisyhwError, UsageError
from noisyhw.reporting import report
from noisyhw.sweeps import load, plan
from noisyhw.sweeps.engines import Serial
from noisyhw.sweeps.record import Record
from noisyhw.sweeps.search import FIRST_SEED, FOLDER
from noisyhw.sweeps.tune import tune_fields
from noisyhw.tasks import data_of, load_data

TUNE: dict[str, Any] = {
    "fields": {"update.learning_rate.scale": [0.1, 1, 10], "perturbation.auto_factor": [1, 2]},
    "epochs": 1,
}
CARD: dict[str, Any] = {
    "experiment": {"epochs": 2, "network": {"hidden": [4]}, "batch": 500},
    "devices": [{"extends": "ideal", "name": "noisy", "read_noise": {"white": {"std": 0.01}}}],
    "rules": ["np", "danp"],
    "grid": {SCALE: [1, 4]},
    "seeds": 2,
    "tune": TUNE,
}
"""8 runs of 6 batches, after a search of 24 runs of 3."""


def searched(**changes: Any) -> Any:
    return plan(CARD | changes)


def record(point: Any, accuracy: float | None, loss: float = 1.0, status: str = "done") -> Record:
    metrics = {} if status == "failed" else {"test_loss": loss, "test_accuracy": accuracy}
    entry = {"identity": point.identity, "status": status, "reason": None, "metrics": metrics}
    entry |= {"perturbation_std": 0.0, "seconds": 0.0, "finished": "", "experiment": {}}
    return Record.read(entry)


def test_every_rule_device_and_level_gets_as_many_runs_of_the_same_candidates() -> None:
    runs = pd.DataFrame([dict(run.settings) for run in searched().search.plan.points])
    counts = runs.groupby(["device", "rule", SCALE]).size()
    assert counts.tolist() == [6] * 4
    for _, part in runs.groupby(["rule", SCALE]):
        tried = set(zip(part["update.learning_rate"], part["perturbation.auto_factor"], strict=True))
        assert len(tried) == 6
        assert {round(rate / min(one for one, _ in tried), 6) for rate, _ in tried} == {1, 10, 100}


def test_the_search_trains_and_judges_on_training_samples_only_and_not_on_the_same() -> None:
    data = load_data(data_of(plan(CARD).points[0].experiment))
    for run in searched().search.plan.points:
        here = load_data(data_of(run.experiment))
        assert len(here.train_x) + len(here.test_x) == len(data.train_x)
        both = torch.cat([here.train_x, here.test_x])
        assert torch.equal(*(torch.unique(rows, dim=0) for rows in (both, data.train_x)))
        assert len(here.test_x) == round(0.2 * len(data.train_x))


def test_with_folds_no_searched_sample_is_a_test_sample_of_the_runs_that_get_its_values() -> None:
    found = searched(experiment=CARD["experiment"] | {"task": {"name": "digits", "folds": 3}}, seeds=3)
    assert len(found.search.plan.points) == 3 * 24
    for key, several in found.search.candidates.items():
        own = data_of(found.search._of[key].experiment)
        tested = {row.numpy().tobytes() for row in load_data(own).test_x}
        seen = load_data(data_of(several[0].runs[0].experiment))
        rows = {row.numpy().tobytes() for row in torch.cat([seen.train_x, seen.test_x])}
        assert not rows & tested


def test_seeds_of_the_search_are_none_of_those_that_are_measured() -> None:
    found = searched(tune=TUNE | {"seeds": 2})
    assert {run.settings["seed"] for run in found.search.plan.points} == {FIRST_SEED, FIRST_SEED + 1}
    assert {point.settings["seed"] for point in found.points} == {0, 1}


def test_each_point_gets_the_values_of_its_own_best_candidate_and_a_lost_one_is_out() -> None:
    search = searched().search
    records = {}
    for number, several in enumerate(search.candidates.values()):
        for place, one in enumerate(several):
            status = ("diverged", "failed")[number % 2] if place == number else "done"
            value = 0.9 if place == number else 0.5 + 0.01 * (place == number + 1)
            records[one.runs[0].identity] = record(one.runs[0], value, status=status)
    chosen = search.chosen(records)
    for number, several in enumerate(search.candidates.values()):
        wanted = several[number + 1]
        for point in chosen[2 * number : 2 * number + 2]:
            assert {key: point.tuned[key] for key in wanted.values} == dict(wanted.values)
            assert point.experiment.update.learning_rate == wanted.values["update.learning_rate"]
            assert point.experiment.perturbation.auto_factor == wanted.values["perturbation.auto_factor"]
            assert point.experiment.task.held_out is None
            assert point.experiment.epochs == 2


def test_equal_accuracies_are_judged_by_the_loss_and_equal_losses_by_the_order() -> None:
    search = searched().search
    losses = (3.0, 2.0, 2.0, 4.0, 5.0, 6.0)
    records = {
        one.runs[0].identity: record(one.runs[0], 0.5, loss)
        for several in search.candidates.values()
        for one, loss in zip(several, losses, strict=True)
    }
    for point in search.chosen(records):
        assert point.tuned["perturbation.auto_factor"] == 2.0
        assert point.tuned["note"].startswith("at the edge of what was tried: update.learning_rate")


def test_where_no_candidate_ends_well_the_values_stay_and_the_table_says_so() -> None:
    planned = searched()
    records = {
        one.identity: record(one, None, status="diverged") for one in planned.search.plan.runs.values()
    }
    for before, after in zip(planned.points, planned.search.chosen(records), strict=True):
        assert after.identity == before.identity
        assert after.tuned == {"note": "no candidate ended well"}


def sweep(out: Path, **options: Any) -> Any:
    return noisyhw.sweep(CARD, out=out, **{"engine": "serial"} | options)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("searched") / "s"
    sweep(folder)
    return folder


def test_runs_train_with_what_the_search_chose_and_the_table_says_it(done: Path) -> None:
    table, candidates = load(done), load(done / FOLDER)
    assert len(table) == 8
    assert len(candidates) == 24
    for _, row in table.iterrows():
        own = candidates[(candidates["rule"] == row["rule"]) & (candidates[SCALE] == row[SCALE])]
        best = own.sort_values(["test_accuracy", "test_loss"], ascending=[False, True]).iloc[0]
        assert row["tuned.update.learning_rate"] == best["update.learning_rate"]
        assert row["tuned.perturbation.auto_factor"] == best["perturbation.auto_factor"]


def test_a_second_sweep_searches_and_computes_nothing(done: Path) -> None:
    before = content(done)
    sweep(done)
    assert content(done) == before


class Stopping(Serial):
    """Computes some runs and is stopped."""

    left = 10

    def run(self, jobs: Any) -> Any:
        for outcome in super().run(jobs):
            yield outcome
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("runs", [10, 28], ids=["within the search", "after it"])
def test_a_sweep_that_was_stopped_ends_as_if_it_had_not_been(runs: int, done: Path, tmp_path: Path) -> None:
    engine = Stopping()
    engine.left = runs
    with pytest.raises(NoisyhwError, match="stopped"):
        sweep(tmp_path / "s", engine=engine)
    assert_same_results(sweep(tmp_path / "s").table, load(done))


@pytest.mark.slow
def test_the_page_says_what_was_chosen_and_by_what_budget(done: Path, tmp_path: Path) -> None:
    made = report([done], tmp_path / "page")
    for text in (made.html.read_text(), made.markdown.read_text().replace("\\", "")):
        assert "chosen for every device, rule and point by a search of one budget: 6 candidates" in text
        assert "1 run of 1 epochs each" in text
        assert "What the search has chosen" in text
        assert "test samples had no say" in text


def test_the_page_of_runs_that_were_not_searched_for_says_so(tmp_path: Path) -> None:
    make_sweep(tmp_path / "s", grid(devices=["rram"], rules=["np"], noise=[1], seeds=1), falling)
    made = report([tmp_path / "s"], tmp_path / "page")
    for text in (made.html.read_text(), made.markdown.read_text()):
        assert "were not searched for: a difference or a break point here is one at these settings" in text
        assert "What the search has chosen" not in text


def test_a_dry_run_tells_the_search_and_makes_nothing(
    done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = tmp_path / "card.yaml"
    card.write_text(json.dumps(CARD))
    said = said_by(capsys, "sweep", str(card), "--dry-run", "--out", str(tmp_path / "s"))
    assert "a search comes first: 24 runs, 24 left" in said.out
    assert not (tmp_path / "s").exists()
    told = json.loads(said_by(capsys, "sweep", str(card), "--dry-run", "--json", "--out", str(done)).out)
    assert (told["search"]["left"], told["left"]) == (0, 0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fields": {}}, "tune.fields: is empty; give at least one value"),
        ({"fields": {"update.learning_rate": []}}, "is empty; give at least one value"),
        ({"fields": {"update.learning_rat": [1.0]}}, "unknown key; did you mean 'learning_rate'?"),
        ({"fields": {"perturbation.auto_factor": [0.5]}}, "perturbation.auto_factor: must be"),
        ({"fields": {"update.learning_rate.scale": ["a"]}}, "must be a finite number >= 0, got 'a'"),
        ({"fields": {"epochs": [1, 2]}}, "'epochs' is no setting to be searched for"),
        ({"fields": {"update.path": ["adam"]}}, "defaults of other fields follow from 'update.path'"),
        ({"fields": {"update.transfer.chop_every": [5, 9]}}, "make it an axis of the sweep's grid"),
        ({"fields": {"task.folds": [2]}}, "'task.folds' is no setting to be searched for"),
        (
            {"fields": {"update.learning_rate": [1.0], "update.learning_rate.scale": [1.0]}},
            "'update.learning_rate.scale' and 'update.learning_rate' are one field",
        ),
        ({"fields": {"perturbation.auto_factor": [2.0]}, "held_out": 1.0}, "tune.held_out: must be"),
    ],
)
def test_a_search_that_means_nothing_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(CardError) as error:
        searched(tune=change)
    assert said in str(error.value)


def test_a_sweep_that_holds_out_samples_itself_is_not_searched() -> None:
    with pytest.raises(UsageError, match=r"task\.held_out: a search holds out training samples itself"):
        searched(experiment=CARD["experiment"] | {"task": {"name": "digits", "held_out": 0.1}})


def test_a_rule_that_perturbs_nothing_is_searched_for_all_else() -> None:
    runs = searched(devices=["ideal"], rules=["bp"], grid={}).search.plan.points
    assert len({run.identity for run in runs}) == 3


def test_one_experiment_is_searched_by_the_same_code_and_the_folder_says_how(tmp_path: Path) -> None:
    options: dict[str, Any] = {"device": "ideal", "rule": "bp", "epochs": 4, "engine": "serial"}
    found = tune_fields(
        fields={"update.learning_rate": [1e-6, 0.01]},
        sets=["network.hidden=[16]", "batch=50"],
        out=tmp_path / "t",
        **options,
    )
    assert found.best == {"update.learning_rate": 0.01}
    assert found.table["accuracy"].idxmax() == 1
    told = json.loads((tmp_path / "t" / "tuned.json").read_text())
    assert told["best"] == {"update.learning_rate": 0.01}
    assert told["command"].startswith("noisyhw tune --device ideal --rule bp --epochs 4 --seeds 1 --field")
    assert told["budget"].startswith(
        "2 candidates (update.learning_rate: 1e-06, 0.01), 1 run of 4 epochs each"
    )


def test_the_command_tries_fields_and_says_what_to_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["tune", "--device", "ideal", "--rule", "bp", "--epochs", "1", "--engine", "serial"]
    command += [
        "--set",
        "network.hidden=[16]",
        "--set",
        "batch=50",
        "--field",
        "update.learning_rate=1e-6,0.01",
    ]
    said = said_by(capsys, *command, "--out", str(tmp_path / "t"))
    assert said.code == 0
    assert said.out.splitlines()[-1] == "best: --set update.learning_rate=0.01"
    wrong = said_by(capsys, *command, "--field", "batch")
    assert (wrong.code, wrong.out) == (2, "")
    assert "--field batch: write it as KEY=VALUE,VALUE,..." in wrong.err
