"""How many runs a minute: one after another, stacked in one process, and stacked in one process a core.

    python benchmarks/replicas.py [--rounds N] [--runs N] [--share N] [--processes N]
                                  [--devices NAME ...] [--out FOLDER]

A run is one epoch, tests included, of the 21-32-32-7 net on data of SARCOS's shapes (44484 training rows, 4449 test
rows, batch 100, random numbers), of which a share is carried out. All contenders train the same number of runs, by
turns, with one thread a process.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from timing import by_turns, ratio, report

from noisyhw import Data, load_experiment
from noisyhw.batched.stack import Stack
from noisyhw.memory import keep_freed_memory
from noisyhw.training.resolve import resolve
from noisyhw.training.trainer import Trainer

TRAIN, TEST, INPUTS, OUTPUTS = 44484, 4449, 21, 7
CARDS = {"ideal": "adam", "rram": "mixed_precision", "pcm": "mixed_precision"}
"""Devices and update paths."""
SIZES = (4, 8, 16, 32)
ALONE = "one after another"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=32)
    parser.add_argument(
        "--share", type=int, default=16, help="one part in so many of an epoch is carried out"
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--devices", nargs="+", choices=CARDS, default=list(CARDS))
    parser.add_argument("--out", type=Path, default=Path("reports/benchmarks"))
    given = parser.parse_args()
    command = (
        f"python benchmarks/replicas.py --rounds {given.rounds} --runs {given.runs} --share {given.share}"
    )
    for device in given.devices:
        path = CARDS[device]
        table = measured(device, path, given.runs, given.share, given.processes, given.rounds)
        title = f"Replicas {device} {path}: {given.runs} runs, danp"
        report(title, command, table, given.out)
        for name, row in table.items():
            minute = 60 * given.runs / (row["seconds"] * given.share)
            times = (1 / row[key] for key in ("ratio", "high", "low"))
            print("  {:44} {:9.0f} runs a minute, {:.1f}x ({:.1f} to {:.1f})".format(name, minute, *times))
        best = min(table, key=lambda name: table[name]["ratio"])
        print(f"  fastest: {best}\n")


def measured(
    device: str, path: str, runs: int, share: int, processes: int, rounds: int
) -> dict[str, dict[str, float]]:
    """Every contender's seconds, and their ratio to one run after another."""
    torch.set_num_threads(1)
    keep_freed_memory()
    contenders: dict[str, Callable[[], object]] = {ALONE: work(device, path, range(runs), 0, share)}
    for size in SIZES:
        contenders[f"1 process, stacks of {size}"] = work(device, path, range(runs), size, share)
    crews = []
    for size in (0, *(size for size in SIZES if size * processes <= runs)):
        crew = Crew(device, path, runs, processes, size, share)
        crews.append(crew)
        what = f"stacks of {size}" if size else ALONE
        contenders[f"{processes} processes, {what}"] = crew.work
    seconds = by_turns(contenders, rounds)
    for crew in crews:
        crew.dismiss()
    return {name: ratio(seconds, name, ALONE) for name in contenders}


def random_data(share: int) -> Data:
    """Numbers in SARCOS's shapes."""
    generator = torch.Generator().manual_seed(0)
    rows = (TRAIN // share, TEST // share)
    x, test_x = (torch.randn(n, INPUTS, generator=generator) for n in rows)
    y, test_y = (torch.randn(n, OUTPUTS, generator=generator) for n in rows)
    return Data(x, y, test_x, test_y, version="random")


def work(device: str, path: str, seeds: range, size: int, share: int) -> Callable[[], object]:
    """One epoch of all runs; ``size`` 0: one after another."""
    data = random_data(share)
    options = {"device": device, "task.name": "sarcos", "rule.name": "danp"}
    experiments = [
        resolve(load_experiment(None, options | {"seed": seed}, [f"update.path={path}"])) for seed in seeds
    ]
    trainers = [Trainer(one, data) for one in experiments]
    if not size:
        return partial(one_by_one, trainers)
    parts = [trainers[first : first + size] for first in range(0, len(trainers), size)]
    return partial(stacked, parts)


def one_by_one(trainers: list[Trainer]) -> None:
    """Train each for an epoch."""
    for trainer in trainers:
        while trainer.step() is None:
            pass


def stacked(parts: list[list[Trainer]]) -> None:
    """Train each part for an epoch, as one stack."""
    for members in parts:
        stack = Stack(members)
        while not stack.epoch_done:
            stack.step()
        stack.hand_back()
        for member in members:
            member.finish_epoch(0.0)


class Crew:
    """Processes that share the runs."""

    def __init__(self, device: str, path: str, runs: int, processes: int, size: int, share: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.ends: list[Connection] = []
        for number in range(processes):
            ours, theirs = context.Pipe()
            seeds = range(number * runs // processes, (number + 1) * runs // processes)
            context.Process(
                target=serve, args=(theirs, device, path, seeds, size, share), daemon=True
            ).start()
            self.ends.append(ours)
        for end in self.ends:
            end.recv()

    def work(self) -> None:
        """Let all work, and wait for the last."""
        for end in self.ends:
            end.send(True)
        for end in self.ends:
            end.recv()

    def dismiss(self) -> None:
        """Let them end."""
        for end in self.ends:
            end.send(False)


def serve(end: Connection, device: str, path: str, seeds: range, size: int, share: int) -> None:
    """Work whenever asked to."""
    torch.set_num_threads(1)
    keep_freed_memory()
    task = work(device, path, seeds, size, share)
    end.send(None)
    while end.recv():
        task()
        end.send(None)


if __name__ == "__main__":
    main()
