"""What a read multiplies with: cells that may be stuck, behind wires, with telegraph and 1/f noise."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..cards.device import DeviceCard
from ..products import product
from .cell_flicker import CellFlicker
from .cell_telegraph import CellTelegraph
from .cells import Bounds
from .ir_drop import WireDrop
from .last_weight import LastWeight
from .stuck import StuckCells


class Array:
    """The weights of a tile as reads see them; with nothing switched on, the cells' own.

    Order: stuck cells, then the wires' voltage drop, then the noise that a pass holds. That is telegraph noise of free
    cells and 1/f noise; both are small and are not diminished by the drop in their turn.
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
        slow = card.read_noise.cell_flicker
        self.flicker = CellFlicker(slow, card.weights.max, shape, seed, name, device) if slow else None
        self.last = LastWeight()

    @property
    def memoryless(self) -> bool:
        """Whether a pass sees the cells as the pass before does."""
        return self.telegraph is None and self.flicker is None

    def held(self, weight: Float[Tensor, "outputs inputs"]) -> Float[Tensor, "outputs inputs"]:
        """Return what the cells hold when the free ones hold ``weight``."""
        return weight if self.stuck is None else self.stuck.hold(weight)

    def seen(self, weight: Float[Tensor, "outputs inputs"]) -> Float[Tensor, "outputs inputs"]:
        """Return the weights that reads multiply with, but for noise that a pass holds."""
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
        if not self.memoryless:
            passes = inputs.expand(number, -1, -1)
            return torch.stack([x @ self._next_pass(seen, x.shape[0]).t() for x in passes])
        y = product(inputs, seen.t())
        return y.expand(number, -1, -1).clone() if number > y.shape[0] else y

    def _next_pass(self, seen: Tensor, reads: int) -> Tensor:
        """The weights of one pass of so many reads."""
        weight = seen if self.telegraph is None else self.telegraph.next_pass(seen, reads)
        return weight if self.flicker is None else self.flicker.next_pass(seen, reads).add_(weight)

    def state(self) -> dict[str, Any] | None:
        """Return what a checkpoint must keep."""
        if self.memoryless:
            return None
        return {
            "telegraph": self.telegraph.state() if self.telegraph else None,
            "flicker": self.flicker.state() if self.flicker else None,
        }

    def load(self, state: dict[str, Any] | None) -> None:
        """Take up a state that :meth:`state` returned."""
        if state is None:
            return
        if self.telegraph is not None:
            self.telegraph.load(state["telegraph"])
        if self.flicker is not None:
            self.flicker.load(state["flicker"])
