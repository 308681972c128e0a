"""What a read multiplies with: cells that may be stuck, behind wires, with telegraph noise."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..cards.device import DeviceCard
from ..products import product
from .cell_telegraph import CellTelegraph
from .cells import Bounds
from .ir_drop import WireDrop
from .last_weight import LastWeight
from .stuck import StuckCells


class Array:
    """The weights of a tile as reads see them; with nothing switched on, the cells' own.

    Order: stuck cells, then the wires' voltage drop, then telegraph noise of free cells (whose jumps are small and
    are not diminished by the drop in their turn).
    """

    def __init__(
        self,
        card: DeviceCard,
        bounds: Bounds,
        shape: tuple[int, int],
        seed: int,
        name: str,
        device: torch.device,
    ) -> None:
        drop, jumps = card.periphery.ir_drop, card.read_noise.cell_telegraph
        self.stuck = StuckCells(card.stuck, bounds, shape, seed, name, device) if card.stuck else None
        self.wires = WireDrop(drop, card.weights.max) if drop and card.weights.max else None
        still = None if self.stuck is None else self.stuck.stuck
        self.telegraph = CellTelegraph(jumps, shape, seed, name, device, still) if jumps else None
        self.last = LastWeight()

    def held(self, weight: Float[Tensor, "outputs inputs"]) -> Float[Tensor, "outputs inputs"]:
        """Return what the cells hold when the free ones hold ``weight``."""
        return weight if self.stuck is None else self.stuck.hold(weight)

    def seen(self, weight: Float[Tensor, "outputs inputs"]) -> Float[Tensor, "outputs inputs"]:
        """Return the weights that reads multiply with, but for telegraph noise."""
        if self.stuck is None and self.wires is None:
            return weight
        return self.last.made(weight, self._seen)

    def _seen(self, weight: Tensor) -> Tensor:
        held = self.held(weight)
        return held if self.wires is None else self.wires.weights(held)

    def product(
        self,
        inputs: Float[Tensor, "passes samples inputs"],
        seen: Float[Tensor, "outputs inputs"],
        reads: int | None,
    ) -> Float[Tensor, "reads samples outputs"]:
        """Multiply every pass (or one pass ``reads`` times) by the weights that :meth:`seen` returned."""
        number = inputs.shape[0] if reads is None else reads
        if self.telegraph is not None:
            return self._jumping(self.telegraph, inputs.expand(number, -1, -1), seen)
        y = product(inputs, seen.t())
        return y.expand(number, -1, -1).clone() if number > y.shape[0] else y

    @staticmethod
    def _jumping(telegraph: CellTelegraph, inputs: Tensor, seen: Tensor) -> Tensor:
        passes = [x @ telegraph.next_pass(seen, x.shape[0]).t() for x in inputs]
        return torch.stack(passes)

    def state(self) -> dict[str, Any] | None:
        """Return what a checkpoint must keep."""
        return None if self.telegraph is None else self.telegraph.state()

    def load(self, state: dict[str, Any] | None) -> None:
        """Take up a state that :meth:`state` returned."""
        if self.telegraph is not None and state is not None:
            self.telegraph.load(state)
