"""The store of a sweep keeps every finished run, whatever happens to those who write to it."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
from sweep_support import content

from noisyhw.errors import RunError
from noisyhw.sweeps import Point, load, load_curves, plan
from noisyhw.sweeps.record import Job, Outcome, outcome
from noisyhw.sweeps.store import Store
from noisyhw.sweeps.table import write_results
from noisyhw.training.trainer import Row

CARD = {"experiment": {"epochs": 3, "network": {"hidden": [8]}}, "devices": ["rram"]}


def points(count: int) -> tuple[Point, ...]:
    return plan(CARD | {"seeds": count}).points


def finished(point: Point, epochs: int = 3) -> Outcome:
    """A run that was never computed."""
    rows = [
        Row(
            epoch,
            8 * epoch,
            train_loss=1 / epoch,
            train_accuracy=0.5,
            test_loss=2 / epoch,
            test_accuracy=0.25,
            pulses_per_weight=None,
            seconds=0.1,
        )
        for epoch in range(1, epochs + 1)
    ]
    return outcome(Job(point.identity, point.experiment), "done", None, rows, seconds=0.3)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


# What is kept.


def test_a_kept_run_is_found_by_its_identity_and_shown_with_its_settings(store: Store) -> None:
    asked = points(2)
    store.ask(asked)
    for point in asked:
        store.add(finished(point))
    again = Store.open(store.path)
    assert again.records == store.records
    assert set(again.records) == {point.identity for point in asked}
    table = load(store.path)
    assert list(table["seed"]) == [0, 1]
    assert list(table["test_loss"]) == [2 / 3, 2 / 3]
    curves = load_curves(store.path)
    assert list(curves["epoch"]) == [1, 2, 3] * 2
    assert list(curves["seed"]) == [0] * 3 + [1] * 3


def test_a_run_that_failed_or_diverged_is_shown_with_its_reason(store: Store) -> None:
    one, two = asked = points(2)
    store.ask(asked)
    store.add(outcome(Job(one.identity, one.experiment), "failed", "MemoryError: too large"))
    store.add(outcome(Job(two.identity, two.experiment), "diverged", "loss is infinite in epoch 1, step 3"))
    table = load(store.path)
    assert list(table["status"]) == ["failed", "diverged"]
    assert list(table["reason"]) == ["MemoryError: too large", "loss is infinite in epoch 1, step 3"]
    assert table["test_loss"].isna().all()
    write_results(store)
    assert "failed,MemoryError: too large" in (store.path / "results.csv").read_text()


def test_runs_that_are_still_to_do_are_shown_when_asked_for(store: Store) -> None:
    asked = points(3)
    store.ask(asked)
    store.add(finished(asked[1]))
    assert list(load(store.path, unfinished=True)["status"]) == ["to do", "done", "to do"]
    assert list(load(store.path)["seed"]) == [1]


def test_asking_again_adds_only_what_is_new(store: Store) -> None:
    store.ask(points(2))
    before = (store.path / "points.jsonl").read_bytes()
    store.ask(points(2))
    assert (store.path / "points.jsonl").read_bytes() == before
    store.ask(points(3))
    assert (store.path / "points.jsonl").read_bytes().startswith(before)
    assert len(Store.open(store.path).points) == 3


def test_of_runs_with_the_same_settings_those_asked_for_last_count(store: Store) -> None:
    """A card swept again with other common settings, other data or a later version: nothing is averaged over both."""
    long = CARD | {"experiment": {"epochs": 7, "network": {"hidden": [8]}}, "seeds": 2}
    for card in (CARD | {"seeds": 2}, long):
        asked = plan(card).points
        store.ask(asked)
        for point in asked:
            store.add(finished(point))
    assert list(load(store.path)["identity"]) == [point.identity for point in asked]
    assert set(load_curves(store.path)["identity"]) == {point.identity for point in asked}
    store.ask(points(2))
    assert list(load(store.path)["identity"]) == [point.identity for point in points(2)]
    assert len(store.records) == 4


def test_the_record_tells_what_was_run(store: Store) -> None:
    [point] = points(1)
    store.add(finished(point))
    told = store.records[point.identity].experiment
    assert plan({"experiment": told}).points[0].identity == point.identity


def test_results_are_written_as_csv_and_parquet_and_not_again_if_nothing_changed(store: Store) -> None:
    asked = points(2)
    store.ask(asked)
    store.add(finished(asked[0]))
    write_results(store)
    before = {name: (store.path / name).read_bytes() for name in ("results.csv", "records.jsonl")}
    stamp = (store.path / "results.csv").stat().st_mtime_ns
    write_results(store)
    assert {name: (store.path / name).read_bytes() for name in before} == before
    assert (store.path / "results.csv").stat().st_mtime_ns == stamp
    table = load(store.path)
    read = pd.read_csv(store.path / "results.csv", keep_default_na=False)
    assert [list(row) for row in read.astype(str).to_numpy()] == [
        ["" if value is None else str(value) for value in row] for row in table.to_numpy()
    ]
    if find_spec("pyarrow") is None:
        assert not (store.path / "results.parquet").exists()
        pytest.skip("pyarrow is not installed, so there is no results.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(store.path / "results.parquet"), table, check_dtype=False)


def test_a_column_of_numbers_and_words_is_written_as_words(store: Store) -> None:
    pytest.importorskip("pyarrow", reason="results.parquet needs pyarrow")
    card = CARD | {"grid": {"perturbation.std": ["auto", 0.5]}}
    asked = plan(card).points
    store.ask(asked)
    for point in asked:
        store.add(finished(point))
    write_results(store)
    assert list(pd.read_parquet(store.path / "results.parquet")["perturbation.std"]) == ["auto", "0.5"]


# What goes wrong.


@pytest.mark.parametrize("cut", [1, 2, 100, 400])
@pytest.mark.parametrize("file", ["records.jsonl", "curves.jsonl", "points.jsonl"])
def test_a_half_written_last_line_does_not_count_and_is_mended(store: Store, file: str, cut: int) -> None:
    asked = points(3)
    store.ask(asked)
    for point in asked[:2]:
        store.add(finished(point))
    whole = (store.path / file).read_bytes()
    line = whole.splitlines(keepends=True)[-1]
    (store.path / file).write_bytes(whole[: -min(cut, len(line))])
    again = Store.open(store.path)
    assert len(again.records) == (1 if file == "records.jsonl" else 2)
    again.ask(asked)
    for point in asked[1:]:
        again.add(finished(point))
    last = Store.open(store.path)
    assert len(last.records) == len(last.points) == len(last.curves()) == 3
    for entry in (store.path / file).read_text().splitlines():
        json.loads(entry)


def test_a_run_whose_curve_was_written_and_whose_record_was_not_is_done_again(store: Store) -> None:
    [point] = asked = points(1)
    store.ask(asked)
    store.add(finished(point, epochs=2))
    (store.path / "records.jsonl").unlink()
    again = Store.open(store.path)
    assert again.records == {}
    again.add(finished(point, epochs=3))
    assert list(load_curves(store.path)["epoch"]) == [1, 2, 3]


@pytest.mark.parametrize("junk", ["{", "[1]", '{"identity": "a"}'])
def test_a_damaged_line_is_named_with_its_number_and_nothing_is_lost_silently(
    store: Store, junk: str
) -> None:
    one, two = points(2)
    store.add(finished(one))
    with (store.path / "records.jsonl").open("a") as file:
        file.write(junk + "\n")
    with pytest.raises(RunError, match=r"records.jsonl:2: not a "):
        Store.open(store.path)
    with pytest.raises(RunError, match=r"records.jsonl:2: not a "):
        store.ask([two])


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [0, 1, 50])
def test_a_full_disk_is_told_and_loses_only_the_run_that_did_not_fit(store: Store, room: int) -> None:
    one, two = asked = points(2)
    store.ask(asked)
    store.add(finished(one))
    before = content(store.path)
    size = len(before["records.jsonl"])
    with (
        room_for(size + room),
        pytest.raises(RunError, match=r"cannot be written .*free some space and start the sweep again"),
    ):
        store.add(finished(two))
    assert content(store.path)["records.jsonl"] == before["records.jsonl"]
    assert set(Store.open(store.path).records) == {one.identity}
    store.add(finished(two))
    assert len(Store.open(store.path).records) == 2


def test_a_disk_that_fills_within_a_line_leaves_whole_lines(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = points(2)
    store.add(finished(one))
    before = content(store.path)
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:20]))
    with pytest.raises(RunError, match=r"curves.jsonl: cannot be written \(no space left\)"):
        store.add(finished(two))
    monkeypatch.undo()
    assert content(store.path) == before


def test_a_disk_that_fails_to_sync_keeps_nothing_half(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    [one] = points(1)

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(RunError, match="Input/output error"):
        store.add(finished(one))
    monkeypatch.undo()
    assert Store.open(store.path).records == {}


def test_a_stop_between_a_line_and_its_sync_keeps_the_line(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may have read it already."""
    one, two = points(2)
    store.add(finished(one))
    fsync, calls = os.fsync, []

    def stop(file: int) -> None:
        fsync(file)
        calls.append(file)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        store.add(finished(two))
    monkeypatch.undo()
    assert set(Store.open(store.path).records) == {one.identity, two.identity}


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(RunError, match=r"holds 'thesis.tex' and is no sweep folder; choose another --out"):
        Store.create(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "dear"
    assert not (tmp_path / "sweep.json").exists()


def test_a_folder_without_a_sweep_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no sweep was started here \(there is no sweep.json\)"):
        load(tmp_path)


def test_a_file_in_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot be written .*choose another --out"):
        Store.create(tmp_path / "file")


def test_a_store_of_another_format_is_refused(store: Store) -> None:
    (store.path / "sweep.json").write_text('{"format": 99}')
    with pytest.raises(RunError, match="format 99, this version knows 1"):
        Store.open(store.path)


# Many at once.

WRITER = """
import sys
from test_sweep_store import finished, points
from noisyhw.sweeps.store import Store
store, mine = Store.create(sys.argv[1]), int(sys.argv[2])
store.ask(points(40))
for point in points(40)[mine::4]:
    store.add(finished(point, epochs=200))
"""


@pytest.mark.slow
def test_four_processes_that_write_at_once_lose_nothing_and_mix_no_lines(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "store"), str(number)], cwd=Path(__file__).parent
        )
        for number in range(4)
    ]
    assert [writer.wait(timeout=600) for writer in writers] == [0, 0, 0, 0]
    store = Store.open(tmp_path / "store")
    assert [point["settings"]["seed"] for point in store.points] == list(range(40))
    assert set(store.records) == {point.identity for point in points(40)}
    assert len(load_curves(store.path)) == 40 * 200


