"""How much a training step costs beside its matrix products alone, and beside the paper's algorithm taken literally.

    python benchmarks/step.py [--rounds N] [--threads N] [--out FOLDER]

All ratios are measured in one run, by turns. The first step is DANP's on the 3x1024 net with CIFAR-10's shapes, batch
1000, random data; that it does what the literal algorithm does is checked first. Then: steps of every rule, the growth
of a step with width, depth and batch, and peak memory.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from literal import Literal
from timing import by_turns, ratio, report
from torch import Tensor

from noisyhw import Data, load_experiment
from noisyhw.memory import keep_freed_memory
from noisyhw.products import product
from noisyhw.training.resolve import resolve
from noisyhw.training.trainer import Trainer

BATCH = 1000
INPUTS, WIDTH, CLASSES = 3072, 1024, 10
SIZES = (INPUTS, WIDTH, WIDTH, WIDTH, CLASSES)
RULES = ("bp", "np", "anp", "inp", "dbp", "dnp", "danp", "dinp")
Table = dict[str, dict[str, float]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path("reports/benchmarks"))
    parser.add_argument("--memory", choices=("forward", "step"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        print(peak_memory(arguments.memory))
        return
    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    command = f"python benchmarks/step.py --rounds {arguments.rounds} --threads {arguments.threads}"
    for title, table in (
        ("DANP step: 3x1024, batch 1000, ideal device", danp_step(arguments.rounds)),
        ("Steps of all rules: 3x1024, batch 1000, beside DANP's", all_rules(arguments.rounds)),
        ("Growth of a DANP step: beside 3x1024, batch 1000", growth(arguments.rounds)),
        ("Memory: peak of one step in MiB, beside a forward pass with weights and R", memory()),
    ):
        report(title, command, table, arguments.out)


def trainer(
    rule: str = "danp", sizes: tuple[int, ...] = SIZES, batch: int = BATCH, *sets: str
) -> tuple[Trainer, Tensor, Tensor]:
    """A trainer on random data of these shapes, and a batch."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(batch, sizes[0], generator=generator)
    y = torch.arange(batch) % sizes[-1]
    fields = [f"network.hidden={list(sizes[1:-1])}", f"batch={batch}", *sets]
    experiment = resolve(load_experiment("cifar10-3x1024", {"rule.name": rule}, fields))
    return Trainer(experiment, Data(x, y, x[:1], y[:1], version="random")), x, y


def stepping(each: Trainer, x: Tensor, y: Tensor) -> Callable[[], None]:
    """A step of a trainer on one batch."""

    def step() -> None:
        each.step_count += 1
        each.learn(x, y)

    return step


def danp_step(rounds: int) -> Table:
    """One step of our trainer beside the literal algorithm and beside the products that it cannot avoid."""
    ours, x, y = trainer()
    choice = ours.experiment
    weights = [layer.tile.twin() for layer in ours.chip.layers]
    assert choice.update.learning_rate is not None
    assert choice.decorrelation.rate is not None
    literal = Literal(
        weights, choice.update.learning_rate, choice.decorrelation.rate, ours.perturbation_std, 0
    )
    check_alike(ours, literal, x, y)
    options = {
        "R from a tenth of the batch": ["decorrelation.sample_fraction=0.1"],
        "R at every 4th batch": ["decorrelation.every=4"],
        "R multiplied in bfloat16": ["decorrelation.products=bfloat16"],
    }
    contenders = {
        "literal Algorithm 1": lambda: literal.step(x, y),
        "step": stepping(ours, x, y),
        "products alone, PyTorch's": Products(torch.matmul),
        "products alone, ours": Products(product),
    }
    for name, sets in options.items():
        contenders[f"step, {name}"] = stepping(*trainer("danp", SIZES, BATCH, *sets))
    seconds = by_turns(contenders, rounds)
    table = {name: ratio(seconds, name, "literal Algorithm 1") for name in seconds}
    for yardstick in ("products alone, PyTorch's", "products alone, ours"):
        table[f"step, beside {yardstick}"] = ratio(seconds, "step", yardstick)
    return table


