"""How values flow between a network's layers: a layer reads, everything between two reads is digital."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .layer import Layer

Read = Callable[[int, Tensor], Tensor]
"""From a place in the network and the values that its layer gets, [passes, samples, ...], to its pre-activations,
[passes, samples, units]. One pass stands for all of them where they have the same values."""


class Graph(abc.ABC):
    """A network's wiring.

    Attributes:
        places: for each read of a layer in a pass, in order, the number of that layer. A layer of a recurrent net is
            read at several places.
    """

    places: tuple[int, ...]

    @abc.abstractmethod
    def run(
        self, x: Float[Tensor, "one samples units"], read: Read, passes: int = 1, *, learning: bool = False
    ) -> Float[Tensor, "passes samples outputs"]:
        """Take a batch through the network.

        Args:
            x: the batch, as one pass that stands for all.
            read: reads a layer.
            passes: how many passes a read gives where all of them have the same values.
            learning: whether digital parts behave as in training (statistics of the batch, dropout).
        """

    @abc.abstractmethod
    def slope(self, place: int, a: Float[Tensor, "samples units"]) -> Float[Tensor, "samples units"]:
        """Derivative of the digital activation behind a place, where there is one; else ones."""

    def next_batch(self) -> None:  # noqa: B027  (most networks draw nothing)
        """Draw what the passes of a batch have in common."""

    def take_up(self) -> None:  # noqa: B027  (most networks keep nothing)
        """Take up what the last learning run has seen of its batch."""

    def state(self) -> dict[str, Any] | None:
        """Return what a checkpoint must keep; None: nothing."""
        return None

    def load(self, state: dict[str, Any] | None) -> None:  # noqa: B027
        """Take up a state that :meth:`state` returned."""


class Chain(Graph):
    """One layer after another, each with its own activation."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = layers
        self.places = tuple(range(len(layers)))

    def run(self, x: Tensor, read: Read, passes: int = 1, *, learning: bool = False) -> Tensor:
        """Read and activate (see :class:`Graph`)."""
        for place, layer in enumerate(self.layers):
            x = layer.activate(read(place, x))
        return x

    def slope(self, place: int, a: Tensor) -> Tensor:
        """1 above zero, the layer's slope elsewhere (see :class:`Graph`)."""
        slope = self.layers[place].slope
        return torch.ones_like(a) if slope is None else torch.where(a > 0, 1.0, slope)
