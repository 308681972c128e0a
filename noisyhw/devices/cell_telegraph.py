"""Random telegraph noise of single cells."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int8
from torch import Tensor

from ..cards.read_effects import CellTelegraphNoise
from ..streams import stream


class CellTelegraph:
    """A two-state offset of every affected cell's weight, +amplitude or -amplitude in weight units.

    An absolute amplitude, because one trap switches about the same conductance whatever the state of a low-resistance
    cell. Which cells are affected is drawn once per device; stuck cells never are. A cell's state is held within a
    pass of a batch, and flips between passes with the chance that an odd number of its B reads flipped it, (1 - (1 - 2
    p)^B) / 2. So states of different passes correlate as they should, but the samples of one pass share theirs (a
    state per sample would need a weight-sized product per sample).

    Source: Ielmini, Nardi & Cagli, Appl. Phys. Lett. 96, 053503 (2010), on the amplitude; Ambrogio et al., IEEE Trans.
    Electron Devices 62, 3805 (2015), on fluctuations of resistive memory cells.
    """

    sign: Int8[Tensor, "outputs inputs"]

    def __init__(
        self,
        card: CellTelegraphNoise,
        shape: tuple[int, int],
        seed: int,
        name: str,
        device: torch.device,
        stuck: Bool[Tensor, "outputs inputs"] | None = None,
    ) -> None:
        self.card = card
        self.generator = stream(seed, name, "cell telegraph", device=device)
        affected = torch.rand(shape, generator=self.generator, device=device) < card.share_of_cells
        down = torch.rand(shape, generator=self.generator, device=device) < 0.5
        if stuck is not None:
            affected &= ~stuck
        self.sign = affected.to(torch.int8) * (1 - 2 * down.to(torch.int8))

    def next_pass(
        self, weight: Float[Tensor, "outputs inputs"], reads: int
    ) -> Float[Tensor, "outputs inputs"]:
        """Return the weights of one pass, then let its reads go by.

        Args:
            weight: the quiet weights.
            reads: samples that the pass reads.
        """
        seen = torch.add(weight, self.sign, alpha=self.card.amplitude)
        odd = (1 - (1 - 2 * self.card.flip_probability) ** reads) / 2
        draws = torch.rand(weight.shape, generator=self.generator, device=weight.device)
        self.sign = torch.where(draws < odd, -self.sign, self.sign)
        return seen

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""
        return {"sign": self.sign, "generator": self.generator.get_state()}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state that :meth:`state` returned."""
        self.sign = state["sign"].to(self.sign.device, copy=True)
        self.generator.set_state(state["generator"].cpu())
