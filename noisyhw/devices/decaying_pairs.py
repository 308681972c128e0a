"""One-sided pairs whose step shrinks exponentially, or whose pulses are noisy whatever their step."""

from __future__ import annotations

import torch
from torch import Tensor

from .one_sided import OneSidedCells
from .pulsed import LARGEST_PULL, Move

MOST_TURNS = 200
"""More pulses than these are sent several at a time."""


class DecayingPairs(OneSidedCells):
    """Pairs that are pulsed one pulse after another, of std cycle_noise step(g) + cycle_noise_constant + slope g.

    With ``decay``, step(g) = step (floor + (1 - floor) exp(-rate g / bound)): large steps at first, and small ones
    after a few pulses, as in phase-change memory. Up to 200 pulses of one update are sent one by one, each with its
    own noise, kept within the bounds and followed by a refresh where one is due; more go several at a time, along the
    tangent.

    Source: ExpStepDevice of aihwkit 1.2.0 with its complex cycle-to-cycle noise, which its authors fitted to the
    phase-change memory of Nandakumar et al., Front. Neurosci. 14:406 (2020).
    """

    def _send(self, counts: Tensor, fluctuation: Tensor | float) -> None:
        left = self._whole(counts, fluctuation) if isinstance(fluctuation, Tensor) else counts
        size = (left / MOST_TURNS).ceil().clamp_(min=1)
        while bool((left > 0).any()):
            super()._send(left.minimum(size), 0.0)
            left = (left - size).clamp_(min=0)

    def _whole(self, mean: Tensor, fluctuation: Tensor) -> Tensor:
        """Whole numbers of pulses for mean numbers that fluctuate."""
        noise = torch.randn(mean.shape, generator=self.generator, device=mean.device)
        return (mean + noise.mul_((mean * fluctuation).sqrt_())).round_().clamp_(min=0)

    def _raised(self, counts: Tensor, fluctuation: Tensor | float) -> Tensor:
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