def check_alike(ours: Trainer, literal: Literal, x: Tensor, y: Tensor) -> None:
    """Both make the same of two batches, to rounding."""
    for _ in range(2):
        ours.learn(x, y)
        literal.step(x, y)
    for layer, w, r in zip(ours.chip.layers, literal.weights, literal.decorrelation, strict=True):
        assert layer.r is not None
        torch.testing.assert_close(layer.r, r, rtol=1e-3, atol=1e-5)
        different = (
            layer.tile.twin() - w
        ).abs() > 1e-4  # Adam's first steps are signs: of tiny gradients, chance
        assert float(different.float().mean()) < 0.01


class Products:
    """The matrix products of a DANP step.

    Per layer: R x and W x* for both passes (which share them in the first layer), the outer product of the update, and
    the two products of the decorrelation update.
    """

    def __init__(self, multiply: object) -> None:
        self.multiply = multiply
        self.layers = []
        for index, (inputs, outputs) in enumerate(pairwise(SIZES)):
            passes = 1 if index == 0 else 2
            rows = passes * BATCH
            shapes = ((rows, inputs), (inputs, inputs), (outputs, inputs), (BATCH, outputs))
            self.layers.append([torch.randn(shape) for shape in shapes])

    def __call__(self) -> None:
        """Carry them out."""
        times = self.multiply
        assert callable(times)
        for x, r, w, d in self.layers:
            decorrelated = times(x, r.t())
            times(decorrelated, w.t())
            baseline = decorrelated[:BATCH]
            times(d.t(), baseline)
            times(baseline.t(), times(baseline, r))


def all_rules(rounds: int) -> Table:
    """One step of every rule."""
    contenders = {}
    for rule in RULES:
        sets = ["perturbation.std=auto"] if rule.endswith("bp") else []
        contenders[rule] = stepping(*trainer(rule, SIZES, BATCH, *sets))
    seconds = by_turns(contenders, max(3, rounds // 3))
    return {name: ratio(seconds, name, "danp") for name in seconds}


def growth(rounds: int) -> Table:
    """Steps of narrower and wider, shallower and deeper nets, and of other batches."""
    nets: dict[str, tuple[tuple[int, ...], int]] = {"3x1024, batch 1000": (SIZES, BATCH)}
    nets |= {f"width {w}": ((INPUTS, w, w, w, CLASSES), BATCH) for w in (256, 512, 2048)}
    nets |= {f"{n} hidden layers": ((INPUTS, *[WIDTH] * n, CLASSES), BATCH) for n in (1, 6, 9)}
    nets |= {f"batch {b}": (SIZES, b) for b in (100, 300, 3000)}
    contenders = {}
    for name, (sizes, batch) in nets.items():
        contenders[name] = stepping(*trainer("danp", sizes, batch))
    seconds = by_turns(contenders, max(3, rounds // 3))
    return {name: ratio(seconds, name, "3x1024, batch 1000") for name in seconds}


def memory() -> Table:
    """Peak memory of a process's first step; Adam's moments and its own buffer are weights too, and are told apart."""
    peaks = {what: int(_told("--memory", what)) / 1024 for what in ("forward", "step")}
    adam = 3 * 4 * sum(a * b for a, b in pairwise(SIZES)) / 2**20
    peaks["step, less Adam's state"] = peaks["step"] - adam
    return {
        name: {"seconds": mib, "ratio": mib / peaks["forward"], "low": mib, "high": mib, "rounds": 1}
        for name, mib in peaks.items()
    }


def _told(*arguments: str) -> str:
    command = [sys.executable, __file__, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def peak_memory(what: str) -> int:
    """KiB of weights, R and all that a forward pass, or a step, needs beyond them at its peak (Linux).

    The process does nothing else, and freed memory is given back, so that the peak is that of live tensors.
    """
    each, x, y = trainer()
    each.chip.predict(x[:2])  # what libraries take at their first call
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _memory("VmRSS")
    if what == "forward":
        each.chip.predict(x)
    else:
        each.learn(x, y)
    return _memory("VmHWM") - before + sum(a * b + a * a for a, b in pairwise(SIZES)) * 4 // 1024


def _memory(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


if __name__ == "__main__":
    main()
