"""What a learning rule is: a pure function from an observation to one error signal per layer."""

from __future__ import annotations

import abc
from enum import Enum
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from ..observation import Injection, Observation

Probe = tuple[bool, ...]
"""Which layers are perturbed in one noisy pass."""


class Knows(Enum):
    """What a rule must know; a device may not grant it."""

    ACTIVITIES = "activities"
    """Pre-activations and losses of noisy passes: every device grants that."""
    INJECTED = "injected perturbation"
    """Also the perturbation that it injected itself; the device's own noise stays unknown."""
    GRADIENT = "gradient"
    """The true gradient: on an ideal device, or from an oracle that is asked for by name."""


class Rule(abc.ABC):
    """A learning rule.

    A layer's weights then move along -mean_b d_b x_b^T, where x is the layer's input in the baseline pass.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    knows: ClassVar[Knows]
    samplewise: ClassVar[bool] = False
    """Whether a sample's signal hangs on that sample alone; then samples of many runs can be handed over at once."""

    @abc.abstractmethod
    def probes(self, layers: int) -> tuple[Probe, ...]:
        """Which layers each noisy pass perturbs; one entry a pass."""

    @abc.abstractmethod
    def signals(self, seen: Observation) -> tuple[Tensor, ...]:
        """Return d per layer, [samples, outputs], averaged over the noisy passes."""


def rises(seen: Observation) -> Float[Tensor, "noisy samples"]:
    """Loss of each noisy pass less the baseline's: the paper's dL."""
    return seen.losses[1:] - seen.losses[:1]


def mean_of_passes(signals: Float[Tensor, "noisy samples outputs"]) -> Float[Tensor, "samples outputs"]:
    """Mean over the noisy passes; that of one is not copied."""
    return signals.mean(0) if len(signals) > 1 else signals[0]


def own_injection(seen: Observation) -> Injection:
    """What the learner injected; a rule that needs it must have declared so."""
    if seen.injected is None:
        raise ValueError("this observation holds no injected perturbation")
    return seen.injected
