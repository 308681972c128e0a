"""Kill the sweep or its workers at any moment: the next start ends with the table of an undisturbed sweep."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sweep_support import CARD, SMALL, assert_same_results

import noisyhw
from noisyhw.sweeps import load, load_curves
from noisyhw.training.run import Interrupted

SCRIPT = Path(sys.executable).parent / "noisyhw"
LONGER = CARD | {"experiment": SMALL | {"epochs": 25}}
"""16 runs of 200 batches."""
NEEDS_PROC = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="workers are found in /proc")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In stacks."""
    return noisyhw.sweep(LONGER, out=tmp_path_factory.mktemp("whole"), engine="serial").path


@pytest.fixture(scope="module")
def wholes(undisturbed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """In stacks, and with folders one by one: the two differ by rounding."""
    card, out = LONGER | {"keep": "folders"}, tmp_path_factory.mktemp("folders")
    return {"rows": undisturbed, "folders": noisyhw.sweep(card, out=out, engine="serial").path}


@contextlib.contextmanager
def started(
    folder: Path, keep: str = "rows", workers: int = 2, **card: object
) -> Iterator[subprocess.Popen[str]]:
    """`noisyhw sweep` in a process of its own; killed at the end, whatever happens."""
    if not SCRIPT.is_file():
        pytest.skip("the noisyhw command is not installed")
    path = folder.with_suffix(".yaml")
    path.write_text(json.dumps(LONGER | {"keep": keep} | card))
    command = [str(SCRIPT), "sweep", str(path), "--out", str(folder), "--workers", str(workers)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(stat.parent.name))
    return found


def records(folder: Path) -> list[bytes]:
    """The whole lines of the store."""
    file = folder / "records.jsonl"
    data = file.read_bytes() if file.exists() else b""
    return data[: data.rfind(b"\n") + 1].splitlines()


def wait_for(process: subprocess.Popen[str], folder: Path, runs: int) -> None:
    """Until so many runs are finished."""
    until = time.monotonic() + 3000
    while len(records(folder)) < runs:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return out


def assert_ends_the_same(folder: Path, whole: Path) -> None:
    assert_same_results(load(folder), load(whole))
    curves = [load_curves(path).drop(columns="seconds") for path in (folder, whole)]
    assert curves[0].equals(curves[1])


# The sweep itself.


@pytest.mark.slow
@NEEDS_PROC
@pytest.mark.parametrize(("keep", "seed"), [("rows", 0), ("folders", 1)])
def test_a_sweep_killed_again_and_again_loses_only_runs_in_flight_and_ends_the_same(
    wholes: dict[str, Path], tmp_path: Path, keep: str, seed: int
) -> None:
    folder, moments = tmp_path / "sweep", random.Random(seed)
    before: list[bytes] = []
    for _ in range(3):
        with started(folder, keep) as process:
            wait_for(process, folder, len(before) + moments.randint(0, 3))
            time.sleep(moments.uniform(0, 0.3))
            workers = children(process.pid)
            process.kill()
            process.wait()
        for worker in workers:  # they notice, and end by themselves
            until = time.monotonic() + 300
            while Path(f"/proc/{worker}/stat").exists():
                assert time.monotonic() < until
                time.sleep(0.02)
        after = records(folder)
        assert after[: len(before)] == before
        before = after
    with started(folder, keep) as process:
        assert finish(process).startswith("16 of 16 runs done, 0 diverged, 0 failed")
    assert records(folder)[: len(before)] == before
    assert len(records(folder)) == 16
    assert_ends_the_same(folder, wholes[keep])


@pytest.mark.slow
def test_a_sweep_killed_while_it_writes_ends_the_same(undisturbed: Path, tmp_path: Path) -> None:
    """Short runs, and a kill right after a line appears: most likely within the next write."""
    folder = tmp_path / "sweep"
    for runs in (1, 4):
        with started(folder) as process:
            wait_for(process, folder, runs)
            process.kill()
            process.wait()
        with (folder / "records.jsonl").open("ab") as file:
            file.write(b'{"identity": "torn')
    with started(folder) as process:
        finish(process)
    assert_ends_the_same(folder, undisturbed)


# Its workers.


@pytest.mark.slow
@NEEDS_PROC
@pytest.mark.parametrize(("keep", "seed"), [("rows", 0), ("folders", 1)])
def test_workers_killed_at_random_moments_are_replaced_and_their_runs_done_again(
    wholes: dict[str, Path], tmp_path: Path, keep: str, seed: int
) -> None:
    folder, moments, kills = tmp_path / "sweep", random.Random(seed), 0
    with started(folder, keep) as process:
        while kills < 5 and process.poll() is None:
            wait_for(process, folder, min(1 + 2 * kills, 14))
            time.sleep(moments.uniform(0, 0.2))
            workers = children(process.pid)
            if workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(moments.choice(workers), signal.SIGKILL)
                    kills += 1
        assert finish(process).startswith("16 of 16 runs done, 0 diverged, 0 failed")
    assert kills >= 3
    assert len(records(folder)) == 16
    assert_ends_the_same(folder, wholes[keep])


# Ctrl-C.


@pytest.mark.slow
@NEEDS_PROC
@pytest.mark.parametrize(("keep", "number"), [("rows", signal.SIGINT), ("folders", signal.SIGTERM)])
def test_ctrl_c_and_terminate_end_the_command_with_130_and_the_next_start_goes_on(
    wholes: dict[str, Path], tmp_path: Path, keep: str, number: signal.Signals
) -> None:
    folder = tmp_path / "sweep"
    with started(folder, keep) as process:
        wait_for(process, folder, 2)
        workers = children(process.pid)
        process.send_signal(number)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 130
        assert out == ""
        assert "Traceback" not in err
        assert (
            f"of 16 runs are finished and kept in {folder}; the same command again goes on from there" in err
        )
        assert [worker for worker in workers if Path(f"/proc/{worker}/stat").exists()] == []
    before = records(folder)
    assert 2 <= len(before) < 16
    assert (folder / "results.csv").read_text().count("\n") == len(before) + 1
    with started(folder, keep) as process:
        finish(process)
    assert records(folder)[: len(before)] == before
    assert_ends_the_same(folder, wholes[keep])


def test_ctrl_c_in_this_process_says_how_many_are_done_and_how_to_go_on(tmp_path: Path) -> None:
    class Pressing:
        def planned(self, *seen: object) -> None:
            self.left = 5

        def started(self, point: object) -> None:
            self.left -= 1
            if not self.left:
                signal.raise_signal(signal.SIGINT)

        def ended(self, *seen: object) -> None:
            pass

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(
        Interrupted, match=r"stopped; 4 of 16 runs are finished and kept in .*; the same command"
    ):
        noisyhw.sweep(CARD, out=tmp_path, engine="serial", watcher=Pressing())
    assert len(load(tmp_path)) == 4
    assert signal.getsignal(signal.SIGTERM) is before
    assert len(noisyhw.sweep(CARD, out=tmp_path, engine="serial").table) == 16


# A full disk.


def test_a_disk_that_is_full_stops_the_sweep_and_the_next_start_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = noisyhw.sweep(CARD, out=tmp_path / "whole", engine="serial").table
    write, free = os.write, 12_000

    def full(file: int, data: bytes) -> int:
        nonlocal free
        free -= len(data)
        return write(file, data) if free > 0 else write(file, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(
        noisyhw.RunError, match=r"cannot be written .*free some space and start the sweep again"
    ):
        noisyhw.sweep(CARD, out=tmp_path / "part", engine="serial")
    monkeypatch.undo()
    assert 0 < len(load(tmp_path / "part")) < 16
    assert_same_results(noisyhw.sweep(CARD, out=tmp_path / "part", engine="serial").table, whole)
