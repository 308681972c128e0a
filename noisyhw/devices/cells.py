"""Cells: the weights of one tile and what writing does to them. One write physics a class."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..cards.base import Card
from ..cards.device import DeviceCard, ProgrammedUpdate, ProgrammingNoise, Weights
from ..cards.verify import Verify
from ..products import product
from ..streams import stream


class Bounds:
    """Each cell's lowest and highest weight; a spread is drawn once per cell."""

    def __init__(self, card: Weights, shape: tuple[int, int], generator: torch.Generator) -> None:
        self.low = self._spread(
            card.min, card.spread if card.spread_min is None else card.spread_min, shape, generator
        )
        self.high = self._spread(card.max, card.spread, shape, generator)

    @staticmethod
    def _spread(
        bound: float | None, spread: float, shape: tuple[int, int], generator: torch.Generator
    ) -> Tensor | None:
        if bound is None:
            return None
        if spread == 0:
            return torch.tensor(bound, device=generator.device)
        deviation = torch.randn(shape, generator=generator, device=generator.device)
        return deviation.mul_(spread).add_(1).clamp_(min=0).mul_(bound)

    def clip_(self, weight: Tensor) -> Tensor:
        """Keep ``weight`` within each cell's bounds, in place."""
        return weight if self.low is None else weight.clamp_(self.low, self.high)


class Cells(abc.ABC):
    """The cells of one tile.

    ``weight`` is what a read multiplies with. Only this class and its children change it.
    """

    name: ClassVar[str]
    """The ``kind`` of the card's ``update`` block."""
    options: ClassVar[type[Card] | None] = None
    """The model of that block, of cells that are not shipped: it has ``kind: Literal[...]``."""
    revision: ClassVar[str] = ""
    """Of the arithmetic of cells that are not shipped, raised when their numbers change."""
    weight: Float[Tensor, "outputs inputs"]
    step: float | None
    """The smallest change that a write can or should make, in weight units; None: any."""

    def __init__(self, card: DeviceCard, weight: Tensor, seed: int, name: str) -> None:
        shape = (weight.shape[0], weight.shape[1])
        self.device_draws = stream(seed, name, "device", device=weight.device)
        self.generator = stream(seed, name, "write", device=weight.device)
        self.bounds = Bounds(card.weights, shape, self.device_draws)

    @classmethod
    def accepts(cls, card: DeviceCard) -> bool:
        """Whether a card whose update is of this kind asks for these cells, where several classes share a kind."""
        return True

    @abc.abstractmethod
    def write(self, change: Float[Tensor, "outputs inputs"]) -> None:
        """Ask every cell for a change of its weight; the cell's physics decides what comes of it."""

    @abc.abstractmethod
    def pulse(self, counts: Float[Tensor, "outputs inputs"]) -> None:
        """Send whole steps to the cells, ``counts`` of them, up where positive and down where negative."""

    def outer(
        self, x: Float[Tensor, "samples inputs"], d: Float[Tensor, "samples outputs"], rate: float
    ) -> None:
        """Move the weights by -rate sum_b d_b x_b^T, as the device does it."""
        self.write(product(d.t(), x).mul_(-rate))

    def pulses(self) -> Float[Tensor, "outputs inputs"] | None:
        """Pulses or programming events of every cell so far; None: these cells take neither."""
        return None

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep (what was drawn once per device is drawn again from the seed)."""
        return {"weight": self.weight, "generator": self.generator.get_state()}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state that :meth:`state` returned."""
        self.weight.copy_(state["weight"])
        self.generator.set_state(state["generator"].cpu())


class ExactCells(Cells):
    """A write does exactly what it is asked to, up to the bounds."""

    name = "exact"

    def __init__(self, card: DeviceCard, weight: Tensor, seed: int, name: str) -> None:
        super().__init__(card, weight, seed, name)
        self.step = None
        self.weight = self.bounds.clip_(weight.clone())

    def write(self, change: Tensor) -> None:
        """Add the change."""
        self.bounds.clip_(self.weight.add_(change))

    def pulse(self, counts: Tensor) -> None:
        """Not called: exact cells have no step."""
        raise NotImplementedError("exact cells have no step")


