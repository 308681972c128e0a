"""How many threads a run computes with: its bits depend on it, so it is chosen by size and recorded."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from ..chip.chip import Chip

SMALL_PRODUCT = 10**8
"""Multiply-adds that one core does in about a millisecond: handing out less costs more than it saves, and on a busy
machine far more."""


def threads_for(chip: Chip, samples: int) -> int:
    """One thread where every matrix product is small, else as many as torch has.

    Args:
        chip: its largest layer decides.
        samples: in a batch.
    """
    largest = max(
        _multiply_adds(samples * layer.count, layer.shape.inputs, layer.shape.outputs)
        for layer in chip.layers
    )
    return 1 if largest <= SMALL_PRODUCT else torch.get_num_threads()


def _multiply_adds(vectors: int, inputs: int, outputs: int) -> int:
    """Of the larger product: weights times inputs, or decorrelation times inputs."""
    return vectors * inputs * max(inputs, outputs)


@contextlib.contextmanager
def computing_with(threads: int | None) -> Iterator[None]:
    """Compute with that many threads; None: as many as there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
