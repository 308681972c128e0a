"""Handwritten digits, 8x8 pixels: small, and shipped with scikit-learn.

Source: E. Alpaydin & C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
Repository (1998).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

import torch
from pydantic import Field, model_validator

from ..cards.experiment import TaskCard
from ..cards.task_options import TaskOptions as Options
from ..fingerprint import fingerprint
from .base import Data, Recipe, Task, learning_rates

SAMPLES: Final = 1797
TEST_SAMPLES: Final = 360
SPLIT_SEED: Final = 0
"""One split, and one division into folds, for all experiments: a seed moves no sample between training and test."""


class DigitsOptions(Options):
    """Which images are the test."""

    folds: Annotated[int, Field(strict=True, ge=2, le=100)] | None = Field(
        None,
        description="Parts that all images are divided into, one of which is the test. Empty: the usual split.",
    )
    fold: Annotated[int, Field(strict=True, ge=0)] | None = Field(
        None,
        description="Number of the part that is the test, from 0. Empty: the remainder of seed / folds, so that runs "
        "of as many seeds as folds test on every image once.",
    )

    @model_validator(mode="after")
    def _fold_of_folds(self) -> DigitsOptions:
        if self.fold is not None and self.fold >= (self.folds or 0):
            folds = "which are not given" if self.folds is None else f"got {self.fold}"
            raise ValueError(f"fold: must be below task.folds, {folds}")
        return self

    def for_seed(self, seed: int) -> DigitsOptions:
        """Return the options with the fold that follows from the seed."""
        if self.folds is None or self.fold is not None:
            return self
        return self.model_copy(update={"fold": seed % self.folds})


class Digits(Task):
    """1,437 training and 360 test images, or one of ``folds`` parts of all 1,797 as the test.

    Both are stratified by class; inputs are pixels / 16, in [0, 1].
    """

    name: ClassVar[str] = "digits"
    title: ClassVar[str] = "Handwritten digits (8x8 pixels, 10 classes)"
    kind: ClassVar[Literal["classification", "regression"]] = "classification"
    inputs: ClassVar[int] = 64
    outputs: ClassVar[int] = 10
    image: ClassVar[tuple[int, int, int] | None] = (1, 8, 8)
    options_model: ClassVar[type[Options]] = DigitsOptions
    recipe: ClassVar[Recipe] = Recipe(
        hidden=(256,),
        batch=400,
        epochs=600,
        decorrelation_rate=1e-3,
        learning_rate=learning_rates(0.03, adam=1e-3, transfer=0.3),
    )

    def load(self, card: TaskCard = TaskCard(), data_dir: Path | None = None) -> Data:
        """Load the images from scikit-learn; ``data_dir`` is not needed."""
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        split = _split(images.astype("uint8"), labels, self.options_of(card))
        train_x, test_x, train_y, test_y = (torch.from_numpy(part) for part in split)
        return Data(
            train_x=train_x / 16,
            train_y=train_y.long(),
            test_x=test_x / 16,
            test_y=test_y.long(),
            version=fingerprint(part.astype("<i8").tobytes() for part in split),
        )

    def test_samples(self, card: TaskCard) -> int | None:
        """360, or a fold; None where training samples are tested on."""
        if card.held_out is not None:
            return None
        folds = self.options_of(card).folds
        return TEST_SAMPLES if folds is None else SAMPLES // folds

    def found(self, data_dir: Path | None) -> Path | str | None:
        """Needs no file."""
        return "built in"


def _split(images: Any, labels: Any, options: DigitsOptions) -> list[Any]:
    """Training images, test images, training labels, test labels."""
    from sklearn.model_selection import StratifiedKFold, train_test_split

    if options.folds is None:
        return list(
            train_test_split(images, labels, test_size=TEST_SAMPLES, stratify=labels, random_state=SPLIT_SEED)
        )
    folds = StratifiedKFold(options.folds, shuffle=True, random_state=SPLIT_SEED)
    train, test = list(folds.split(images, labels))[options.fold or 0]
    return [images[train], images[test], labels[train], labels[test]]
