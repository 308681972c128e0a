"""What every task offers: its data, its sizes, and settings for what an experiment leaves empty."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from jaxtyping import Float32, Int64
from pydantic import BaseModel
from torch import Tensor

from ..cards.experiment import TaskCard
from ..cards.messages import validation_error
from ..cards.task_options import TaskOptions, options_error
from ..cards.updates import KINDS
from ..cards.yaml_lines import located
from ..errors import UsageError

Kind: TypeAlias = Literal["classification", "regression"]
TEST_SHARE = 0.2
"""Of samples that come without a test set."""


@dataclass(frozen=True)
class Data:
    """A task's training and test samples.

    Args:
        train_x, test_x: inputs.
        train_y, test_y: class numbers (classification) or targets (regression).
        version: names the content: 16 hex digits of a SHA-256.
        notes: what a person who reads the results must be told.
        loss_scale: a squared-error loss times this is in the data's original units.
        image: (channels, height, width) if the inputs are images, flattened in that order.
        classes: name of each class number, in order; empty: the numbers are their own names.
    """

    train_x: Float32[Tensor, "train features"]
    train_y: Int64[Tensor, "train"] | Float32[Tensor, "train outputs"]
    test_x: Float32[Tensor, "test features"]
    test_y: Int64[Tensor, "test"] | Float32[Tensor, "test outputs"]
    version: str
    _: KW_ONLY
    notes: tuple[str, ...] = ()
    loss_scale: float = 1.0
    image: tuple[int, int, int] | None = None
    classes: tuple[str, ...] = ()

    @classmethod
    def from_arrays(
        cls,
        x: object,
        y: object = None,
        *,
        test: object = TEST_SHARE,
        kind: str | None = None,
    ) -> Data:
        """Return the data that arrays of your own hold, checked here once.

        Args:
            x: inputs, [samples, columns] of any real or whole numbers, or images [samples, channels, height, width] (or
                [samples, height, width]), which are flattened: a numpy array, torch tensor, pandas DataFrame, nested
                lists, or a map-style torch Dataset of (x, y), which leaves out ``y``.
            y: targets, one a sample: whole numbers, true and false, text, one-hot rows, or a pandas Series of these
                (classes); real numbers, [samples] or [samples, outputs] (values).
            test: (x, y) to test on, or a Dataset of them; or the share of the samples that is set aside for the test,
                once and for all seeds alike, of each class as much.
            kind: classification or regression; None: as the type of ``y`` says (see above).

        Raises:
            UsageError: with the array, the row and column, what is wrong there and what to do.
        """
        from .arrays import from_arrays

        return from_arrays(x, y, test=test, kind=kind)

    @property
    def kind(self) -> Kind:
        """Whether targets are classes or values."""
        return "regression" if self.train_y.is_floating_point() else "classification"

    @property
    def inputs(self) -> int:
        """Numbers of a sample."""
        return self.train_x.shape[1]

    @property
    def outputs(self) -> int:
        """Classes, or values of a target."""
        if self.train_y.is_floating_point():
            return self.train_y.shape[1]
        return len(self.classes) or int(self.train_y.max()) + 1

    def to(self, device: torch.device) -> Data:
        """Return the same data on a device."""
        if self.train_x.device == device:
            return self
        moved = {name: getattr(self, name).to(device) for name in ("train_x", "train_y", "test_x", "test_y")}
        return replace(self, **moved)


@dataclass(frozen=True)
class Recipe:
    """A task's own settings, used where an experiment leaves the field empty.

    Args:
        hidden: hidden layer widths.
        batch: samples per update.
        epochs: passes through the training set.
        decorrelation_rate: learning rate of R.
        learning_rate: by update path (see :func:`learning_rates`).
        weight_scaling: share of a device's range, if it has one, that a layer's largest first weight takes; None:
            weights are written as they are.
    """

    hidden: tuple[int, ...]
    batch: int
    epochs: int
    decorrelation_rate: float
    learning_rate: Mapping[str, float]
    weight_scaling: float | None = None


def learning_rates(
    rate: float, *, adam: float, sgd: float | None = None, transfer: float | None = None
) -> Mapping[str, float]:
    """Return a learning rate for every update path that is known, by the family that its class names.

    Args:
        rate: of a plain gradient step, on whatever path no other number is given for.
        adam: of Adam's steps, whose size does not depend on the gradient's.
        sgd: of digital gradient steps; None: ``rate``.
        transfer: of the paths that gather on an array and transfer from it; None: ``rate``.
    """
    families = {"plain": rate, "adam": adam, "sgd": sgd, "transfer": transfer}
    return _Rates({family: rate if value is None else value for family, value in families.items()})


class _Rates(Mapping[str, float]):
    """Learning rates by path; paths that become known later have one too."""

    def __init__(self, families: Mapping[str, float]) -> None:
        self._families = families

    def __getitem__(self, path: str) -> float:
        return self._families[KINDS[path].family]

    def __iter__(self) -> Iterator[str]:
        return iter(KINDS)

    def __len__(self) -> int:
        return len(KINDS)


class Task(abc.ABC):
    """A data set with what it says about itself; ``kind`` decides the default loss and the metric."""

    name: ClassVar[str]
    title: ClassVar[str]
    kind: ClassVar[Literal["classification", "regression"]]
    inputs: ClassVar[int]
    outputs: ClassVar[int]
    recipe: ClassVar[Recipe]
    image: ClassVar[tuple[int, int, int] | None] = None
    """(channels, height, width) if the inputs are images; they come flat, in that order."""
    options_model: ClassVar[type[BaseModel]] = TaskOptions
    """Options of its own, which stand beside ``name`` in cards."""

    def options_of(self, card: TaskCard) -> Any:
        """Return this task's options as a card says them: an instance of ``options_model``.

        Raises:
            UsageError: there is no such option, or it has no such value.
        """
        error = options_error(self.options_model, card.options, card.name)
        if error is not None:
            told = validation_error(error, self.options_model, located(card.options, ""))
            raise UsageError(f"task.{str(told).splitlines()[0]}")
        return self.options_model.model_validate(card.options)

    @abc.abstractmethod
    def load(self, card: TaskCard = TaskCard(), data_dir: Path | None = None) -> Data:
        """Load the data, downloading it only where ``data_dir`` is None and no copy is found.

        Args:
            card: the task's options.
            data_dir: the only folder to look in; None: ``$NOISYHW_DATA``, then the user's cache.

        Raises:
            DataError: the data is missing, truncated or altered, or cannot be downloaded.
        """

    def test_samples(self, card: TaskCard) -> int | None:
        """How many test samples a run has, at least, without loading them; None: that is not known."""
        return None

    @abc.abstractmethod
    def found(self, data_dir: Path | None) -> Path | str | None:
        """Where the data lies, without loading it; None: nowhere yet; ``built in``: needs no file."""
