"""A network computed with its arrays' own numbers: which arrays are read, how often, and what should come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from .sites import Read, Scale, Site


def exact_outputs(
    graph: fx.GraphModule, sites: Mapping[str, Site], x: Tensor
) -> tuple[tuple[Read, ...], Tensor]:
    """Return all reads, in order, and what a network gives with exact arrays, as if it were not learning."""
    way = _Dry(graph, sites)
    with torch.no_grad():
        outputs = way.run(x)
    return tuple(way.reads), outputs


class _Dry(fx.Interpreter):
    """Computes with the arrays' own numbers, and notes who is read."""

    learning = False
    passes = 1

    def __init__(self, graph: fx.GraphModule, sites: Mapping[str, Site]) -> None:
        super().__init__(graph)
        self.sites = sites
        self.reads: list[Read] = []

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Let the site that stands for a module compute it."""
        site = self.sites.get(str(target))
        if site is None:
            return super().call_module(target, args, kwargs)
        self.site: Site = site
        return site.call(self, *args, *kwargs.values(), shared=False)

    def read(self, number: int, rows: Tensor, shared: bool = False) -> Tensor:
        """Multiply exactly (see :class:`.sites.Run`)."""
        array = self.site.arrays[number]
        self.reads.append(Read(self.site.name, number, rows.shape[1]))
        y = rows * array.weight if isinstance(array, Scale) else rows @ array.weight.t()
        return y if array.bias is None else y + array.bias

    def drawn(self, shape: Sequence[int], keep: float) -> Tensor:
        """Not called: nothing is learnt."""
        raise NotImplementedError

    def note(self, values: Mapping[str, Tensor]) -> None:
        """Keep nothing (see :class:`.sites.Run`)."""
