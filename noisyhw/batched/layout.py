"""Where the matrices of all layers and replicas lie in one flat tensor, and which generator fills which part."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate

import torch
from jaxtyping import Float, Int64
from torch import Tensor

Number = float | Tensor
"""One number for all replicas, or a tensor that broadcasts."""


class Layout:
    """Layer by layer, and in a layer replica by replica: [replicas, *shape] each, end to end.

    Args:
        replicas: how many.
        shapes: of one replica's tensor, per layer.
    """

    def __init__(self, replicas: int, shapes: Sequence[tuple[int, ...]]) -> None:
        self.replicas = replicas
        self.shapes = list(shapes)
        self.sizes = [math.prod(shape) for shape in shapes]
        self.total = replicas * sum(self.sizes)

    def views(self, flat: Tensor) -> list[Tensor]:
        """[replicas, *shape] of every layer, sharing ``flat``'s memory."""
        parts = torch.split(flat, [self.replicas * size for size in self.sizes])
        return [part.view(self.replicas, *shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def gather(self, pick: Callable[[int, int], Tensor]) -> Tensor:
        """Copy ``pick(layer, replica)`` of all layers and replicas into one flat tensor."""
        return torch.cat(
            [
                pick(layer, replica).expand(shape).reshape(-1)
                for layer, shape in enumerate(self.shapes)
                for replica in range(self.replicas)
            ]
        )

    def spread(self, values: Sequence[float], device: torch.device) -> Number:
        """One number per replica, for every cell; a plain zero where all are zero (see :func:`per_replica`)."""
        if not any(values):
            return 0.0
        return self.gather(lambda _, replica: torch.tensor(values[replica], device=device))


def per_replica(values: Sequence[float], device: torch.device) -> Number:
    """One number per replica, [replicas, 1, 1]; a plain zero where all are zero.

    It is a tensor where all replicas agree, too: Python squares or divides numbers in double precision, and then a
    replica's bits would depend on whether another one differs.
    """
    if not any(values):
        return 0.0
    return torch.tensor([float(value) for value in values], device=device).view(-1, 1, 1)


class Segments:
    """The parts of a flat tensor, each with a generator of its own.

    Args:
        layout: of the flat tensor.
        generators: in the same order: layer by layer, and in a layer replica by replica.
    """

    def __init__(self, layout: Layout, generators: Sequence[torch.Generator], device: torch.device) -> None:
        self.generators = generators
        self.sizes = [size for size in layout.sizes for _ in range(layout.replicas)]
        self.ends = torch.tensor(list(accumulate(self.sizes)), device=device)

    def fill_(
        self, values: Float[Tensor, " cells"], fill: Callable[..., object], sizes: Sequence[int] | None = None
    ) -> Float[Tensor, " cells"]:
        """Fill every part with ``fill(part, generator=...)``; nothing is drawn for an empty one.

        Args:
            values: one for each cell, or for some.
            fill: e.g. ``Tensor.normal_``.
            sizes: how many cells of each part there are; None: all.
        """
        parts = torch.split(values, list(sizes or self.sizes))
        for part, generator in zip(parts, self.generators, strict=True):
            if part.shape[0]:
                fill(part, generator=generator)
        return values

    def counts(self, cells: Int64[Tensor, " some"]) -> list[int]:
        """How many of these cells, given in rising order, lie in each part."""
        ends: list[int] = torch.searchsorted(cells, self.ends).tolist()
        return [end - start for start, end in zip([0, *ends[:-1]], ends, strict=True)]
