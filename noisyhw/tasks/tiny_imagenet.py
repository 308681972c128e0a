"""Tiny ImageNet: 64x64 colour photographs of 200 classes, read from the original folder or zip file.

Source: Y. Le & X. Yang, Tiny ImageNet Visual Recognition Challenge, CS 231N, Stanford (2015).
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final, Literal

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64, UInt8
from torch import Tensor

from ..cards.experiment import TaskCard
from .base import Data, Recipe, Task, learning_rates
from .files import locate, search
from .picture_cache import cached
from .tiny_imagenet_files import CLASSES, PIXELS, SIDE, SOURCE, decode, open_tree

CHUNK: Final = 1000
"""Images that are standardised at once."""


class TinyImageNet(Task):
    """100,000 training images; the 10,000 validation images test, as the original test set has no classes.

    Inputs are red, green, then blue, each standardised by the mean and std of the training pixels.
    """

    name: ClassVar[str] = "tiny-imagenet"
    title: ClassVar[str] = "Tiny ImageNet (64x64 colour pixels, 200 classes)"
    kind: ClassVar[Literal["classification", "regression"]] = "classification"
    inputs: ClassVar[int] = PIXELS
    outputs: ClassVar[int] = CLASSES
    image: ClassVar[tuple[int, int, int] | None] = (3, SIDE, SIDE)
    recipe: ClassVar[Recipe] = Recipe(
        hidden=(512, 512),
        batch=1000,
        epochs=50,
        decorrelation_rate=1e-3,
        learning_rate=learning_rates(0.03, adam=1e-3),
        weight_scaling=0.6,
    )

    def load(self, card: TaskCard = TaskCard(), data_dir: Path | None = None) -> Data:
        """Load the images; they are decoded once and then kept in the user's cache (1.4 GB; 5.4 GB in memory).

        Raises:
            DataError: files are missing, broken or of another size, or cannot be downloaded.
        """
        with open_tree(locate(SOURCE, data_dir)) as tree:
            pictures = cached("tiny-imagenet", tree.stamp(), lambda: decode(tree))
        mean, std = channel_moments(pictures.train_x)
        return Data(
            train_x=standardised(pictures.train_x, mean, std),
            train_y=labels(pictures.train_y),
            test_x=standardised(pictures.test_x, mean, std),
            test_y=labels(pictures.test_y),
            version=pictures.version,
        )

    def test_samples(self, card: TaskCard) -> int | None:
        """10,000; None where training samples are tested on."""
        return 10_000 if card.held_out is None else None

    def found(self, data_dir: Path | None) -> Path | str | None:
        """The folder or the zip file, unchecked."""
        return search(SOURCE, data_dir)


def channel_moments(
    pixels: UInt8[np.ndarray, "images pixels"],
) -> tuple[Float64[np.ndarray, "3"], Float64[np.ndarray, "3"]]:
    """Mean and std of every colour over all pixels, from exact counts of the 256 values; a std of 0 becomes 1."""
    counts = np.zeros((3, 256))
    for first in range(0, len(pixels), CHUNK):
        part = pixels[first : first + CHUNK].reshape(-1, 3, pixels.shape[1] // 3)
        for colour in range(3):
            counts[colour] += np.bincount(part[:, colour].reshape(-1), minlength=256)
    share, values = counts / counts.sum(1, keepdims=True), np.arange(256.0)
    mean = share @ values
    std = np.sqrt((share * (values - mean[:, None]) ** 2).sum(1))
    return mean, np.where(std > 0, std, 1.0)


def standardised(
    pixels: UInt8[np.ndarray, "images pixels"],
    mean: Float64[np.ndarray, "3"],
    std: Float64[np.ndarray, "3"],
) -> Float32[Tensor, "images pixels"]:
    """(pixel - mean) / std by colour."""
    out = torch.empty(pixels.shape, dtype=torch.float32)
    area = pixels.shape[1] // 3
    shift = torch.from_numpy(np.repeat(mean, area)).float()
    scale = torch.from_numpy(np.repeat(1 / std, area)).float()
    for first in range(0, len(pixels), CHUNK):
        part = torch.from_numpy(np.array(pixels[first : first + CHUNK]))
        torch.sub(part, shift, out=out[first : first + CHUNK]).mul_(scale)
    return out


def labels(classes: Int64[np.ndarray, "images"]) -> Int64[Tensor, "images"]:
    """Class numbers as a tensor of its own."""
    return torch.from_numpy(np.array(classes))
