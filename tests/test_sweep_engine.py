"""An engine computes runs; which one, and with how many workers, changes no bit of the results."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from cli_support import said_by
from noisyhw_cli import sweep_progress
from noisyhw_cli.sweep_progress import SweepProgress, duration
from sweep_support import CARD, SMALL, assert_same_results, content, lasting

import noisyhw
from noisyhw.errors import DataError, RunError, UsageError
from noisyhw.sweeps import Engine, Job, Outcome, load, load_curves, plan, sweep
from noisyhw.sweeps.carry_out import carry_out
from noisyhw.sweeps.engines import Processes, Serial, get_engine, on_ray
from noisyhw.sweeps.estimate import estimate
from noisyhw.sweeps.store import Store
from noisyhw.training import run as running

SCRIPT = Path(sys.executable).parent / "noisyhw"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep of CARD, one run after another in this process."""
    return noisyhw.sweep(CARD, out=tmp_path_factory.mktemp("serial"), engine="serial").path


@pytest.fixture(scope="module")
def in_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same sweep, every run by itself with a folder."""
    card = CARD | {"keep": "folders"}
    return noisyhw.sweep(card, out=tmp_path_factory.mktemp("folders"), engine="serial").path


# The same results, however computed.


def test_a_sweep_gives_a_row_for_every_run_in_the_order_of_the_card(undisturbed: Path) -> None:
    table = load(undisturbed)
    wanted = [dict(point.settings) for point in plan(CARD).points]
    assert table[list(wanted[0])].to_dict("records") == wanted
    assert set(table["status"]) == {"done"}
    assert set(table["epoch"]) == {2}
    assert len(load_curves(undisturbed)) == 2 * len(table)


def test_a_run_of_a_sweep_is_the_same_run_alone_but_for_rounding(undisturbed: Path, tmp_path: Path) -> None:
    point, row = plan(CARD).points[0], load(undisturbed).iloc[0]
    run = noisyhw.train(point.experiment, out=tmp_path / "run")
    assert row["identity"] == point.identity != run.identity  # the bits differ
    last = run.metrics.iloc[-1]
    for name in ("step", "train_loss", "test_loss"):  # 16 steps in float32, of 6e-8 each
        assert row[name] == pytest.approx(last[name], rel=1e-5)
    assert row["perturbation_std"] == run.record["perturbation_std"]


def test_a_run_that_keeps_a_folder_ends_with_the_bits_of_the_same_run_alone(
    in_folders: Path, tmp_path: Path
) -> None:
    point = plan(CARD | {"keep": "folders"}).points[-1]
    run = noisyhw.train(point.experiment, out=tmp_path / "run")
    row = load(in_folders).iloc[-1]
    assert row["identity"] == point.identity == run.identity
    last = run.metrics.iloc[-1]
    for name in ("step", "train_loss", "train_accuracy", "test_loss", "test_accuracy"):
        assert row[name] == last[name]
    assert row["perturbation_std"] == run.record["perturbation_std"]


@pytest.mark.parametrize("workers", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_worker_processes_give_the_same_bits(undisturbed: Path, tmp_path: Path, workers: int) -> None:
    found = noisyhw.sweep(CARD, out=tmp_path, workers=workers)
    assert_same_results(found.table, load(undisturbed))
    curves = [frame.drop(columns="seconds") for frame in (found.curves, load_curves(undisturbed))]
    assert curves[0].equals(curves[1])


@pytest.mark.slow
def test_runs_that_keep_folders_give_the_same_bits_with_every_engine(
    in_folders: Path, tmp_path: Path
) -> None:
    found = noisyhw.sweep(CARD | {"keep": "folders"}, out=tmp_path, workers=2)
    assert_same_results(found.table, load(in_folders))
    folders = sorted((tmp_path / "runs").iterdir())
    assert [noisyhw.Run.open(folder).status for folder in folders] == ["done"] * 16


def test_a_run_that_was_cut_off_goes_on_from_its_folders_checkpoint(in_folders: Path, tmp_path: Path) -> None:
    point = plan(CARD | {"keep": "folders"}).points[0]
    folder = Store.create(tmp_path).run_folder(point.identity)
    steps = 0

    def stop_in_the_second_epoch() -> None:
        nonlocal steps
        steps += 1
        if steps == 11:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(running.Interrupted):
        carry_out(Job(point.identity, point.experiment, None, folder), stop_in_the_second_epoch)
    assert noisyhw.Run.open(folder).status == "stopped"
    steps = 100
    found = carry_out(Job(point.identity, point.experiment, None, folder), stop_in_the_second_epoch)
    assert steps == 105
    assert found.record.metrics["test_loss"] == load(in_folders)["test_loss"][0]


def test_a_second_start_computes_nothing_and_leaves_every_byte(undisturbed: Path) -> None:
    before = content(undisturbed)

    class Never:
        workers = 1

        def run(self, jobs: Iterator[Job]) -> Generator[Outcome, None, None]:
            raise AssertionError
            yield

    assert isinstance(Never(), Engine)
    noisyhw.sweep(CARD, out=undisturbed, engine=Never())
    assert content(undisturbed) == before


def test_a_longer_sweep_computes_only_what_is_new(undisturbed: Path, tmp_path: Path) -> None:
    class Counting(Serial):
        jobs = 0

        def run(self, jobs: Iterator[Job]) -> Generator[Outcome, None, None]:
            for done in super().run(jobs):
                self.jobs += 1
                yield done

    engine = Counting()
    noisyhw.sweep(CARD, out=tmp_path, engine=engine)
    noisyhw.sweep(CARD | {"seeds": 3}, out=tmp_path, engine=engine)
    assert engine.jobs == 24
    assert len(load(tmp_path)) == 24


def test_an_engine_may_take_all_jobs_at_once_and_end_them_in_any_order(
    undisturbed: Path, tmp_path: Path
) -> None:
    class Backwards:
        workers = 1

        def run(self, jobs: Iterator[Job]) -> Generator[Outcome, None, None]:
            for job in reversed(list(jobs)):
                yield carry_out(job)

    assert_same_results(noisyhw.sweep(CARD, out=tmp_path, engine=Backwards()).table, load(undisturbed))


# Runs that go wrong.


def test_a_run_that_diverges_is_a_row_with_its_reason(tmp_path: Path) -> None:
    card = {
        "experiment": SMALL | {"device": "ideal", "rule": "np", "update": {"path": "sgd"}},
        "grid": {"update.learning_rate": [0.03, 1e25]},
    }
    table = noisyhw.sweep(card, out=tmp_path, engine="serial").table
    assert list(table["status"]) == ["done", "diverged"]
    assert table["reason"][1].startswith("training loss is ")
    assert "in epoch 1, step" in table["reason"][1]


def broken(monkeypatch: pytest.MonkeyPatch, error: Exception) -> dict[str, Any]:
    """A card whose run with seed 1 raises."""
    trainer = running.Trainer

    def make(experiment: Any, *given: Any) -> Any:
        if experiment.seed == 1:
            raise error
        return trainer(experiment, *given)

    for module in ("noisyhw.sweeps.carry_out", "noisyhw.batched.train"):
        monkeypatch.setattr(f"{module}.Trainer", make)
    return {"experiment": SMALL | {"device": "ideal"}, "seeds": 3}


def test_a_run_that_fails_is_a_row_with_its_reason_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = broken(monkeypatch, MemoryError("1 TiB\nwanted"))
    table = noisyhw.sweep(card, out=tmp_path, engine="serial").table
    assert list(table["status"]) == ["done", "failed", "done"]
    assert table["reason"][1] == "MemoryError: 1 TiB wanted"
    monkeypatch.undo()
    assert list(noisyhw.sweep(card, out=tmp_path, engine="serial").table["status"])[1] == "failed"
    again = noisyhw.sweep(card, out=tmp_path, engine="serial", retry_failed=True).table
    assert list(again["status"]) == ["done"] * 3


def test_what_is_not_the_runs_fault_stops_the_sweep_and_fails_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = broken(monkeypatch, DataError("file gone"))
    with pytest.raises(DataError, match="file gone"):
        noisyhw.sweep(card, out=tmp_path, engine="serial")
    assert list(load(tmp_path, unfinished=True)["status"]) == ["done", "to do", "to do"]


def test_a_worker_that_sees_other_data_is_refused() -> None:
    [point, *_] = plan(CARD).points
    with pytest.raises(
        RunError, match="a worker sees other data or another noisyhw than the sweep was planned"
    ):
        carry_out(Job("0" * 64, point.experiment))


def test_an_error_in_a_worker_that_is_not_the_runs_fault_reaches_the_sweep() -> None:
    [point, *_] = plan(CARD).points
    with pytest.raises(RunError, match="a worker sees other data"):
        list(Processes(1).run(iter([Job("0" * 64, point.experiment)])))


def test_a_run_whose_worker_dies_again_and_again_is_recorded_as_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    [point, *_] = plan(CARD).points
    [ended] = Processes(1).run(iter([Job(point.identity, point.experiment)]))
    assert ended.record.status == "failed"
    assert ended.record.reason == "its worker died 3 times (killed, or out of memory; exit code 1)"


# Two sweeps on one folder.


def test_what_another_process_is_at_is_waited_for_and_not_done_twice(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = plan(CARD).points
    theirs, done = points[2].identity, {point.identity: carry_out for point in points}
    store, asked = Store.create(tmp_path), []
    finished = carry_out(Job(theirs, points[2].experiment))
    claim = Store.claim

    def claimed(self: Store, identity: str) -> bool:
        if identity != theirs:
            return claim(self, identity)
        asked.append(identity)
        if len(asked) == 2:  # it ends while we wait
            store.add(finished)
        return False

    monkeypatch.setattr(Store, "claim", claimed)
    monkeypatch.setattr("noisyhw.sweeps.driver.LOOK_AGAIN_SECONDS", 0.01)
    found = noisyhw.sweep(CARD, out=tmp_path, engine="serial")
    assert len(asked) == 2
    assert_same_results(found.table, load(undisturbed))
    assert len((tmp_path / "records.jsonl").read_text().splitlines()) == len(done)


@pytest.mark.slow
def test_two_sweeps_on_one_folder_share_the_work(undisturbed: Path, tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_text(json.dumps(CARD))
    command = [
        str(SCRIPT),
        "sweep",
        str(tmp_path / "card.yaml"),
        "--out",
        str(tmp_path / "out"),
        "--workers",
        "1",
    ]
    both = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [one.wait(timeout=600) for one in both] == [0, 0]
    assert_same_results(load(tmp_path / "out"), load(undisturbed))
    assert len((tmp_path / "out" / "records.jsonl").read_text().splitlines()) == 16


# Choosing an engine.


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "rai"}, "unknown engine 'rai'. Did you mean 'ray'? Choices: processes, serial, ray"),
        ({"name": "serial", "workers": 2}, "--workers: engine 'serial' computes one run at a time, got 2"),
        ({"address": "1.2.3.4:5"}, "--address: engine 'processes' has no cluster; use --engine ray"),
    ],
)
def test_a_wrong_choice_of_engine_is_told(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as error:
        get_engine(**options)
    assert said in str(error.value)


def test_a_missing_ray_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"engine 'ray' needs Ray, .*: pip install 'noisyhw\[ray\]'"):
        get_engine("ray")


def test_sets_as_one_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"sets: give a list, e.g. \['epochs=1'\]"):
        sweep(CARD, out=tmp_path, sets="epochs=1")


def test_ray_is_imported_by_one_file_alone() -> None:
    assert "ray" not in sys.modules or find_spec("ray") is not None
    root = Path(noisyhw.__file__).parent
    found = {file.name for file in root.rglob("*.py") if "import ray" in file.read_text()}
    assert found == {Path(on_ray.__file__).name}


# Ray.


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two node processes on this machine, one core each."""
    pytest.importorskip("ray", reason="Ray is not installed")
    import ray
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        yield found, found.add_node(num_cpus=1)
    finally:
        ray.shutdown()
        found.shutdown()


