"""INP: iterative node perturbation."""

from __future__ import annotations

from torch import Tensor

from ..observation import Observation
from .base import Knows, Probe, Rule, own_injection, rises


class IterativeNodePerturbation(Rule):
    """d_l = N_l dL v_l / |v_l|^2, with v_l injected in layer l alone and N_l its units (paper, Eq. 5)."""

    name = "inp"
    title = "iterative node perturbation"
    knows = frozenset({Knows.INJECTED})
    samplewise = True

    def probes(self, layers: int) -> tuple[Probe, ...]:
        """Perturb one layer a pass."""
        return tuple(tuple(layer == probed for layer in range(layers)) for probed in range(layers))

    def signals(self, seen: Observation) -> tuple[Tensor, ...]:
        """Measure each layer's directional derivative from its own passes."""
        own, rise = own_injection(seen), rises(seen)
        return tuple(
            (
                noise * (noise.shape[-1] * rise[list(passes), :, None] / noise.square().sum(-1, keepdim=True))
            ).mean(0)
            for noise, passes in zip(own.noise, own.passes, strict=True)
        )
