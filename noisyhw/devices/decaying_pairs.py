"""One-sided pairs whose step shrinks exponentially, or whose pulses are noisy whatever their step."""

from __future__ import annotations

import torch
from torch import Tensor

from ..cards.device import DeviceCard
from .one_sided import OneSidedCells
from .pulsed import LARGEST_PULL, Move

MOST_TURNS = 200
"""More pulses than these are sent several at a time."""


class DecayingPairs(OneSidedCells):
    """Pairs that are pulsed one pulse after another, of std cycle_noise step(g) + cycle_noise_constant + slope g.

    With ``decay``, step(g) = step (floor + (1 - floor) exp(-rate g / bound)): large steps at first, and small ones
    after a few pulses, as in phase-change memory. Up to 200 pulses of one update are sent one by one, each with its
    own noise, and kept within the bounds; more go several at a time, along the tangent.

    With ``refresh: write`` a half's pulses do not touch the other half, so both get theirs side by side, and pairs are
    refreshed in the end. With ``refresh: pulse`` a refresh is due after any pulse, so the order counts: a write's
    pulses up and down come in random order, drawn at each pulse, each order as likely as any other.

    Source: ExpStepDevice of aihwkit 1.2.0 with its complex cycle-to-cycle noise, which its authors fitted to the
    phase-change memory of Nandakumar et al., Front. Neurosci. 14:406 (2020).
    """

    @classmethod
    def accepts(cls, card: DeviceCard) -> bool:
        """Whether these cells are what the card asks for (see :class:`.Cells`)."""
        return card.has_pairs_one_by_one

    def _send(self, counts: Tensor) -> None:
        if self.update.refresh == "pulse":
            self._send_mixed(counts)
        else:
            self._send_side_by_side(counts)
            self._refresh()

    def _send_side_by_side(self, left: Tensor) -> None:
        """Send both halves their pulses, [2, outputs, inputs], without a refresh."""
        size = turn_size(left)
        while bool((left > 0).any()):
            self._raise(left.minimum(size))
            left = (left - size).clamp_(min=0)

    def _send_mixed(self, left: Tensor) -> None:
        """Send pulses up and down, [2, outputs, inputs], in random order, with a refresh after each.

        The next pulse goes up with the share that pulses up have of those left: drawing without putting back.
        """
        size = turn_size(left.sum(0))
        while bool((left > 0).any()):
            turn = self._next(left, left.sum(0).minimum(size))
            self._raise(turn)
            self._refresh()
            left = left - turn

    def _next(self, left: Tensor, taken: Tensor) -> Tensor:
        """Which ``taken`` pulses of those left come next; several at a time have their shares, rounded at random."""
        share = taken * left[0] / left.sum(0).clamp(min=1)
        dither = torch.rand(taken.shape, generator=self.generator, device=taken.device)
        up = share.add_(dither).floor_().minimum(left[0].minimum(taken)).maximum(taken - left[1])
        return torch.stack([up, taken - up])

    def _raised(self, counts: Tensor) -> Tensor:
        pair = self.pair
        none = torch.zeros((), device=pair.device)
        step, pull = self._step_at(pair)
        raised = pair + Move(counts, none, step, none, pull, none).mean(torch.zeros_like(pair))
        update = self.update
        if update.cycle_noise or update.cycle_noise_constant or update.cycle_noise_slope:
            std = update.cycle_noise * step + update.cycle_noise_constant + update.cycle_noise_slope * pair
            noise = torch.randn(pair.shape, generator=self.generator, device=pair.device)
            raised = raised + noise.mul_(std * counts.sqrt())
        return raised.clamp(min=none).minimum(self.full)

    def _step_at(self, pair: Tensor) -> tuple[Tensor, Tensor]:
        """The step at these conductances, and how much it shrinks per unit of conductance."""
        decay = self.update.decay
        if decay is None:
            return self.steps - self.pull * pair, self.pull
        slope = decay.rate / self.full.clamp(min=1e-6)
        fading = (1 - decay.floor) * self.steps * torch.exp(-slope * pair)
        return decay.floor * self.steps + fading, (slope * fading).clamp(max=LARGEST_PULL)


def turn_size(counts: Tensor) -> Tensor:
    """How many of so many pulses go at a time: one, or as many as make 200 turns."""
    return (counts / MOST_TURNS).ceil().clamp_(min=1)
