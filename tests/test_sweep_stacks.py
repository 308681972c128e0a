"""Engines train runs that are alike as one stack; no bit of a run hangs on the engine, its stack or its fate."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sweep_support import CARD, SMALL, assert_same_results

import noisyhw
from noisyhw.batched import train as training
from noisyhw.batched.train import STACK
from noisyhw.sweeps import Job, Outcome, load, plan
from noisyhw.sweeps.carry_out import carry_out, carry_out_all
from noisyhw.sweeps.engines import Processes, Serial, get_engine
from noisyhw.sweeps.engines.groups import Groups
from noisyhw.sweeps.estimate import estimate
from noisyhw.sweeps.jobs import Jobs
from noisyhw.sweeps.stacked import FEWEST, key_of, largest_stack
from noisyhw.training.run import Interrupted

MIXED = CARD | {
    "devices": [*CARD["devices"], "flash-sonos", "smtj"],
    "list": [
        {"label": "adam", "update.path": "adam"},
        {"label": "sgd", "update.path": "sgd"},
        {"label": "diverges", "update.path": "sgd", "update.learning_rate": 1e25},
    ],
    "grid": {"device.read_noise.scale": [0.5, 1]},
}
"""96 runs, 72 of them in 12 stacks; telegraph noise (smtj) is not stacked."""


def jobs(card: dict[str, Any], **given: Any) -> list[Job]:
    return [Job(point.identity, point.experiment, **given) for point in plan(card).points]


class OneByOne:
    """No groups."""

    workers = 1

    def run(self, jobs: Iterator[Job]) -> Generator[Outcome, None, None]:
        for job in reversed(list(jobs)):
            yield carry_out(job)


# The same bits.


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noisyhw.sweep(MIXED, out=tmp_path_factory.mktemp("mixed"), engine="serial").path


def test_the_mixed_sweep_has_runs_of_all_kinds(mixed: Path) -> None:
    table, keys = load(mixed), [key_of(job) for job in jobs(MIXED)]
    assert set(table["status"]) == {"done", "diverged"}
    assert keys.count(None) == len(table[table["device"] == "smtj"]) == 24
    assert len(set(keys) - {None}) == 12  # sgd and what diverges differ in a rate alone
    assert table[table["status"] == "diverged"]["reason"].str.contains("in epoch 1, step").all()


@pytest.mark.parametrize(
    "engine", [OneByOne(), Processes(2), pytest.param(Processes(3), marks=pytest.mark.slow)]
)
def test_all_engines_give_the_same_bits(mixed: Path, tmp_path: Path, engine: Any) -> None:
    assert_same_results(noisyhw.sweep(MIXED, out=tmp_path, engine=engine).table, load(mixed))


@pytest.mark.slow
def test_ray_gives_the_same_bits(mixed: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    assert_same_results(noisyhw.sweep(MIXED, out=tmp_path, engine="ray", workers=2).table, load(mixed))


# Groups.


def sizes(card: dict[str, Any], workers: int) -> list[int]:
    groups = Groups(iter(jobs(card)), workers)
    return [len(group) for group in iter(groups.next, None)]


ALIKE = {"experiment": SMALL | {"device": "ideal", "batch": 50}}


@pytest.mark.parametrize(
    ("seeds", "workers", "wanted"),
    [
        (32, 2, [16, 16]),
        (32, 1, [32]),
        (1, 2, [1]),
        (5, 2, [2, 3]),
        (3, 8, [1, 1, 1]),
        (100, 2, [32, 32, 18, 18]),
    ],
)
def test_runs_that_are_alike_are_divided_so_that_all_workers_have_work(
    seeds: int, workers: int, wanted: list[int]
) -> None:
    assert sizes(ALIKE | {"seeds": seeds}, workers) == wanted


def test_alike_runs_are_found_between_others_and_the_larger_they_are_the_fewer_go_into_one() -> None:
    grid = {"seeds": 4, "grid": {"update.learning_rate": [0.01, 0.02], "network.hidden": [[8], [9]]}}
    assert sizes(ALIKE | grid, 1) == [8, 8]
    for hidden, wanted in (([8], STACK), ([100], 20)):  # (64 + 100) * 50 * 2 + 2 * 6400 numbers a run
        card = {"experiment": ALIKE["experiment"] | {"network": {"hidden": hidden}}, "seeds": 40}
        most = largest_stack(jobs(card)[0].experiment)
        assert most == wanted
        assert max(sizes(card, 1)) <= most


@pytest.mark.parametrize(
    "card",
    [
        {"experiment": SMALL | {"device": "smtj"}},
        {"experiment": {"network": {"hidden": [500, 500]}, "device": "ideal"}},
    ],
)
def test_runs_that_no_stack_takes_or_that_gain_nothing_go_alone(card: dict[str, Any]) -> None:
    [one] = jobs(card)
    assert key_of(one) is None
    assert sizes(card | {"seeds": 3}, 1) == [1, 1, 1]
    if one.experiment.device.name == "ideal":
        assert largest_stack(one.experiment) < FEWEST


def test_runs_that_keep_a_folder_go_alone_and_so_do_runs_of_other_lengths(tmp_path: Path) -> None:
    [one] = jobs(ALIKE)
    assert key_of(one) is not None
    assert key_of(Job(one.identity, one.experiment, folder=tmp_path)) is None
    longer = one.experiment.model_copy(update={"epochs": 3})
    assert key_of(Job(one.identity, longer)) != key_of(one)


def test_a_run_is_told_to_have_begun_when_its_group_does() -> None:
    begun: list[str] = []
    all_jobs = jobs(ALIKE | {"seeds": 40})
    groups = Groups(Jobs(iter(all_jobs), lambda job: begun.append(job.identity)), 1)
    groups.next()
    assert begun == [job.identity for job in all_jobs[:STACK]]
    groups.next()
    assert begun == [job.identity for job in all_jobs]


# What goes wrong.


class Deadly(type(Path())):  # type: ignore[misc]
    """A path that ends the process that it is sent to."""

    def __reduce__(self) -> Any:
        return os._exit, (7,)


def with_a_killer(tmp_path: Path) -> list[Job]:
    made = jobs(ALIKE | {"seeds": 6}, data_dir=tmp_path)
    made[4] = Job(made[4].identity, made[4].experiment, Deadly(tmp_path))
    assert len({key_of(job) for job in made}) == 1
    return made


def assert_only_the_killer_failed(found: dict[str, Outcome], made: list[Job]) -> None:
    assert found.keys() == {job.identity for job in made}
    for number, job in enumerate(made):
        record = found[job.identity].record
        if number == 4:
            assert (record.status, str(record.reason).startswith("its worker")) == ("failed", True)
            assert "died 3 times" in str(record.reason)
        else:
            whole = carry_out(Job(job.identity, job.experiment)).record
            assert (record.status, record.metrics) == ("done", whole.metrics)


def test_a_job_that_kills_its_worker_three_times_fails_and_its_group_is_done(tmp_path: Path) -> None:
    made = with_a_killer(tmp_path)
    found = {one.record.identity: one for one in Processes(2).run(iter(made))}
    assert_only_the_killer_failed(found, made)


@pytest.mark.slow
def test_on_ray_too_a_job_that_kills_its_worker_fails_alone(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    made = with_a_killer(tmp_path)
    found = {one.record.identity: one for one in get_engine("ray", 2).run(iter(made))}
    assert_only_the_killer_failed(found, made)


def broken_stack(monkeypatch: pytest.MonkeyPatch, error: BaseException, alone: bool) -> None:
    """A run with seed 1 raises in a stack, and if ``alone`` also by itself."""
    trainer = training.Trainer

    def make(experiment: Any, *given: Any) -> Any:
        if experiment.seed == 1:
            raise error
        return trainer(experiment, *given)

    monkeypatch.setattr("noisyhw.batched.train.Trainer", make)
    if alone:
        monkeypatch.setattr("noisyhw.sweeps.carry_out.Trainer", make)


@pytest.mark.parametrize("alone", [True, False])
def test_an_error_in_a_stack_is_told_of_the_guilty_run_and_only_if_it_is_one_alone(
    monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    made = jobs(ALIKE | {"seeds": 3})
    whole = [carry_out(job).record.metrics for job in made]
    broken_stack(monkeypatch, ValueError("odd"), alone)
    found = [one.record for one in Serial().run(iter(made))]
    assert [one.status for one in found] == ["done", "failed" if alone else "done", "done"]
    assert [found[0].metrics, found[2].metrics] == [whole[0], whole[2]]
    if alone:
        assert found[1].reason == "ValueError: odd"
    told = [
        "trained alone, after a stack of it had raised ValueError" in " ".join(one.notes) for one in found
    ]
    assert told == [False, True, False]


def test_train_never_takes_a_stacked_result_for_its_own_nor_a_sweep_one_that_was_computed_alone(
    tmp_path: Path,
) -> None:
    """On pulsed cells most seeds end elsewhere: one identity stands for one result."""
    experiment = SMALL | {"device": "rram", "update": {"path": "mixed_precision"}, "epochs": 4, "batch": 50}
    results = {}
    for keep in ("rows", "folders"):
        made = noisyhw.sweep(
            {"experiment": experiment, "seeds": 3, "keep": keep}, out=tmp_path / "one", engine="serial"
        )
        results[keep] = made.table
    assert not set(results["rows"]["identity"]) & set(results["folders"]["identity"])
    assert list(results["rows"]["train_loss"]) != list(results["folders"]["train_loss"])
    run = noisyhw.train(plan({"experiment": experiment}).points[0].experiment, out=tmp_path / "run")
    [same] = results["folders"][results["folders"]["identity"] == run.identity].to_dict("records")
    assert same["train_loss"] == run.metrics["train_loss"].iloc[-1]


def test_an_interruption_ends_a_stack_at_its_next_batch() -> None:
    batches = 0

    def check() -> None:
        nonlocal batches
        batches += 1
        if batches == 3:
            raise Interrupted("stopped")

    with pytest.raises(Interrupted, match="stopped"):
        list(carry_out_all(jobs(ALIKE | {"seeds": 4}), check))
    assert batches == 3


# Times.


def test_the_seconds_of_stacked_runs_are_shares_that_add_up_and_the_estimate_is_of_stacks() -> None:
    made = jobs(ALIKE | {"seeds": 16, "experiment": ALIKE["experiment"] | {"epochs": 20}})
    found = [one.record for one in Serial().run(iter(made))]
    assert len({one.seconds for one in found}) == 1
    total = sum(one.seconds for one in found)
    runs = {point.identity: point for point in plan(ALIKE | {"seeds": 16}).points}
    longer = {
        key: point.__class__(point.settings, point.experiment.model_copy(update={"epochs": 20}), key)
        for key, point in runs.items()
    }
    guess = estimate(longer, {}, workers=1)
    assert total / 4 < guess.seconds < 4 * total  # by a probe, on a machine that is busy now and then
    alone = estimate(longer, {}, workers=1, keep="folders")
    assert alone.seconds > 1.5 * guess.seconds
