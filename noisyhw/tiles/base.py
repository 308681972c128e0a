"""The seam between a chip and its crossbars: what a tile of any backend can do."""

from __future__ import annotations

import abc
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import UsageError


class Tile(abc.ABC):
    """One crossbar: reads are noisy products, writes go through the device's own physics.

    Beyond reading (:meth:`forward`) and the device's own outer-product update (:meth:`update`), digital update paths
    need :meth:`write` (ask for a change) and :meth:`pulse` (send whole steps).
    """

    outputs: int
    inputs: int
    step: float | None
    """The smallest change worth sending, in weight units; None: any change can be written."""

    @abc.abstractmethod
    def forward(
        self, x: Float[Tensor, "passes samples inputs"], reads: int | None = None
    ) -> Float[Tensor, "reads samples outputs"]:
        """Read the tile: W x with the device's converters and noise.

        Args:
            x: inputs; every pass is read once, in order.
            reads: read one and the same pass (then ``passes`` is 1) this many times; each read has its own noise.

        No samples: nothing is read, and the tile stays as it is.
        """

    @abc.abstractmethod
    def update(
        self, x: Float[Tensor, "samples inputs"], d: Float[Tensor, "samples outputs"], rate: float
    ) -> None:
        """Move the weights by -rate mean_b d_b x_b^T, by the device's own means; no samples: not at all."""

    @abc.abstractmethod
    def write(self, change: Float[Tensor, "outputs inputs"]) -> None:
        """Ask for a change of every weight."""

    @abc.abstractmethod
    def pulse(self, counts: Float[Tensor, "outputs inputs"]) -> None:
        """Send whole steps: ``counts`` of them, up where positive, down where negative. Needs a ``step``."""

    @abc.abstractmethod
    def twin(self) -> Float[Tensor, "outputs inputs"]:
        """A copy of what the cells hold: for a named oracle's digital twin, tests and reports; never for a learner."""

    def pulses(self) -> Float[Tensor, "outputs inputs"] | None:
        """Pulses or programming events of every cell so far, for reports; None: there are none, or none are known."""
        return None

    def set_age(self, age: float | int | str) -> None:
        """Let reads see the tile as it is that long after its last write; 0: freshly written.

        Args:
            age: seconds, or a text with a unit (s, min, h, d, y), such as "1d".

        Raises:
            UsageError: it is no age, or this tile does not age.
        """
        if age not in (0, "0s"):
            raise UsageError(f"age: {type(self).__name__} does not age")

    def set_temperature(self, kelvin: float | None) -> None:
        """Let reads see the tile as it is, and ages, at that temperature; None: at the card's reference.

        Args:
            kelvin: temperature in K.

        Raises:
            UsageError: it is no temperature, or this tile does not depend on it.
        """
        if kelvin is not None:
            raise UsageError(f"temperature: {type(self).__name__} does not depend on it")

    def sibling(self, purpose: str) -> Tile:
        """Another tile of the same device and size, with weights zero and draws of its own, named after ``purpose``.

        Raises:
            UsageError: tiles of this backend cannot.
        """
        raise UsageError(f"{type(self).__name__} cannot make a second array; use another update path")

    def stream(self, purpose: str) -> torch.Generator:
        """A random stream of this tile's own, named after ``purpose``, for an update path's draws.

        Raises:
            UsageError: tiles of this backend cannot.
        """
        raise UsageError(f"{type(self).__name__} has no random streams of its own; use another update path")

    @abc.abstractmethod
    def state(self) -> dict[str, Any]:
        """Everything that a checkpoint must keep, as tensors and plain values."""

    @abc.abstractmethod
    def load(self, state: dict[str, Any]) -> None:
        """Take up a state that :meth:`state` returned."""
