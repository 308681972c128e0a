"""DANP against DNP on the shipped devices, by every update path: a table of mean, low and high over seeds.

    python reports/devices.py digits [--seeds 3] [--epochs N] [--workers 2]
    python reports/devices.py sarcos --data-dir DATA

Runs go to worker processes of one thread each, and are kept under runs/reports/devices/; finished ones are not
repeated. Writes reports/devices-TASK.md. A run that diverges is shown as such.
"""

from __future__ import annotations

import argparse
import itertools
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, get_args

import torch

import noisyhw
from noisyhw.cards.experiment import PathName

HERE = Path(__file__).parent
DEVICES = ("rram", "pcm", "ecram", "smtj")
RULES = ("danp", "dnp")
EPOCHS = {"digits": 300, "sarcos": 10}
METRIC = {"digits": "test_accuracy", "sarcos": "test_loss"}
Key = tuple[str, str, str, int]


def main() -> None:
    """Train what is missing and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=sorted(EPOCHS))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    epochs = arguments.epochs or EPOCHS[arguments.task]
    keys = list(itertools.product(DEVICES, get_args(PathName), RULES, range(arguments.seeds)))
    keys.sort(key=lambda key: key[3])
    jobs = [(arguments.task, epochs, arguments.data_dir, key) for key in keys]
    with ProcessPoolExecutor(
        arguments.workers, get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        results = dict(zip(keys, pool.map(run_one, jobs), strict=True))
    command = f"python reports/devices.py {arguments.task} --seeds {arguments.seeds} --epochs {epochs}"
    command += " --data-dir DATA" if arguments.data_dir else ""
    write(arguments.task, epochs, arguments.seeds, results, command)


def run_one(job: tuple[str, int, Path | None, Key]) -> float | str:
    """The last epoch's metric, or why there is none."""
    task, epochs, data_dir, (device, path, rule, seed) = job
    out = Path("runs/reports/devices") / f"{task}-{device}-{path}-{rule}-{epochs}epochs-{seed}"
    options: dict[str, Any] = {"task": task, "device": device, "rule": rule, "epochs": epochs, "seed": seed}
    try:
        run = noisyhw.train(**options, sets=[f"update.path={path}"], out=out, data_dir=data_dir)
    except noisyhw.NoisyhwError as error:
        return str(error)
    print(f"{out.name}: {run.status} {run.reason or ''}", flush=True)
    return float(run.metrics[METRIC[task]].iloc[-1]) if run.status == "done" else f"diverged: {run.reason}"


def write(task: str, epochs: int, seeds: int, results: dict[Key, float | str], command: str) -> None:
    """The Markdown page."""
    what = METRIC[task].replace("_", " ")
    lines = [f"# DANP and DNP by device and update path: {task}, {epochs} epochs", ""]
    lines += [f"Final {what}: mean (low to high) of {seeds} seeds. Noise is on in training and in test.", ""]
    lines += ["| device | update path | " + " | ".join(RULES) + " |", "|---|---|" + "---|" * len(RULES)]
    remarks: list[str] = []
    for device, path in itertools.product(DEVICES, get_args(PathName)):
        cells = [
            cell([results[device, path, rule, seed] for seed in range(seeds)], remarks) for rule in RULES
        ]
        lines.append(f"| {device} | {path} | " + " | ".join(cells) + " |")
    lines += ["", *dict.fromkeys(remarks), "", "Made by", "", "```", command, "```", ""]
    (HERE / f"devices-{task}.md").write_text("\n".join(lines))


def cell(values: list[float | str], remarks: list[str]) -> str:
    """Say the mean (low to high), and how many did not end."""
    ended = [value for value in values if isinstance(value, float)]
    remarks += [f"- {value}" for value in values if isinstance(value, str)]
    lost = len(values) - len(ended)
    if not ended:
        return f"none of {len(values)} ended"
    text = f"{sum(ended) / len(ended):.3f} ({min(ended):.3f} to {max(ended):.3f})"
    return text + (f", {lost} of {len(values)} did not end" if lost else "")


if __name__ == "__main__":
    main()
