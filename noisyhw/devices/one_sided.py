"""One-sided cells: pairs of conductances that pulses can only raise, refreshed when they run full."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..cards.device import DeviceCard, OneSidedUpdate
from .cells import Cells, load_count_
from .coincidences import coincidences
from .pulsed import LARGEST_PULL, Move


class OneSidedCells(Cells):
    """w = g_plus - g_minus; a pulse up raises g_plus, a pulse down g_minus, by step (1 - saturation g / g_max).

    g_max of g_plus is the cell's upper bound, that of g_minus the size of its lower one. After each write those pairs
    are refreshed whose fuller half is above refresh_above and whose other half is above refresh_other, as shares of
    g_max: both are reset to zero, and the difference is programmed into one of them, with an error. Many pulses at
    once have the closed form of a linear step. Drawn once per half: step. Drawn at each pulse: cycle-to-cycle noise,
    relative to the step. Drawn at each refresh, and at the first write: the programming error.

    Source: Nandakumar et al., Front. Neurosci. 14:406 (2020); the rule of refresh, and that it comes after a whole
    write (a mini-batch), is that of aihwkit 1.2.0's OneSidedUnitCell. With ``refresh: pulse`` see
    :class:`~.decaying_pairs.DecayingPairs`.
    """

    name = "one_sided"

    @classmethod
    def accepts(cls, card: DeviceCard) -> bool:
        """Whether these cells are what the card asks for (see :class:`.Cells`)."""
        return not card.has_pairs_one_by_one

    def __init__(self, card: DeviceCard, weight: Tensor, seed: int, name: str) -> None:
        super().__init__(card, weight, seed, name)
        assert isinstance(card.update, OneSidedUpdate)
        assert self.bounds.low is not None
        assert self.bounds.high is not None
        self.update = card.update
        self.step = card.update.step
        self.full = torch.stack([b.expand(weight.shape) for b in (self.bounds.high, -self.bounds.low)])
        self.steps = self._steps()
        pull = self.update.saturation * self.steps / self.full
        self.pull = pull.nan_to_num_(nan=LARGEST_PULL).clamp_(max=LARGEST_PULL)
        self.pair = torch.zeros_like(self.full)
        self.refreshes = torch.zeros(weight.shape, dtype=torch.int64, device=weight.device)
        self._program(torch.ones_like(self.refreshes, dtype=torch.bool), self.bounds.clip_(weight.clone()))
        self.weight = self.pair[0] - self.pair[1]
        self.sent = torch.zeros_like(self.weight, dtype=torch.float64)

    def _steps(self) -> Tensor:
        if self.update.step_spread == 0:
            return torch.full_like(self.full, self.update.step)
        drawn = torch.randn(self.full.shape, generator=self.device_draws, device=self.full.device)
        return drawn.mul_(self.update.step_spread).add_(1).clamp_(min=0).mul_(self.update.step)

    def write(self, change: Tensor) -> None:
        """Send change / step pulses, rounded up or down at random so that the mean is right."""
        wanted = change / self.update.step
        dither = torch.rand(wanted.shape, generator=self.generator, device=wanted.device)
        self.pulse(wanted.add_(dither).floor_())

    def pulse(self, counts: Tensor) -> None:
        """Send whole pulses, to g_plus where ``counts`` is positive and to g_minus where it is negative."""
        self._apply(torch.stack([counts.clamp(min=0), counts.neg().clamp_(min=0)]))

    def outer(self, x: Tensor, d: Tensor, rate: float) -> None:
        """Send the coincidences of two stochastic pulse trains per sample (see :mod:`.coincidences`)."""
        update = self.update
        found = coincidences(x, d, rate / update.step, update.pulses_per_update, self.generator)
        self._apply(torch.stack(found.all(self.generator)))

    def _apply(self, counts: Tensor) -> None:
        """Raise the conductances by so many pulses."""
        self.sent.add_(counts.sum(0))
        self._send(counts)
        self.weight = self.pair[0] - self.pair[1]

    def _send(self, counts: Tensor) -> None:
        """Raise the conductances by all these pulses at once, then refresh pairs that are full."""
        self._raise(counts)
        self._refresh()

    def _raise(self, counts: Tensor) -> None:
        """Raise both halves side by side: what one half gets does not touch the other."""
        self.pair = torch.where(counts > 0, self._raised(counts), self.pair)

    def _raised(self, counts: Tensor) -> Tensor:
        """Conductances after so many pulses each."""
        none = torch.zeros((), device=counts.device)
        move = Move(counts, none, self.steps, none, self.pull, none)
        raised = move.mean(self.pair).maximum(self.pair)
        if self.update.cycle_noise:
            drawn = torch.randn(raised.shape, generator=self.generator, device=raised.device)
            std = move.variance(self.pair, True).sqrt_().mul_(self.update.cycle_noise)
            raised = raised + drawn.mul_(std)
        return raised.clamp(min=none).minimum(self.full)

    def _refresh(self) -> None:
        filled = self.pair / self.full.clamp(min=1e-12)
        due = (filled.amax(0) > self.update.refresh_above) & (filled.amin(0) > self.update.refresh_other)
        self._program(due, self.pair[0] - self.pair[1])
        self.refreshes += due

    def _program(self, cells: Tensor, target: Tensor) -> None:
        """Reset both halves of some pairs and program one of them."""
        size = target.abs()
        if self.update.programming_noise:
            noise = torch.randn(target.shape, generator=self.generator, device=target.device)
            size = size + noise.mul_(self.update.programming_noise)
        halves = torch.stack([target > 0, target < 0]) * size
        self.pair = torch.where(cells, halves.clamp(min=0).minimum(self.full), self.pair)

    def pulses(self) -> Tensor:
        """Pulses of both halves of every pair, and its refreshes."""
        return self.sent + self.refreshes

    def state(self) -> dict[str, Any]:
        """Return both conductances, counted pulses, how often each pair was refreshed, and the generator."""
        return super().state() | {"pair": self.pair, "refreshes": self.refreshes, "sent": self.sent}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state that :meth:`state` returned."""
        super().load(state)
        self.pair = state["pair"].clone().to(self.pair.device)
        self.refreshes.copy_(state["refreshes"])
        load_count_(self.sent, state)
