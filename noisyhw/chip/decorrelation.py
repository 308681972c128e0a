"""Decorrelation of a layer's input by a trainable matrix R, digital or on a tile of its own."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..products import product, rounded_product

BLOCK = 512
"""Rows of R that are changed at once; the change of more would be a second matrix of R's size in memory."""


def decorrelate(
    x: Float[Tensor, "passes samples inputs"], r: Float[Tensor, "inputs inputs"]
) -> Float[Tensor, "passes samples inputs"]:
    """x* = R x for every sample."""
    return product(x, r.t())


def learn_decorrelation_(
    r: Float[Tensor, "inputs inputs"],
    x: Float[Tensor, "samples inputs"],
    rate: float,
    rounded: bool = False,
) -> None:
    """R <- R - rate (C - diag C) R with C = mean_b x*_b x*_b^T, in place (paper, Section 2.2).

    diag(C) R only scales rows. C R is taken as X^T (X R) / B, which costs 2 B n^2 multiply-adds, or as (X^T X / B) R,
    which costs B n^2 + n^3, whichever is less.

    Args:
        r: the decorrelation matrix.
        x: decorrelated inputs, x* = R x.
        rate: the paper's alpha.
        rounded: whether products are in bfloat16.
    """
    multiply = rounded_product if rounded else product
    samples, inputs = x.shape
    variance = x.square().mean(0)
    if samples <= inputs:
        read = multiply(x, r)
        for first in range(0, inputs, BLOCK):
            rows = slice(first, first + BLOCK)
            change = multiply(x[:, rows].t(), read)
            r[rows].mul_((1 + rate * variance[rows])[:, None]).add_(change, alpha=-rate / samples)
    else:
        covariance = multiply(x.t(), x).div_(samples)
        covariance.diagonal().zero_()
        r.sub_(multiply(covariance, r), alpha=rate)


def decorrelation_factors(
    x: Float[Tensor, "samples inputs"], r: Float[Tensor, "inputs inputs"]
) -> tuple[Float[Tensor, "vectors inputs"], Float[Tensor, "vectors inputs"]]:
    """Inputs u and errors d whose mean_b d_b u_b^T is (C - diag C) R, so that a tile can be pulsed with them.

    C R is the mean of x*_b (R^T x*_b)^T over the samples; diag(C) R takes one more outer product for every row of R.

    Args:
        x: decorrelated inputs, x* = R x.
        r: R, as it is known.
    """
    samples, inputs = x.shape
    share = (samples + inputs) / samples
    rows = torch.diag(x.square().sum(0)).neg_()
    return torch.cat([product(x, r), r]), torch.cat([x, rows]).mul_(share)
