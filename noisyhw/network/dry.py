"""A network computed with its arrays' own numbers: which arrays are read, how often, and what should come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from .sites import Read, Scale, Site

Key = tuple[str, int]
"""A site's name and the number of its array."""
SAMPLES_FIRST = "samples stay first, and what is of one sample stays together"


@dataclass
class Seen:
    """What a way through a network has shown.

    Attributes:
        outputs: of the network.
        reads: of all arrays, in order.
        nodes: for each read, the name of the operation that made it.
        noted: for each site, what it is to take up, call by call.
        inputs: what each call of a site got; not kept while learning.
        arrays: the numbers that were used, weight and bias.
    """

    outputs: Any = None
    reads: list[Read] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)
    noted: dict[str, list[Mapping[str, Tensor]]] = field(default_factory=dict)
    inputs: list[tuple[str, Tensor]] = field(default_factory=list)
    arrays: dict[Key, tuple[Tensor, Tensor | None]] = field(default_factory=dict)


def exact(graph: fx.GraphModule, sites: Mapping[str, Site], x: Tensor, *, learning: bool = False) -> Seen:
    """Take samples through a network with exact arrays.

    Args:
        graph: of the network.
        sites: of its modules.
        x: the samples.
        learning: whether digital parts behave as in training, and arrays want a gradient; nothing is dropped.
    """
    way = _Dry(graph, sites, learning, x.dtype)
    with torch.set_grad_enabled(learning):
        way.samples = len(x)
        way.seen.outputs = way.run(x)
    return way.seen


class _Dry(fx.Interpreter):
    """Computes with the arrays' own numbers, and notes who is read."""

    passes = 1
    samples = 1

    def __init__(
        self, graph: fx.GraphModule, sites: Mapping[str, Site], learning: bool, kind: torch.dtype
    ) -> None:
        super().__init__(graph)
        self.extra_traceback = False  # messages are short
        self.sites, self.learning, self.seen = sites, learning, Seen()
        for name, one in sites.items():
            for number, array in enumerate(one.arrays):
                weight, bias = array.weight.clone().to(kind), array.bias
                bias = None if bias is None else bias.clone().to(kind).requires_grad_(learning)
                self.seen.arrays[name, number] = weight.requires_grad_(learning), bias

    def run_node(self, n: fx.Node) -> Any:
        """Keep which operation is computed."""
        self.node = n.name
        return super().run_node(n)

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Let the site that stands for a module compute it."""
        site = self.sites.get(str(target))
        if site is None:
            return super().call_module(target, args, kwargs)
        self.site: Site = site
        if len(args[0]) % self.samples:
            site.refuse(
                f"gets {len(args[0])} values in its first dimension for {self.samples} samples", SAMPLES_FIRST
            )
        if not self.learning:
            self.seen.inputs.append((str(target), args[0]))
        return site.call(self, *args, *kwargs.values(), shared=False)

    def read(self, number: int, rows: Tensor, shared: bool = False) -> Tensor:
        """Multiply exactly (see :class:`.sites.Run`)."""
        self.seen.reads.append(Read(self.site.name, number, len(rows) // self.samples * rows.shape[1]))
        self.seen.nodes.append(self.node)
        weight, bias = self.seen.arrays[self.site.name, number]
        y = rows * weight if isinstance(self.site.arrays[number], Scale) else rows @ weight.t()
        return y if bias is None else y + bias

    def drawn(self, shape: Sequence[int], keep: float) -> Tensor:
        """Drop nothing (see :class:`.sites.Run`)."""
        return torch.ones(list(shape))

    def note(self, values: Mapping[str, Tensor]) -> None:
        """Keep what is noted (see :class:`.sites.Run`)."""
        self.seen.noted.setdefault(self.site.name, []).append(values)
