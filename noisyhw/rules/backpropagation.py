"""BP: backpropagation, the yardstick."""

from __future__ import annotations

from torch import Tensor

from ..observation import Observation
from .base import Knows, Probe, Rule


class Backpropagation(Rule):
    """d_l = dL/da_l (paper, Eq. 1): only on an ideal device, or from an oracle that is asked for by name."""

    name = "bp"
    title = "backpropagation"
    knows = frozenset({Knows.GRADIENT})
    samplewise = True

    def probes(self, layers: int) -> tuple[Probe, ...]:
        """No noisy pass."""
        return ()

    def signals(self, seen: Observation) -> tuple[Tensor, ...]:
        """Hand on the gradient."""
        if seen.gradient is None:
            raise ValueError("this observation holds no gradient")
        return seen.gradient
