"""Measure options beyond the paper, each against plain DANP with as many forward passes; draw and write the page.

    python reports/beyond.py --data-dir DATA [--only digits-rram ...] [--seeds 3]

What is measured is kept in runs/reports/beyond/results.jsonl and is not measured again. The learning rate is chosen
from one grid for every option, by the last epoch's training loss of the first seed, where no seed diverges. Writes
reports/beyond-the-paper.md, .png and .svg, with the words of beyond_words.md.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from beyond_alignment import measured
from beyond_left_out import counting_pulses, whitening_differences, whitening_inputs
from beyond_page import best_rate, write_page

from noisyhw.cards.loading import load_experiment
from noisyhw.tasks import Data, get_task
from noisyhw.training.environment import environment
from noisyhw.training.progress import Diverged
from noisyhw.training.resolve import resolve
from noisyhw.training.threads import computing_with
from noisyhw.training.trainer import Trainer

STORE = Path("runs/reports/beyond/results.jsonl")
KEYS = ("bench", "label", "rate", "seed")
MEAN4 = ("perturbation.passes=3", "perturbation.reference=mean")


@dataclass(frozen=True)
class Variant:
    """One thing that is tried: settings, and for what is no option a change to the trainer."""

    sets: tuple[str, ...] = ()
    change: Callable[[Trainer], None] | None = None


@dataclass(frozen=True)
class Bench:
    """A task on a device; every variant takes as many forward passes.

    Attributes:
        experiment: a shipped experiment, or None.
        rates: learning rates to choose from.
        passes: forward passes of one sample that every variant takes.
    """

    title: str
    task: str
    sets: tuple[str, ...]
    rates: tuple[float, ...]
    passes: int
    variants: Mapping[str, Variant]
    experiment: str | None = None


def digits() -> dict[str, Variant]:
    """600 epochs of two passes, or what costs the same."""
    return {
        "plain danp": Variant(),
        "momentum 0.9": Variant(("update.momentum=0.9",)),
        "momentum 0.97": Variant(("update.momentum=0.97",)),
        "centred, rate 0.1": Variant(("decorrelation.mean_rate=0.1",)),
        "momentum 0.97 and centred": Variant(("update.momentum=0.97", "decorrelation.mean_rate=0.1")),
        "4 passes about their mean, half the batch": Variant((*MEAN4, "batch=200", "epochs=300")),
        "all samples as one batch, a quarter of the updates": Variant(("batch=1437",)),
        "dnp": Variant(("rule=dnp",)),
        "dnp, antithetic": Variant(("rule=dnp", "perturbation.antithetic=true")),
        "whitened inputs, kappa 0.5": Variant(change=whitening_inputs(0.5)),
        "whitened activity differences": Variant(change=whitening_differences(0.1)),
    }


def digits_ecram() -> dict[str, Variant]:
    """300 epochs of two passes."""
    names = ("plain danp", "momentum 0.97", "centred, rate 0.1", "momentum 0.97 and centred")
    return {name: digits()[name] for name in names}


def sarcos_rram() -> dict[str, Variant]:
    """10 epochs of two passes."""
    return {
        "plain danp": Variant(),
        "momentum 0.97": Variant(("update.momentum=0.97",)),
        "centred, rate 0.1": Variant(("decorrelation.mean_rate=0.1",)),
        "4 passes about their mean, half the batch": Variant((*MEAN4, "batch=50", "epochs=5")),
    }


def sarcos_ideal() -> dict[str, Variant]:
    """10 epochs of two passes, by sgd; the baseline pass is free of noise."""
    four = ("perturbation.passes=3", "batch=50", "epochs=5")
    return {
        "plain danp": Variant(),
        "momentum 0.9": Variant(("update.momentum=0.9",)),
        "centred, rate 0.1": Variant(("decorrelation.mean_rate=0.1",)),
        "4 passes, one of them clean, half the batch": Variant(four),
        "antithetic": Variant(("perturbation.antithetic=true",)),
        "std 0.3": Variant(("perturbation.std=0.3",)),
        "std 0.3, antithetic": Variant(("perturbation.std=0.3", "perturbation.antithetic=true")),
        "whitened inputs, kappa 0.5": Variant(change=whitening_inputs(0.5)),
    }


def cifar10() -> dict[str, Variant]:
    """3 epochs of two noisy passes, with the paper's learning rate."""
    return {
        "plain danp": Variant(("epochs=3",)),
        "centred, rate 0.1": Variant(("epochs=3", "decorrelation.mean_rate=0.1")),
    }


