"""Elementwise functions whose bits do not depend on where in a tensor a number lies."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Shaped
from torch import Tensor

Elementwise = Callable[[Tensor], Tensor]
VECTOR = 64
"""A multiple of the numbers that torch's kernels take at once, on any processor."""


def padded(flat: Shaped[Tensor, " numbers"]) -> Shaped[Tensor, " padded"]:
    """The numbers, and zeros up to a whole number of vectors."""
    return torch.nn.functional.pad(flat, (0, -len(flat) % VECTOR))


def in_vectors(function: Elementwise) -> Elementwise:
    """The same function, of whole vectors only.

    What lies behind a tensor's last full vector goes through other code, which rounds exp and its kin otherwise; in a
    stack, which replica that is depends on how many there are.
    """

    def applied(values: Tensor) -> Tensor:
        return function(padded(values.reshape(-1)))[: values.numel()].view(values.shape)

    return applied
