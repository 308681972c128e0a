"""ALF: activity-based learned feedback, an error signal whose way back is learned from noisy passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from ..observation import Observation
from .base import Knows, LayerShape, Learned, Options, Probe, Rule, State, mean_of_passes, rises
from .output_error import TINY, is_output, told


class Feedback(Options):
    """Options of learned feedback."""

    rate: float = Field(
        0.1,
        gt=0,
        le=2,
        description="Share of the way to the least squares of one batch that the feedback weights go at each batch.",
    )
    solver: Literal["lms", "rls"] = Field(
        "lms",
        description="lms: along the gradient of the squared residual, normalised; rls: recursive least squares, "
        "which also divides by the running covariance of what is fed back.",
    )
    memory: float = Field(
        30.0, ge=1, description="Batches over which rls averages that covariance; rls alone has it."
    )
    ridge: float = Field(
        0.01,
        gt=0,
        description="What is added to the size of what is fed back, as a share of the output error's: without it, "
        "feedback weights grow far too large while that is still small.",
    )
    feedback: Literal["direct", "chained"] = Field(
        "direct",
        description="direct: every layer gets the output error; chained: that of the layer which is read next.",
    )
    remainder: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of what the prediction leaves of the loss difference that is added, as node perturbation "
        "adds it. With 1 and white differences the signal's mean is the gradient, whatever the feedback weights are; "
        "with 0 its variance is least.",
    )

    @model_validator(mode="after")
    def _has_effect(self) -> Feedback:
        if self.solver == "lms" and "memory" in self.model_fields_set:
            raise ValueError("memory is of solver: rls; leave it out with lms")
        return self


class LearnedFeedback(Rule):
    """d_l = phi'(a_l) * (B_l e), with feedback weights B_l from a regression on activity differences.

    e is the loss's derivative at the outputs, and phi' the slopes of the activations. To first order a sample's loss
    difference is dL = g_l . da_l plus what the noise behind layer l adds, and that noise does not depend on da_l. So
    each layer is a regression of its own, of dL on da_l: its residual dL - d_l . da_l has no correlation with da_l
    where d_l = g_l, whatever noise other layers have. B_l descends the squared residual::

        B_l <- B_l + rate / (mean(da_l^2) sum_b |e|^2 (1 + ridge)) sum_b (phi' * da_l) (dL - d_l . da_l) e^T

    The covariance of da_l is not in the fixed point, as it is in ANP's update (paper, Appendix D). The output layer's
    signal is e. While B is zero, hidden layers stand still, but for a remainder.

    Learned feedback from perturbations that are known: Lansdell, Prakash & Kording, "Learning to solve the credit
    assignment problem", ICLR 2020; direct feedback: Nokland, NeurIPS 2016.
    """

    name = "alf"
    title = "activity-based learned feedback"
    knows = frozenset({Knows.ACTIVITIES, Knows.OUTPUT_ERROR})
    options_model = Feedback
    per_unit = ("a feedback weight from each output",)
    options: Feedback

    def probes(self, layers: int) -> tuple[Probe, ...]:
        """Perturb every layer in one pass (if anything is injected at all)."""
        return ((True,) * layers,)

    def init(self, layers: Sequence[LayerShape], generator: torch.Generator) -> State:
        """Begin with no feedback; how wide it is is known with the first batch."""
        return {"weights": [None] * len(layers), "covariances": [None] * len(layers)}

    def learn(self, seen: Observation, state: State) -> tuple[Learned, State]:
        """Predict with what was learnt so far, then learn from what the prediction left."""
        error, slopes = told(seen)
        weights, covariances = list(state["weights"]), list(state["covariances"])
        signals: list[Tensor] = []
        back, rise = error, rises(seen)
        for place in reversed(range(len(slopes))):
            a = seen.pre_activations[place]
            if is_output(a, seen):
                signals.append(error)
                continue
            if weights[place] is None:
                weights[place] = a.new_zeros(a.shape[-1], back.shape[-1])
            signal = (back @ weights[place].t()).mul_(slopes[place])
            difference = a[1:] - a[:1]
            left = rise - (signal * difference).sum(-1)
            pull = mean_of_passes(difference * left[:, :, None]).mul_(slopes[place])
            pull.div_(difference.square().mean().clamp(min=TINY))
            floor = self.options.ridge * error.square().mean().clamp(min=TINY)
            step, covariances[place] = self._solved(pull.t() @ back, back, floor, covariances[place])
            weights[place] = weights[place].add(step, alpha=self.options.rate)
            signals.append(self._with_remainder(signal, difference, left))
            back = signal if self.options.feedback == "chained" else error
        return tuple(reversed(signals)), {"weights": weights, "covariances": covariances}

    def _solved(
        self,
        product: Float[Tensor, "units width"],
        back: Float[Tensor, "samples width"],
        floor: Float[Tensor, ""],
        covariance: Tensor | None,
    ) -> tuple[Float[Tensor, "units width"], Tensor | None]:
        """The step towards least squares, and the running covariance of what is fed back (rls)."""
        if self.options.solver == "lms":
            return product / (back.square().mean() + floor) / back.numel(), None
        now = back.t() @ back / len(back)
        covariance = now if covariance is None else covariance.lerp(now, 1 / self.options.memory)
        damped = covariance + floor * torch.eye(len(now), dtype=now.dtype, device=now.device)
        return torch.linalg.solve(damped, product.t() / len(back)).t(), covariance

    def _with_remainder(
        self,
        signal: Float[Tensor, "samples units"],
        difference: Float[Tensor, "noisy samples units"],
        left: Float[Tensor, "noisy samples"],
    ) -> Float[Tensor, "samples units"]:
        """Add what the prediction leaves of the loss difference, along the activity difference."""
        share = self.options.remainder
        if not share:
            return signal
        length = difference.square().sum(-1).clamp(min=TINY)
        return signal + mean_of_passes(difference * (share * signal.shape[-1] * left / length)[:, :, None])
