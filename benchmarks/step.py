"""How much a training step costs beyond its matrix products, and a device beyond a plain product.

    python benchmarks/step.py [--rounds N] [--out FOLDER]

All ratios are measured in one run, by turns. The step is one DANP step of the 3x1024 net on CIFAR-10 shapes, batch
1000, with random data: the time does not depend on the values, but for pulses, whose number the learning rate sets.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import torch
from timing import by_turns, ratio, report
from torch import Tensor

from noisyhw import Data, Device, load_experiment
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
    report("Noisy forward: 1024x3072, batch 1000", command, forward(arguments.rounds), arguments.out)
    report("Update: 1024x3072, batch 1000", command, update(arguments.rounds), arguments.out)


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


def forward(rounds: int) -> dict[str, dict[str, float]]:
    """One noisy read of every shipped device beside the plain product."""
    weight, x, _ = matrices()
    contenders = {"plain product": lambda: x @ weight.t()}
    for name in ("ideal", "rram", "ecram", "pcm", "smtj"):
        tile = Device(name).tile(weight)
        contenders[name] = lambda tile=tile: tile.forward(x[None])  # type: ignore[misc]
    seconds = by_turns(contenders, rounds)
    return {name: ratio(seconds, name, "plain product") for name in seconds}


def update(rounds: int) -> dict[str, dict[str, float]]:
    """One update of every way of writing beside the plain outer product."""
    weight, x, d = matrices()
    contenders = {"plain outer product": lambda: d.t() @ x}
    for name, rate in (
        ("ideal", 1e-3),
        ("pcm", 1e-3),
        ("rram", 1e-5),
        ("rram", 1e-3),
        ("rram", 1e-1),
        ("ecram", 1e-3),
    ):
        tile = Device(name).tile(weight)
        contenders[f"{name}, on_tile, learning rate {rate:g}"] = (  # type: ignore[assignment]
            lambda tile=tile, rate=rate: tile.update(x, d, rate * BATCH)
        )
    seconds = by_turns(contenders, rounds)
    return {name: ratio(seconds, name, "plain outer product") for name in seconds}


def matrices() -> tuple[Tensor, Tensor, Tensor]:
    """Weights [1024, 3072], inputs and errors of a batch."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(1024, 3072, generator=generator) * 0.02
    x = torch.rand(BATCH, 3072, generator=generator)
    return weight, x, torch.randn(BATCH, 1024, generator=generator)


if __name__ == "__main__":
    main()
