"""Read noise: what a read-out carries besides the product."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int8
from torch import Tensor

from ..cards.device import ReadNoise, TelegraphNoise
from ..streams import normal_, stream
from .cell_flicker import fresh_share
from .common_noise import Common
from .flicker import Flicker
from .noise import sources
from .weight_dependent import WeightDependent


class ReadNoiseSource:
    """All read noise of one tile.

    White and per-cell noise are drawn afresh at each read. A telegraph state is drawn once per output node and flips
    from read to read. The mean is constant. Noise of single cells that needs weights of its own is in the array, and
    with it what a pass holds of the cells' 1/f noise; the rest of that, fresh at each read, is here.
    """

    def __init__(
        self,
        card: ReadNoise,
        outputs: int,
        seed: int,
        name: str,
        device: torch.device,
        largest_weight: float | None = None,
    ) -> None:
        self.card = card
        cells = card.weight_dependent
        self.weight_dependent = WeightDependent(cells, largest_weight) if cells else None
        slow = card.cell_flicker
        self.cell_flicker = WeightDependent(slow, largest_weight) if slow else None
        self.flicker = Flicker(card.flicker, outputs, seed, name, device) if card.flicker else None
        self.common = Common(card.common, seed, name, device) if card.common else None
        self.generator = stream(seed, name, "read", device=device)
        self.telegraph = Telegraph(card.telegraph, outputs, self.generator) if card.telegraph else None
        self.registered = sources(card.registered, outputs, seed, name, device)

    def add_(
        self,
        reads: Float[Tensor, "reads samples outputs"],
        inputs: Float[Tensor, "#reads samples inputs"],
        weight: Float[Tensor, "outputs inputs"],
    ) -> None:
        """Add one draw of every source to ``reads``, in place.

        Args:
            reads: noise-free products, in the order in which they are read: all samples of the first read, then
                those of the second.
            inputs: what the array sees at each read (after the DAC).
            weight: what the reads multiply with.
        """
        std = gaussian_std(self.card, inputs, self._of_cells(inputs, weight))
        if std is not None:
            reads.addcmul_(normal_(torch.empty_like(reads), self.generator), std)
        if self.telegraph is not None:
            self.telegraph.add_(reads)
        if self.flicker is not None:
            self.flicker.add_(reads)
        if self.common is not None:
            self.common.add_(reads)
        if self.card.mean:
            reads.add_(self.card.mean)
        for source in self.registered.values():
            source.add_(reads, inputs, weight)

    def _of_cells(self, inputs: Tensor, weight: Tensor) -> Tensor | float:
        """Variance of the read-outs that cells' noise of this one read makes."""
        variance: Tensor | float = 0.0
        if self.weight_dependent is not None:
            variance = self.weight_dependent.variance(inputs, weight)
        if self.cell_flicker is not None and self.card.cell_flicker is not None:
            share = fresh_share(self.card.cell_flicker, inputs.shape[-2])
            variance = variance + share * self.cell_flicker.variance(inputs, weight)
        return variance

    @property
    def memoryless(self) -> bool:
        """Whether a read's noise does not hang on the reads before."""
        own = all(source.memoryless for source in self.registered.values())
        return self.telegraph is None and self.flicker is None and own

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""
        telegraph = self.telegraph.sign if self.telegraph else None
        return {
            "generator": self.generator.get_state(),
            "telegraph": telegraph,
            "flicker": self.flicker.state() if self.flicker else None,
            "common": self.common.state() if self.common else None,
        } | {f"registered {name}": source.state() for name, source in self.registered.items()}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state that :meth:`state` returned."""
        self.generator.set_state(state["generator"].cpu())
        if self.telegraph is not None:
            self.telegraph.sign.copy_(state["telegraph"])
        if self.flicker is not None:
            self.flicker.load(state["flicker"])
        if self.common is not None:
            self.common.load(state["common"])
        for name, source in self.registered.items():
            source.load(state[f"registered {name}"])


def gaussian_std(
    card: ReadNoise, inputs: Float[Tensor, "*reads inputs"], variance: Tensor | float = 0.0
) -> Tensor | None:
    """Std of the Gaussian part of a read-out, per sample (or per read-out), or None if there is none.

    White noise of std s (times max|x| or |x|_2 if so declared) and independent noise of std c on every cell's
    weight add up to a variance of s^2 + c^2 |x|_2^2 at each output, because sum_j e_j x_j with e_j ~ N(0, c^2) is
    N(0, c^2 |x|_2^2).

    Args:
        card: the card's read noise.
        inputs: what the array sees at each read.
        variance: of what is to be added to these, per read-out.
    """
    if card.per_cell is not None and _is_on(card.per_cell.std):
        variance = variance + card.per_cell.std**2 * _square_norm(inputs)
    if card.white is not None and _is_on(card.white.std):
        factor: Tensor | float = 1.0
        if card.white.relative_to == "input_norm":
            factor = _square_norm(inputs)
        elif card.white.relative_to == "input_max":
            factor = inputs.abs().amax(dim=-1, keepdim=True).square()
        variance = variance + card.white.std**2 * factor
    if isinstance(variance, Tensor):
        return variance.sqrt()
    return inputs.new_tensor(variance).sqrt() if variance > 0 else None


def _is_on(std: float | Tensor) -> bool:
    """Whether there is noise at all; in a stack of replicas every one has it, or none."""
    return isinstance(std, Tensor) or std > 0


def _square_norm(inputs: Tensor) -> Tensor:
    return inputs.square().sum(-1, keepdim=True)


class Telegraph:
    """A two-state offset per output node that flips with a given chance before each read.

    The sign after t reads is s_0 (-1)^(number of flips), so two reads k apart correlate as (1 - 2 p)^k
    (Machlup, J. Appl. Phys. 25, 341 (1954), in discrete time).
    """

    sign: Int8[Tensor, " outputs"]

    def __init__(self, card: TelegraphNoise, outputs: int, generator: torch.Generator) -> None:
        self.card = card
        self.generator = generator
        start = torch.rand(outputs, generator=generator, device=generator.device) < 0.5
        self.sign = 1 - 2 * start.to(torch.int8)

    def add_(self, reads: Float[Tensor, "reads samples outputs"]) -> None:
        """Add each node's offset to its reads, one after another, in place."""
        flips = torch.empty_like(reads).uniform_(generator=self.generator) < self.card.flip_probability
        parity = flips.flatten(0, 1).cumsum(0, dtype=torch.int32).bitwise_and_(1)
        signs = (1 - 2 * parity).to(torch.int8) * self.sign
        self.sign = signs[-1].clone()
        reads.add_(signs.view_as(reads), alpha=self.card.amplitude)
