"""NP: node perturbation."""

from __future__ import annotations

from torch import Tensor

from ..observation import Observation
from .base import Knows, Probe, Rule, mean_of_passes, own_injection, rises


class NodePerturbation(Rule):
    """d_l = dL epsilon_l / sigma^2, with epsilon the injected perturbation and sigma its std (paper, Eq. 3)."""

    name = "np"
    title = "node perturbation"
    knows = frozenset({Knows.INJECTED})
    samplewise = True

    def probes(self, layers: int) -> tuple[Probe, ...]:
        """Perturb every layer in one pass."""
        return ((True,) * layers,)

    def signals(self, seen: Observation) -> tuple[Tensor, ...]:
        """Weigh each injected perturbation by the loss difference that it came with."""
        own, rise = own_injection(seen), rises(seen) / own_injection(seen).std ** 2
        return tuple(
            mean_of_passes(noise * rise[list(passes), :, None])
            for noise, passes in zip(own.noise, own.passes, strict=True)
        )
