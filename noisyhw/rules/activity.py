"""ANP: activity-based node perturbation."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..observation import Observation
from .base import Knows, Probe, Rule, mean_of_passes, rises


class ActivityNodePerturbation(Rule):
    """d_l = N dL da_l / |da|^2, with da the activity difference of two passes and N all units (paper, Eq. 6).

    It knows no noise: with a noisy baseline, da is the difference of two noisy passes (paper, Section 3.4).
    """

    name = "anp"
    title = "activity-based node perturbation"
    knows = frozenset({Knows.ACTIVITIES})
    samplewise = True

    def probes(self, layers: int) -> tuple[Probe, ...]:
        """Perturb every layer in one pass (if anything is injected at all)."""
        return ((True,) * layers,)

    def signals(self, seen: Observation) -> tuple[Tensor, ...]:
        """Weigh the activity differences by the loss difference over their squared length."""
        differences = [pre[1:] - pre[:1] for pre in seen.pre_activations]
        weight = units(differences) * rises(seen) / squared_length(differences)
        return tuple(mean_of_passes(difference.mul_(weight[:, :, None])) for difference in differences)


def units(differences: list[Tensor]) -> int:
    """Number of units of the network, N."""
    return sum(difference.shape[-1] for difference in differences)


def squared_length(differences: list[Tensor]) -> Float[Tensor, "noisy samples"]:
    """|da|^2 over all layers; where nothing moved it is tiny rather than zero, and so is the loss difference."""
    lengths = torch.stack([torch.linalg.vector_norm(difference, dim=-1) for difference in differences])
    return lengths.square().sum(0).clamp_(min=torch.finfo(lengths.dtype).tiny)
