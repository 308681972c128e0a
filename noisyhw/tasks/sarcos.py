"""SARCOS: the inverse dynamics of a robot arm, from 7 joints' motion to 7 torques.

The recording is one trajectory at 100 Hz. The usual test file holds every 10th row of the training file, so
it is no held-out set; ``split: blocks`` holds out contiguous blocks of rows instead.

Source: S. Vijayakumar & S. Schaal, Locally Weighted Projection Regression, ICML 2000.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float64, Int64
from pydantic import Field
from torch import Tensor

from ..cards.experiment import TaskCard
from ..cards.task_options import TaskOptions as Options
from ..fingerprint import fingerprint
from .base import Data, Recipe, Task, learning_rates
from .files import locate, search
from .sarcos_files import ALL_ROWS, INPUTS, OUTPUTS, SOURCE, Recording, read

BLOCKS: Final = 20
HELD_OUT: Final = (2, 7, 12, 17)
GAP_ROWS: Final = 100
"""1 s at 100 Hz: training rows nearer than this to a held-out block are dropped."""

Train = Float64[Tensor, "train columns"]
Test = Float64[Tensor, "test columns"]


class SarcosOptions(Options):
    """Which rows test, and in which units."""

    split: Literal["usual", "blocks"] = Field(
        "usual", description="The usual test file, or held-out contiguous blocks of the training rows."
    )
    scaling: Literal["standard", "raw"] = Field(
        "standard",
        description="Inputs to zero mean and unit std, torques centred and divided by one number; or raw.",
    )


class Sarcos(Task):
    """21 inputs, 7 torques.

    ``scaling: standard``: inputs to zero mean and unit std by the training rows; torques centred per joint
    and all divided by one number, the rms s of the centred training torques, so that a squared-error
    loss in the original units is s^2 times the scaled one: ``loss_scale`` = s^2.
    ``scaling: raw``: all as recorded.
    """

    name: ClassVar[str] = "sarcos"
    title: ClassVar[str] = "SARCOS robot arm (21 inputs, 7 torques)"
    kind: ClassVar[Literal["classification", "regression"]] = "regression"
    inputs: ClassVar[int] = INPUTS
    outputs: ClassVar[int] = OUTPUTS
    options_model: ClassVar[type[Options]] = SarcosOptions
    recipe: ClassVar[Recipe] = Recipe(
        hidden=(32, 32),
        batch=100,
        epochs=20,
        decorrelation_rate=1e-3,
        learning_rate=learning_rates(0.03, adam=4e-3, sgd=0.05),
    )

    def load(self, card: TaskCard = TaskCard(), data_dir: Path | None = None) -> Data:
        """Load the recording, split and scaled as the card says.

        Raises:
            DataError: a file is missing, truncated or altered, or cannot be downloaded.
        """
        options: SarcosOptions = self.options_of(card)
        recording = read(locate(SOURCE, data_dir))
        train, test, note = _blocks(recording) if options.split == "blocks" else _usual(recording)
        scaling = _scaling(train) if options.scaling == "standard" else RAW
        train, test = scaling.apply(train), scaling.apply(test)
        return Data(
            train_x=train[:, :INPUTS].float(),
            train_y=train[:, INPUTS:].float(),
            test_x=test[:, :INPUTS].float(),
            test_y=test[:, INPUTS:].float(),
            version=fingerprint(
                part.numpy().tobytes() for part in (recording.train, recording.row, recording.test)
            ),
            notes=(*recording.notes, note),
            loss_scale=scaling.torque_rms**2,
        )

    def found(self, data_dir: Path | None) -> Path | str | None:
        """The folder that holds the files, unchecked."""
        return search(SOURCE, data_dir)


def _usual(recording: Recording) -> tuple[Train, Test, str]:
    note = "SARCOS: the usual test rows are every 10th training row; 'split: blocks' tests on held-out rows"
    return recording.train, recording.test, note


def _blocks(recording: Recording) -> tuple[Train, Test, str]:
    train, test = block_masks(recording.row)
    dropped = int((~train & ~test).sum())
    note = (
        f"SARCOS: tested on blocks {', '.join(map(str, HELD_OUT))} of 0 to {BLOCKS - 1}; {dropped} rows "
        f"within {GAP_ROWS} rows of them left out of training"
    )
    return recording.train[train], recording.train[test], note


def block_masks(row: Int64[Tensor, "rows"]) -> tuple[Bool[Tensor, "rows"], Bool[Tensor, "rows"]]:
    """Which rows train and which test, by place in the recording; near a held-out block they do neither."""
    edges = [ALL_ROWS * block // BLOCKS for block in range(BLOCKS + 1)]
    test, near = torch.zeros_like(row, dtype=torch.bool), torch.zeros_like(row, dtype=torch.bool)
    for block in HELD_OUT:
        start, end = edges[block], edges[block + 1]
        test |= (row >= start) & (row < end)
        near |= (row >= start - GAP_ROWS) & (row < end + GAP_ROWS)
    return ~near, test


class Scaling(NamedTuple):
    """Column-wise (rows - shift) / spread; ``torque_rms`` is the spread of all torque columns."""

    shift: Float64[Tensor, "columns"]
    spread: Float64[Tensor, "columns"]
    torque_rms: float

    def apply(self, rows: Float64[Tensor, "rows columns"]) -> Float64[Tensor, "rows columns"]:
        """Scale rows of inputs and torques."""
        return (rows - self.shift) / self.spread


RAW: Final = Scaling(
    torch.zeros(INPUTS + OUTPUTS, dtype=torch.float64), torch.ones(INPUTS + OUTPUTS, dtype=torch.float64), 1.0
)


def _scaling(train: Train) -> Scaling:
    shift, spread = train.mean(0), train.std(0, correction=0)
    rms = spread[INPUTS:].square().mean().sqrt()
    spread[INPUTS:] = rms
    return Scaling(shift, spread, rms.item())