@pytest.mark.slow
def test_a_cluster_of_two_nodes_gives_the_same_bits(
    undisturbed: Path, tmp_path: Path, cluster: tuple[Any, Any]
) -> None:
    found = noisyhw.sweep(CARD, out=tmp_path, engine="ray", address=cluster[0].address)
    assert_same_results(found.table, load(undisturbed))


@pytest.mark.slow
def test_nodes_that_are_killed_again_and_again_cost_no_run(
    undisturbed: Path, tmp_path: Path, cluster: tuple[Any, Any]
) -> None:
    nodes, node = cluster

    class Killer(SweepProgress):
        def ended(self, point: Any, record: Any) -> None:
            nonlocal node
            super().ended(point, record)
            if self.tally.total() in (3, 7):
                nodes.remove_node(node, allow_graceful=False)
                node = nodes.add_node(num_cpus=1)

    watcher = Killer(quiet=True)
    found = noisyhw.sweep(CARD, out=tmp_path, engine="ray", address=nodes.address, watcher=watcher)
    assert_same_results(found.table, load(undisturbed))


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_told() -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    with pytest.raises(UsageError, match=r"--address: no Ray cluster at '127.0.0.1:1'"):
        get_engine("ray", address="127.0.0.1:1")


# Estimate, progress and the command.


