"""The learning rate is doubled until learning is unstable, by a criterion that is stated."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from cli_support import said_by

from noisyhw.errors import RunError, UsageError
from noisyhw.sweeps import load
from noisyhw.sweeps import tune as tuning
from noisyhw.sweeps.record import Record
from noisyhw.sweeps.tune import Tuned, tune

SETS = ("network.hidden=[8]", "batch=200", "update.path=sgd")
SMALL: dict[str, Any] = {"device": "ideal", "rule": "bp", "epochs": 3, "sets": SETS, "start": 0.05}


def search(out: Path, **options: Any) -> Tuned:
    return tune(**{"out": out, "engine": "serial", **SMALL, **options})


def record(loss: float | None, status: str = "done") -> Record:
    return Record.read(
        {
            "identity": "",
            "status": status,
            "reason": None if status == "done" else "loss is infinite",
            "metrics": {} if loss is None else {"train_loss": loss},
            "perturbation_std": 0.0,
            "seconds": 0.0,
            "finished": "",
            "experiment": {},
        }
    )


def judged(losses: list[float | None], factor: float = 2.0) -> tuning._Search:
    found = tuning._Search(factor)
    for doubling, loss in enumerate(losses):
        found.see(2.0**doubling, [record(loss, "diverged" if loss is None else "done")])
    return found


def test_rates_double_from_the_start_until_one_is_unstable_and_the_best_has_the_lowest_loss(
    tmp_path: Path,
) -> None:
    tuned = search(tmp_path)
    table = tuned.table
    assert list(table["learning_rate"]) == [0.05 * 2**doubling for doubling in range(len(table))]
    assert list(table["stable"]) == [True] * (len(table) - 1) + [False]
    assert 3 < len(table) < 30
    stable = table[table["stable"]]
    assert tuned.best == stable["learning_rate"][stable["train_loss"].idxmin()]
    assert "2 times the lowest" in tuned.criterion
    assert list(load(tmp_path)["update.learning_rate"]) == list(table["learning_rate"])


@pytest.mark.parametrize(
    ("losses", "rows", "best"),
    [
        ([2.0, 1.0, 0.5, 0.9, 1.1, 0.1], 5, 4.0),
        ([2.0, 1.0, None, 0.1], 3, 2.0),
        ([2.0, 1.0, 2.0, 0.1], 3, 2.0),
        ([2.0, 1.0, 1.999, 0.1], 4, 8.0),
        ([None, 1.0], 1, None),
        ([1.0, math.nan, 0.1], 2, 1.0),
    ],
)
def test_unstable_is_a_divergence_or_a_loss_that_is_not_below_the_factor_times_the_lowest(
    losses: list[float | None], rows: int, best: float | None
) -> None:
    found = judged(losses).tuned(Path())
    assert (len(found.table), found.best) == (rows, best)


def test_another_factor_moves_the_line() -> None:
    assert len(judged([1.0, 2.5, 0.5], factor=3.0).rows) == 3
    assert len(judged([1.0, 2.5, 0.5], factor=2.0).rows) == 2


def test_a_rate_is_judged_by_the_mean_over_seeds_and_unstable_if_any_diverges() -> None:
    found = tuning._Search(2.0)
    found.see(1.0, [record(1.0), record(3.0)])
    assert found.rows[0]["train_loss"] == 2.0
    found.see(2.0, [record(1.0), record(None, "diverged")])
    assert found.ended
    assert found.rows[1]["reason"] == "diverged: loss is infinite"


def test_a_run_that_failed_says_nothing_about_the_learning_rate() -> None:
    with pytest.raises(RunError, match="learning rate 1: the run failed: loss is infinite"):
        tuning._Search(2.0).see(1.0, [record(None, "failed")])


def test_the_result_does_not_depend_on_how_many_are_computed_at_once(tmp_path: Path) -> None:
    from noisyhw.sweeps.engines import Serial

    class Wide(Serial):
        workers = 4

    one, many = search(tmp_path / "one"), search(tmp_path / "many", engine=Wide())
    assert one.table.equals(many.table)
    assert one.best == many.best
    assert len(load(tmp_path / "many")) % 4 == 0


def test_a_second_search_computes_nothing(tmp_path: Path) -> None:
    first = search(tmp_path)
    before = (tmp_path / "records.jsonl").read_bytes()
    assert search(tmp_path).table.equals(first.table)
    assert (tmp_path / "records.jsonl").read_bytes() == before


def test_several_seeds_are_several_runs_a_rate(tmp_path: Path) -> None:
    tuned = search(tmp_path, seeds=2, start=0.4)
    assert len(load(tmp_path)) == 2 * len(tuned.table)
    assert set(load(tmp_path)["seed"]) == {0, 1}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"start": 0.0}, "start: must be a learning rate > 0, got 0"),
        ({"start": math.inf}, "start: must be a learning rate > 0, got inf"),
        ({"factor": 1.0}, "factor: must be > 1, got 1"),
        ({"seeds": 0}, "seeds: must be >= 1, got 0"),
        ({"rule": "bq"}, "unknown rule 'bq'"),
    ],
)
def test_what_cannot_be_searched_is_refused(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as error:
        search(tmp_path, **options)
    assert said in str(error.value)
    assert list(tmp_path.iterdir()) == []


def command(out: Path, *more: str) -> list[str]:
    sets = [part for one in SETS for part in ("--set", one)]
    start = ["tune", "--device", "ideal", "--rule", "bp", "--epochs", "3", "--engine", "serial", *sets]
    return [*start, "--out", str(out), *more]


def test_the_command_prints_the_table_the_criterion_and_the_best(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = said_by(capsys, *command(tmp_path, "--start", "0.05"))
    lines = said.out.splitlines()
    assert said.code == 0
    assert lines[0] == "learning rate  final training loss"
    assert lines[1].split()[0] == "0.05"
    assert lines[-2].startswith("unstable: a run diverges, or the final training loss is not below 2 times")
    told = json.loads(said_by(capsys, *command(tmp_path, "--start", "0.05", "--json")).out)
    assert lines[-1] == f"best: {told['best']:.4g}"
    assert len(told["rates"]) == len(lines) - 3
    assert told["folder"] == str(tmp_path)


def test_a_first_rate_that_diverges_is_told_with_the_fix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = said_by(capsys, *command(tmp_path, "--start", "1e25"))
    assert said.code == 1
    assert "the first learning rate is unstable; choose a smaller --start" in said.err


def test_the_default_start_is_the_papers() -> None:
    assert tuning.START == 1e-7