BENCHES = {
    "digits-rram": Bench(
        "Digits on the RRAM card (mixed_precision, 64-256-10)",
        "digits",
        ("device=rram", "rule=danp"),
        (0.03, 0.1, 0.3),
        1200,
        digits(),
    ),
    "digits-ecram": Bench(
        "Digits on the ECRAM card (mixed_precision, 64-256-10)",
        "digits",
        ("device=ecram", "rule=danp", "epochs=300"),
        (0.03, 0.1, 0.3),
        600,
        digits_ecram(),
    ),
    "cifar10-noisy": Bench(
        "CIFAR-10, 3 hidden layers of 1024, white read noise of std 1e-3 in every pass (adam)",
        "cifar10",
        (),
        (1e-3,),
        6,
        cifar10(),
        "cifar10-3x1024-noisy",
    ),
    "sarcos-rram": Bench(
        "SARCOS on the RRAM card (mixed_precision, 21-32-32-7)",
        "sarcos",
        ("task.name=sarcos", "device=rram", "rule=danp", "epochs=10"),
        (0.01, 0.03, 0.1),
        20,
        sarcos_rram(),
    ),
    "sarcos-ideal": Bench(
        "SARCOS on the ideal device (sgd, 21-32-32-7)",
        "sarcos",
        ("task.name=sarcos", "device=ideal", "rule=danp", "epochs=10", "update.path=sgd"),
        (0.02, 0.05, 0.125),
        20,
        sarcos_ideal(),
    ),
}


def main() -> None:
    """Measure what is missing, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--only", nargs="+", choices=sorted(BENCHES), default=list(BENCHES))
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    STORE.parent.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        measure(name, arguments.data_dir, arguments.seeds)
    write_page(BENCHES, stored(), angles(arguments.seeds), arguments.seeds, machine())


def angles(seeds: int) -> dict[str, list[list[float]]]:
    """The angles to BP's update, measured once."""
    path = STORE.with_name(f"angles-{seeds}.json")
    if not path.is_file():
        with computing_with(1):
            path.write_text(json.dumps(measured(seeds)))
    found: dict[str, list[list[float]]] = json.loads(path.read_text())
    return found


def machine() -> str:
    """Versions and hardware, in one line."""
    facts = environment()
    return f"noisyhw {facts['versions']['noisyhw']}, torch {facts['versions']['torch']}, {facts['cpu']}"


def measure(name: str, data_dir: Path | None, seeds: int) -> None:
    """The first seed at every learning rate, the others at the best at which none diverges."""
    bench = BENCHES[name]
    data = get_task(bench.task).load(data_dir=data_dir)
    for label, variant in bench.variants.items():
        for rate in bench.rates:
            once(name, label, variant, rate, 0, data)
        tried: set[float] = set()
        while (rate := best_rate(stored(), name, label)) not in tried:
            tried.add(rate)
            for seed in range(1, seeds):
                once(name, label, variant, rate, seed, data)


def stored() -> list[dict[str, Any]]:
    """All results so far; what was measured twice counts once."""
    rows = [json.loads(line) for line in STORE.read_text().splitlines()] if STORE.is_file() else []
    return list({tuple(row[key] for key in KEYS): row for row in rows}.values())


def once(name: str, label: str, variant: Variant, rate: float, seed: int, data: Data) -> None:
    """Train, unless that was done, and keep the result."""
    key = dict(zip(KEYS, (name, label, rate, seed), strict=True))
    if any(all(row[k] == v for k, v in key.items()) for row in stored()):
        return
    bench = BENCHES[name]
    sets = [*bench.sets, *variant.sets, f"update.learning_rate={rate}", f"seed={seed}"]
    experiment = resolve(load_experiment(bench.experiment, {}, sets))
    started = time.perf_counter()
    with computing_with(1):
        result = train(Trainer(experiment, data), variant)
    row = key | result | {"seconds": round(time.perf_counter() - started, 1)}
    print(json.dumps({k: v for k, v in row.items() if k != "curve"}), flush=True)
    with STORE.open("a") as file:
        file.write(json.dumps(row) + "\n")


def train(trainer: Trainer, variant: Variant) -> dict[str, Any]:
    """Train to the end; a run that diverged has infinite losses."""
    if variant.change is not None:
        variant.change(trainer)
    pulses = counting_pulses(trainer)
    curve = []
    passes = (1 + trainer.experiment.perturbation.passes) * torch.ones(())
    try:
        while not trainer.finished:
            if (row := trainer.step()) is not None:
                curve.append((float(passes) * row.epoch, row.train_loss, row.test_loss, row.test_accuracy))
    except Diverged as diverged:
        return {"train_loss": math.inf, "test_loss": math.inf, "test_accuracy": 0.0, "why": str(diverged)}
    last = curve[-1]
    return {
        "train_loss": last[1],
        "test_loss": last[2],
        "test_accuracy": last[3],
        "passes": last[0],
        "pulses_per_cell": pulses(),
        "curve": curve,
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
