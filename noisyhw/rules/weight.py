"""WP: weight perturbation."""

from __future__ import annotations

from torch import Tensor

from ..observation import Observation
from .base import Change, Knows, Learned, Probe, Rule, State, own_injection, rises


class WeightPerturbation(Rule):
    """dW_l = mean_b(dL) Xi_l / sigma^2, with Xi the perturbation of the weights, one for all samples of a pass.

    The device must grant that port (``weight_perturbation`` in its card). Biases stand still.

    Jabri & Flower, IEEE Transactions on Neural Networks 3, 1992; Cauwenberghs, NeurIPS 1993.
    """

    name = "wp"
    title = "weight perturbation"
    knows = frozenset({Knows.INJECTED_WEIGHTS})

    def probes(self, layers: int) -> tuple[Probe, ...]:
        """One noisy pass, in which no pre-activation is perturbed."""
        return ((False,) * layers,)

    def weight_probes(self, layers: int) -> tuple[Probe, ...]:
        """Perturb all weights in it."""
        return ((True,) * layers,)

    def learn(self, seen: Observation, state: State) -> tuple[Learned, State]:
        """Weigh each perturbation by the mean loss difference that it came with."""
        own = own_injection(seen)
        rise = rises(seen).mean(1) / own.std**2
        changes = [
            Change(_weighted(noise, rise[list(passes)]))
            for noise, passes in zip(own.weights, own.weight_passes, strict=True)
        ]
        return tuple(changes), state


def _weighted(noise: Tensor, rise: Tensor) -> Tensor:
    """Mean over passes of a perturbation times its loss difference."""
    return (noise * rise[:, None, None]).mean(0)
