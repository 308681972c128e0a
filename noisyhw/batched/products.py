"""Matrix products of all replicas, whose bits do not depend on how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

LINE = 16
"""Numbers in a cache line."""


def aligned(x: Float[Tensor, "*stack rows columns"]) -> Float[Tensor, "*stack rows columns"]:
    """The same matrices, each of them at the start of a cache line.

    For some shapes (a side below 8) MKL sums in another order where a matrix lies otherwise; in a stack that hangs on
    how many there are.
    """
    size = x.shape[-2] * x.shape[-1]
    if x.device.type != "cpu" or (x.is_contiguous() and size % LINE == 0 and x.data_ptr() % (4 * LINE) == 0):
        return x
    return _room(x, x.shape).copy_(x)


def _room(like: Tensor, shape: Sequence[int]) -> Tensor:
    """Room for matrices, each of them at the start of a cache line."""
    size = shape[-2] * shape[-1]
    room = like.new_empty((*shape[:-2], size + -size % LINE))
    return room[..., :size].view(tuple(shape))


def product(
    a: Float[Tensor, "stack rows inner"], b: Float[Tensor, "stack inner columns"]
) -> Float[Tensor, "stack rows columns"]:
    """A b of every replica, for matrices, or transposes of some, that are :func:`aligned`; the result is, too."""
    return torch.bmm(a, b, out=_room(a, (len(a), a.shape[1], b.shape[2])))


def outer_products(
    a: Float[Tensor, "stack samples rows"], b: Float[Tensor, "stack samples columns"]
) -> Float[Tensor, "stack rows columns"]:
    """a^T b of every replica."""
    return product(aligned(a).mT, aligned(b))


def products(
    x: Float[Tensor, "passes replicas samples inputs"], weight: Float[Tensor, "replicas outputs inputs"]
) -> Float[Tensor, "passes replicas samples outputs"]:
    """W x for every pass and replica."""
    y, transposed = x.new_empty((*x.shape[:-1], weight.shape[1])), aligned(weight).mT
    for one, out in zip(x, y, strict=True):
        if out.shape[1] * out.shape[2] % LINE == 0:
            torch.bmm(aligned(one), transposed, out=out)
        else:
            out.copy_(product(aligned(one), transposed))
    return y


class _Products(torch.autograd.Function):
    """:func:`products`, through which errors are sent back to x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return products(x, weight)

    @staticmethod
    def backward(ctx: Any, *errors: Tensor) -> tuple[Tensor, None]:
        [weight] = ctx.saved_tensors
        return products(errors[0].contiguous(), weight.mT.contiguous()), None


def differentiable_products(x: Tensor, weight: Tensor) -> Tensor:
    """:func:`products`, for a digital twin."""
    y: Tensor = _Products.apply(x, weight)  # type: ignore[no-untyped-call]
    return y
