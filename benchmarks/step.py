"""How much a training step costs beyond its matrix products.

    python benchmarks/step.py [--rounds N] [--out FOLDER]

All ratios are measured in one run, by turns. The step is one DANP step of the 3x1024 net on CIFAR-10 shapes, batch
1000, with random data.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import torch
from timing import by_turns, ratio, report

from noisyhw import Data, load_experiment
from noisyhw.training.resolve import resolve
from noisyhw.training.trainer import Trainer

BATCH = 1000
SIZES = (3072, 1024, 1024, 1024, 10)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path("reports/benchmarks"))
    arguments = parser.parse_args()
    command = f"python benchmarks/step.py --rounds {arguments.rounds}"
    report("DANP step: 3x1024, batch 1000, ideal device", command, danp_step(arguments.rounds), arguments.out)


def danp_step(rounds: int) -> dict[str, dict[str, float]]:
    """One step of our trainer beside the products that it cannot avoid."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(BATCH, SIZES[0], generator=generator)
    y = torch.randint(10, (BATCH,), generator=generator)
    trainer = Trainer(resolve(load_experiment("cifar10-3x1024")), Data(x, y, x[:1], y[:1], version="random"))
    seconds = by_turns({"products alone": Products(), "step": lambda: trainer.learn(x, y)}, rounds)
    return {name: ratio(seconds, name, "products alone") for name in seconds}


class Products:
    """The matrix products of a DANP step.

    Per layer: R x and W x* for both passes (which share them in the first layer), the outer product of the update, and
    the two products of the decorrelation update.
    """

    def __init__(self) -> None:
        self.layers = []
        for index, (inputs, outputs) in enumerate(pairwise(SIZES)):
            passes = 1 if index == 0 else 2
            rows = passes * BATCH
            self.layers.append(
                [
                    torch.randn(shape)
                    for shape in ((rows, inputs), (inputs, inputs), (outputs, inputs), (BATCH, outputs))
                ]
            )

    def __call__(self) -> None:
        """Carry them out."""
        for x, r, w, d in self.layers:
            decorrelated = x @ r.t()
            decorrelated @ w.t()
            baseline = decorrelated[:BATCH]
            d.t() @ baseline
            baseline.t() @ (baseline @ r)


if __name__ == "__main__":
    main()
