"""What a learner sees: activities and losses of a few passes of one batch. Weights and noise are not in it."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

Layerwise = tuple[Tensor, ...]


@dataclass(frozen=True)
class Injection:
    """The learner's own perturbations: it drew them, so it may know them.

    Attributes:
        std: their standard deviation; in a stack of runs, that of every sample's run.
        noise: per layer, [passes that perturb it, samples, outputs].
        passes: per layer, which noisy passes those are (0 is the first noisy pass).
        weights: per layer, what its weights were perturbed by for a pass, [passes that perturb them, outputs, inputs].
        weight_passes: per layer, which noisy passes those are.
    """

    std: float | Float[Tensor, " samples"]
    noise: Layerwise
    passes: tuple[tuple[int, ...], ...]
    weights: Layerwise = ()
    weight_passes: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Observation:
    """One batch, seen 1 + P times: the baseline pass first, then P noisy ones.

    Attributes:
        pre_activations: per layer, [1 + P, samples, outputs].
        losses: [1 + P, samples].
        outputs: of the network, [1 + P, samples, outputs]; what the losses are of.
        inputs: per layer, what its tile read in the baseline pass (decorrelated), [vectors, inputs]; a vector is a
            sample, or in a convolution one of a sample's patches.
        injected: what the learner injected; None unless the rule declares that it must know.
        gradient: per layer, the loss's gradient for each sample's pre-activations, [samples, outputs]; None unless the
            rule declares that it must know.
        output_error: derivative of each sample's loss by the outputs of the baseline pass; None unless the rule
            declares that it must know.
        slopes: per layer, derivative of its digital activation at the baseline, [samples, outputs]; as above.
    """

    pre_activations: Layerwise
    losses: Float[Tensor, "passes samples"]
    inputs: Layerwise
    _: KW_ONLY
    outputs: Float[Tensor, "passes samples outputs"]
    injected: Injection | None = None
    gradient: Layerwise | None = None
    output_error: Float[Tensor, "samples outputs"] | None = None
    slopes: Layerwise | None = None


def about_the_mean(seen: Observation) -> Observation:
    """The same passes, all as noisy ones, about their mean as the baseline.

    With one noisy baseline its noise xi_0 is in every difference, and averaging over P passes leaves a share
    xi_0 xi_0^T / 2 of the update: of N units' gradient g the direction is known to cos^2 = 4 / (N + 5) at most. About
    the mean, the update is the sample covariance of activities with the loss, and cos^2 = 1 / (1 + (N + 1) / P).
    """
    layers = tuple(_with_mean(a) for a in seen.pre_activations)
    return replace(
        seen, pre_activations=layers, losses=_with_mean(seen.losses), outputs=_with_mean(seen.outputs)
    )


def _with_mean(values: Float[Tensor, "passes *rest"]) -> Float[Tensor, "one_more *rest"]:
    return torch.cat([values.mean(0, keepdim=True), values])
