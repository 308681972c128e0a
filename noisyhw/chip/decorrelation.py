"""Decorrelation of a layer's input by a trainable digital matrix R."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from ..products import product

BLOCK = 1024
"""Rows of R that are changed at once; the change of more would be a second matrix of R's size in memory."""


def decorrelate(
    x: Float[Tensor, "passes samples inputs"], r: Float[Tensor, "inputs inputs"]
) -> Float[Tensor, "passes samples inputs"]:
    """x* = R x for every sample."""
    return product(x, r.t())


def learn_decorrelation_(
    r: Float[Tensor, "inputs inputs"], x: Float[Tensor, "samples inputs"], rate: float
) -> None:
    """R <- R - rate (C - diag C) R with C = mean_b x*_b x*_b^T, in place (paper, Section 2.2).

    diag(C) R only scales rows. C R is taken as X^T (X R) / B, which costs 2 B n^2 multiply-adds, or as (X^T X / B) R,
    which costs B n^2 + n^3, whichever is less.

    Args:
        r: the decorrelation matrix.
        x: decorrelated inputs, x* = R x.
        rate: the paper's alpha.
    """
    samples, inputs = x.shape
    variance = x.square().mean(0)
    if samples <= inputs:
        read = product(x, r)
        for first in range(0, inputs, BLOCK):
            rows = slice(first, first + BLOCK)
            change = product(x[:, rows].t(), read)
            r[rows].mul_((1 + rate * variance[rows])[:, None]).add_(change, alpha=-rate / samples)
    else:
        covariance = product(x.t(), x).div_(samples)
        covariance.diagonal().zero_()
        r.sub_(product(covariance, r), alpha=rate)
