"""Gain and offset errors of the columns' read-out circuits."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..cards.device import Periphery
from ..streams import stream


class AdcSpread:
    """Every column's converter sees (1 + gain error) y + offset; both errors are drawn once per device.

    The gain is never negative.
    """

    def __init__(self, card: Periphery, outputs: int, seed: int, name: str, device: torch.device) -> None:
        draws = stream(seed, name, "adc", device=device)
        gain, offset = (torch.randn(outputs, generator=draws, device=device) for _ in range(2))
        self.gain = gain.mul_(card.adc_gain_spread).add_(1).clamp_(min=0) if card.adc_gain_spread else None
        self.offset = offset.mul_(card.adc_offset_spread) if card.adc_offset_spread else None

    def apply_(self, reads: Float[Tensor, "reads samples outputs"]) -> None:
        """Turn what the columns give into what their converters see, in place."""
        if self.gain is not None:
            reads.mul_(self.gain)
        if self.offset is not None:
            reads.add_(self.offset)
