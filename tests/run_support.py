"""What the tests of runs share: tiny runs, a watcher that presses Ctrl-C, and what a run leaves behind."""

from __future__ import annotations

import csv
import signal
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import noisyhw
from noisyhw.cards.experiment import Experiment, TaskCard
from noisyhw.tasks import Data, Recipe, Task
from noisyhw.training.trainer import Row, Trainer
from noisyhw.updates import PATHS as UPDATE_PATHS

SMALL = ("network.hidden=[8]", "batch=200")
"""Digits in 8 batches an epoch, through 8 hidden units."""
DEVICES = ("ideal", "rram", "pcm", "ecram", "smtj")
PATHS = tuple(UPDATE_PATHS)


def tiny(out: Path, *sets: str, **options: Any) -> noisyhw.Run:
    """A run of two epochs; on the ideal device if none is named."""
    options = {"device": "ideal", "epochs": 2, **options}
    return noisyhw.train(sets=[*SMALL, *sets], out=out, **options)


class CtrlC:
    """A watcher that presses Ctrl-C after some batches (0: never), and counts them."""

    def __init__(self, after: int = 0) -> None:
        self.after = after
        self.steps = 0

    def started(self, experiment: Experiment, folder: Path, data: Data, trainer: Trainer) -> None:
        """Nothing to do."""

    def stepped(self, trainer: Trainer, row: Row | None) -> None:
        """Count, and press."""
        self.steps += 1
        if self.steps == self.after:
            signal.raise_signal(signal.SIGINT)


class Line(Task):
    """A regression that needs no files: 20 points in the plane."""

    name = "line"
    title = "Points on a line"
    kind = "regression"
    inputs = 2
    outputs = 1
    recipe = Recipe(
        hidden=(4,),
        batch=5,
        epochs=2,
        decorrelation_rate=1e-3,
        learning_rate=dict.fromkeys(PATHS, 0.01),
    )

    def load(self, card: TaskCard = TaskCard(), data_dir: Path | None = None) -> Data:
        """Make the points."""
        x = torch.linspace(-1, 1, 40).view(20, 2)
        y = x.sum(1, keepdim=True)
        return Data(x, y, x, y, version="0" * 16)

    def found(self, data_dir: Path | None) -> str:
        """Needs no file."""
        return "built in"


def table(run: Path) -> list[list[str]]:
    """The lines of metrics.csv without the seconds."""
    with (run / "metrics.csv").open(newline="") as file:
        return [line[:-1] for line in csv.reader(file)]


def checkpoint(run: Path) -> dict[str, Any]:
    """What the checkpoint holds, but for the seconds: dotted path -> tensor or plain value."""
    leaves = flat(torch.load(run / "checkpoint.pt", weights_only=True))
    return {key: value for key, value in leaves.items() if not key.endswith(".seconds")}


def flat(node: Any, path: str = "") -> dict[str, Any]:
    """The leaves of nested dictionaries and lists."""
    if isinstance(node, dict) and node:
        inner = node.items()
    elif isinstance(node, list | tuple) and node:
        inner = dict(enumerate(node)).items()
    else:
        return {path: node}
    leaves: dict[str, Any] = {}
    for key, value in inner:
        leaves |= flat(value, f"{path}.{key}")
    return leaves


def assert_same_end(run: Path, other: Path) -> None:
    """Both runs have the same metrics and the same checkpoint, bit for bit, but for the seconds."""
    assert table(run) == table(other)
    one, two = checkpoint(run), checkpoint(other)
    assert one.keys() == two.keys()
    different = [key for key, value in one.items() if not same(value, two[key])]
    assert different == []


def same(one: Any, two: Any) -> bool:
    """Equal, and tensors bit for bit."""
    if isinstance(one, Tensor):
        return one.dtype == two.dtype and one.shape == two.shape and torch.equal(bits(one), bits(two))
    return bool(one == two)


def bits(values: Tensor) -> Tensor:
    """The bytes of a tensor, so that -0 is not 0 and NaN is itself."""
    return values.contiguous().flatten().view(torch.uint8)
