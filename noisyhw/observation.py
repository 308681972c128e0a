"""What a learner sees: activities and losses of a few passes of one batch. Weights and noise are not in it."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

Layerwise = tuple[Tensor, ...]


@dataclass(frozen=True)
class Injection:
    """The learner's own perturbations: it drew them, so it may know them.

    Attributes:
        std: their standard deviation.
        noise: per layer, [passes that perturb it, samples, outputs].
        passes: per layer, which noisy passes those are (0 is the first noisy pass).
    """

    std: float
    noise: Layerwise
    passes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Observation:
    """One batch, seen 1 + P times: the baseline pass first, then P noisy ones.

    Attributes:
        pre_activations: per layer, [1 + P, samples, outputs].
        losses: [1 + P, samples].
        inputs: per layer, what its tile read in the baseline pass (decorrelated), [vectors, inputs]; a vector is a
            sample, or in a convolution one of a sample's patches.
        injected: what the learner injected; None unless the rule declares that it must know.
        gradient: per layer, the loss's gradient for each sample's pre-activations, [samples, outputs]; None unless the
            rule declares that it must know.
    """

    pre_activations: Layerwise
    losses: Float[Tensor, "passes samples"]
    inputs: Layerwise
    injected: Injection | None = None
    gradient: Layerwise | None = None