def test_a_run_is_claimed_by_one_process_until_that_ends(store: Store) -> None:
    one, two = (point.identity for point in points(2))
    code = (
        "import sys; from pathlib import Path; from noisyhw.sweeps.store import Store\n"
        "store = Store(Path(sys.argv[1])); print([store.claim(one) for one in sys.argv[2:]], flush=True)\n"
        "sys.stdin.read()"
    )
    assert store.claim(one)
    with subprocess.Popen(
        [sys.executable, "-c", code, str(store.path), one, two],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "[False, True]\n"
        assert not store.claim(two)
        other.kill()
        other.wait()
        assert store.claim(two)


# Size.


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
def test_ten_thousand_finished_runs_are_listed_and_resumed_in_seconds_and_little_memory(
    tmp_path: Path,
) -> None:
    card = CARD | {
        "seeds": 10,
        "sample": {"count": 1000, "fields": {"device.update.step": {"uniform": [0.001, 0.01]}}},
    }
    (tmp_path / "card.yaml").write_text(json.dumps(card))
    planned = plan(tmp_path / "card.yaml")
    store = Store.create(tmp_path / "store")
    store.ask(planned.points)
    ended = [finished(point, epochs=100) for point in planned.points]
    with store.locked():  # in one write: what is tested here is reading
        store._records.append(asdict(one.record) for one in ended)
    write_results(store)
    before = content(store.path)
    for code in (
        "import sys; from noisyhw.sweeps import load; assert len(load(sys.argv[2])) == 10_000",
        "import sys; import noisyhw; noisyhw.sweep(sys.argv[1], out=sys.argv[2])",
    ):
        measured = (
            "import re, time; started = time.process_time()\n"
            f"{code}\n"
            "peak = re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())\n"
            "print(time.process_time() - started, int(peak[1]) / 2**20)"
        )
        done = subprocess.run(
            [sys.executable, "-c", measured, str(tmp_path / "card.yaml"), str(store.path)],
            capture_output=True,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        seconds, gigabytes = map(float, done.stdout.split())
        print(f"{seconds:.1f} s, {gigabytes:.2f} GiB")
        assert seconds < 30
        assert gigabytes < 1
    after = content(store.path)
    assert after.pop("asked.jsonl").count(b"\n") == 1  # the card, which this store was made without
    assert after == before


def test_adding_a_run_to_a_large_store_takes_no_longer(store: Store) -> None:
    asked = points(300)
    started = time.process_time()
    for point in asked:
        store.add(finished(point))
        store.refresh()
    assert time.process_time() - started < 30
    assert len(store.records) == 300