def test_the_time_is_estimated_from_finished_runs_of_the_same_kind(undisturbed: Path) -> None:
    runs = plan(CARD | {"seeds": 4, "experiment": SMALL | {"epochs": 2}}).runs
    records = Store.open(undisturbed).records
    guess = estimate(runs, records, workers=1)
    assert guess.basis == "measured on 16 finished runs"
    total = sum(record.seconds for record in records.values())
    assert guess.seconds == pytest.approx(total, rel=1e-6)  # as many are left as are done, of the same kinds
    assert guess.run_seconds == pytest.approx(total / 16, rel=1e-6)


def test_without_finished_runs_an_epoch_is_timed_and_with_none_left_nothing_is() -> None:
    runs = plan(CARD | {"experiment": SMALL | {"epochs": 1000}}).runs
    guess = estimate(runs, {}, workers=1)
    assert guess.basis == "measured on one epoch of 6 runs"
    assert 16 * 1000 * 1e-4 < guess.seconds < 16 * 1000 * 10
    assert estimate({}, {}, workers=1).seconds == 0


def test_the_live_table_shows_what_runs_what_is_done_and_the_time_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from rich.console import Console

    shown = []

    class Looking(SweepProgress):
        def ended(self, point: Any, record: Any) -> None:
            screen = Console(file=io.StringIO(), width=150)
            screen.print(self.table())
            shown.append(screen.file.getvalue())  # type: ignore[attr-defined]
            super().ended(point, record)

    noisyhw.sweep(CARD, out=tmp_path, engine="serial", watcher=Looking(quiet=True))
    assert "0 of 16 runs done, 0 diverged, 0 failed, 16 left: unknown time" in shown[0]
    assert "rule=np, device.read_noise.scale=0.5, seed=0" in shown[0]
    assert "1 of 16 runs done, 0 diverged, 0 failed, 15 left" in shown[1]
    assert "running (3)" in shown[1]  # a stack of 4, for devices and rules do not go into one
    assert "scale=0.5, seed=0" not in shown[1]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (120, "2 min"), (5400, "1.5 h"), (36000, "10.0 h")]
)
def test_times_are_told_for_people(seconds: float, text: str) -> None:
    assert duration(float(seconds)) == text


