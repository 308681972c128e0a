"""Runs a minute of a sweep, as a user starts it, and how a stack's time grows with its replicas.

    python benchmarks/sweeps.py [--rounds N] [--runs N] [--workers N] [--epochs N] [--devices NAME ...] [--out FOLDER]

The first part takes SARCOS (its data must be there: --data-dir), the 21-32-32-7 net, batch 100 and DANP, and trains so
many seeds: one after another in this process, which is warm, with the eager step; and through ``noisyhw.sweep`` with
its default engine, whose time includes planning, the start of its processes, reading the data and writing the store.
Contenders go by turns. The second part takes one step of stacks of 1 to 64 replicas by turns, one thread, on random
numbers of the same shapes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
from replicas import CARDS, random_data
from timing import by_turns, ratio, report

import noisyhw
from noisyhw import Data, load_experiment
from noisyhw.batched.stack import Stack
from noisyhw.cards.experiment import TaskCard
from noisyhw.memory import keep_freed_memory
from noisyhw.tasks import get_task
from noisyhw.training.resolve import resolve
from noisyhw.training.trainer import Trainer

REPLICAS = (1, 2, 4, 8, 16, 32, 64)
ALONE = "one after another, eager, warm"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--devices", nargs="+", choices=CARDS, default=["ideal", "rram"])
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--out", type=Path, default=Path("reports/benchmarks"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    options = f"--rounds {given.rounds} --runs {given.runs} --workers {given.workers} --epochs {given.epochs}"
    command = f"python benchmarks/sweeps.py {options}"
    print(f"load of the machine before: {os.getloadavg()}, cores: {os.cpu_count()}, commit {_commit()}")
    for device in given.devices:
        _throughput(device, given, command)
        _growth(device, given, command)
    print(f"load of the machine after: {os.getloadavg()}")


def _commit() -> str:
    here = Path(__file__).parent
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or "unknown"


def _throughput(device: str, given: Any, command: str) -> None:
    data = get_task("sarcos").load(TaskCard(name="sarcos"), given.data_dir)
    sets = [f"update.path={CARDS[device]}", f"epochs={given.epochs}"]
    fields = {"task": "sarcos", "device": device, "rule": "danp", "update": {"path": CARDS[device]}}
    card = {"experiment": fields | {"epochs": given.epochs}, "seeds": given.runs}
    engine = f"noisyhw sweep, {given.workers} workers"
    contenders = {
        ALONE: partial(_one_by_one, device, sets, given.runs, data),
        engine: partial(_swept, card, given.workers, given.data_dir),
    }
    seconds = by_turns(contenders, given.rounds)
    table = {name: ratio(seconds, name, ALONE) for name in contenders}
    title = f"Sweeps {device} {CARDS[device]}: {given.runs} runs of {given.epochs} epochs of SARCOS, danp"
    report(title, command, table, given.out)
    for name, row in table.items():
        minute = 60 * given.runs * given.epochs / row["seconds"]
        times = (1 / row[key] for key in ("ratio", "high", "low"))
        print(
            "  {:44} {:7.0f} runs of an epoch a minute, {:.1f}x ({:.1f} to {:.1f})".format(
                name, minute, *times
            )
        )


def _one_by_one(device: str, sets: list[str], runs: int, data: Data) -> None:
    for seed in range(runs):
        options = {"device": device, "task.name": "sarcos", "rule.name": "danp", "seed": seed}
        trainer = Trainer(resolve(load_experiment(None, options, sets)), data)
        while not trainer.finished:
            trainer.step()


def _swept(card: dict[str, Any], workers: int, data_dir: Path | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = noisyhw.sweep(card, out=Path(folder) / "sweep", workers=workers, data_dir=data_dir)
        assert set(found.table["status"]) == {"done"}


def _growth(device: str, given: Any, command: str) -> None:
    data = random_data(16)
    contenders = {f"{n} replicas": partial(_some_steps, _stack(device, n, data)) for n in REPLICAS}
    seconds = by_turns(contenders, given.rounds)
    table = {name: ratio(seconds, name, "1 replicas") for name in contenders}
    report(f"Growth {device} {CARDS[device]}: {STEPS} steps of a stack", command, table, given.out)
    for name, row in table.items():
        print(f"  {name:44} {1e3 * row['seconds'] / STEPS:7.2f} ms a step")


STEPS = 20


def _stack(device: str, replicas: int, data: Data) -> Stack:
    options = {"device": device, "task.name": "sarcos", "rule.name": "danp"}
    sets = [f"update.path={CARDS[device]}"]
    experiments = [resolve(load_experiment(None, options | {"seed": n}, sets)) for n in range(replicas)]
    return Stack([Trainer(one, data) for one in experiments])


def _some_steps(stack: Stack) -> None:
    stack.batch_index = 0
    for _ in range(STEPS):
        stack.step()


if __name__ == "__main__":
    main()
