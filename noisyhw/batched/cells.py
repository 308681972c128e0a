"""The cells of all layers and replicas, flat: what a write does to them."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from ..cards.device import ProgrammedUpdate, PulsedUpdate
from ..devices.cells import Cells, ExactCells, ProgrammedCells, programming_std
from ..devices.pulsed import Move, PulsedCells
from ..streams import normal_
from .layout import Layout, Number, Segments
from .merged import merged
from .vectors import in_vectors, padded


class StackedCells(abc.ABC):
    """Cells of one write physics; ``weight`` and all else is flat, and the replicas' own cells become views of it.

    Args:
        layout: of the weights.
        cells: per layer, every replica's.
    """

    kept: tuple[str, ...] = ("weight",)
    """Tensors of the replicas' cells that writes change."""
    weight: Float[Tensor, " cells"]
    step: Number | None

    def __init__(self, layout: Layout, cells: Sequence[Sequence[Cells]]) -> None:
        self.layout = layout
        self.device = cells[0][0].weight.device
        self._parts = cells
        generators = [one.generator for layer in cells for one in layer]
        self.segments = Segments(layout, generators, self.device)
        bounded = cells[0][0].bounds.low is not None
        self.low = layout.gather(lambda i, r: cast(Tensor, cells[i][r].bounds.low)) if bounded else None
        self.high = layout.gather(lambda i, r: cast(Tensor, cells[i][r].bounds.high)) if bounded else None
        for name in self.kept:
            self._take_over(name)

    def _take_over(self, name: str) -> None:
        """Gather a tensor of the replicas' cells, and let them look at what was gathered."""
        flat = self._gathered(name)
        setattr(self, name, flat)
        for layer, view in zip(self._parts, self.layout.views(flat), strict=True):
            for one, own in zip(layer, view, strict=True):
                setattr(one, name, own)

    def _gathered(self, name: str) -> Tensor:
        return self.layout.gather(lambda i, r: cast(Tensor, getattr(self._parts[i][r], name)))

    def _clip(self, values: Tensor, cells: Tensor | slice = slice(None)) -> Tensor:
        if self.low is None or self.high is None:
            return values
        return values.clamp_(self.low[cells], self.high[cells])

    @abc.abstractmethod
    def write(self, change: Float[Tensor, " cells"]) -> None:
        """Ask every cell for a change."""

    @abc.abstractmethod
    def pulse(self, counts: Float[Tensor, " cells"]) -> None:
        """Send whole steps."""


class StackedExact(StackedCells):
    """See :class:`.ExactCells`."""

    step = None

    def write(self, change: Tensor) -> None:
        """Add the change."""
        self._clip(self.weight.add_(change))

    def pulse(self, counts: Tensor) -> None:
        """Not called: exact cells have no step."""
        raise NotImplementedError("exact cells have no step")


class StackedProgrammed(StackedCells):
    """See :class:`.ProgrammedCells`; without verifying."""

    kept = ("weight", "target", "events")
    target: Float[Tensor, " cells"]
    events: Tensor

    def __init__(self, layout: Layout, cells: Sequence[Sequence[Cells]]) -> None:
        super().__init__(layout, cells)
        own = [cast(ProgrammedCells, one) for one in cells[0]]
        self.update: ProgrammedUpdate = merged(
            [one.update for one in own], lambda values: layout.spread(values, self.device), "device.update"
        )
        self.full_scale = layout.spread([one.full_scale for one in own], self.device)
        self.step = self.update.resolution

    def write(self, change: Tensor) -> None:
        """Program those cells whose change is not zero."""
        base = self.target if self.update.reference != "cell" else self.weight
        self.target.copy_(self._clip(base + change))
        cells = change != 0
        noise = self.segments.fill_(torch.empty_like(change), Tensor.normal_)
        std = programming_std(self.update.noise, self.target.abs() / self.full_scale, in_vectors(torch.expm1))
        written = self._clip(noise.mul_(std).add_(self.target))
        torch.where(cells, written, self.weight, out=self.weight)
        self.events.add_(cells)

    def pulse(self, counts: Tensor) -> None:
        """Program changes of whole resolutions."""
        self.write(counts * self.update.resolution)


class StackedPulsed(StackedCells):
    """See :class:`.PulsedCells`."""

    kept = ("weight", "inner", "sent")
    inner: Float[Tensor, " cells"]
    sent: Float[Tensor, " cells"]

    def __init__(self, layout: Layout, cells: Sequence[Sequence[Cells]]) -> None:
        super().__init__(layout, cells)
        own = [cast(PulsedCells, one) for one in cells[0]]
        self.update: PulsedUpdate = merged(
            [one.update for one in own], lambda values: layout.spread(values, self.device), "device.update"
        )
        self.step = self.update.step
        self.parts = [self._gathered(name) for name in ("step_up", "step_down", "pull_up", "pull_down")]

    def write(self, change: Tensor) -> None:
        """Send change / step pulses, rounded up or down at random so that the mean is right."""
        dither = self.segments.fill_(torch.empty_like(change), Tensor.uniform_)
        self.pulse((change / self.update.step).add_(dither).floor_())

    def pulse(self, counts: Tensor) -> None:
        """Send whole pulses, up where positive and down where negative."""
        self.sent.add_(counts.abs())
        cells = counts.nonzero().squeeze(1)
        sizes, number = self.segments.counts(cells), len(cells)
        ends, std = self._moved(counts, padded(cells))  # cell 0 once in a while again, and not looked at
        end = ends[:number]
        if std is not None:
            end = end + self._normal(end, sizes).mul_(std[:number])
        end = self._clip(end, cells)
        self.inner[cells] = end
        if _some(self.update.write_noise):
            end = end + self._normal(end, sizes).mul_(_of(self.update.write_noise, cells))
        self.weight[cells] = end

    def _moved(self, counts: Tensor, cells: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mean of these cells' weights after their pulses, and their std, if there is any."""
        sent, start = counts[cells], self.inner[cells]
        move = Move(sent.clamp(min=0), sent.neg().clamp_(min=0), *(part[cells] for part in self.parts))
        if not _some(self.update.cycle_noise):
            return move.mean(start), None
        std = move.variance(start, self.update.cycle_noise_scales).sqrt_()
        return move.mean(start), std.mul_(_of(self.update.cycle_noise, cells))

    def _normal(self, like: Tensor, sizes: Sequence[int]) -> Tensor:
        return self.segments.fill_(torch.empty_like(like), normal_, sizes)


def _some(number: Number) -> bool:
    """Whether there is noise; in one stack all replicas have it, or none."""
    return isinstance(number, Tensor) or number != 0


def _of(number: Number, cells: Tensor) -> Number:
    """The number of some cells."""
    return number[cells] if isinstance(number, Tensor) else number


STACKED: dict[type[Cells], type[StackedCells]] = {
    ExactCells: StackedExact,
    ProgrammedCells: StackedProgrammed,
    PulsedCells: StackedPulsed,
}
"""By the class of a replica's own cells."""