def test_the_command_tells_counts_and_where_the_results_are_and_again_that_all_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_progress, "LINE_SECONDS", 0.0)
    (tmp_path / "card.yaml").write_text(json.dumps(CARD))
    command = ("sweep", tmp_path / "card.yaml", "--out", tmp_path / "out", "--engine", "serial")
    said = said_by(capsys, *command)
    assert said.code == 0
    assert said.out.splitlines() == [
        "16 of 16 runs done, 0 diverged, 0 failed",
        f"results: {tmp_path / 'out' / 'results.csv'}",
    ]
    assert said.err.splitlines()[0] == "16 runs, 16 left, 1 at once"
    assert said.err.splitlines()[1].startswith("1 of 16 runs done, 0 diverged, 0 failed, ")
    again = said_by(capsys, *command, "--json")
    assert json.loads(again.out) == {
        "sweep": str(tmp_path / "out"),
        "runs": 16,
        "done": 16,
        "diverged": 0,
        "failed": 0,
    }
    assert again.err == ""
    listed = said_by(capsys, *command, "--dry-run", "--json")
    assert json.loads(listed.out)["left"] == 0


def test_a_failed_run_makes_the_commands_exit_code_1_and_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "card.yaml").write_text(json.dumps(broken(monkeypatch, ValueError("odd"))))
    said = said_by(capsys, "sweep", tmp_path / "card.yaml", "--out", tmp_path / "out", "--engine", "serial")
    assert said.code == 1
    assert "failed: task=digits, device=ideal, rule=danp, seed=1: ValueError: odd" in said.err
    assert "2 of 3 runs done, 0 diverged, 1 failed" in said.out


def test_the_readme_columns_are_there(undisturbed: Path) -> None:
    columns = set(lasting(load(undisturbed)))
    assert {"task", "device", "rule", "seed", "status", "reason", "test_accuracy", "identity"} <= columns


@pytest.mark.slow
def test_workers_are_gone_when_the_sweep_is_closed() -> None:
    points = plan(CARD | {"experiment": SMALL | {"epochs": 100_000}, "grid": {}}).points
    engine = Processes(1)
    outcomes = engine.run(Job(point.identity, point.experiment) for point in points[:1])
    started = time.monotonic()
    short = plan(CARD).points[0]
    outcomes = engine.run(
        iter([Job(short.identity, short.experiment), Job(points[0].identity, points[0].experiment)])
    )
    next(outcomes)
    [worker] = engine._pool
    outcomes.close()
    assert worker.process.returncode is not None
    with pytest.raises(ProcessLookupError):
        os.kill(worker.process.pid, 0)
    assert time.monotonic() - started < 300  # all of its epochs would take longer