class ProgrammedCells(Cells):
    """A write programs a cell to a target; the error is drawn once per programming event and stays until the next.

    With ``reference: target`` (or ``auto``) the controller keeps the targets, so errors do not add up. With
    ``reference: cell`` a change starts from the cell's present weight, so n writes leave an error of std sqrt(n).

    With ``verify`` the loop is closed: cells that read further than the tolerance from their target are programmed
    again. A retry programs a cell afresh, as where each pulse erases what was there (melt-quenched phase change:
    Papandreou et al., IEEE ISCAS (2011), 329); or it moves the cell by what it reads to be off, as where pulses add up
    (metal oxides: Alibart et al., Nanotechnology 23, 075201 (2012)).

    Attributes:
        events: programming events of every cell so far, retries among them, [outputs, inputs].
    """

    name = "programmed"

    def __init__(self, card: DeviceCard, weight: Tensor, seed: int, name: str) -> None:
        super().__init__(card, weight, seed, name)
        assert isinstance(card.update, ProgrammedUpdate)
        self.update = card.update
        self.full_scale = card.weights.max or 1.0
        self.step = card.update.resolution
        self.target = self.bounds.clip_(weight.clone())
        self.weight = self.target.clone()
        self.events = torch.zeros(weight.shape, dtype=torch.int32, device=weight.device)
        self._program(torch.ones_like(self.target, dtype=torch.bool))

    def write(self, change: Tensor) -> None:
        """Program those cells whose change is not zero."""
        base = self.target if self.update.reference != "cell" else self.weight
        self.target = self.bounds.clip_(base + change)
        self._program(change != 0)

    def pulse(self, counts: Tensor) -> None:
        """Program changes of whole resolutions."""
        self.write(counts * self.update.resolution)

    def _program(self, cells: Tensor) -> None:
        noise = torch.randn(self.target.shape, generator=self.generator, device=self.target.device)
        std = programming_std(self.update.noise, self.target.abs() / self.full_scale)
        written = self.bounds.clip_(noise.mul_(std).add_(self.target))
        self.weight = torch.where(cells, written, self.weight)
        self.events += cells
        if self.update.verify is not None:
            self._retry(self.update.verify, cells, std)

    def _retry(self, verify: Verify, cells: Tensor, std: Tensor) -> None:
        """Read the programmed cells, and program those again that are off, until none is or the rounds are spent."""
        off = cells.nonzero(as_tuple=True)
        for _ in range(verify.max_rounds - 1):
            miss = verifying_read(self.weight[off] - self.target[off], verify.read_std, self.generator)
            bad = miss.abs() > verify.tolerance
            off, miss = (off[0][bad], off[1][bad]), miss[bad]
            if miss.numel() == 0:
                return
            noise = torch.randn(miss.shape, generator=self.generator, device=miss.device)
            if verify.correction_noise is None:
                self.weight[off] = self.target[off] + noise.mul_(std[off])
            else:
                self.weight[off] -= miss.mul_(noise.mul_(verify.correction_noise).add_(1))
            self.bounds.clip_(self.weight)
            self.events[off] += 1

    def pulses(self) -> Tensor:
        """Programming events of every cell, the first among them."""
        return self.events.double()

    def state(self) -> dict[str, Any]:
        """Return weights, targets, counted events and the generator."""
        return super().state() | {"target": self.target, "events": self.events}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state that :meth:`state` returned."""
        super().load(state)
        self.target.copy_(state["target"])
        self.events.copy_(state["events"])


def load_count_(sent: Tensor, state: dict[str, Any]) -> None:
    """Take up counted pulses; a state of an earlier version has none, and then the number is not known."""
    if "sent" in state:
        sent.copy_(state["sent"])
    else:
        sent.fill_(torch.nan)


def verifying_read(
    error: Float[Tensor, " cells"], std: float, generator: torch.Generator
) -> Float[Tensor, " cells"]:
    """Read how far cells are from their targets, with noise of ``std``."""
    if std == 0:
        return error
    return error + torch.randn(error.shape, generator=generator, device=error.device).mul_(std)


def programming_std(
    noise: ProgrammingNoise, ratio: Float[Tensor, "*shape"], expm1: Callable[[Tensor], Tensor] = torch.expm1
) -> Float[Tensor, "*shape"]:
    """Std of a programmed weight at |target| / max = ``ratio``, never below zero.

    The quadratic form is that of Joshi et al., Nat. Commun. 11, 2473 (2020), and Nandakumar et al., ICECS (2019); the
    saturating one that of Agrawal et al., IEDM (2022), 21.7, Fig. 10.
    """
    std = noise.constant + noise.linear * ratio + noise.quadratic * ratio.square()
    if noise.saturates_at is not None:
        std = std - noise.saturating * expm1(-ratio / noise.saturates_at)
    return std.clamp_(min=0)
